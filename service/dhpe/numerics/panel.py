"""The incremental panel: the fields of all contracts at a few nodes, so that a spot tick does not touch a contract.

For each dealer book and field the panel holds the sum over contracts at Chebyshev nodes of log spot around a
centre and at the two ends of a short time: a window. An option event takes its old contribution off the nodes and
adds the new one, O(nodes). A spot tick is a polynomial interpolation in log spot (Berrut and Trefethen 2004,
"Barycentric Lagrange Interpolation", eq. 3.1) and a linear one in time, O(nodes), whatever the number of contracts.
Contracts near their expiry and the money are too sharp for the nodes: they are hot and summed exactly.

There is room for two windows. When spot or time has passed half of the present one, the next is prepared a slice of
contracts per record, so that no single tick pays for all; it is taken when the present one ends. Everything is decided
by the log. A thread could prepare it too, but only if its taking stayed tied to a record and if option events in
between reached both; a slice costs tens of microseconds, which is not worth that.

What changes all contributions at once (a fit of the surface, a settlement) or comes in runs before the open
(contracts, open interest, reports, rates) ends both windows instead, and the first record after it that needs the
fields pays for one rebuild: a few milliseconds, once for a whole run of such records, and little beside a fit, which
has read every contract itself.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import borrowing_kernel
from dhpe.numerics.panel_arrays import HOT, LANES, OFF, ON_NODES, SIDES, PanelArrays, PanelRules
from dhpe.numerics.panel_units import field_tau, unit_fields, write_terms, write_units
from dhpe.numerics.state import BETA_VANNA, CHARM, GAMMA, INSTANTS, VANNA

SLICE_ROWS: Final = 128
"""Contracts of the next window that are taken in per record."""


@borrowing_kernel
def _holds_nothing(contract: Any) -> bool:
    position = contract["position"]
    return position[0] == 0.0 and position[1] == 0.0 and position[2] == 0.0


@borrowing_kernel
def _add(window: Any, grid: Any, quantity: tuple[float, float, float], beta: float) -> None:
    """Add ``quantity`` contracts of the three books, whose unit fields stand in ``grid.units``, to a window."""
    naive, flow, weighted = quantity
    for instant in range(INSTANTS):
        units = grid["units"][instant]
        sums = window["sums"][instant]
        for node in range(sums.shape[0]):
            gamma, vanna, charm = units[GAMMA, node], units[VANNA, node], units[CHARM, node]
            beta_vanna = beta * vanna
            sums[node, 0] += naive * gamma
            sums[node, 1] += flow * gamma
            sums[node, 2] += weighted * gamma
            sums[node, 3] += naive * vanna
            sums[node, 4] += flow * vanna
            sums[node, 5] += weighted * vanna
            sums[node, 6] += naive * charm
            sums[node, 7] += flow * charm
            sums[node, 8] += weighted * charm
            sums[node, 9] += naive * beta_vanna
            sums[node, 10] += flow * beta_vanna
            sums[node, 11] += weighted * beta_vanna


@borrowing_kernel
def _add_priced(
    row: int, side: int, quantity: tuple[float, float, float], contracts: Any, expiries: Any, panel: PanelArrays
) -> None:
    """Price one contract at the points of a window and add ``quantity`` of it."""
    contract = contracts[row]
    place = contract["expiry"]
    expiry = expiries[place]
    window, grid = panel.windows[side], panel.grid[0]
    write_units(contract, expiry, (panel.terms[side, place, 0], panel.terms[side, place, 1]), window, grid)
    _add(window, grid, quantity, expiry["beta"])


@borrowing_kernel
def take_off(row: int, market: Any, contracts: Any, expiries: Any, panel: PanelArrays) -> None:
    """Take the contribution of one contract off the nodes; what was put on is computed again, to the same bits."""
    if market["panel_valid"] == 0:
        return
    contract = contracts[row]
    position = contract["position"]
    for side in range(SIDES):
        if panel.places[side, row] == ON_NODES:
            _add_priced(row, side, (-position[0], -position[1], -position[2]), contracts, expiries, panel)
            panel.places[side, row] = OFF
    market["panel_events"] += 1


@borrowing_kernel
def _is_hot(contract: Any, window: Any, rules: PanelRules) -> bool:
    if contract["settles_ns"] - window["end_ns"] >= rules.hot_tau_ns:
        return False
    tau = field_tau(contract["settles_ns"], window["start_ns"], rules.tau_floor_ns)
    deviation = contract["vol"] * math.sqrt(tau)
    return abs(window["center"] - contract["log_strike"]) < rules.hot_width * deviation


@borrowing_kernel
def _put_on_side(row: int, side: int, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules) -> None:
    contract = contracts[row]
    if panel.places[side, row] != OFF or contract["active"] == 0:
        return
    if not contract["vol"] > 0.0 or _holds_nothing(contract):
        return
    window = panel.windows[side]
    if _is_hot(contract, window, rules):
        panel.places[side, row] = HOT
        panel.hot_rows[side, window["hot_rows"]] = row
        window["hot_rows"] += 1
        return
    position = contract["position"]
    _add_priced(row, side, (position[0], position[1], position[2]), contracts, expiries, panel)
    panel.places[side, row] = ON_NODES


@borrowing_kernel
def put_on(row: int, market: Any, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules) -> None:
    """Add one contract where it is missing, to the nodes or the hot set, unless settled, unheld or without vol."""
    if market["panel_valid"] == 0:
        return
    for side in range(SIDES):
        if row < panel.windows[side]["rows"]:
            _put_on_side(row, side, contracts, expiries, panel, rules)


@borrowing_kernel
def move_position(
    row: int, book: int, quantity: float, market: Any, contracts: Any, expiries: Any, panel: PanelArrays
) -> None:
    """Add ``quantity`` contracts to one book; the nodes follow where the contract is on them."""
    contract = contracts[row]
    contract["position"][book] += quantity
    if market["panel_valid"] == 0:
        return
    books = (quantity if book == 0 else 0.0, quantity if book == 1 else 0.0, quantity if book == 2 else 0.0)
    for side in range(SIDES):
        if panel.places[side, row] == ON_NODES:
            _add_priced(row, side, books, contracts, expiries, panel)
    market["panel_events"] += 1


@borrowing_kernel
def _begin(
    side: int, center: float, start_ns: int, market: Any, expiries: Any, panel: PanelArrays, rules: PanelRules
) -> None:
    """Begin an empty window around a log spot from an instant on."""
    window = panel.windows[side]
    window["center"] = center
    window["half_width"] = rules.half_width
    window["low_spot"] = math.exp(center - 0.5 * rules.half_width)
    window["high_spot"] = math.exp(center + 0.5 * rules.half_width)
    window["start_ns"] = start_ns
    window["end_ns"] = start_ns + rules.window_ns
    window["rows"] = 0
    window["hot_rows"] = 0
    window["live"] = 0
    window["valued"] = 0
    window["held"] = 0
    window["american"] = 0
    window["anchored"] = 0
    window["informed"] = 0
    sums = window["sums"]
    for instant in range(sums.shape[0]):
        for node in range(sums.shape[1]):
            for lane in range(LANES):
                sums[instant, node, lane] = 0.0
    for row in range(market["contracts"]):
        panel.places[side, row] = OFF
    write_terms(window, expiries, market["expiries"], rules.tau_floor_ns, panel.terms[side])


@borrowing_kernel
def _count(contract: Any, window: Any) -> None:
    window["live"] += 1
    if contract["vol"] > 0.0:
        window["valued"] += 1
    if not _holds_nothing(contract):
        window["held"] += 1
    if contract["american"] == 1:
        window["american"] += 1
    if contract["anchored"] == 1:
        window["anchored"] += 1
    if contract["anchored"] == 1 or not math.isnan(contract["open_interest"]):
        window["informed"] += 1


@borrowing_kernel
def _take_in(
    side: int, rows: int, market: Any, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules
) -> None:
    """Take the next ``rows`` contracts into a window."""
    window = panel.windows[side]
    first = window["rows"]
    window["rows"] = min(first + rows, market["contracts"])
    for row in range(first, window["rows"]):
        if contracts[row]["active"] == 1:
            _count(contracts[row], window)
            _put_on_side(row, side, contracts, expiries, panel, rules)


@borrowing_kernel
def _adopt(side: int, market: Any, panel: PanelArrays) -> None:
    """Make a complete window the present one; the other one is empty from now on."""
    other = 1 - side
    panel.windows[side]["in_work"] = 0
    panel.windows[other]["in_work"] = 0
    panel.windows[other]["rows"] = 0
    for row in range(market["contracts"]):
        panel.places[other, row] = OFF
    window = panel.windows[side]
    market["panel_side"] = side
    market["panel_valid"] = 1
    market["panel_events"] = 0
    market["hot_rows"] = window["hot_rows"]
    market["live_contracts"] = window["live"]
    market["valued_contracts"] = window["valued"]
    market["held_contracts"] = window["held"]
    market["american_contracts"] = window["american"]
    market["anchored_contracts"] = window["anchored"]
    market["informed_contracts"] = window["informed"]


@borrowing_kernel
def rebuild(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules) -> None:
    """Build the panel anew around the present spot and time: O(contracts * nodes)."""
    _begin(0, math.log(market["spot"]), market["ts_ns"], market, expiries, panel, rules)
    _take_in(0, market["contracts"], market, contracts, expiries, panel, rules)
    _adopt(0, market, panel)
    market["panel_rebuilds"] += 1


@borrowing_kernel
def _covers(window: Any, market: Any) -> bool:
    if not window["start_ns"] <= market["ts_ns"] < window["end_ns"]:
        return False
    return abs(math.log(market["spot"]) - window["center"]) <= window["half_width"]


@borrowing_kernel
def covers(market: Any, panel: PanelArrays) -> bool:
    """Whether the present window holds the present spot and time."""
    return market["panel_valid"] == 1 and _covers(panel.windows[market["panel_side"]], market)


@borrowing_kernel
def move_on(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules) -> None:
    """Go to a window that holds the present spot and time: the prepared one if it does, else one built now."""
    side = 1 - market["panel_side"]
    window = panel.windows[side]
    if market["panel_valid"] == 1 and window["in_work"] == 1 and _covers(window, market):
        _take_in(side, market["contracts"], market, contracts, expiries, panel, rules)
        _adopt(side, market, panel)
    else:
        rebuild(market, contracts, expiries, panel, rules)


@borrowing_kernel
def prepare_next(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, rules: PanelRules) -> None:
    """Take a slice of contracts into the next window, once spot or time has passed half of the present one.

    Spot that runs is met by a window around the end of the present one that it runs to, from now on; time that passes
    by a window around the present spot, from the present end on.
    """
    if market["panel_valid"] == 0:
        return
    present = panel.windows[market["panel_side"]]
    side = 1 - market["panel_side"]
    if panel.windows[side]["in_work"] == 0:
        if market["spot"] > present["high_spot"]:
            _begin(side, present["center"] + rules.half_width, market["ts_ns"], market, expiries, panel, rules)
        elif market["spot"] < present["low_spot"]:
            _begin(side, present["center"] - rules.half_width, market["ts_ns"], market, expiries, panel, rules)
        elif 2 * (market["ts_ns"] - present["start_ns"]) > present["end_ns"] - present["start_ns"]:
            _begin(side, math.log(market["spot"]), present["end_ns"], market, expiries, panel, rules)
        else:
            return
        panel.windows[side]["in_work"] = 1
    if panel.windows[side]["rows"] < market["contracts"]:
        _take_in(side, SLICE_ROWS, market, contracts, expiries, panel, rules)


@borrowing_kernel
def _write_blend(window: Any, market: Any, grid: Any) -> None:
    """Write the Lagrange weights of the nodes at the present spot; they sum to 1."""
    nodes, weights, blend = grid["nodes"], grid["weights"], grid["blend"]
    count = nodes.shape[0]
    x = (math.log(market["spot"]) - window["center"]) / window["half_width"]
    # The product of all distances but one's own, from both ends: no division, so a node itself is no exception.
    product = 1.0
    for node in range(count):
        blend[node] = product
        product *= x - nodes[node]
    product = 1.0
    for place in range(count):
        node = count - 1 - place
        blend[node] *= weights[node] * product
        product *= x - nodes[node]


@borrowing_kernel
def _add_exactly(
    row: int, log_spot: float, market: Any, contracts: Any, expiries: Any, floor_ns: int, fields: NDArray[np.float64]
) -> None:
    contract = contracts[row]
    expiry = expiries[contract["expiry"]]
    tau = field_tau(contract["settles_ns"], market["ts_ns"], floor_ns)
    gamma, vanna, charm = unit_fields(log_spot, contract, expiry, tau)
    for book in range(contract["position"].shape[0]):
        quantity = contract["position"][book]
        fields[GAMMA, book] += quantity * gamma
        fields[VANNA, book] += quantity * vanna
        fields[CHARM, book] += quantity * charm
        fields[BETA_VANNA, book] += quantity * vanna * expiry["beta"]


@borrowing_kernel
def evaluate(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, floor_ns: int) -> None:
    """The fields at the present spot and time from the nodes and the hot contracts, into ``market.fields``."""
    side = market["panel_side"]
    window = panel.windows[side]
    grid = panel.grid[0]
    _write_blend(window, market, grid)
    late = (market["ts_ns"] - window["start_ns"]) / (window["end_ns"] - window["start_ns"])
    lanes, blend, sums = grid["lanes"], grid["blend"], window["sums"]
    for lane in range(LANES):
        lanes[lane] = 0.0
    for node in range(blend.shape[0]):
        begin, end = blend[node] * (1.0 - late), blend[node] * late
        for lane in range(LANES):
            lanes[lane] += begin * sums[0, node, lane] + end * sums[1, node, lane]
    fields = market["fields"]
    for field in range(fields.shape[0]):
        for book in range(fields.shape[1]):
            fields[field, book] = lanes[field * fields.shape[1] + book]
    if window["hot_rows"] > 0:
        log_spot = math.log(market["spot"])
        for hot in range(window["hot_rows"]):
            _add_exactly(panel.hot_rows[side, hot], log_spot, market, contracts, expiries, floor_ns, fields)
    market["fields_valid"] = 1


@borrowing_kernel
def recompute(market: Any, contracts: Any, expiries: Any, panel: PanelArrays, floor_ns: int) -> None:
    """The fields over all contracts anew at the present spot and time, into ``grid.exact``."""
    exact = panel.grid[0]["exact"]
    for field in range(exact.shape[0]):
        for book in range(exact.shape[1]):
            exact[field, book] = 0.0
    log_spot = math.log(market["spot"])
    for row in range(market["contracts"]):
        if contracts[row]["active"] == 1 and contracts[row]["vol"] > 0.0:
            _add_exactly(row, log_spot, market, contracts, expiries, floor_ns, exact)
