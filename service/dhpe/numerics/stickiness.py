"""How the vol at the money follows the spot along the skew: the live estimate of the skew stickiness.

R = (d atm_vol / d ln S) / (d vol / d k at k = 0); MODEL.md section 1, Bergomi (2009). Between two fits of the surface
each expiry says d atm_vol = R * skew_slope * d ln S + noise. All expiries of a fit move together, so a fit is one
observation: the sums over its expiries, each times the root of its tau, since vols and slopes both fall with it.

A vol whose quote is older than the fit before it is held at its strike, which looks like R = 1. So an expiry waits
until nearly all quotes around its money are new, and is then compared with the fit that they are new against.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.parity import years
from dhpe.numerics.state import VOL_OWN_QUOTE

SAMPLES_MIN: Final = 60.0
RENEWED_MIN: Final = 0.8

FIT: Final = np.dtype([("fitted_ns", "i8"), ("atm_vol", "f8"), ("skew_slope", "f8"), ("log_spot", "f8")], align=True)
"""The fit of an expiry that the next ones are held against; fitted_ns 0 where there is none."""


@kernel
def _renewed(contracts: NDArray[np.void], count: int, row: int, width: float, log_spot: float, since_ns: int) -> bool:
    """Whether nearly all quotes of expiry ``row`` within ``width`` of the money came since ``since_ns``."""
    quotes = 0
    renewed = 0
    for place in range(count):
        contract = contracts[place]
        if contract["expiry"] != row or contract["active"] == 0 or contract["vol_source"] != VOL_OWN_QUOTE:
            continue
        if abs(contract["log_strike"] - log_spot) <= width:
            quotes += 1
            # A quote of the very time of that fit came after it, or the fit would not have been due yet.
            if contract["quote"]["ts_ns"] >= since_ns:
                renewed += 1
    return quotes > 0 and renewed >= RENEWED_MIN * quotes


@kernel
def skew_move(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    before: NDArray[np.void],
    log_spot: float,
    ts_ns: int,
    gap_ns: float,
) -> tuple[float, float, int]:
    """(sum of skew_slope * d ln S, sum of d atm_vol, expiries) of the expiries with new quotes, each times root tau.

    before: rows of FIT, one for each row of ``expiries``; those used, or older than ``gap_ns``, become the present fit.
    The slope is the mean of both fits.
    """
    by_skew = 0.0
    moved = 0.0
    known = 0
    for row in range(expiries.shape[0]):
        expiry, earlier = expiries[row], before[row]
        tau = years(expiry["settles_ns"], ts_ns)
        if tau <= 0.0 or math.isnan(expiry["atm_vol"]) or math.isnan(expiry["skew_slope"]):
            earlier["fitted_ns"] = 0
            continue
        if earlier["fitted_ns"] > 0 and ts_ns - earlier["fitted_ns"] <= gap_ns:
            width = expiry["atm_vol"] * math.sqrt(tau)
            if not _renewed(contracts, count, row, width, log_spot, earlier["fitted_ns"]):
                continue
            slope = 0.5 * (expiry["skew_slope"] + earlier["skew_slope"])
            by_skew += math.sqrt(tau) * slope * (log_spot - earlier["log_spot"])
            moved += math.sqrt(tau) * (expiry["atm_vol"] - earlier["atm_vol"])
            known += 1
        earlier["fitted_ns"] = ts_ns
        earlier["atm_vol"] = expiry["atm_vol"]
        earlier["skew_slope"] = expiry["skew_slope"]
        earlier["log_spot"] = log_spot
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
