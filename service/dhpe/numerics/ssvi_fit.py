"""Fitting SSVI slices to vols: Levenberg-Marquardt on three numbers, then all slices together without arbitrage.

Residuals are in vol, weights are vegas. Each expiry is fitted alone, from its last fit on, inside the butterfly bounds
of ``ssvi``; then theta and the wings are made monotone over the expiries by weighted isotonic regression, each with the
information that its own quotes hold, so that one bad expiry bends and not all behind it; a last pass forward enforces
the bounds exactly. Between slices that fulfil them, linear interpolation of (theta, right, left) in time does too.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.ssvi import LEFT, RIGHT, THETA, bound_slice, follow

ITERATIONS_MAX: Final = 60
DAMPING_START: Final = 1e-4
DAMPING_MIN: Final = 1e-12
DAMPING_MAX: Final = 1e8
STEP_MAX: Final = 1.0
"""Of the logarithm of a coordinate in one iteration."""
STEP_DONE: Final = 1e-7
GAIN_DONE: Final = 1e-9
"""Of the sum of squares: less than that is not worth an iteration."""
RIDGE: Final = 1e-7
"""Weight of an ordinary smile (right = left = sqrt(theta)) against a quote's: it decides where no quote does."""


class Quotes(NamedTuple):
    """What the fit sees: those of an expiry together, expiries in the order of their settlement."""

    start: NDArray[np.int64]  # (expiries + 1,)
    k: NDArray[np.float64]  # (quotes,) ln(K/F)
    vol: NDArray[np.float64]  # (quotes,)
    weight: NDArray[np.float64]  # (quotes,) relative vega


@kernel
def solve(system: NDArray[np.float64]) -> bool:
    """Solve a positive definite 3 x 3 system (3, 4) in place by elimination, the answer in the last column."""
    for pivot in range(3):
        if not system[pivot, pivot] > 0.0:
            return False
        for below in range(pivot + 1, 3):
            factor = system[below, pivot] / system[pivot, pivot]
            for place in range(pivot, 4):
                system[below, place] -= factor * system[pivot, place]
    for pivot in range(2, -1, -1):
        for place in range(pivot + 1, 3):
            system[pivot, 3] -= system[pivot, place] * system[place, 3]
        system[pivot, 3] /= system[pivot, pivot]
    return True


@kernel
def _residual(part: NDArray[np.float64], k: float, vol: float, tau: float, slopes: NDArray[np.float64]) -> float:
    """Fitted vol less quoted vol; ``slopes`` (3,) receives its derivatives by ln theta, ln right and ln left."""
    theta = part[THETA]
    tilt = 0.5 * (part[RIGHT] - part[LEFT])
    psi = 0.5 * (part[RIGHT] + part[LEFT])
    root = math.sqrt(theta * theta + 2.0 * theta * tilt * k + psi * psi * k * k)
    fitted = math.sqrt(0.5 * (theta + tilt * k + root) / tau)
    scale = 0.25 / (fitted * tau)
    by_tilt = k * (1.0 + theta / root)
    by_psi = psi * k * k / root
    slopes[THETA] = scale * theta * (1.0 + (theta + tilt * k) / root)
    slopes[RIGHT] = scale * 0.5 * part[RIGHT] * (by_psi + by_tilt)
    slopes[LEFT] = scale * 0.5 * part[LEFT] * (by_psi - by_tilt)
    return fitted - vol


@kernel
def normal_equations(
    quotes: Quotes, expiry: int, tau: float, part: NDArray[np.float64], normal: NDArray[np.float64]
) -> float:
    """Write the matrix and minus the gradient of half the weighted squares into ``normal`` (3, 4); give the squares."""
    slopes = np.empty(3)
    for row in range(3):
        for column in range(4):
            normal[row, column] = 0.0
    squares = 0.0
    for at in range(quotes.start[expiry], quotes.start[expiry + 1]):
        miss = _residual(part, quotes.k[at], quotes.vol[at], tau, slopes)
        weight = quotes.weight[at]
        squares += weight * miss * miss
        for row in range(3):
            for column in range(row, 3):
                normal[row, column] += weight * slopes[row] * slopes[column]
            normal[row, 3] -= weight * slopes[row] * miss
    normal[1, 0], normal[2, 0], normal[2, 1] = normal[0, 1], normal[0, 2], normal[1, 2]
    return squares


@kernel
def _squares(
    quotes: Quotes, expiry: int, tau: float, part: NDArray[np.float64], ordinary: float, normal: NDArray[np.float64]
) -> float:
    """``normal_equations`` with the ridge towards wings of ln ``ordinary``."""
    squares = normal_equations(quotes, expiry, tau, part, normal)
    for wing in (RIGHT, LEFT):
        away = math.log(part[wing]) - ordinary
        squares += RIDGE * away * away
        normal[wing, wing] += RIDGE
        normal[wing, 3] -= RIDGE * away
    return squares


@kernel
def fit_slice(
    quotes: Quotes, expiry: int, tau: float, deviation: float, part: NDArray[np.float64], normal: NDArray[np.float64]
) -> None:
    """Move (theta, right, left) in place to the least squares; ``normal`` (3, 4) receives the equations there.

    ``deviation`` is about vol * sqrt(tau) at the money.
    """
    trial, step = np.empty(3), np.empty((3, 4))
    ahead = np.empty((3, 4))
    ordinary = math.log(deviation)
    damping = DAMPING_START
    squares = _squares(quotes, expiry, tau, part, ordinary, normal)
    for _ in range(ITERATIONS_MAX):
        for row in range(3):
            for column in range(4):
                step[row, column] = normal[row, column]
            step[row, row] *= 1.0 + damping
        if not solve(step):
            return
        furthest = 0.0
        for row in range(3):
            move = min(max(step[row, 3], -STEP_MAX), STEP_MAX)
            furthest = max(furthest, abs(move))
            trial[row] = part[row] * math.exp(move)
        bound_slice(trial)
        reached = _squares(quotes, expiry, tau, trial, ordinary, ahead)
        if reached <= squares:
            gain = squares - reached
            squares = reached
            for row in range(3):
                part[row] = trial[row]
                for column in range(4):
                    normal[row, column] = ahead[row, column]
            damping = max(0.1 * damping, DAMPING_MIN)
            if gain <= GAIN_DONE * squares:
                return
        else:
            damping *= 10.0
        if furthest < STEP_DONE or damping > DAMPING_MAX:
            return


@kernel
def isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
    """Replace ``values`` by the nearest non-decreasing sequence in weighted squares: pool adjacent violators."""
    count = values.shape[0]
    mass = weights.copy()
    size = np.ones(count, np.int64)
    blocks = 0
    for place in range(count):
        values[blocks], mass[blocks], size[blocks] = values[place], weights[place], 1
        while blocks > 0 and values[blocks - 1] > values[blocks]:
            total = mass[blocks - 1] + mass[blocks]
            mean = values[blocks - 1] * mass[blocks - 1] + values[blocks] * mass[blocks]
            values[blocks - 1] = mean / total
            mass[blocks - 1] = total
            size[blocks - 1] += size[blocks]
            blocks -= 1
        blocks += 1
    place = count
    for block in range(blocks - 1, -1, -1):
        for _ in range(size[block]):
            place -= 1
            values[place] = values[block]


@kernel
def agree(parts: NDArray[np.float64], information: NDArray[np.float64]) -> None:
    """Make fitted slices (n, 3), in the order of settlement, free of arbitrage among each other, in place.

    ``information`` (n, 3) is that about the logarithm of each number. First theta, then phi, then the wings are made
    monotone; what the one does to the other is repaired by ``follow``.
    """
    count = parts.shape[0]
    logs = np.empty(count)
    for place in range(count):
        logs[place] = math.log(parts[place, THETA])
    isotonic(logs, information[:, THETA])
    wings = np.empty(count)
    falling = np.empty(count)
    for place in range(count):
        parts[place, THETA] = math.exp(logs[place])
        wings[place] = information[place, RIGHT] + information[place, LEFT]
        falling[place] = logs[place] - math.log(parts[place, RIGHT] + parts[place, LEFT])
    logs[:] = falling
    isotonic(falling, wings)
    for place in range(count):
        factor = math.exp(logs[place] - falling[place])
        parts[place, RIGHT] *= factor
        parts[place, LEFT] *= factor
    for wing in (RIGHT, LEFT):
        for place in range(count):
            logs[place] = math.log(parts[place, wing])
        isotonic(logs, information[:, wing])
        for place in range(count):
            parts[place, wing] = math.exp(logs[place])
    for place in range(count):
        bound_slice(parts[place])
        if place > 0:
            follow(parts[place - 1], parts[place])


@kernel
def between(
    tau: float,
    taus: NDArray[np.float64],
    parts: NDArray[np.float64],
    fitted: NDArray[np.bool_],
    out: NDArray[np.float64],
) -> bool:
    """Write into ``out`` (3,) the slice at ``tau`` that the fitted ones leave room for; False where none is fitted.

    Linear in time between two; beyond the last the wings and the vol at the money are held; before the first the wings
    shrink with the root of time.
    """
    before, after = -1, -1
    for place in range(taus.shape[0]):
        if fitted[place] and taus[place] <= tau:
            before = place
        if fitted[place] and taus[place] > tau and after < 0:
            after = place
    if before < 0 and after < 0:
        return False
    for column in range(3):
        if before < 0:
            share = tau / taus[after]
            out[column] = parts[after, column] * (share if column == THETA else math.sqrt(share))
        elif after < 0:
            out[column] = parts[before, column] * (tau / taus[before] if column == THETA else 1.0)
        else:
            share = (tau - taus[before]) / (taus[after] - taus[before])
            out[column] = parts[before, column] + share * (parts[after, column] - parts[before, column])
    return True
