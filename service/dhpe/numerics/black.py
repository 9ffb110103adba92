"""Black-Scholes-Merton: price and greeks of one European option as functions of numbers.

Every function takes (spot, strike, tau, rate, dividend_yield, vol, right): prices in the underlying's currency, tau
in years (ACT/365F), rates continuously compounded per year, vol a fraction per square root of a year, right +1 for
a call and -1 for a put (vega, volga and speed are the same for both). Greeks are raw derivatives: vega, vanna and
volga per 1.00 of vol, theta and charm per year as calendar time passes. Sources: MODEL.md section 2; Hull, Options,
Futures and Other Derivatives, chapter 19; Haug, The Complete Guide to Option Pricing Formulas, chapter 2.

Limits. Where vol * sqrt(tau) is below ``DEVIATION_MIN`` (no time or no vol left) the option is its discounted
intrinsic value: delta is a step (a half exactly at the money) and gamma, vega, vanna, volga and speed are 0, as they
are deep in or out of the money, where the density underflows. A NaN anywhere gives NaN; finite legal input
(spot, strike > 0, tau, vol >= 0) never does.
"""

import math
from typing import Final

from dhpe.numerics.jit import kernel

DEVIATION_MIN: Final = 1e-12
"""Smallest vol * sqrt(tau) that still has a density."""
D1_MAX: Final = 38.0
"""Beyond this d1 the density is below 1e-313 and counts as 0, so that no infinity can meet it."""
ROOT_HALF: Final = 0.7071067811865476
ROOT_TWO_PI: Final = 2.5066282746310002
INVERSE_ROOT_TWO_PI: Final = 0.3989422804014327


@kernel
def normal_cdf(x: float) -> float:
    """N(x), accurate in both tails."""
    return 0.5 * math.erfc(-x * ROOT_HALF)


@kernel
def normal_density(x: float) -> float:
    """The standard normal density, 0 beyond ``D1_MAX``; NaN for NaN."""
    if abs(x) > D1_MAX:
        return 0.0
    return INVERSE_ROOT_TWO_PI * math.exp(-0.5 * x * x)


@kernel
def deviations(log_moneyness: float, tau: float, carry: float, vol: float) -> tuple[float, float, float]:
    """(d1, d2, deviation): vol * sqrt(tau), and 0 with infinite or zero d's at the limit."""
    deviation = vol * math.sqrt(max(tau, 0.0))
    if deviation >= DEVIATION_MIN:
        d1 = (log_moneyness + carry * tau) / deviation + 0.5 * deviation
        return d1, d1 - deviation, deviation
    if deviation >= 0.0:
        distance = log_moneyness + carry * max(tau, 0.0)
        side = 0.0 if distance == 0.0 else math.copysign(math.inf, distance)
        if math.isnan(distance):
            side = math.nan
        return side, side, 0.0
    return math.nan, math.nan, math.nan


@kernel
def price(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:
    """The option's value."""
    d1, d2, _ = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    time = max(tau, 0.0)
    value = right * (
        spot * math.exp(-dividend_yield * time) * normal_cdf(right * d1)
        - strike * math.exp(-rate * time) * normal_cdf(right * d2)
    )
    # Round-off may fall below zero; max() would leave the fate of a NaN to the order of its arguments.
    return 0.0 if value < 0.0 else value


@kernel
def delta(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:
    """Change of price per unit of spot: right * exp(-q tau) * N(right * d1)."""
    d1, _, _ = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    return right * math.exp(-dividend_yield * max(tau, 0.0)) * normal_cdf(right * d1)


@kernel
def vega(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:  # noqa: ARG001
    """Change of price per unit of vol, per 1.00 of vol: S exp(-q tau) phi(d1) sqrt(tau), the same for both rights."""
    d1, _, deviation = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    if deviation == 0.0:
        return 0.0
    return spot * math.exp(-dividend_yield * tau) * normal_density(d1) * math.sqrt(tau)


@kernel
def theta(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:
    """Change of price per year as calendar time passes."""
    d1, d2, deviation = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    time = max(tau, 0.0)
    share = spot * math.exp(-dividend_yield * time)
    drift = right * (
        dividend_yield * share * normal_cdf(right * d1)
        - rate * strike * math.exp(-rate * time) * normal_cdf(right * d2)
    )
    if deviation == 0.0:
        return drift
    return drift - 0.5 * share * normal_density(d1) * deviation / time


@kernel
def volga(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:  # noqa: ARG001
    """Change of vega per unit of vol, per 1.00 of vol squared: vega * d1 * d2 / vol."""
    d1, d2, deviation = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    if deviation == 0.0 or abs(d1) > D1_MAX:
        return 0.0
    return spot * math.exp(-dividend_yield * tau) * normal_density(d1) * math.sqrt(tau) * d1 * d2 / vol


@kernel
def speed(spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int) -> float:  # noqa: ARG001
    """Change of gamma per unit of spot: -(gamma / S) * (1 + d1 / (vol sqrt(tau))), the same for both rights."""
    d1, _, deviation = deviations(math.log(spot / strike), tau, rate - dividend_yield, vol)
    if deviation == 0.0 or abs(d1) > D1_MAX:
        return 0.0
    gamma = math.exp(-dividend_yield * tau) * normal_density(d1) / (spot * deviation)
    return -gamma / spot * (1.0 + d1 / deviation)


@kernel
def field_greeks(
    log_moneyness: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int
) -> tuple[float, float, float]:
    """(spot * gamma, vanna, charm per year) from ln(spot/strike) alone: what the sums over a chain need.

    One exponential serves all three; the normal integral is needed only for the charm of an underlying that yields.
    """
    d1, d2, deviation = deviations(log_moneyness, tau, rate - dividend_yield, vol)
    integral = 0.0
    if dividend_yield != 0.0:
        integral = right * dividend_yield * math.exp(-dividend_yield * max(tau, 0.0)) * normal_cdf(right * d1)
    if deviation == 0.0 or abs(d1) > D1_MAX:
        return 0.0, 0.0, integral
    density = INVERSE_ROOT_TWO_PI * math.exp(-0.5 * d1 * d1 - dividend_yield * tau)
    charm = integral - density * ((rate - dividend_yield) / deviation - 0.5 * d2 / tau)
    return density / deviation, -density * d2 / vol, charm


@kernel
def gamma_vanna_charm(
    spot: float, strike: float, tau: float, rate: float, dividend_yield: float, vol: float, right: int
) -> tuple[float, float, float]:
    """(gamma, vanna per 1.00 of vol, charm per year as time passes): MODEL.md section 2."""
    spot_gamma, vanna, charm = field_greeks(math.log(spot / strike), tau, rate, dividend_yield, vol, right)
    return spot_gamma / spot, vanna, charm
