"""All fields of all books over a grid of log spot, and by contract: what the landscape's pictures are made of.

Every contract re-priced at every point within eight deviations of its strike, and at every point if its vol moves with
the smile (MODEL.md section 5).
Only open contracts with a vol count.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import borrowing_kernel
from dhpe.numerics.panel_units import field_tau, unit_fields
from dhpe.numerics.state import BETA_VANNA, CHARM, GAMMA, VANNA

D1_REACH: Final = 8.5
"""The density there is 2e-16 of its peak, and N(d1) is 0 or 1."""


@borrowing_kernel
def _open(contract: np.void, ts_ns: int) -> bool:
    return contract["active"] == 1 and contract["settles_ns"] > ts_ns and contract["vol"] > 0.0


@borrowing_kernel
def _add_fields(
    contract: np.void, expiry: np.void, tau: float, log_spot: float, point: int, out: NDArray[np.float64]
) -> None:
    gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
    position = contract["position"]
    for book in range(position.shape[0]):
        held = position[book]
        out[GAMMA, book, point] += held * gamma
        out[VANNA, book, point] += held * vanna
        out[CHARM, book, point] += held * charm
        out[BETA_VANNA, book, point] += held * vanna * expiry["beta"]


@borrowing_kernel
def _add_dividends(
    contract: np.void, expiry: np.void, tau: float, first: int, last: int, tails: NDArray[np.float64]
) -> None:
    """Charm of a contract so deep in the money that it is stock: its dividends, at S = 1, from first to last point."""
    dividend_yield = expiry["rate"] - expiry["carry"]
    amount = contract["right"] * dividend_yield * contract["multiplier"]
    amount *= math.exp(expiry["basis"] - dividend_yield * tau)
    position = contract["position"]
    for book in range(position.shape[0]):
        tails[book, first] += position[book] * amount
        tails[book, last + 1] -= position[book] * amount


@borrowing_kernel
def field_profiles(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    ts_ns: int,
    tau_floor_ns: int,
    log_grid: NDArray[np.float64],
    tails: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the fields over an even, rising grid of at least two points into ``out`` (FIELDS, books, points).

    ``tails`` (books, points + 1) is scratch. Units as in MODEL.md section 1; charm per year.
    """
    points = log_grid.shape[0]
    start = log_grid[0]
    step = (log_grid[points - 1] - start) / (points - 1)
    for book in range(out.shape[1]):
        for field in range(out.shape[0]):
            for point in range(points):
                out[field, book, point] = 0.0
        for point in range(points + 1):
            tails[book, point] = 0.0
    for row in range(count):
        contract = contracts[row]
        if not _open(contract, ts_ns):
            continue
        expiry = expiries[contract["expiry"]]
        tau = field_tau(contract["settles_ns"], ts_ns, tau_floor_ns)
        deviation = contract["vol"] * math.sqrt(tau)
        middle = contract["log_strike"] - expiry["basis"] - expiry["carry"] * tau - 0.5 * deviation * deviation
        reach = D1_REACH * deviation
        first = int(min(max(math.ceil((middle - reach - start) / step), 0.0), float(points)))
        last = int(min(max(math.floor((middle + reach - start) / step), -1.0), float(points - 1)))
        if contract["fit_ratio"] > 0.0:
            first, last = 0, points - 1
        for point in range(first, last + 1):
            _add_fields(contract, expiry, tau, log_grid[point], point, out)
        if contract["right"] == 1:
            _add_dividends(contract, expiry, tau, last + 1, points - 1, tails)
        else:
            _add_dividends(contract, expiry, tau, 0, first - 1, tails)
    for book in range(out.shape[1]):
        dividends = 0.0
        for point in range(points):
            dividends += tails[book, point]
            out[CHARM, book, point] += dividends * math.exp(log_grid[point])


@borrowing_kernel
def grouped_fields(
    contracts: NDArray[np.void],
    expiries: NDArray[np.void],
    groups: NDArray[np.int64],
    log_spot: float,
    ts_ns: int,
    tau_floor_ns: int,
    out: NDArray[np.float64],
) -> None:
    """Write the fields by group at one log spot into ``out`` (FIELDS, books, groups); ``groups`` names each row's."""
    for field in range(out.shape[0]):
        for book in range(out.shape[1]):
            for group in range(out.shape[2]):
                out[field, book, group] = 0.0
    for row in range(groups.shape[0]):
        contract = contracts[row]
        if _open(contract, ts_ns):
            tau = field_tau(contract["settles_ns"], ts_ns, tau_floor_ns)
            _add_fields(contract, expiries[contract["expiry"]], tau, log_spot, groups[row], out)
