"""How the vol at the money follows the spot along the skew: the live estimate of the skew stickiness.

R = (d atm_vol / d ln S) / (d vol / d k at k = 0); MODEL.md section 1, Bergomi (2009). Between two fits of the surface
each expiry says d atm_vol = R * skew_slope * d ln S + noise. All expiries of a fit move together, so a fit is one
observation: the sums over its expiries, each times the root of its tau, since vols and slopes both fall with it.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.parity import years

SAMPLES_MIN: Final = 60.0


@kernel
def skew_move(
    expiries: NDArray[np.void], count: int, before: NDArray[np.float64], log_spot_move: float, ts_ns: int
) -> tuple[float, float, int]:
    """(sum of skew_slope * d ln S, sum of d atm_vol, expiries) since the fit ``before``, each times root tau.

    before: (count or more, 2) of atm_vol and skew_slope as they were, NaN where an expiry had no fit.
    """
    by_skew = 0.0
    moved = 0.0
    known = 0
    for row in range(min(count, before.shape[0])):
        expiry = expiries[row]
        tau = years(expiry["settles_ns"], ts_ns)
        change = expiry["atm_vol"] - before[row, 0]
        along = 0.5 * (expiry["skew_slope"] + before[row, 1]) * log_spot_move
        if tau > 0.0 and not (math.isnan(change) or math.isnan(along)):
            by_skew += math.sqrt(tau) * along
            moved += math.sqrt(tau) * change
            known += 1
    return by_skew, moved, known


@kernel
def aged_slope(
    times_ns: NDArray[np.int64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    head: int,
    count: int,
    now_ns: int,
    half_life_ns: float,
) -> tuple[float, float, float]:
    """(slope, White standard error, effective samples) of y on x with intercept; weights halve in ``half_life_ns``.

    Rings as in ``numerics.liquidity``. NaN where x never moved or fewer than three observations are known.
    """
    size = x.shape[0]
    total = 0.0
    squares = 0.0
    mean_x = 0.0
    mean_y = 0.0
    for age in range(count):
        at = (head - 1 - age) % size
        weight = math.exp(-math.log(2.0) * (now_ns - times_ns[at]) / half_life_ns)
        total += weight
        squares += weight * weight
        mean_x += weight * x[at]
        mean_y += weight * y[at]
    if count < 3 or not total > 0.0 or not squares > 0.0:
        return math.nan, math.nan, 0.0
    mean_x /= total
    mean_y /= total
    x_x = 0.0
    x_y = 0.0
    for age in range(count):
        at = (head - 1 - age) % size
        weight = math.exp(-math.log(2.0) * (now_ns - times_ns[at]) / half_life_ns)
        x_x += weight * (x[at] - mean_x) * (x[at] - mean_x)
        x_y += weight * (x[at] - mean_x) * (y[at] - mean_y)
    samples = total * total / squares
    if not x_x > 0.0:
        return math.nan, math.nan, samples
    slope = x_y / x_x
    scores = 0.0
    for age in range(count):
        at = (head - 1 - age) % size
        weight = math.exp(-math.log(2.0) * (now_ns - times_ns[at]) / half_life_ns)
        score = weight * (x[at] - mean_x) * (y[at] - mean_y - slope * (x[at] - mean_x))
        scores += score * score
    return slope, math.sqrt(scores) / x_x, samples
