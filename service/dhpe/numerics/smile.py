"""The smile of each expiry, first form: a quadratic in log moneyness around the money.

vol(k) = atm_vol + skew_slope k + curvature k^2, k = ln(strike/forward), fitted to the out-of-the-money vols within
2.5 at-the-money deviations, weighted by vega, in which wings that nobody can hedge with count little. Beyond the
fitted width the smile is held flat. From the slope comes the spot-vol beta at a fixed strike (MODEL.md section 4).
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.american import american_price
from dhpe.numerics.black import price
from dhpe.numerics.jit import kernel
from dhpe.numerics.parity import forward_ratio, years
from dhpe.numerics.state import VOL_OWN_QUOTE, VOL_PAIR_QUOTE

FIT_DEVIATIONS: Final = 2.5
QUOTES_MIN: Final = 5
VOL_FLOOR: Final = 1e-3
WINDOW_MIN: Final = 0.005
"""Of log moneyness: the window does not shrink to a single strike on the last day."""
IV_INDEX_TAU: Final = 30.0 / 365.0
SINGULAR: Final = 1e-12


class BetaRule(NamedTuple):
    """How vol at a fixed strike follows spot: by skew stickiness and slope, or by one parallel value.

    ``parallel_beta`` is NaN where the surface decides; its error is NaN where unknown.
    """

    skew_stickiness: float
    skew_stickiness_standard_error: float
    parallel_beta: float
    parallel_beta_standard_error: float


@kernel
def smile_vol(expiry: np.void, log_moneyness: float) -> float:
    """Vol of one row of EXPIRY at k = ln(strike/forward): flat beyond the fit, never below the floor, NaN unfitted."""
    if math.isnan(expiry["atm_vol"]):
        return math.nan
    k = min(max(log_moneyness, -expiry["fit_width"]), expiry["fit_width"])
    return max(expiry["atm_vol"] + k * (expiry["skew_slope"] + k * expiry["curvature"]), VOL_FLOOR)


@kernel
def is_quoted_wing(contract: np.void, forward: float) -> bool:
    """Whether this contract is its strike's out-of-the-money side and the vol of the strike comes from quotes."""
    quoted = contract["vol_source"] == VOL_OWN_QUOTE or contract["vol_source"] == VOL_PAIR_QUOTE
    wing = -1 if contract["strike"] < forward else 1
    return contract["active"] == 1 and quoted and contract["vol"] > 0.0 and contract["right"] == wing


@kernel
def _order_by_expiry(
    contracts: NDArray[np.void], count: int, forwards: NDArray[np.float64], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Rows of the quoted wings, those of an expiry together from ``start``."""
    for row in range(count):
        if is_quoted_wing(contracts[row], forwards[contracts[row]["expiry"]]):
            start[contracts[row]["expiry"] + 1] += 1
    for expiry in range(forwards.shape[0]):
        start[expiry + 1] += start[expiry]
    place = start.copy()
    rows = np.empty(start[forwards.shape[0]], np.int64)
    for row in range(count):
        expiry_row = contracts[row]["expiry"]
        if is_quoted_wing(contracts[row], forwards[expiry_row]):
            rows[place[expiry_row]] = row
            place[expiry_row] += 1
    return rows


@kernel
def _nearest_vol(contracts: NDArray[np.void], rows: NDArray[np.int64], log_forward: float) -> float:
    """Vol of the strike nearest the forward."""
    vol = math.nan
    nearest = math.inf
    for row in rows:
        distance = abs(contracts[row]["log_strike"] - log_forward)
        if distance < nearest:
            nearest = distance
            vol = contracts[row]["vol"]
    return vol


@kernel
def _vega_weight(k: float, deviation: float) -> float:
    """Vega relative to the money's, up to a constant: the density at d1."""
    d1 = -k / deviation + 0.5 * deviation
    return math.exp(-0.5 * d1 * d1)


@kernel
def _solve(moments: NDArray[np.float64], answer: NDArray[np.float64]) -> bool:
    """Solve the normal equations of a weighted quadratic in place by elimination; False where they are singular.

    moments (3, 4): the symmetric matrix and the right side. answer (2, 3): the coefficients, and the column of the
    inverse matrix that belongs to the slope.
    """
    for column in range(2):
        for place in range(3):
            answer[column, place] = moments[place, 3] if column == 0 else (1.0 if place == 1 else 0.0)
    for pivot in range(3):
        if not moments[pivot, pivot] > SINGULAR:
            return False
        for below in range(pivot + 1, 3):
            factor = moments[below, pivot] / moments[pivot, pivot]
            for place in range(pivot, 3):
                moments[below, place] -= factor * moments[pivot, place]
            answer[0, below] -= factor * answer[0, pivot]
            answer[1, below] -= factor * answer[1, pivot]
    for pivot in range(2, -1, -1):
        for column in range(2):
            for place in range(pivot + 1, 3):
                answer[column, pivot] -= moments[pivot, place] * answer[column, place]
            answer[column, pivot] /= moments[pivot, pivot]
    return True


@kernel
def _forget(expiry: np.void) -> None:
    expiry["atm_vol"] = math.nan
    expiry["skew_slope"] = math.nan
    expiry["skew_slope_standard_error"] = math.nan
    expiry["curvature"] = math.nan
    expiry["fit_width"] = math.nan


@kernel
def _fit_window(
    contracts: NDArray[np.void], rows: NDArray[np.int64], log_forward: float, deviation: float, expiry: np.void
) -> None:
    """Fit the quotes within the window around the money; forget the fit where they are too few or on one strike."""
    window = max(FIT_DEVIATIONS * deviation, WINDOW_MIN)
    moments = np.zeros((3, 4))
    answer = np.zeros((2, 3))
    used = 0
    total = 0.0
    width = 0.0
    for row in rows:
        # In units of the window, so that the normal equations stay well conditioned at every maturity.
        x = (contracts[row]["log_strike"] - log_forward) / window
        if abs(x) > 1.0:
            continue
        used += 1
        weight = _vega_weight(x * window, deviation)
        total += weight
        width = max(width, abs(x) * window)
        power = weight
        for degree in range(5):
            for place in range(max(0, degree - 2), min(degree, 2) + 1):
                moments[place, degree - place] += power
            if degree < 3:
                moments[degree, 3] += power * contracts[row]["vol"]
            power *= x
    expiry["quotes"] = used
    if used < QUOTES_MIN or not total > 0.0:
        _forget(expiry)
        return
    for place in range(3):
        for column in range(4):
            moments[place, column] /= total
    if not _solve(moments, answer) or not answer[0, 0] > 0.0:
        _forget(expiry)
        return
    level, slope, bend = answer[0, 0], answer[0, 1], answer[0, 2]
    squares = 0.0
    for row in rows:
        x = (contracts[row]["log_strike"] - log_forward) / window
        if abs(x) <= 1.0:
            miss = contracts[row]["vol"] - (level + x * (slope + x * bend))
            squares += _vega_weight(x * window, deviation) * miss * miss
    expiry["atm_vol"] = level
    expiry["skew_slope"] = slope / window
    expiry["curvature"] = bend / (window * window)
    expiry["skew_slope_standard_error"] = math.sqrt(squares / (used - 3) * answer[1, 1] / total) / window
    expiry["fit_width"] = width


@kernel
def _set_beta(expiry: np.void, rule: BetaRule) -> None:
    """Set beta = (R - 1) * slope, its error from those of both (MODEL.md section 4); a parallel value overrides."""
    if not math.isnan(rule.parallel_beta):
        expiry["beta"] = rule.parallel_beta
        expiry["beta_standard_error"] = rule.parallel_beta_standard_error
    elif math.isnan(expiry["atm_vol"]):
        expiry["beta"] = 0.0
        expiry["beta_standard_error"] = math.nan
    else:
        slope, error = expiry["skew_slope"], expiry["skew_slope_standard_error"]
        excess = rule.skew_stickiness - 1.0
        by_slope = excess * error
        by_stickiness = slope * rule.skew_stickiness_standard_error
        expiry["beta"] = excess * slope
        expiry["beta_standard_error"] = math.sqrt(by_slope * by_slope + by_stickiness * by_stickiness)


@kernel
def fit_smiles(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    expiry_count: int,
    spot: float,
    ts_ns: int,
    rule: BetaRule,
) -> None:
    """Fit the smile and set the beta of every open expiry; atm_vol is NaN where there is no fit.

    The first ``count`` and ``expiry_count`` rows are read. Two passes: the first finds the vol at the money, the
    second fits in the window that this vol opens. Without a spot nothing changes.
    """
    if not spot > 0.0 or expiry_count == 0:
        return
    forwards = np.empty(expiry_count)
    for expiry in range(expiry_count):
        forwards[expiry] = spot * forward_ratio(expiries[expiry], ts_ns)
    start = np.zeros(expiry_count + 1, np.int64)
    rows = _order_by_expiry(contracts, count, forwards, start)
    for expiry in range(expiry_count):
        row = expiries[expiry]
        tau = years(row["settles_ns"], ts_ns)
        wings = rows[start[expiry] : start[expiry + 1]]
        log_forward = math.log(forwards[expiry])
        vol = _nearest_vol(contracts, wings, log_forward)
        row["quotes"] = 0
        if tau <= 0.0 or math.isnan(vol):
            _forget(row)
        else:
            _fit_window(contracts, wings, log_forward, vol * math.sqrt(tau), row)
            if row["atm_vol"] > 0.0:
                _fit_window(contracts, wings, log_forward, row["atm_vol"] * math.sqrt(tau), row)
        _set_beta(row, rule)


@kernel
def atm_vol_at(expiries: NDArray[np.void], expiry_count: int, ts_ns: int, tau: float) -> float:
    """At-the-money vol at ``tau`` years: total variance interpolated in time, vol held flat outside; NaN if none."""
    below = -1
    above = -1
    for row in range(expiry_count):
        at = years(expiries[row]["settles_ns"], ts_ns)
        if at <= 0.0 or math.isnan(expiries[row]["atm_vol"]):
            continue
        if at <= tau and (below < 0 or expiries[row]["settles_ns"] > expiries[below]["settles_ns"]):
            below = row
        if at >= tau and (above < 0 or expiries[row]["settles_ns"] < expiries[above]["settles_ns"]):
            above = row
    if below < 0 and above < 0:
        return math.nan
    if below < 0 or above < 0 or below == above:
        return float(expiries[max(below, above)]["atm_vol"])
    near, far = years(expiries[below]["settles_ns"], ts_ns), years(expiries[above]["settles_ns"], ts_ns)
    near_variance = expiries[below]["atm_vol"] * expiries[below]["atm_vol"] * near
    far_variance = expiries[above]["atm_vol"] * expiries[above]["atm_vol"] * far
    variance = near_variance + (tau - near) / (far - near) * (far_variance - near_variance)
    return math.sqrt(variance / tau)


@kernel
def fit_quality(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    spot: float,
    ts_ns: int,
    out: NDArray[np.float64],
) -> None:
    """Write (quotes, RMSE in vol, share inside bid/ask) of each expiry into ``out`` (expiries, 3).

    Every quoted out-of-the-money strike counts once and alike; without a fit both measures are NaN.
    """
    for expiry in range(out.shape[0]):
        for column in range(3):
            out[expiry, column] = 0.0
    for row in range(count):
        contract = contracts[row]
        expiry_row = expiries[contract["expiry"]]
        tau = years(contract["settles_ns"], ts_ns)
        ratio = forward_ratio(expiry_row, ts_ns)
        if tau <= 0.0 or not is_quoted_wing(contract, spot * ratio):
            continue
        vol = smile_vol(expiry_row, contract["log_strike"] - math.log(spot * ratio))
        at_spot = contract["quote_spot"] if contract["quote_spot"] > 0.0 else spot
        shifted = at_spot * math.exp(expiry_row["basis"])
        yield_ = expiry_row["rate"] - expiry_row["carry"]
        value = price(shifted, contract["strike"], tau, expiry_row["rate"], yield_, vol, contract["right"])
        if contract["american"] == 1:
            value = american_price(shifted, contract["strike"], tau, expiry_row["rate"], yield_, vol, contract["right"])
        line = out[contract["expiry"]]
        line[0] += 1.0
        line[1] += (vol - contract["vol"]) * (vol - contract["vol"])
        line[2] += 1.0 if contract["quote"]["bid"] <= value <= contract["quote"]["ask"] else 0.0
    for expiry in range(out.shape[0]):
        quotes = out[expiry, 0]
        fitted = quotes > 0.0 and not math.isnan(expiries[expiry]["atm_vol"])
        out[expiry, 1] = math.sqrt(out[expiry, 1] / quotes) if fitted else math.nan
        out[expiry, 2] = out[expiry, 2] / quotes if fitted else math.nan
