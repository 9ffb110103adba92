"""Price and greeks in forward form (Black 1976): as functions of the forward of the settlement instant.

Every function takes (forward, strike, tau, rate, vol, right); greeks are derivatives by the forward at a fixed
discount curve, with units and limits of ``black``. They are its formulas: a share that yields the rate has no drift,
so that S = F and q = r turn one form into the other, theta and charm included. With F = S exp((r - q) tau) the spot
greeks are delta * F/S, gamma * (F/S)^2 and vanna * F/S; vega and volga are the same.
"""

from dhpe.numerics import black
from dhpe.numerics.jit import kernel


@kernel
def price(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """The option's value today."""
    return black.price(forward, strike, tau, rate, rate, vol, right)


@kernel
def delta(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """Change of price per unit of forward: right * exp(-r tau) * N(right * d1)."""
    return black.delta(forward, strike, tau, rate, rate, vol, right)


@kernel
def vega(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """Change of price per 1.00 of vol."""
    return black.vega(forward, strike, tau, rate, rate, vol, right)


@kernel
def theta(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """Change of price per year as calendar time passes and the forward stays."""
    return black.theta(forward, strike, tau, rate, rate, vol, right)


@kernel
def volga(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """Change of vega per 1.00 of vol."""
    return black.volga(forward, strike, tau, rate, rate, vol, right)


@kernel
def speed(forward: float, strike: float, tau: float, rate: float, vol: float, right: int) -> float:
    """Change of gamma per unit of forward."""
    return black.speed(forward, strike, tau, rate, rate, vol, right)


@kernel
def gamma_vanna_charm(
    forward: float, strike: float, tau: float, rate: float, vol: float, right: int
) -> tuple[float, float, float]:
    """(gamma, vanna per 1.00 of vol, charm per year as time passes and the forward stays)."""
    return black.gamma_vanna_charm(forward, strike, tau, rate, rate, vol, right)
