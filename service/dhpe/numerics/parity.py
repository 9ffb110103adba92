"""Forwards from put-call parity: C - P = discount * (F - K), for all expiries of an underlying at once.

MODEL.md section 9. Each strike with a two-sided call and put is one statement about the forward. Spot moves between
quotes, so everything is compared as a ratio to the spot of the quote: (C - P)/S = D * (u - K/S), u = F/S. The legs of
a pair may be quoted at different spots; to first order the pair then speaks of the spot delta * S_call + (1 - delta) *
S_put, delta the call's. Statements that contradict the middle one by far more than their own spread are dropped.

Rates: a rate that was given wins, else the median of the slopes -ln(D)/tau over 0.1 < tau < 1, else the default.
Beyond a year the slope itself is sharper than any constant, and is used. The forward of each expiry comes from its
own pairs. The carry below 30 days does not: an error of a few cents in the forward, or a spot that lags the
options, would stand in the carry divided by tau and go straight into charm. It is interpolated, in ln(F/S), between 0
at tau = 0 and the first expiry beyond; what its own pairs say above that is kept apart as ``basis``.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.pairs import NEAR, Pairs, collect, european_difference, new_pairs, prepare, rounds_of
from dhpe.numerics.state import NS_PER_YEAR

FORWARD_DEFAULT: Final = 0
FORWARD_PARITY: Final = 1
FORWARD_GIVEN: Final = 2
FORWARD_CURVE: Final = 3
"""No pairs of its own: carry and basis of the neighbouring expiries."""
FORWARD_SOURCES: Final = ("default", "parity", "given", "curve")

CARRY_TAU_MIN: Final = 30.0 / 365.0
LONE_CARRY_TAU_MIN: Final = 7.0 / 365.0
RATE_TAU_MIN: Final = 0.1
RATE_TAU_MAX: Final = 1.0
SLOPE_PAIRS_MIN: Final = 5
RATE_LIMIT: Final = 1.0
"""A slope or a record that says a rate beyond +-100 % a year is broken data."""
LEAD_LIMIT: Final = 0.05
"""Of log price: a told forward may be so far from spot however soon it settles, a year's limit of rates beyond that."""
OUTLIER_WIDTH: Final = 3.0
"""In half spreads of the pair, on top of three median deviations."""
GUESSED_SLACK: Final = 0.1
FITTED_SLACK: Final = 0.004
"""Per year: how wrong a guessed and a fitted rate may be before a good pair looks like an outlier."""
SLACK_STEP: Final = 0.3
"""From guessed to fitted the slack shrinks by this factor with each fit, so that outliers leave in order of size."""
SPREAD_FLOOR: Final = 1e-5
"""Of spot: no pair is better than this, however tight."""


@kernel
def years(settles_ns: int, ts_ns: int) -> float:
    """Time to settlement in years, ACT/365F; negative once settled."""
    return (settles_ns - ts_ns) / NS_PER_YEAR


@kernel
def forward_ratio(expiry: np.void, ts_ns: int) -> float:
    """F/S of one row of EXPIRY."""
    tau = max(years(expiry["settles_ns"], ts_ns), 0.0)
    return math.exp(expiry["basis"] + expiry["carry"] * tau)


@kernel
def _median(values: NDArray[np.float64], count: int) -> float:
    """Middle of the first ``count`` values, which are sorted in place."""
    ordered = values[:count]
    ordered.sort()
    middle = count // 2
    return ordered[middle] if count % 2 == 1 else 0.5 * (ordered[middle - 1] + ordered[middle])


@kernel
def _weigh(pairs: Pairs, begin: int, end: int, deviation: float, discount: float, rate_slack: float) -> None:
    """Weights by spread and nearness to the forward; 0 for a pair that contradicts the others.

    ``rate_slack`` is how wrong the rate in ``discount`` may be, times tau.
    """
    count = end - begin
    scratch = pairs.ratio[begin:end]
    for at in range(begin, end):
        pairs.ratio[at] = pairs.strike[at] + pairs.difference[at] / discount
    middle = _median(scratch, count)
    for at in range(begin, end):
        pairs.ratio[at] = abs(pairs.strike[at] + pairs.difference[at] / discount - middle)
    scatter = _median(scratch, count)
    for at in range(begin, end):
        half = math.sqrt(pairs.half_spread[at] * pairs.half_spread[at] + SPREAD_FLOOR * SPREAD_FLOOR)
        miss = abs(pairs.strike[at] + pairs.difference[at] / discount - middle)
        slack = rate_slack * abs(pairs.strike[at] - middle)
        away = math.log(pairs.strike[at] / middle) / deviation if middle > 0.0 else 0.0
        far = not pairs.vol[at] < 0.0 and abs(away) > NEAR
        fair = not far and miss <= OUTLIER_WIDTH * (half + scatter) + slack
        pairs.weight[at] = math.exp(-0.5 * away * away) / (half * half) if fair else 0.0


@kernel
def _line(pairs: Pairs, begin: int, end: int) -> tuple[float, float, float, int]:
    """(mean K/S, mean (C-P)/S, discount from the slope or NaN, pairs used) by weighted least squares."""
    total = 0.0
    strike = 0.0
    difference = 0.0
    used = 0
    for at in range(begin, end):
        total += pairs.weight[at]
        strike += pairs.weight[at] * pairs.strike[at]
        difference += pairs.weight[at] * pairs.difference[at]
        used += 1 if pairs.weight[at] > 0.0 else 0
    if not total > 0.0:
        return math.nan, math.nan, math.nan, 0
    strike /= total
    difference /= total
    across = 0.0
    along = 0.0
    for at in range(begin, end):
        distance = pairs.strike[at] - strike
        along += pairs.weight[at] * distance * distance
        across += pairs.weight[at] * distance * (pairs.difference[at] - difference)
    if used < SLOPE_PAIRS_MIN or not along > 0.0:
        return strike, difference, math.nan, used
    return strike, difference, -across / along, used


@kernel
def _slope_rate(discount: float, tau: float) -> float:
    """Rate that a discount over tau says; NaN where it is unknown or absurd."""
    if not discount > 0.0:
        return math.nan
    rate = -math.log(discount) / tau
    return rate if abs(rate) < RATE_LIMIT else math.nan


@kernel
def _given_rate(expiry: np.void, ts_ns: int) -> float:
    """The rate of a ``rates`` record for this expiry; NaN where none came or an absurd one."""
    tau = years(expiry["settles_ns"], expiry["given_ts_ns"] if expiry["given_ts_ns"] > 0 else ts_ns)
    return _slope_rate(expiry["given_discount"], tau) if tau > 0.0 else math.nan


@kernel
def _given_carry(expiry: np.void, spot: float, ts_ns: int) -> float:
    tau = years(expiry["settles_ns"], expiry["given_ts_ns"] if expiry["given_ts_ns"] > 0 else ts_ns)
    at_spot = expiry["given_forward_spot"] if expiry["given_forward_spot"] > 0.0 else spot
    if expiry["given_forward"] > 0.0 and tau > 0.0:
        lead = math.log(expiry["given_forward"] / at_spot)
        if abs(lead) <= max(RATE_LIMIT * tau, LEAD_LIMIT):
            return lead / tau
    return math.nan


@kernel
def _constant_rate(slopes: NDArray[np.float64], expiries: NDArray[np.void], ts_ns: int, default_rate: float) -> float:
    """The rate where none was given: the default unless nobody told it (NaN), else the median of the slopes."""
    if math.isfinite(default_rate):
        return default_rate
    rates = np.empty(slopes.shape[0])
    count = 0
    for row in range(slopes.shape[0]):
        tau = years(expiries[row]["settles_ns"], ts_ns)
        if RATE_TAU_MIN < tau < RATE_TAU_MAX and not math.isnan(slopes[row]):
            rates[count] = slopes[row]
            count += 1
    return _median(rates, count) if count > 0 else 0.0


@kernel
def _set_rate(expiry: np.void, slope: float, constant: float, told: bool, ts_ns: int) -> None:
    given = _given_rate(expiry, ts_ns)
    if not math.isnan(given):
        expiry["rate"] = given
    elif not told and years(expiry["settles_ns"], ts_ns) > RATE_TAU_MAX and not math.isnan(slope):
        expiry["rate"] = slope
    else:
        expiry["rate"] = constant


@kernel
def _curve_at(
    tau: float, values: NDArray[np.float64], taus: NDArray[np.float64], tau_min: float, default: float
) -> float:
    """``values`` interpolated at ``tau`` between the nearest known expiries of at least ``tau_min``, flat outside."""
    below = -1
    above = -1
    for row in range(values.shape[0]):
        if math.isnan(values[row]) or taus[row] < tau_min:
            continue
        if taus[row] <= tau and (below < 0 or taus[row] > taus[below]):
            below = row
        if taus[row] >= tau and (above < 0 or taus[row] < taus[above]):
            above = row
    if below < 0 and above < 0:
        return default
    if below < 0 or above < 0 or taus[below] == taus[above]:
        return values[max(below, above)]
    share = (tau - taus[below]) / (taus[above] - taus[below])
    return values[below] + share * (values[above] - values[below])


@kernel
def _take_off_premiums(expiries: NDArray[np.void], pairs: Pairs, deviations: NDArray[np.float64], ts_ns: int) -> None:
    for row in range(deviations.shape[0]):
        tau = years(expiries[row]["settles_ns"], ts_ns)
        rate, carry = expiries[row]["rate"], expiries[row]["carry"]
        for at in range(pairs.start[row], pairs.start[row + 1] if tau > 0.0 else pairs.start[row]):
            strike, quoted, vol = pairs.strike[at], pairs.quoted[at], pairs.vol[at]
            pairs.difference[at] = european_difference(strike, quoted, vol, deviations[row], tau, rate, carry)


@kernel
def _slopes(
    expiries: NDArray[np.void], pairs: Pairs, deviations: NDArray[np.float64], ts_ns: int, default_rate: float
) -> NDArray[np.float64]:
    """Rate of each expiry from the slope of its pairs, NaN where it has none."""
    slopes = np.full(deviations.shape[0], math.nan)
    guess = default_rate if math.isfinite(default_rate) else 0.0
    for row in range(slopes.shape[0]):
        begin, end = pairs.start[row], pairs.start[row + 1]
        tau = years(expiries[row]["settles_ns"], ts_ns)
        if begin == end or tau <= 0.0:
            continue
        rate = guess
        slack = GUESSED_SLACK
        while slack > FITTED_SLACK and not math.isnan(rate):
            _weigh(pairs, begin, end, deviations[row], math.exp(-rate * tau), slack * tau)
            rate = _slope_rate(_line(pairs, begin, end)[2], tau)
            slack *= SLACK_STEP
        slopes[row] = rate
    return slopes


@kernel
def _carry_of_pairs(expiry: np.void, pairs: Pairs, begin: int, end: int, deviation: float, ts_ns: int) -> float:
    """ln(F/S) / tau of one expiry by parity at its rate; NaN without a usable pair."""
    tau = years(expiry["settles_ns"], ts_ns)
    if begin == end or tau <= 0.0:
        return math.nan
    discount = math.exp(-expiry["rate"] * tau)
    _weigh(pairs, begin, end, deviation, discount, FITTED_SLACK * tau)
    strike, difference, _, used = _line(pairs, begin, end)
    ratio = strike + difference / discount
    return math.log(ratio) / tau if used > 0 and ratio > 0.0 else math.nan


@kernel
def _short_carry(carries: NDArray[np.float64], taus: NDArray[np.float64], default: float) -> float:
    """The carry below 30 days: that of the first expiry beyond, else of the longest above a week, else the default."""
    beyond = _curve_at(CARRY_TAU_MIN, carries, taus, CARRY_TAU_MIN, math.nan)
    if not math.isnan(beyond):
        return beyond
    return _curve_at(CARRY_TAU_MIN, carries, taus, LONE_CARRY_TAU_MIN, default)


@kernel
def _spread_carry(
    expiries: NDArray[np.void], carries: NDArray[np.float64], taus: NDArray[np.float64], short: float
) -> None:
    """Split what each expiry's own quotes say into carry and basis, and lend both to expiries that say nothing."""
    bases = np.full(carries.shape[0], math.nan)
    for row in range(carries.shape[0]):
        if not math.isnan(carries[row]):
            lent = taus[row] < CARRY_TAU_MIN and expiries[row]["forward_source"] != FORWARD_GIVEN
            expiries[row]["carry"] = short if lent else carries[row]
            bases[row] = (carries[row] - expiries[row]["carry"]) * taus[row]
    for row in range(carries.shape[0]):
        if taus[row] <= 0.0:
            continue
        if not math.isnan(carries[row]):
            expiries[row]["basis"] = bases[row]
            continue
        known = _curve_at(taus[row], carries, taus, CARRY_TAU_MIN, short)
        expiries[row]["carry"] = short if taus[row] < CARRY_TAU_MIN else known
        expiries[row]["basis"] = _curve_at(taus[row], bases, taus, 0.0, 0.0)


@kernel
def _fit_round(
    expiries: NDArray[np.void],
    pairs: Pairs,
    deviations: NDArray[np.float64],
    spot: float,
    ts_ns: int,
    default_rate: float,
    default_dividend_yield: float,
) -> None:
    """Rates, then carries and bases, by the pairs as they stand."""
    slopes = _slopes(expiries, pairs, deviations, ts_ns, default_rate)
    told = math.isfinite(default_rate)
    constant = _constant_rate(slopes, expiries, ts_ns, default_rate)
    expiry_count = expiries.shape[0]
    carries = np.full(expiry_count, math.nan)
    taus = np.zeros(expiry_count)
    fitted = 0
    for row in range(expiry_count):
        expiry = expiries[row]
        taus[row] = years(expiry["settles_ns"], ts_ns)
        if expiry["given_forward"] > 0.0 and not expiry["given_forward_spot"] > 0.0:
            # The record came before any spot: it speaks of the first one, or its forward would not move with spot.
            expiry["given_forward_spot"] = spot
        _set_rate(expiry, slopes[row], constant, told, ts_ns)
        carries[row] = _given_carry(expiry, spot, ts_ns)
        source = FORWARD_GIVEN
        refused = expiry["given_forward"] > 0.0 and math.isnan(carries[row])
        refused |= expiry["given_discount"] > 0.0 and math.isnan(_given_rate(expiry, ts_ns))
        expiry["given_refused"] = 1 if refused and taus[row] > 0.0 else 0
        if math.isnan(carries[row]):
            source = FORWARD_PARITY
            begin, end = pairs.start[row], pairs.start[row + 1]
            carries[row] = _carry_of_pairs(expiry, pairs, begin, end, deviations[row], ts_ns)
        known = not math.isnan(carries[row])
        fitted += 1 if known else 0
        expiry["forward_source"] = source if known else FORWARD_CURVE
    default_carry = constant - default_dividend_yield
    _spread_carry(expiries, carries, taus, _short_carry(carries, taus, default_carry))
    if fitted == 0:
        for row in range(expiry_count):
            expiries[row]["forward_source"] = FORWARD_DEFAULT


@kernel
def fit_forwards(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    expiry_count: int,
    spot: float,
    ts_ns: int,
    default_rate: float,
    default_dividend_yield: float,
) -> None:
    """Set rate, carry, basis and forward_source of every open expiry; nothing of them is ever NaN.

    The first ``count`` and ``expiry_count`` rows are read. ``default_rate`` is what the settings or a ``rates`` record
    say for all expiries, per year; NaN means that nobody said anything. Without a spot nothing changes.
    """
    if not spot > 0.0 or expiry_count == 0:
        return
    pairs = new_pairs(contracts, count, expiry_count)
    collect(contracts, count, spot, expiry_count, pairs)
    deviations = np.zeros(expiry_count)
    prepare(pairs, deviations)
    rows = expiries[:expiry_count]
    for _ in range(rounds_of(pairs.vol, rows, expiry_count)):
        _take_off_premiums(rows, pairs, deviations, ts_ns)
        _fit_round(rows, pairs, deviations, spot, ts_ns, default_rate, default_dividend_yield)
