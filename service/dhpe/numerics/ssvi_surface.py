"""The SSVI surface of an underlying: each expiry with its own shape, or one law of theta for all.

An expiry with fewer than five quotes has no shape of its own: it takes what its neighbours in time leave room for.
Where no expiry has a shape, each with any quote is flat at its mean vol.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.ssvi import LEFT, RIGHT, THETA, WING_FLOOR
from dhpe.numerics.ssvi_fit import Quotes, agree, between, fit_slice, isotonic, normal_equations
from dhpe.numerics.ssvi_law import fit_law, law_slice

QUOTES_MIN: Final = 5


@kernel
def _flat(
    quotes: Quotes, taus: NDArray[np.float64], parts: NDArray[np.float64], known: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """A flat smile at the mean vol of each expiry with any quote."""
    fitted = np.zeros(taus.shape[0], np.bool_)
    for place in range(taus.shape[0]):
        total = 0.0
        mean = 0.0
        for at in range(quotes.start[place], quotes.start[place + 1]):
            total += quotes.weight[at]
            mean += quotes.weight[at] * quotes.vol[at]
        if total > 0.0:
            fitted[place] = True
            parts[place, THETA] = mean / total * mean / total * taus[place]
            parts[place, RIGHT] = WING_FLOOR
            parts[place, LEFT] = WING_FLOOR
            known[place, THETA] = total
    return fitted


@kernel
def _settle(parts: NDArray[np.float64], known: NDArray[np.float64], fitted: NDArray[np.bool_]) -> None:
    """Let the fitted slices agree among each other."""
    count = 0
    rows = np.empty(fitted.shape[0], np.int64)
    for place in range(fitted.shape[0]):
        if fitted[place]:
            rows[count] = place
            count += 1
    chosen, weights = np.empty((count, 3)), np.empty((count, 3))
    for place in range(count):
        for column in range(3):
            chosen[place, column] = parts[rows[place], column]
            weights[place, column] = known[rows[place], column]
    agree(chosen, weights)
    for place in range(count):
        for column in range(3):
            parts[rows[place], column] = chosen[place, column]


@kernel
def fit_parts(
    quotes: Quotes, taus: NDArray[np.float64], deviations: NDArray[np.float64], parts: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Fit each expiry with quotes enough alone, then let them agree; which slices stand."""
    count = taus.shape[0]
    fitted = np.zeros(count, np.bool_)
    known = np.ones((count, 3))
    normal = np.empty((3, 4))
    any_fitted = False
    for place in range(count):
        if quotes.start[place + 1] - quotes.start[place] >= QUOTES_MIN:
            fit_slice(quotes, place, taus[place], deviations[place], parts[place], normal)
            for column in range(3):
                known[place, column] = normal[column, column]
            fitted[place] = True
            any_fitted = True
    if not any_fitted:
        fitted = _flat(quotes, taus, parts, known)
    _settle(parts, known, fitted)
    for place in range(count):
        if not fitted[place]:
            between(taus[place], taus, parts, fitted, parts[place])
    return fitted


@kernel
def fit_by_law(
    quotes: Quotes, taus: NDArray[np.float64], parts: NDArray[np.float64], shape: NDArray[np.float64], law: int
) -> NDArray[np.bool_]:
    """Fit one shape and a theta for each expiry with quotes; which slices stand."""
    count = taus.shape[0]
    fitted = np.zeros(count, np.bool_)
    known = np.ones((count, 3))
    normal = np.empty((3, 4))
    if quotes.k.shape[0] < QUOTES_MIN:
        fitted = _flat(quotes, taus, parts, known)
        _settle(parts, known, fitted)
    else:
        thetas = parts[:, THETA].copy()
        fit_law(quotes, taus, thetas, shape, law)
        standing = 0
        logs, weights = np.empty(count), np.empty(count)
        for place in range(count):
            law_slice(thetas[place], shape, law, parts[place])
            normal_equations(quotes, place, taus[place], parts[place], normal)
            fitted[place] = normal[0, 0] > 0.0
            if fitted[place]:
                logs[standing], weights[standing] = math.log(thetas[place]), normal[0, 0]
                standing += 1
        isotonic(logs[:standing], weights[:standing])
        standing = 0
        for place in range(count):
            if fitted[place]:
                law_slice(math.exp(logs[standing]), shape, law, parts[place])
                standing += 1
    for place in range(count):
        filled = not fitted[place] and between(taus[place], taus, parts, fitted, parts[place])
        if filled and quotes.k.shape[0] >= QUOTES_MIN:
            law_slice(parts[place, THETA], shape, law, parts[place])
    return fitted
