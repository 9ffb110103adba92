"""The smile of each expiry: SSVI slices without arbitrage (MODEL.md section 6), and what is read off them.

Fitted to the out-of-the-money vols within three at-the-money deviations, weighted by vega, in which wings that nobody
can hedge count little. An expiry with fewer than five quotes has no shape of its own: it takes what its neighbours in
time leave room for, and where no expiry has a shape, a flat smile at its mean vol. From the slope comes the spot-vol
beta at a fixed strike (MODEL.md section 4); a slope that the expiry's own quotes do not measure makes no beta.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.american import american_price
from dhpe.numerics.black import price
from dhpe.numerics.jit import borrowing_kernel, kernel
from dhpe.numerics.parity import forward_ratio, years
from dhpe.numerics.smile_quotes import gather, is_quoted_wing, log_moneyness, open_in_order
from dhpe.numerics.ssvi import BY_EXPIRY, LEFT, RIGHT, THETA, WING_FLOOR, total_variance
from dhpe.numerics.ssvi_fit import Quotes, normal_equations, solve
from dhpe.numerics.ssvi_surface import QUOTES_MIN, fit_by_law, fit_parts

VOL_FLOOR: Final = 1e-3
IV_INDEX_TAU: Final = 30.0 / 365.0


class BetaRule(NamedTuple):
    """How vol at a fixed strike follows spot: by skew stickiness and slope, or by one parallel value.

    ``parallel_beta`` is NaN where the surface decides; its error is NaN where unknown.
    """

    skew_stickiness: float
    skew_stickiness_standard_error: float
    parallel_beta: float
    parallel_beta_standard_error: float


@borrowing_kernel
def smile_vol(expiry: np.void, log_moneyness: float) -> float:
    """Vol of one row of EXPIRY at k = ln(strike/forward), never below the floor; NaN where there is no fit."""
    if math.isnan(expiry["atm_vol"]):
        return math.nan
    w = total_variance(expiry["atm_total_variance"], expiry["ssvi_rho"], expiry["curvature"], log_moneyness)
    return max(math.sqrt(w / expiry["fit_tau"]), VOL_FLOOR)


@kernel
def _begin(expiry: np.void, tau: float, deviation: float, part: NDArray[np.float64]) -> None:
    """Start from the last fit, its vol at the money held; from an ordinary smile where there is none."""
    theta = expiry["atm_total_variance"]
    if theta > 0.0 and expiry["fit_tau"] > 0.0:
        psi = theta * expiry["curvature"]
        part[THETA] = theta * tau / expiry["fit_tau"]
        part[RIGHT] = max(psi * (1.0 + expiry["ssvi_rho"]), WING_FLOOR)
        part[LEFT] = max(psi * (1.0 - expiry["ssvi_rho"]), WING_FLOOR)
    else:
        wing = deviation if deviation > 0.0 else math.sqrt(tau)
        part[THETA] = wing * wing
        part[RIGHT] = wing
        part[LEFT] = wing


@kernel
def _forget(expiry: np.void) -> None:
    expiry["atm_vol"] = math.nan
    expiry["atm_total_variance"] = math.nan
    expiry["ssvi_rho"] = math.nan
    expiry["curvature"] = math.nan
    expiry["fit_tau"] = math.nan
    expiry["skew_slope"] = math.nan
    expiry["skew_slope_standard_error"] = math.nan
    expiry["phi_scale"] = math.nan
    expiry["phi_power"] = math.nan
    expiry["quotes"] = 0


@kernel
def _write(expiry: np.void, quotes: Quotes, place: int, tau: float, part: NDArray[np.float64]) -> None:
    """Bring a slice into its row, with the slope at the money and its error from the expiry's own quotes."""
    theta, right, left = part[THETA], part[RIGHT], part[LEFT]
    expiry["atm_total_variance"] = theta
    expiry["ssvi_rho"] = (right - left) / (right + left)
    expiry["curvature"] = 0.5 * (right + left) / theta
    expiry["fit_tau"] = tau
    expiry["atm_vol"] = math.sqrt(theta / tau)
    unit = 0.25 / math.sqrt(theta * tau)
    slope = unit * (right - left)
    expiry["skew_slope"] = slope
    expiry["skew_slope_standard_error"] = math.nan
    used = quotes.start[place + 1] - quotes.start[place]
    if used < QUOTES_MIN:
        return
    normal = np.empty((3, 4))
    squares = normal_equations(quotes, place, tau, part, normal)
    gradient = (-0.5 * slope, unit * right, -unit * left)
    for row in range(3):
        normal[row, 3] = gradient[row]
    if solve(normal):
        spread = gradient[0] * normal[0, 3] + gradient[1] * normal[1, 3] + gradient[2] * normal[2, 3]
        expiry["skew_slope_standard_error"] = math.sqrt(max(spread, 0.0) * squares / (used - 3))


@kernel
def _set_beta(expiry: np.void, rule: BetaRule) -> None:
    """Set beta = (R - 1) * slope, its error from those of both (MODEL.md section 4); a parallel value overrides."""
    if not math.isnan(rule.parallel_beta):
        expiry["beta"] = rule.parallel_beta
        expiry["beta_standard_error"] = rule.parallel_beta_standard_error
    elif math.isnan(expiry["skew_slope_standard_error"]):
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
def _shape_before(expiries: NDArray[np.void], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """(rho, scale, power) of the last fit of a law; that of an index where there is none."""
    shape = np.array((-0.3, 1.0, 0.5))
    for row in order:
        expiry = expiries[row]
        if expiry["atm_total_variance"] > 0.0 and expiry["phi_scale"] > 0.0:
            shape[0] = expiry["ssvi_rho"]
            shape[1] = expiry["phi_scale"]
            shape[2] = expiry["phi_power"]
            return shape
    return shape


@kernel
def fit_smiles(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    expiry_count: int,
    spot: float,
    ts_ns: int,
    rule: BetaRule,
    law: int,
) -> None:
    """Fit the smiles and set the beta of every expiry; atm_vol is NaN where no expiry has a quote.

    The first ``count`` and ``expiry_count`` rows are read. ``law`` is a row of ``ssvi.PHI_LAWS``. The last fit in the
    rows is the start of this one. Without a spot nothing changes.
    """
    if not spot > 0.0 or expiry_count == 0:
        return
    rows = expiries[:expiry_count]
    k = np.empty(count)
    vols = log_moneyness(contracts, count, rows, spot, ts_ns, k)
    order = open_in_order(rows, expiry_count, ts_ns)
    deviations = np.full(expiry_count, math.nan)
    taus, parts = np.empty(order.shape[0]), np.empty((order.shape[0], 3))
    for place in range(order.shape[0]):
        row = order[place]
        taus[place] = years(rows[row]["settles_ns"], ts_ns)
        deviations[row] = vols[row] * math.sqrt(taus[place])
        _begin(rows[row], taus[place], deviations[row], parts[place])
    quotes = gather(contracts, k, order, deviations)
    shape = _shape_before(rows, order)
    if law == BY_EXPIRY:
        fit_parts(quotes, taus, deviations[order], parts)
    else:
        fit_by_law(quotes, taus, parts, shape, law)
    for row in range(expiry_count):
        _forget(rows[row])
    for place in range(order.shape[0]):
        row = rows[order[place]]
        row["quotes"] = quotes.start[place + 1] - quotes.start[place]
        if quotes.k.shape[0] > 0:
            _write(row, quotes, place, taus[place], parts[place])
            row["phi_scale"] = shape[1] if law != BY_EXPIRY else math.nan
            row["phi_power"] = shape[2] if law != BY_EXPIRY else math.nan
    for row in range(expiry_count):
        _set_beta(rows[row], rule)


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
