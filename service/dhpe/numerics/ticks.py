"""One underlying's records in order: the kernel that applies a run of hot records to the state.

``advance`` applies records until something is due that does not belong into a kernel (a bar to judge, a surface to
refit, a state to publish) and says what. Everything that is due is decided by event time and the order of the log
alone, so a run may be cut anywhere without changing a bit.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import CLOCK, DEPTH, INDEX_VALUE, OPTION_QUOTE, OPTION_TRADE, QUOTE, TRADE
from dhpe.numerics import panel
from dhpe.numerics.jit import kernel
from dhpe.numerics.option_trades import apply_option_trade
from dhpe.numerics.panel_arrays import PanelRules
from dhpe.numerics.quotes import OPTION_SPREAD_MAX, flag_quote, is_late, keep_quote, late_share
from dhpe.numerics.revalue import ContractState, mark_dirty, revalue_dirty
from dhpe.numerics.side_labels import SideRules, label_underlying_trade
from dhpe.numerics.state import (
    LATE_QUOTE,
    QUOTE_WITHOUT_SPOT,
    SESSION_BREAK,
    SLOT_ASKED,
    SPOT_INDEX,
    TIME_BACKWARDS,
)
from dhpe.numerics.underlying_ticks import (
    PressureWeights,
    TapeState,
    apply_depth,
    apply_underlying_quote,
    apply_underlying_trade,
    close_liquidity_bars,
    set_spot,
)

# What is due at the record at which ``advance`` stopped.
DONE: Final = 0
CLOSE_BAR: Final = 1  # the open bar has ended; the record is not yet applied
REFIT: Final = 2  # forwards and smiles are due; the record is not yet applied
PUBLISH: Final = 3  # the record is applied and a new state is to be published

VIX: Final = 0
VVIX: Final = 1
INDEX_SPOT: Final = 2


class Rules(NamedTuple):
    """Event-time grids in nanoseconds, and what labels are worth. See ``parameters.Parameters``."""

    pressure_ns: int
    revalue_ns: int
    surface_ns: int
    bar_ns: int
    liquidity_ns: int
    spot_max_age_ns: int
    sides: SideRules
    pressure_weights: PressureWeights


@kernel
def _apply_option_quote(event: Any, row: int, state: ContractState, panel_rules: PanelRules) -> None:
    market = state.market[0]
    contract = state.contracts[row]
    flag_quote(event["bid"], event["ask"], OPTION_SPREAD_MAX, market)
    late = is_late(event["ts_event_ns"], contract)
    market["option_late_share"] = late_share(
        market["option_late_share"], late, event["bid"], event["ask"], contract["quote"]
    )
    if late:
        market["flags"][LATE_QUOTE] += 1
    if not keep_quote(
        event["ts_event_ns"], (event["bid"], event["bid_size"], event["ask"], event["ask_size"]), contract
    ):
        return
    contract["quote_spot"] = market["spot"]
    if not market["spot"] > 0.0:
        market["flags"][QUOTE_WITHOUT_SPOT] += 1
    if market["dirty_rows"] >= state.dirty.shape[0]:
        revalue_dirty(state, panel_rules)
    mark_dirty(row, state)


@kernel
def _apply_index_value(event: Any, code: int, market: Any, rules: Rules) -> None:
    if code == VIX:
        both_known = market["vix"] > 0.0 and market["joint_spot"] > 0.0
        if both_known and event["price"] != market["vix"] and market["spot"] != market["joint_spot"]:
            market["joint_ticks"] += 1
            if (event["price"] > market["vix"]) != (market["spot"] > market["joint_spot"]):
                market["opposite_ticks"] += 1
        market["vix"] = event["price"]
        market["joint_spot"] = market["spot"]
    elif code == VVIX:
        market["vvix"] = event["price"]
    elif code == INDEX_SPOT:
        set_spot(event["price"], SPOT_INDEX, event["ts_event_ns"], market, rules.spot_max_age_ns)


@kernel
def refresh_fields(state: ContractState, rules: PanelRules) -> None:
    """Bring ``market.fields`` to the present spot and time; builds the panel anew where its window has ended."""
    market = state.market[0]
    if not market["spot"] > 0.0 or market["contracts"] == 0:
        return
    if market["panel_events"] > rules.rebuild_events:
        panel.rebuild(market, state.contracts, state.expiries, state.panel, rules)
    elif not panel.covers(market, state.panel):
        panel.move_on(market, state.contracts, state.expiries, state.panel, rules)
    panel.evaluate(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)


@kernel
def settle(state: ContractState, now_ns: int) -> None:
    """Take the series that have settled by ``now_ns`` out of the books and find the next settlement."""
    market = state.market[0]
    market["next_settlement_ns"] = np.iinfo(np.int64).max
    for row in range(market["contracts"]):
        contract = state.contracts[row]
        if contract["active"] == 0:
            continue
        if contract["settles_ns"] <= now_ns:
            contract["active"] = 0
        else:
            market["next_settlement_ns"] = min(market["next_settlement_ns"], contract["settles_ns"])
    market["open_interest_valid"] = 0
    market["panel_valid"] = 0
    market["fields_valid"] = 0


@kernel
def _note_session(ts_event_ns: int, market: Any, gap_ns: int) -> None:
    """Begin a new session at the first quote or trade after a silence; clocks and indices run through the night."""
    if market["active_ns"] > 0 and ts_event_ns - market["active_ns"] > gap_ns:
        market["session_ns"] = ts_event_ns
        market["flags"][SESSION_BREAK] += 1
    market["active_ns"] = max(market["active_ns"], ts_event_ns)


@kernel
def _apply(
    events: NDArray[np.void],
    place: int,
    row: int,
    state: ContractState,
    tape: TapeState,
    levels: NDArray[np.float64],
    rules: tuple[Rules, PanelRules],
    labels: NDArray[np.void],
) -> None:
    market = state.market[0]
    event = events[place]
    grid, panel_rules = rules
    if event["kind"] not in (INDEX_VALUE, CLOCK):
        _note_session(event["ts_event_ns"], market, grid.sides.session_gap_ns)
    if event["kind"] == OPTION_QUOTE:
        _apply_option_quote(event, row, state, panel_rules)
    elif event["kind"] == OPTION_TRADE:
        apply_option_trade(event, place, row, state, tape.trades, (grid.sides, panel_rules), labels)
    elif event["kind"] == QUOTE:
        apply_underlying_quote(event, row, market, tape, grid.spot_max_age_ns)
    elif event["kind"] == TRADE:
        instrument = tape.instruments[row]
        side = label_underlying_trade(event, place, instrument, grid.sides, market, labels)
        apply_underlying_trade(event, side, instrument, market, grid.spot_max_age_ns)
    elif event["kind"] == DEPTH:
        apply_depth(event, row, market, tape, levels, grid.spot_max_age_ns)
    elif event["kind"] == INDEX_VALUE:
        _apply_index_value(event, row, market, grid)


@kernel
def _work_due(now_ns: int, state: ContractState, tape: TapeState, rules: Rules, panel_rules: PanelRules) -> int:
    """Do what event time asks for before a record is applied; returns what the caller must do first."""
    market = state.market[0]
    if market["bar_slot"] >= 0 and now_ns // rules.bar_ns > market["bar_slot"]:
        if market["fields_valid"] == 0:
            refresh_fields(state, panel_rules)
        return CLOSE_BAR
    close_liquidity_bars(now_ns // rules.liquidity_ns, market, tape, rules.pressure_weights)
    if now_ns >= market["next_settlement_ns"]:
        settle(state, now_ns)
    slot = now_ns // rules.revalue_ns
    if slot > market["revalue_slot"]:
        asked = market["dirty_rows"] > 0 or market["surface_slot"] == SLOT_ASKED
        if asked and market["spot"] > 0.0:
            if now_ns // rules.surface_ns > market["surface_slot"]:
                return REFIT
            revalue_dirty(state, panel_rules)
        market["revalue_slot"] = slot
    return DONE


@kernel
def _open_bar(market: Any, bar_ns: int) -> None:
    """Begin the regime bar that holds the present event time."""
    market["bar_slot"] = market["ts_ns"] // bar_ns
    market["bar_open"] = market["spot"]
    market["bar_high"] = market["spot"]
    market["bar_low"] = market["spot"]
    market["bar_close"] = market["spot"]
    market["bid_depleted"] = 0.0
    market["bid_refilled"] = 0.0
    market["bid_cancelled"] = 0.0
    market["bid_traded"] = 0.0
    market["opposite_ticks"] = 0
    market["joint_ticks"] = 0


@kernel
def advance(
    events: NDArray[np.void],
    rows: NDArray[np.int32],
    start: int,
    levels: NDArray[np.float64],
    labels: NDArray[np.void],
    state: ContractState,
    tape: TapeState,
    rules: tuple[Rules, PanelRules],
) -> tuple[int, int]:
    """Apply ``events[start:]`` until something is due. Returns (next record to apply, what is due at it).

    ``rows`` says for each record which contract, instrument or index it speaks of.
    """
    grid, panel_rules = rules
    market = state.market[0]
    for place in range(start, events.shape[0]):
        event = events[place]
        now_ns = max(event["ts_event_ns"], market["ts_ns"])
        due = _work_due(now_ns, state, tape, grid, panel_rules)
        if due != DONE:
            return place, due
        if event["ts_event_ns"] < market["ts_ns"]:
            market["flags"][TIME_BACKWARDS] += 1
        market["ts_ns"] = now_ns
        if market["bar_slot"] < 0 and market["spot"] > 0.0:
            _open_bar(market, grid.bar_ns)
        spot = market["spot"]
        _apply(events, place, rows[place], state, tape, levels, rules, labels)
        if market["spot"] != spot:
            refresh_fields(state, panel_rules)
        panel.prepare_next(market, state.contracts, state.expiries, state.panel, panel_rules)
        if grid.pressure_ns == 0 or now_ns // grid.pressure_ns > market["pressure_slot"]:
            market["pressure_slot"] = 0 if grid.pressure_ns == 0 else now_ns // grid.pressure_ns
            refresh_fields(state, panel_rules)
            return place + 1, PUBLISH
    return events.shape[0], DONE
