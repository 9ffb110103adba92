"""What one contract adds to the panel: its fields at one log spot, and at all nodes of a window at once.

Fields per contract held (MODEL.md sections 1 and 2), M the multiplier, all per unit of position:
gamma * S^2 * M, vanna * S * M, charm * S * M (per year).

A window is a few basis points wide, so along it d1 is d1_center + slope * x, x in [-1, 1], with a small slope. The
density S e^{..} phi(d1) times a constant is then f(x) with f' = (b - slope^2 x) f, b = half_width - d1_center * slope,
whose Taylor coefficients follow from each other, (n + 1) f_{n+1} = b f_n - slope^2 f_{n-1} (the recurrence of the
Hermite polynomials; Abramowitz and Stegun 22.7.14), and the part of charm that holds N(d1) is an integral of f. One
exponential and one erfc per contract and instant serve all nodes.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import borrowing_kernel
from dhpe.numerics.state import CHARM, GAMMA, INSTANTS, NS_PER_YEAR, VANNA
from dhpe.numerics.sticky_delta import vol_at

_INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_DENSITY_CUT = 26.0  # the normal density there is 1e-147: nothing, and its products are not subnormal numbers
_THIRD, _FIFTH, _SIXTH, _SEVENTH = 1.0 / 3.0, 1.0 / 5.0, 1.0 / 6.0, 1.0 / 7.0

SLOPE_MAX: Final = 0.05
"""Steepest d1 per unit of x for the series to the seventh power: its error stays below slope^8 / sqrt(8!) = 2e-13 of
the peak of the density (Cramer's bound on Hermite functions). Sharper contracts are priced node by node, and so are
those whose vol moves along the window."""

TERM: Final = np.dtype(
    [
        ("root_tau", "f8"),
        ("inverse_root_tau", "f8"),
        ("half_inverse_tau", "f8"),
        ("tau", "f8"),
        ("log_forward", "f8"),  # at the center
        ("carry", "f8"),
        ("dividend_yield", "f8"),
        ("value", "f8"),  # present value of the forward at the center
    ],
    align=True,
)
"""What all contracts of one expiry share at one instant of a window."""


@borrowing_kernel
def field_tau(settles_ns: int, ts_ns: int, tau_floor_ns: int) -> float:
    """Years to settlement for the fields: not below the floor (MODEL.md section 9)."""
    return max(settles_ns - ts_ns, tau_floor_ns) / NS_PER_YEAR


@borrowing_kernel
def unit_fields(log_spot: float, contract: Any, expiry: Any, tau: float) -> tuple[float, float, float]:
    """(gamma S^2 M, vanna S M, charm S M) of one long contract at log spot, tau years before its settlement."""
    rate = expiry["rate"]
    carry = expiry["carry"]
    log_forward = log_spot + expiry["basis"] + carry * tau
    vol = vol_at(contract, expiry, log_forward)
    deviation = vol * math.sqrt(tau)
    d1 = (log_forward - contract["log_strike"]) / deviation + 0.5 * deviation
    value = math.exp(log_forward - rate * tau) * contract["multiplier"]
    if -_DENSITY_CUT < d1 < _DENSITY_CUT:
        density = value * _INVERSE_SQRT_2PI * math.exp(-0.5 * d1 * d1)
    else:
        density = 0.0
    d2 = d1 - deviation
    gamma = density / deviation
    vanna = -density * d2 / vol
    charm = -density * (2.0 * carry * tau - d2 * deviation) / (2.0 * tau * deviation)
    dividend_yield = rate - carry
    if dividend_yield != 0.0:
        right = float(contract["right"])
        charm += right * dividend_yield * value * 0.5 * math.erfc(-right * d1 * _INVERSE_SQRT_2)
    return gamma, vanna, charm


@borrowing_kernel
def write_terms(window: Any, expiries: NDArray[np.void], count: int, floor_ns: int, terms: NDArray[np.void]) -> None:
    """Write what the contracts of each expiry share into ``terms`` (expiries, INSTANTS)."""
    for row in range(count):
        expiry = expiries[row]
        for instant in range(INSTANTS):
            tau = field_tau(expiry["settles_ns"], window["start_ns"] if instant == 0 else window["end_ns"], floor_ns)
            term = terms[row, instant]
            term["tau"] = tau
            term["root_tau"] = math.sqrt(tau)
            term["inverse_root_tau"] = 1.0 / math.sqrt(tau)
            term["half_inverse_tau"] = 0.5 / tau
            term["log_forward"] = window["center"] + expiry["basis"] + expiry["carry"] * tau
            term["carry"] = expiry["carry"]
            term["dividend_yield"] = expiry["rate"] - expiry["carry"]
            term["value"] = math.exp(term["log_forward"] - expiry["rate"] * tau)


@borrowing_kernel
def _density_series(f1: float, bend: float) -> tuple[float, float, float, float, float, float]:
    """Coefficients 2 to 7 of f with f(0) = 1: (n + 1) f_{n+1} = f1 f_n - bend f_{n-1}."""
    f2 = (f1 * f1 - bend) * 0.5
    f3 = (f1 * f2 - bend * f1) * _THIRD
    f4 = (f1 * f3 - bend * f2) * 0.25
    f5 = (f1 * f4 - bend * f3) * _FIFTH
    f6 = (f1 * f5 - bend * f4) * _SIXTH
    return f2, f3, f4, f5, f6, (f1 * f6 - bend * f5) * _SEVENTH


@borrowing_kernel
def _dividend_series(
    e1: float, growth: float, size: float, f: tuple[float, float, float, float, float]
) -> tuple[float, float, float, float, float]:
    """Coefficients 2 to 6 of D with D' = growth D + size f, ``f`` its coefficients 1 to 5."""
    e2 = (growth * e1 + size * f[0]) * 0.5
    e3 = (growth * e2 + size * f[1]) * _THIRD
    e4 = (growth * e3 + size * f[2]) * 0.25
    e5 = (growth * e4 + size * f[3]) * _FIFTH
    return e2, e3, e4, e5, (growth * e5 + size * f[4]) * _SIXTH


@borrowing_kernel
def _write_series(
    contract: Any, term: Any, half_width: float, nodes: NDArray[np.float64], units: NDArray[np.float64]
) -> None:
    """Write the fields at the nodes of one instant, ``units`` (UNIT_FIELDS, nodes), by the series along the window.

    The nodes stand in pairs of x and -x, so that the even and the odd powers are summed once for both.
    """
    inverse_vol = 1.0 / contract["vol"]
    deviation = contract["vol"] * term["root_tau"]
    inverse_deviation = inverse_vol * term["inverse_root_tau"]
    slope = half_width * inverse_deviation
    bend = slope * slope
    d1 = (term["log_forward"] - contract["log_strike"]) * inverse_deviation + 0.5 * deviation
    value = term["value"] * contract["multiplier"]
    density, f1 = 0.0, 0.0
    if -_DENSITY_CUT < d1 < _DENSITY_CUT:
        density = value * _INVERSE_SQRT_2PI * math.exp(-0.5 * d1 * d1)
        f1 = half_width - d1 * slope
    f2, f3, f4, f5, f6, f7 = _density_series(f1, bend)
    # The dividend part of charm, D(x) = right q V N(right d1): D' = half_width D + q slope f, V the forward's value.
    dividends = term["dividend_yield"] * slope * density
    right = float(contract["right"])
    e0 = 0.0
    if term["dividend_yield"] != 0.0:
        e0 = right * term["dividend_yield"] * value * 0.5 * math.erfc(-right * d1 * _INVERSE_SQRT_2)
    e1 = half_width * e0 + dividends
    e2, e3, e4, e5, e6 = _dividend_series(e1, half_width, dividends, (f1, f2, f3, f4, f5))
    d2 = d1 - deviation
    half_inverse_tau = term["half_inverse_tau"]
    drift = term["carry"] * inverse_deviation
    last = nodes.shape[0] - 1
    for pair in range((nodes.shape[0] + 1) // 2):
        x = nodes[pair]
        y = x * x
        even = density * (1.0 + y * (f2 + y * (f4 + y * f6)))
        odd = density * x * (f1 + y * (f3 + y * (f5 + y * f7)))
        dividends_even = e0 + y * (e2 + y * (e4 + y * e6))
        dividends_odd = x * (e1 + y * (e3 + y * e5))
        right_f, right_d2 = even + odd, d2 + slope * x
        left_f, left_d2 = even - odd, d2 - slope * x
        units[GAMMA, pair] = right_f * inverse_deviation
        units[VANNA, pair] = -right_f * right_d2 * inverse_vol
        units[CHARM, pair] = right_f * (right_d2 * half_inverse_tau - drift) + (dividends_even + dividends_odd)
        units[GAMMA, last - pair] = left_f * inverse_deviation
        units[VANNA, last - pair] = -left_f * left_d2 * inverse_vol
        units[CHARM, last - pair] = left_f * (left_d2 * half_inverse_tau - drift) + (dividends_even - dividends_odd)


@borrowing_kernel
def _write_exactly(
    contract: Any, expiry: Any, tau: float, window: Any, nodes: NDArray[np.float64], units: NDArray[np.float64]
) -> None:
    for node in range(nodes.shape[0]):
        log_spot = window["center"] + window["half_width"] * nodes[node]
        gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
        units[GAMMA, node] = gamma
        units[VANNA, node] = vanna
        units[CHARM, node] = charm


@borrowing_kernel
def write_units(contract: Any, expiry: Any, terms: tuple[Any, Any], window: Any, grid: Any) -> None:
    """Write the fields of one long contract into ``grid.units`` (INSTANTS, UNIT_FIELDS, nodes)."""
    nodes = grid["nodes"]
    units = grid["units"]
    steady = contract["fit_ratio"] == 0.0
    for instant in range(INSTANTS):
        term = terms[instant]
        if steady and window["half_width"] <= SLOPE_MAX * contract["vol"] * term["root_tau"]:
            _write_series(contract, term, window["half_width"], nodes, units[instant])
        else:
            _write_exactly(contract, expiry, term["tau"], window, nodes, units[instant])
