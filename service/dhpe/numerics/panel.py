"""The incremental panel: the fields of all contracts at a few nodes, so that a spot tick does not touch a contract.

For each dealer book and field the panel holds the sum over contracts at Chebyshev nodes of log spot around a
centre and at the two ends of a short time window. An option event takes its old contribution off the nodes and
adds the new one, O(nodes). A spot tick is a barycentric interpolation in log spot (Berrut and Trefethen 2004,
"Barycentric Lagrange Interpolation", eq. 5.4) and a linear one in time, O(nodes), whatever the number of contracts.
Contracts near their expiry and the money are too sharp for the nodes: they are hot and summed exactly.

Fields per contract held (MODEL.md sections 1 and 2), M the multiplier, all per unit of position:
gamma * S^2 * M, vanna * S * M, charm * S * M (per year).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.state import (
    BETA_VANNA,
    BOOKS,
    CHARM,
    FIELDS,
    GAMMA,
    INSTANTS,
    NS_PER_YEAR,
    UNIT_FIELDS,
    VANNA,
)

_INVERSE_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
_INVERSE_SQRT_2 = 1.0 / math.sqrt(2.0)
_DENSITY_CUT = 38.0  # beyond this many deviations the normal density is a subnormal number


class PanelArrays(NamedTuple):
    """Storage of the panel. ``units`` are the node values of one contract held, kept so that they can be taken off."""

    units: NDArray[np.float64]  # (contracts, UNIT_FIELDS, INSTANTS, nodes)
    priced: NDArray[np.int8]  # (contracts,): units are valid and on the nodes
    sums: NDArray[np.float64]  # (FIELDS, books, INSTANTS, nodes)
    nodes: NDArray[np.float64]  # (nodes,) in [-1, 1]
    weights: NDArray[np.float64]  # (nodes,) barycentric
    blend: NDArray[np.float64]  # (nodes,) scratch
    hot_rows: NDArray[np.int32]  # (contracts,)
    exact: NDArray[np.float64]  # (FIELDS, books): the fields recomputed for the self-check
    gross: NDArray[np.float64]  # (FIELDS, books): sums of |contribution|, what the error is measured against


def panel_arrays(contracts: int, nodes: int) -> PanelArrays:
    """Allocate a panel for up to ``contracts`` contracts at ``nodes`` Chebyshev points of the second kind."""
    angle = [math.pi * j / (nodes - 1) for j in range(nodes)]
    weights = np.array([(-1.0) ** j for j in range(nodes)])
    weights[0] *= 0.5
    weights[-1] *= 0.5
    return PanelArrays(
        units=np.zeros((contracts, UNIT_FIELDS, INSTANTS, nodes)),
        priced=np.zeros(contracts, np.int8),
        sums=np.zeros((FIELDS, len(BOOKS), INSTANTS, nodes)),
        nodes=np.array([math.cos(a) for a in angle]),
        weights=weights,
        blend=np.zeros(nodes),
        hot_rows=np.zeros(contracts, np.int32),
        exact=np.zeros((FIELDS, len(BOOKS))),
        gross=np.zeros((FIELDS, len(BOOKS))),
    )


@kernel
def field_tau(settles_ns: int, ts_ns: int, tau_floor_ns: int) -> float:
    """Years to settlement for the fields: not below the floor (MODEL.md section 9)."""
    return max(settles_ns - ts_ns, tau_floor_ns) / NS_PER_YEAR


@kernel
def unit_fields(log_spot: float, contract: Any, expiry: Any, tau: float) -> tuple[float, float, float]:
    """(gamma S^2 M, vanna S M, charm S M) of one long contract at log spot, tau years before its settlement."""
    vol = contract["vol"]
    rate = expiry["rate"]
    carry = expiry["carry"]
    deviation = vol * math.sqrt(tau)
    log_forward = log_spot + expiry["basis"] + carry * tau
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


@kernel
def _holds_nothing(contract: Any) -> bool:
    position = contract["position"]
    return position[0] == 0.0 and position[1] == 0.0 and position[2] == 0.0


@kernel
def _fill_units(
    row: int, market: Any, contract: Any, expiry: Any, panel: PanelArrays, half_width: float, floor_ns: int
) -> None:
    units = panel.units[row]
    for instant in range(INSTANTS):
        ts_ns = market["panel_start_ns"] if instant == 0 else market["panel_end_ns"]
        tau = field_tau(contract["settles_ns"], ts_ns, floor_ns)
        for node in range(panel.nodes.shape[0]):
            log_spot = market["panel_center"] + half_width * panel.nodes[node]
            gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
            units[GAMMA, instant, node] = gamma
            units[VANNA, instant, node] = vanna
            units[CHARM, instant, node] = charm


@kernel
def _add(row: int, book: int, quantity: float, beta: float, panel: PanelArrays) -> None:
    units = panel.units[row]
    sums = panel.sums
    for instant in range(INSTANTS):
        for node in range(panel.nodes.shape[0]):
            vanna = quantity * units[VANNA, instant, node]
            sums[GAMMA, book, instant, node] += quantity * units[GAMMA, instant, node]
            sums[VANNA, book, instant, node] += vanna
            sums[CHARM, book, instant, node] += quantity * units[CHARM, instant, node]
            sums[BETA_VANNA, book, instant, node] += beta * vanna


@kernel
def take_off(row: int, market: Any, contracts: Any, expiries: Any, panel: PanelArrays) -> None:
    """Take the contribution of one contract off the nodes, as it was put on."""
    if market["panel_valid"] == 0 or panel.priced[row] == 0:
        return
    contract = contracts[row]
    for book in range(contract["position"].shape[0]):
        _add(row, book, -contract["position"][book], expiries[contract["expiry"]].beta, panel)
    panel.priced[row] = 0
    market["panel_events"] += 1


@kernel
def put_on(
    row: int, market: Any, contracts: Any, expiries: Any, panel: PanelArrays, half_width: float, floor_ns: int
) -> None:
    """Price one contract at the nodes and add it, unless it is hot, settled, unheld or without vol."""
    contract = contracts[row]
    if market["panel_valid"] == 0 or contract["active"] == 0 or contract["hot"] == 1:
        return
    if not contract["vol"] > 0.0 or _holds_nothing(contract):
        return
    expiry = expiries[contract["expiry"]]
    _fill_units(row, market, contract, expiry, panel, half_width, floor_ns)
    for book in range(contract["position"].shape[0]):
        _add(row, book, contract["position"][book], expiry["beta"], panel)
    panel.priced[row] = 1


@kernel
def move_position(
    row: int, book: int, quantity: float, market: Any, contracts: Any, expiries: Any, panel: PanelArrays
) -> None:
    """Add ``quantity`` contracts to one book; the nodes follow where the contract is priced."""
    contract = contracts[row]
    contract["position"][book] += quantity
    if market["panel_valid"] == 1 and panel.priced[row] == 1:
        _add(row, book, quantity, expiries[contract["expiry"]].beta, panel)
        market["panel_events"] += 1


@kernel
def _is_hot(contract: Any, market: Any, hot_tau_ns: int, hot_width: float, floor_ns: int) -> bool:
    if contract["settles_ns"] - market["panel_end_ns"] >= hot_tau_ns or not contract["vol"] > 0.0:
        return False
    deviation = contract["vol"] * math.sqrt(field_tau(contract["settles_ns"], market["panel_start_ns"], floor_ns))
    return abs(market["panel_center"] - contract["log_strike"]) < hot_width * deviation


@kernel
def _clear(market: Any, panel: PanelArrays) -> None:
    market["hot_rows"] = 0
    market["live_contracts"] = 0
    market["valued_contracts"] = 0
    market["held_contracts"] = 0
    market["american_contracts"] = 0
    market["anchored_contracts"] = 0
    sums = panel.sums
    for field in range(sums.shape[0]):
        for book in range(sums.shape[1]):
            for instant in range(sums.shape[2]):
                for node in range(sums.shape[3]):
                    sums[field, book, instant, node] = 0.0


@kernel
def _count(contract: Any, market: Any) -> None:
    market["live_contracts"] += 1
    if contract["vol"] > 0.0:
        market["valued_contracts"] += 1
    if not _holds_nothing(contract):
        market["held_contracts"] += 1
    if contract["american"] == 1:
        market["american_contracts"] += 1
    if contract["anchored"] == 1:
        market["anchored_contracts"] += 1


@kernel
def rebuild(
    market: Any,
    contracts: Any,
    expiries: Any,
    panel: PanelArrays,
    half_width: float,
    window_ns: int,
    floor_ns: int,
    hot: tuple[int, float],
) -> None:
    """Build the panel anew around the present spot and time: O(contracts * nodes). ``hot`` is (tau ns, deviations)."""
    market["panel_center"] = math.log(market["spot"])
    market["panel_start_ns"] = market["ts_ns"]
    market["panel_end_ns"] = market["ts_ns"] + window_ns
    market["panel_events"] = 0
    market["panel_rebuilds"] += 1
    market["panel_valid"] = 1
    _clear(market, panel)
    for row in range(market["contracts"]):
        contract = contracts[row]
        panel.priced[row] = 0
        contract["hot"] = 0
        if contract["active"] == 0:
            continue
        _count(contract, market)
        if _is_hot(contract, market, hot[0], hot[1], floor_ns):
            contract["hot"] = 1
            panel.hot_rows[market["hot_rows"]] = row
            market["hot_rows"] += 1
        else:
            put_on(row, market, contracts, expiries, panel, half_width, floor_ns)


@kernel
def covers(market: Any, half_width: float) -> bool:
    """Whether the panel's window holds the present spot and time."""
    if market["panel_valid"] == 0 or not market["panel_start_ns"] <= market["ts_ns"] < market["panel_end_ns"]:
        return False
    return abs(math.log(market["spot"]) - market["panel_center"]) <= half_width


@kernel
def _blend_weights(position: float, panel: PanelArrays) -> None:
    """Barycentric weights of the nodes at ``position`` in [-1, 1], into ``panel.blend``; they sum to 1."""
    total = 0.0
    exact = -1
    for node in range(panel.nodes.shape[0]):
        distance = position - panel.nodes[node]
        if distance == 0.0:
            exact = node
            break
        panel.blend[node] = panel.weights[node] / distance
        total += panel.blend[node]
    for node in range(panel.nodes.shape[0]):
        if exact >= 0:
            panel.blend[node] = 1.0 if node == exact else 0.0
        else:
            panel.blend[node] /= total


@kernel
def _add_exactly(
    row: int, market: Any, contracts: Any, expiries: Any, floor_ns: int, fields: NDArray[np.float64]
) -> None:
    contract = contracts[row]
    expiry = expiries[contract["expiry"]]
    tau = field_tau(contract["settles_ns"], market["ts_ns"], floor_ns)
    gamma, vanna, charm = unit_fields(math.log(market["spot"]), contract, expiry, tau)
    for book in range(contract["position"].shape[0]):
        quantity = contract["position"][book]
        fields[GAMMA, book] += quantity * gamma
        fields[VANNA, book] += quantity * vanna
        fields[CHARM, book] += quantity * charm
        fields[BETA_VANNA, book] += quantity * vanna * expiry["beta"]


@kernel
def evaluate(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, half_width: float, floor_ns: int) -> None:
    """The fields at the present spot and time from the nodes and the hot contracts, into ``market.fields``."""
    _blend_weights((math.log(market["spot"]) - market["panel_center"]) / half_width, panel)
    late = (market["ts_ns"] - market["panel_start_ns"]) / (market["panel_end_ns"] - market["panel_start_ns"])
    sums = panel.sums
    for field in range(sums.shape[0]):
        for book in range(sums.shape[1]):
            begin = 0.0
            end = 0.0
            for node in range(panel.nodes.shape[0]):
                begin += panel.blend[node] * sums[field, book, 0, node]
                end += panel.blend[node] * sums[field, book, 1, node]
            market["fields"][field, book] = begin + late * (end - begin)
    for hot in range(market["hot_rows"]):
        _add_exactly(panel.hot_rows[hot], market, contracts, expiries, floor_ns, market["fields"])
    market["fields_valid"] = 1


@kernel
def recompute(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, floor_ns: int) -> None:
    """The fields over all contracts anew at the present spot and time, into ``panel.exact`` and ``panel.gross``."""
    for field in range(panel.exact.shape[0]):
        for book in range(panel.exact.shape[1]):
            panel.exact[field, book] = 0.0
            panel.gross[field, book] = 0.0
    log_spot = math.log(market["spot"])
    for row in range(market["contracts"]):
        contract = contracts[row]
        if contract["active"] == 0 or not contract["vol"] > 0.0:
            continue
        _add_exactly(row, market, contracts, expiries, floor_ns, panel.exact)
        expiry = expiries[contract["expiry"]]
        tau = field_tau(contract["settles_ns"], market["ts_ns"], floor_ns)
        gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
        for book in range(panel.gross.shape[1]):
            held = abs(contract["position"][book])
            panel.gross[GAMMA, book] += held * abs(gamma)
            panel.gross[VANNA, book] += held * abs(vanna)
            panel.gross[CHARM, book] += held * abs(charm)
            panel.gross[BETA_VANNA, book] += held * abs(vanna * expiry["beta"])


@kernel
def largest_error(market: Any, panel: PanelArrays) -> float:
    """Largest |market.fields - exact| over gross, of all fields and books; call ``recompute`` first."""
    largest = 0.0
    for field in range(panel.exact.shape[0]):
        for book in range(panel.exact.shape[1]):
            gross = panel.gross[field, book]
            if gross > 0.0:
                largest = max(largest, abs(market["fields"][field, book] - panel.exact[field, book]) / gross)
    return largest
