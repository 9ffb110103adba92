"""The self-check of the panel: how far its fields are from the sum over all contracts."""

import math
from typing import Any

from dhpe.numerics.jit import borrowing_kernel
from dhpe.numerics.panel import recompute
from dhpe.numerics.panel_arrays import PanelArrays
from dhpe.numerics.panel_units import field_tau, unit_fields
from dhpe.numerics.state import BETA_VANNA, CHARM, GAMMA, VANNA


@borrowing_kernel
def _write_gross(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, floor_ns: int) -> None:
    """The sums of |contribution| over all contracts, into ``grid.gross``."""
    gross = panel.grid[0]["gross"]
    for field in range(gross.shape[0]):
        for book in range(gross.shape[1]):
            gross[field, book] = 0.0
    log_spot = math.log(market["spot"])
    for row in range(market["contracts"]):
        contract = contracts[row]
        if contract["active"] == 0 or not contract["vol"] > 0.0:
            continue
        expiry = expiries[contract["expiry"]]
        tau = field_tau(contract["settles_ns"], market["ts_ns"], floor_ns)
        gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
        for book in range(gross.shape[1]):
            held = abs(contract["position"][book])
            gross[GAMMA, book] += held * abs(gamma)
            gross[VANNA, book] += held * abs(vanna)
            gross[CHARM, book] += held * abs(charm)
            gross[BETA_VANNA, book] += held * abs(vanna * expiry["beta"])


@borrowing_kernel
def largest_error(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, floor_ns: int) -> float:
    """Largest |market.fields - exact| over gross, of all fields and books, at the present spot and time."""
    recompute(market, contracts, expiries, panel, floor_ns)
    _write_gross(market, contracts, expiries, panel, floor_ns)
    largest = 0.0
    exact, gross = panel.grid[0]["exact"], panel.grid[0]["gross"]
    for field in range(exact.shape[0]):
        for book in range(exact.shape[1]):
            if gross[field, book] > 0.0:
                missed = abs(market["fields"][field, book] - exact[field, book])
                largest = max(largest, missed / gross[field, book])
    return largest
