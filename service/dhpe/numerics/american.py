"""American options: price, early exercise premium and implied vol, fast enough for every quote.

Single-stock chains are American. Their quotes are de-Americanised: the vol of a quote is the one at which the American
price meets its mid, and the fields take the European greeks at that vol. The vol is a property of the underlying, so
this is the number that both rights of a strike share and that the smile is made of; American greeks would cost a
price and a boundary for each contract at each node of the panel. What the choice leaves is the premium's own share of
the greeks, which counts for options deep in the money, where the American one is already worth its exercise and has
no gamma left (measured in docs/american.md).

The premium is that of Ju and Zhong, An Approximate Formula for Pricing American Options, Journal of Derivatives 7(2),
1999: the quadratic approximation of Barone-Adesi and Whaley (Journal of Finance 42(2), 1987) with a second-order term
that takes most of its error away. Calls are puts with spot and strike, rate and yield exchanged (McDonald and
Schroder 1998), so only the put is written, in units of its strike: x = ln(S/K), growth R = r tau and Y = q tau,
deviation v = vol sqrt(tau).

Limits. A put is never exercised early where the rate is neither positive nor above the yield, a call where the yield
is neither positive nor above the rate. Where the rate is negative and above a still lower yield a put has two
boundaries; its premium is taken as that of no rate and the same carry (a call's likewise, rate and yield exchanged).
Dividends are a continuous yield: a lump before settlement is spread over the time to it.
"""

import math
from typing import Final

from dhpe.numerics.black import DEVIATION_MIN, INVERSE_ROOT_TWO_PI, normal_cdf, normal_density, price
from dhpe.numerics.implied_vol import (
    ABOVE_MAXIMUM,
    BAD_INPUT,
    BELOW_INTRINSIC,
    NO_TIME,
    ROUND_OFF,
    SOLVED,
    VOL_MAX,
    VOL_MIN,
    VOL_OUT_OF_RANGE,
    invert,
)
from dhpe.numerics.jit import kernel

BOUNDARY_STEPS_MAX: Final = 60
BOUNDARY_TOLERANCE: Final = 1e-6
"""Of spot: the error that is left is the square of the last step."""
VOL_STEPS_MAX: Final = 80
VOL_TOLERANCE: Final = 1e-5
"""Of the vol: the error that is left is a small part of the last step."""
VOL_ERRORS: Final = ((30, 5e-4), (91, 1e-3), (182, 2e-3), (730, 4e-3))
"""(days to settlement, largest error of the vol of an exact price out of the money up to there), against QuantLib."""
GAMMA_ERROR_SHARE: Final = 0.07
"""Largest share of a chain's gamma that European greeks get wrong, up to a year, against QuantLib."""
GROWTH_MIN: Final = 1e-12
"""Of rate times tau: nothing changes below it, but the formula would divide by it."""
DENOMINATOR_MIN: Final = 0.1
"""Of the second-order term; below it the first order alone is nearer the truth."""


@kernel
def _european_put(x: float, growth: float, payout: float, deviation: float) -> float:
    """Value of the European put in units of its strike."""
    d1 = (x + growth - payout) / deviation + 0.5 * deviation
    return math.exp(-growth) * normal_cdf(deviation - d1) - math.exp(x - payout) * normal_cdf(-d1)


@kernel
def _boundary(growth: float, payout: float, deviation: float, power: float, seed: float) -> float:
    """Spot over strike below which the put is exercised: the value-matching equation of the quadratic approximation.

    Newton's method between 0 and 1, where the equation has its only root; a step that leaves the bracket halves it.
    ``seed`` is the boundary at a vol nearby, or 0.
    """
    bond, share = math.exp(-growth), math.exp(-payout)
    drift = growth - payout
    spot = seed
    if seed == 0.0:
        variance = deviation * deviation
        slope = 2.0 * drift / variance - 1.0
        forever = 0.5 * (-slope - math.sqrt(slope * slope + 8.0 * growth / variance))
        reach = 1.0 / (1.0 - forever)
        spot = 1.0 - reach + reach * math.exp(min((drift - 2.0 * deviation) / reach, 0.0))
    low, high = 0.0, 1.0
    if not low < spot < high:
        spot = 0.5
    for _ in range(BOUNDARY_STEPS_MAX):
        d1 = (math.log(spot) + drift) / deviation + 0.5 * deviation
        held = share * normal_cdf(-d1)
        european = bond * normal_cdf(deviation - d1) - spot * held
        miss = 1.0 - spot - european + (1.0 - held) * spot / power
        if miss > 0.0:
            low = spot
        else:
            high = spot
        change = -1.0 + held + (1.0 - held) / power + share * normal_density(d1) / (deviation * power)
        following = spot - miss / change if change != 0.0 else low
        if not low < following < high:
            following = 0.5 * (low + high)
        step = following - spot
        spot = following
        if abs(step) <= BOUNDARY_TOLERANCE * spot:
            break
    return spot


@kernel
def _is_held(growth: float, payout: float) -> bool:
    """Whether it never pays to exercise the put early: what the strike would earn is never more than the share's."""
    return growth <= 0.0 and payout >= growth


@kernel
def _put_premium(x: float, growth: float, payout: float, deviation: float, seed: float = 0.0) -> tuple[float, float]:
    """(premium of the right to exercise a put early, boundary), in units of the strike; deviation positive."""
    if growth < GROWTH_MIN:
        payout -= growth
        growth = GROWTH_MIN
    variance = deviation * deviation
    alpha = 2.0 * growth / variance
    slope = 2.0 * (growth - payout) / variance - 1.0
    aged = -math.expm1(-growth)
    root = math.sqrt(slope * slope + 4.0 * alpha / aged)
    power = -0.5 * (slope + root)
    critical = _boundary(growth, payout, deviation, power, seed)
    log_critical = math.log(critical)
    if x <= log_critical:
        return max(-math.expm1(x) - _european_put(x, growth, payout, deviation), 0.0), critical
    d1 = (log_critical + growth - payout) / deviation + 0.5 * deviation
    below = normal_cdf(-d1)
    # 1 - exp(-Y) N(-d1), without the cancellation.
    at_critical = -(normal_cdf(d1) - math.expm1(-payout) * below) * critical / power
    if not at_critical > 0.0:
        return 0.0, critical
    forward = critical * math.exp(growth - payout)
    ageing = forward * (normal_density(d1) / deviation + 2.0 * payout / variance * below)
    ageing -= alpha * normal_cdf(deviation - d1)
    bend = alpha / (aged * aged * root)
    bond = 1.0 - aged
    second = -0.5 * bond * alpha * bend / root
    first = bond / root * (ageing / at_critical + alpha / aged - alpha * bend / root)
    distance = x - log_critical
    denominator = max(1.0 - distance * (first + second * distance), DENOMINATOR_MIN)
    return at_critical * math.exp(power * distance) / denominator, critical


@kernel
def early_exercise_premium(
    spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int
) -> float:
    """American less European price, in the underlying's currency: 0 or more, NaN for NaN.

    Arguments as those of ``black.price``. Without time or vol left it is what exercise now pays beyond the European.
    """
    unit = strike if right < 0 else spot
    x = math.log(spot / strike) if right < 0 else math.log(strike / spot)
    growth = (rate if right < 0 else dividend_yield) * tau
    payout = (dividend_yield if right < 0 else rate) * tau
    deviation = vol * math.sqrt(max(tau, 0.0))
    if math.isnan(x + growth + payout + deviation):
        return math.nan
    if _is_held(growth, payout):
        return 0.0
    if deviation < DEVIATION_MIN:
        return unit * max(max(-math.expm1(x), 0.0) - max(math.exp(-growth) - math.exp(x - payout), 0.0), 0.0)
    return unit * _put_premium(x, growth, payout, deviation)[0]


@kernel
def american_price(
    spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int
) -> float:
    """The American option's value, never below what exercise pays now; arguments as those of ``black.price``."""
    european = price(spot, strike, tau, rate, dividend_yield, vol, right)
    value = european + early_exercise_premium(spot, strike, tau, rate, dividend_yield, vol, right)
    exercised = right * (spot - strike)
    return exercised if value < exercised else value


@kernel
def _put_vol(value: float, x: float, growth: float, payout: float, tau: float, guess: float) -> float:
    """Vol at which the American put has this value: a secant kept in its bracket. NaN outside the range of vols.

    ``guess`` is the vol of the European put, which is never below the one that is looked for, or NaN.
    """
    root_tau = math.sqrt(tau)
    low, high = VOL_MIN, VOL_MAX if math.isnan(guess) else guess
    vol = 0.5 if math.isnan(guess) else guess
    premium, critical = _put_premium(x, growth, payout, vol * root_tau)
    miss = _european_put(x, growth, payout, vol * root_tau) + premium - value
    d1 = (x + growth - payout) / (vol * root_tau) + 0.5 * vol * root_tau
    vega = math.exp(x - payout) * INVERSE_ROOT_TWO_PI * math.exp(-0.5 * d1 * d1) * root_tau
    following = vol - miss / vega if vega > 0.0 else math.nan
    for _ in range(VOL_STEPS_MAX):
        if miss == 0.0:
            return vol
        if miss > 0.0:
            high = vol
        else:
            low = vol
        if not low < following < high:
            following = 0.5 * (low + high)
        step = following - vol
        if abs(step) <= VOL_TOLERANCE * vol:
            at_edge = following <= VOL_MIN * (1.0 + VOL_TOLERANCE) or following >= VOL_MAX * (1.0 - VOL_TOLERANCE)
            return math.nan if at_edge else following
        premium, critical = _put_premium(x, growth, payout, following * root_tau, critical)
        next_miss = _european_put(x, growth, payout, following * root_tau) + premium - value
        rise = next_miss - miss
        vol, miss = following, next_miss
        following = vol - miss * step / rise if rise != 0.0 else math.nan
    return math.nan


@kernel
def invert_american(
    mid: float, spot: float, strike: float, tau: float, rate: float, dividend_yield: float, right: int
) -> tuple[float, int]:
    """(vol, reason): the vol at which the American price is ``mid``, NaN unless the reason is ``SOLVED``.

    Prices in the underlying's currency, tau in years, right +1 or -1. A price of no more than exercise pays now has no
    vol (``BELOW_INTRINSIC``): every vol up to the one at which one would wait gives it.
    """
    finite = math.isfinite(mid) and math.isfinite(spot) and math.isfinite(strike)
    if not finite or not math.isfinite(rate) or not math.isfinite(dividend_yield) or math.isnan(tau):
        return math.nan, BAD_INPUT
    if mid <= 0.0 or spot <= 0.0 or strike <= 0.0:
        return math.nan, BAD_INPUT
    if tau <= 0.0:
        return math.nan, NO_TIME
    forward = spot * math.exp((rate - dividend_yield) * tau)
    growth = (rate if right < 0 else dividend_yield) * tau
    payout = (dividend_yield if right < 0 else rate) * tau
    if _is_held(growth, payout):
        return invert(mid, forward, strike, tau, math.exp(-rate * tau), right)
    if mid - max(right * (spot - strike), 0.0) <= ROUND_OFF * mid:
        return math.nan, BELOW_INTRINSIC
    if mid >= (spot if right > 0 else strike):
        return math.nan, ABOVE_MAXIMUM
    guess, reason = invert(mid, forward, strike, tau, math.exp(-rate * tau), right)
    if reason == BELOW_INTRINSIC:
        return math.nan, reason
    unit = strike if right < 0 else spot
    x = math.log(spot / strike) if right < 0 else math.log(strike / spot)
    vol = _put_vol(mid / unit, x, growth, payout, tau, guess)
    if math.isnan(vol):
        return math.nan, VOL_OUT_OF_RANGE
    return vol, SOLVED
