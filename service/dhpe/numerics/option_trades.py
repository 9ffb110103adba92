"""Option trades into the dealer books: moved at once, moved when the next price tells the side, or taken back.

Books move by whole multiples of ``GRAIN`` contracts, so that sums and differences are exact: a trade and its cancel
leave each position as it was, to the bit, whatever came between.
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import MULTI_LEG
from dhpe.numerics import panel
from dhpe.numerics.jit import kernel
from dhpe.numerics.panel_arrays import PanelRules
from dhpe.numerics.revalue import ContractState, revalue
from dhpe.numerics.side_labels import SideRules, label_option_trade, learn_from_waiting
from dhpe.numerics.state import CANCEL_OF_UNKNOWN_TRADE, FLOW, TRADE_CANCELLED, WAITED_OVER_BREAK, WEIGHTED
from dhpe.numerics.trade_side import RULE_REVERSE_TICK

TRADE_SLOTS: Final = 16_384
"""Trades of an underlying that can still be cancelled: the last one of each sequence modulo this number."""
GRAIN: Final = 2.0**-20


@kernel
def _grains(contracts: float) -> float:
    return math.floor(contracts / GRAIN + 0.5) * GRAIN


@kernel
def _move(row: int, flow: float, weighted: float, state: ContractState, rules: PanelRules) -> None:
    market = state.market[0]
    panel.move_position(row, FLOW, flow, market, state.contracts, state.expiries, state.panel)
    panel.move_position(row, WEIGHTED, weighted, market, state.contracts, state.expiries, state.panel)
    panel.put_on(row, market, state.contracts, state.expiries, state.panel, rules)
    market["fields_valid"] = 0


@kernel
def _remember(event: Any, row: int, flow: float, weighted: float, anchors: int, trades: NDArray[np.void]) -> int:
    """Keep what a trade did; returns 1 + its slot, 0 where it cannot be cancelled."""
    if event["sequence"] < 0 or trades.shape[0] == 0:
        return 0
    slot = event["sequence"] % trades.shape[0]
    trade = trades[slot]
    trade["sequence"] = event["sequence"]
    trade["row"] = row
    trade["waiting"] = 0
    trade["earlier"] = 0
    trade["size"] = event["size"]
    trade["flow"] = flow
    trade["weighted"] = weighted
    trade["anchors"] = anchors
    return slot + 1


@kernel
def _end_waiting(price: float, row: int, state: ContractState, trades: NDArray[np.void], rules: PanelRules) -> None:
    """Let the trades that waited in a contract into the books, when a different price has told their side.

    What comes after a break between sessions tells nothing: they are let go.
    """
    contract = state.contracts[row]
    market = state.market[0]
    over_break = contract["tick"]["ts_ns"] < market["session_ns"]
    waited_at = contract["tick"]["price"]
    waiting = contract["waiting_size"] > 0.0 or contract["waiting_buys"] + contract["waiting_sells"] > 0
    if not waiting or (price == waited_at and not over_break):
        return
    side = 1.0 if waited_at > price else -1.0
    if over_break:
        side = 0.0
        market["flags"][WAITED_OVER_BREAK] += 1
    else:
        learn_from_waiting(int(side), contract, market)
    if contract["waiting_size"] > 0.0:
        weight = contract["waiting_weight"] + (contract["waiting_buy_extra"] if side > 0.0 else 0.0)
        _move(row, -side * contract["waiting_size"], -side * weight, state, rules)
    slot = contract["waiting_slot"]
    while slot > 0:
        trade = trades[slot - 1]
        if trade["waiting"] == 0 or trade["row"] != row or trade["anchors"] != contract["anchors"]:
            break
        trade["waiting"] = 0
        trade["flow"] = -side * trade["flow"]
        trade["weighted"] = -side * (trade["weighted"] + (trade["buy_extra"] if side > 0.0 else 0.0))
        slot = trade["earlier"]
    forget_waiting(contract)


@kernel
def forget_waiting(contract: Any) -> None:
    """Let go of the trades that wait in a contract."""
    contract["waiting_size"] = 0.0
    contract["waiting_weight"] = 0.0
    contract["waiting_buy_extra"] = 0.0
    contract["waiting_buys"] = 0
    contract["waiting_sells"] = 0
    contract["waiting_slot"] = 0


@kernel
def _wait(event: Any, row: int, weighted: float, buy_extra: float, contract: Any, trades: NDArray[np.void]) -> None:
    """Keep a trade out of the books until the next different price; as a buy it is worth ``buy_extra`` more."""
    contract["waiting_size"] += event["size"]
    contract["waiting_weight"] += weighted
    contract["waiting_buy_extra"] += buy_extra
    slot = _remember(event, row, event["size"], weighted, contract["anchors"], trades)
    if slot > 0:
        trades[slot - 1]["waiting"] = 1
        trades[slot - 1]["buy_extra"] = buy_extra
        trades[slot - 1]["earlier"] = contract["waiting_slot"]
        contract["waiting_slot"] = slot


@kernel
def _cancel(event: Any, row: int, state: ContractState, trades: NDArray[np.void], rules: PanelRules) -> None:
    """Take back what the trade with the sequence ``cancels`` did."""
    market = state.market[0]
    slot = event["cancels"] % max(trades.shape[0], 1)
    if trades.shape[0] == 0 or trades[slot]["sequence"] != event["cancels"] or trades[slot]["row"] != row:
        market["flags"][CANCEL_OF_UNKNOWN_TRADE] += 1
        return
    trade = trades[slot]
    market["flags"][TRADE_CANCELLED] += 1
    contract = state.contracts[row]
    if trade["anchors"] != contract["anchors"]:
        pass  # a report has replaced the position since, and does not hold what did not stand
    elif trade["waiting"] == 1:
        contract["waiting_size"] -= trade["flow"]
        contract["waiting_weight"] -= trade["weighted"]
        contract["waiting_buy_extra"] -= trade["buy_extra"]
        trade["flow"] = 0.0
        trade["weighted"] = 0.0
        trade["buy_extra"] = 0.0
    else:
        _move(row, -trade["flow"], -trade["weighted"], state, rules)
    trade["sequence"] = -1


@kernel
def apply_option_trade(
    event: Any,
    place: int,
    row: int,
    state: ContractState,
    trades: NDArray[np.void],
    rules: tuple[SideRules, PanelRules],
    labels: NDArray[np.void],
) -> None:
    """Label an option trade and move the flow books by it, or by taking back the trade that it cancels."""
    side_rules, panel_rules = rules
    market = state.market[0]
    contract = state.contracts[row]
    if contract["dirty"] == 1 and market["spot"] > 0.0:
        revalue(row, state, panel_rules)
    if event["cancels"] >= 0:
        _cancel(event, row, state, trades, panel_rules)
        return
    _end_waiting(event["price"], row, state, trades, panel_rules)
    side, rule, worths = label_option_trade(event, place, contract, side_rules, market, labels)
    worth, worth_as_buy = worths
    if event["side"] != 0:
        if rule == RULE_REVERSE_TICK and event["flags"] & MULTI_LEG == 0:
            contract["waiting_buys"] += 1 if event["side"] > 0 else 0
            contract["waiting_sells"] += 1 if event["side"] < 0 else 0
        side, worth = int(event["side"]), 1.0
    weighted = _grains((2.0 * worth - 1.0) * event["size"])
    if side != 0:
        _move(row, -side * event["size"], -side * weighted, state, panel_rules)
        _remember(event, row, -side * event["size"], -side * weighted, contract["anchors"], trades)
    elif rule == RULE_REVERSE_TICK:
        buy_extra = _grains((2.0 * worth_as_buy - 1.0) * event["size"]) - weighted
        _wait(event, row, weighted, buy_extra, contract, trades)
