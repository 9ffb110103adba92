"""Slow and obvious oracles: each says with other means what a kernel says fast."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

YEAR_NS = 365 * 86_400 * 1_000_000_000
Terms = tuple[float, float, float, float, float, float, int]


def exact_price(spot: Any, strike: Any, tau: Any, rate: Any, dividend_yield: Any, vol: Any, right: int) -> Any:
    """Black-Scholes-Merton in the working precision of mpmath (Hull, chapter 17)."""
    deviation = vol * mpmath.sqrt(tau)
    d1 = (mpmath.log(spot / strike) + (rate - dividend_yield + vol**2 / 2) * tau) / deviation
    share = spot * mpmath.exp(-dividend_yield * tau) * mpmath.ncdf(right * d1)
    return right * (share - strike * mpmath.exp(-rate * tau) * mpmath.ncdf(right * (d1 - deviation)))


def exact_greek(orders: dict[str, int], terms: Terms) -> float:
    """A derivative of the price by finite differences in 60 digits; names: spot, tau, vol."""
    names = ("spot", "strike", "tau", "rate", "dividend_yield", "vol")
    with mpmath.workdps(60):
        values = {name: mpmath.mpf(value) for name, value in zip(names, terms[:6], strict=True)}

        def moved(*point: Any) -> Any:
            return exact_price(**(values | dict(zip(orders, point, strict=True))), right=terms[6])

        at = tuple(values[name] for name in orders)
        return float(
            mpmath.diff(
                moved,
                at if len(at) > 1 else at[0],
                tuple(orders.values()) if len(at) > 1 else orders[next(iter(orders))],
            )
        )


def plain_price(terms: Terms) -> float:
    """The price in double precision by the textbook."""
    spot, strike, tau, rate, dividend_yield, vol, right = terms
    d1 = (math.log(spot / strike) + (rate - dividend_yield + vol * vol / 2) * tau) / (vol * math.sqrt(tau))
    d2 = d1 - vol * math.sqrt(tau)
    cdf = [0.5 * (1 + math.erf(right * d / math.sqrt(2))) for d in (d1, d2)]
    return right * (spot * math.exp(-dividend_yield * tau) * cdf[0] - strike * math.exp(-rate * tau) * cdf[1])


def plain_delta(terms: Terms) -> float:
    """Delta by the textbook; a step at settlement."""
    spot, strike, tau, rate, dividend_yield, vol, right = terms
    if tau <= 0:
        return float(right) * float(right * (spot - strike) > 0)
    d1 = (math.log(spot / strike) + (rate - dividend_yield + vol * vol / 2) * tau) / (vol * math.sqrt(tau))
    return right * math.exp(-dividend_yield * tau) * 0.5 * (1 + math.erf(right * d1 / math.sqrt(2)))


def plain_gamma(terms: Terms) -> float:
    """Gamma by the textbook."""
    spot, strike, tau, rate, dividend_yield, vol, _ = terms
    deviation = vol * math.sqrt(tau)
    d1 = (math.log(spot / strike) + (rate - dividend_yield + vol * vol / 2) * tau) / deviation
    return math.exp(-dividend_yield * tau - d1 * d1 / 2) / math.sqrt(2 * math.pi) / (spot * deviation)


def held_terms(contract: Any, expiry: Any, spot: float, ts_ns: int, floor_ns: int = 0) -> Terms:
    """The arguments of a greek for one row of a chain."""
    tau = max(int(contract["settles_ns"]) - ts_ns, floor_ns) / YEAR_NS
    own_spot = spot * math.exp(expiry["basis"])
    yield_ = float(expiry["rate"] - expiry["carry"])
    return (
        own_spot,
        float(contract["strike"]),
        tau,
        float(expiry["rate"]),
        yield_,
        float(contract["vol"]),
        int(contract["right"]),
    )


def gamma_field(contracts: Iterable[Any], expiries: Any, book: int, spot: float, ts_ns: int, floor_ns: int) -> float:
    """Sum n gamma S^2 M over the open contracts with a vol."""
    total = 0.0
    for contract in contracts:
        if contract["active"] and contract["settles_ns"] > ts_ns and contract["vol"] > 0:
            terms = held_terms(contract, expiries[contract["expiry"]], spot, ts_ns, floor_ns)
            # Gamma with respect to the quotes' own spot; both spots move by the same log return.
            dollars = plain_gamma(terms) * terms[0] ** 2 * contract["multiplier"]
            total += contract["position"][book] * dollars
    return total


def delta_change(contracts: Iterable[Any], expiries: Any, book: int, spot: float, ts_ns: int, horizon_ns: int) -> float:
    """Sum n (delta later - delta now) S M at constant spot and vol."""
    total = 0.0
    for contract in contracts:
        if contract["active"] and contract["settles_ns"] > ts_ns and contract["vol"] > 0:
            expiry = expiries[contract["expiry"]]
            now = plain_delta(held_terms(contract, expiry, spot, ts_ns))
            then = plain_delta(held_terms(contract, expiry, spot, min(ts_ns + horizon_ns, int(contract["settles_ns"]))))
            total += contract["position"][book] * contract["multiplier"] * (then - now) * spot
    return total


def walls(contracts: Iterable[Any], gammas: Sequence[float], spot: float) -> tuple[float | None, float | None]:
    """(call wall, put wall) by sums per strike in dictionaries."""
    sums: dict[tuple[int, float], float] = {}
    for contract, gamma in zip(contracts, gammas, strict=True):
        key = (int(contract["right"]), float(contract["strike"]))
        sums[key] = sums.get(key, 0.0) + gamma
    found = []
    for right in (1, -1):
        sizes = {k: abs(v) for (side, k), v in sums.items() if side == right and right * (k - spot) >= 0 and v != 0}
        found.append(min(sizes, key=lambda k: (-sizes[k], abs(k - spot)), default=None))
    return found[0], found[1]


def weighted_line(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """(slope, White standard error, effective samples, r squared) of y on x with intercept, by matrices."""
    design = np.column_stack([np.ones_like(x), x])
    bread = np.linalg.inv(design.T @ (design * weights[:, None]))
    coefficients = bread @ design.T @ (weights * y)
    residuals = y - design @ coefficients
    meat = design.T @ (design * (weights * residuals)[:, None] ** 2)
    errors = bread @ meat @ bread
    mean = np.average(y, weights=weights)
    explained = 1 - (weights @ residuals**2) / (weights @ (y - mean) ** 2)
    samples = weights.sum() ** 2 / (weights**2).sum()
    return coefficients[1], math.sqrt(errors[1, 1]), samples, explained


def parity_forward(
    strikes: NDArray[np.float64], differences: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """(forward, discount) by weighted least squares of C - P on the strike."""
    design = np.column_stack([np.ones_like(strikes), -strikes])
    root = np.sqrt(weights)
    (level, discount), *_ = np.linalg.lstsq(design * root[:, None], differences * root, rcond=None)
    return level / discount, discount


def ssvi(theta: float, rho: float, phi: float, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Total variance as Gatheral and Jacquier 2014 write it (definition 4.1)."""
    inner = (phi * k + rho) ** 2 + 1 - rho**2
    variance: NDArray[np.float64] = theta / 2 * (1 + rho * phi * k + np.sqrt(inner))
    return variance


def zero_between(function: Callable[[float], float], low: float, high: float) -> float:
    """A sign change by plain bisection down to neighbouring numbers."""
    rising = function(high) > 0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if (function(middle) > 0) == rising else (middle, high)
    return (low + high) / 2
