"""Option trades into the dealer books: moved at once, moved when the next price tells the side, or taken back.

Books move by whole multiples of ``GRAIN`` contracts, so that sums and differences are exact below 2^33 contracts: a
trade and its cancel leave each position as it was, to the bit, whatever came between. Where a print of open interest
came between, the position is what it would be had the trade never been: what was carried into the last print is
clipped again. Only where an older print had clipped too is that no longer known; the books then still end between
their bounds.
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
from dhpe.numerics.state import (
    CANCEL_OF_UNKNOWN_TRADE,
    FLOW,
    NS_PER_DAY,
    TRADE_CANCELLED,
    WAITED_OVER_BREAK,
    WEIGHTED,
)
from dhpe.numerics.trade_side import RULE_REVERSE_TICK

TRADE_SLOTS: Final = 16_384
"""Trades of an underlying that can still be cancelled: the last one of each sequence modulo this number."""
GRAIN: Final = 2.0**-20


@kernel
def grains(contracts: float) -> float:
    """The nearest whole multiple of ``GRAIN``."""
    return math.floor(contracts / GRAIN + 0.5) * GRAIN


@kernel
def _put(row: int, flow: float, weighted: float, state: ContractState, rules: PanelRules) -> None:
    market = state.market[0]
    panel.move_position(row, FLOW, flow, market, state.contracts, state.expiries, state.panel)
    panel.move_position(row, WEIGHTED, weighted, market, state.contracts, state.expiries, state.panel)
    panel.put_on(row, market, state.contracts, state.expiries, state.panel, rules)
    market["fields_valid"] = 0


@kernel
def _move(row: int, flow: float, weighted: float, day: int, state: ContractState, rules: PanelRules) -> None:
    """Move both books by what was traded on a UTC day."""
    contract = state.contracts[row]
    if day == contract["day"]:
        contract["day_moves"][FLOW] += flow
        contract["day_moves"][WEIGHTED] += weighted
    _put(row, flow, weighted, state, rules)


@kernel
def _count_volume(size: float, day: int, contract: Any, market: Any) -> None:
    if day > contract["day"]:
        contract["day"] = day
        contract["day_volume"] = 0.0
        for book in range(contract["day_moves"].shape[0]):
            contract["day_moves"][book] = 0.0
    contract["volume"] += size
    if day == contract["day"]:
        contract["day_volume"] += size
    market["open_interest_valid"] = 0


@kernel
def _came_after_print(prints: int, day: int, contract: Any) -> bool:
    """Whether what happened on ``day``, when ``prints`` had been taken, is later than the close of the last print."""
    if prints == contract["prints"]:
        return True
    return prints == contract["prints"] - 1 and day == contract["kept_day"]


@kernel
def _slot(sequence: int, source: int, trades: NDArray[np.void]) -> int:
    count = trades.shape[0]
    return (sequence % count + source % count) % count


@kernel
def _remember(
    event: Any, row: int, size: float, flow: float, weighted: float, contract: Any, trades: NDArray[np.void]
) -> int:
    """Keep what a trade did; returns 1 + its slot, 0 where it cannot be cancelled."""
    if event["sequence"] < 0 or trades.shape[0] == 0:
        return 0
    slot = _slot(event["sequence"], event["source"], trades)
    trade = trades[slot]
    trade["sequence"] = event["sequence"]
    trade["source"] = event["source"]
    trade["row"] = row
    trade["waiting"] = 0
    trade["earlier"] = 0
    trade["size"] = size
    trade["flow"] = flow
    trade["weighted"] = weighted
    trade["anchors"] = contract["anchors"]
    trade["prints"] = contract["prints"]
    trade["day"] = event["ts_event_ns"] // NS_PER_DAY
    trade["moved_prints"] = trade["prints"]
    trade["moved_day"] = trade["day"]
    return slot + 1


@kernel
def _end_waiting(
    price: float, day: int, row: int, state: ContractState, trades: NDArray[np.void], rules: PanelRules
) -> None:
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
        _move(row, -side * contract["waiting_size"], -side * weight, day, state, rules)
    slot = contract["waiting_slot"]
    while slot > 0:
        trade = trades[slot - 1]
        if trade["waiting"] == 0 or trade["row"] != row or trade["anchors"] != contract["anchors"]:
            break
        trade["waiting"] = 0
        trade["flow"] = -side * trade["flow"]
        trade["weighted"] = -side * (trade["weighted"] + (trade["buy_extra"] if side > 0.0 else 0.0))
        trade["moved_prints"] = contract["prints"]
        trade["moved_day"] = day
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
def _wait(
    event: Any, row: int, size: float, weighted: float, buy_extra: float, contract: Any, trades: NDArray[np.void]
) -> None:
    """Keep a trade out of the books until the next different price; as a buy it is worth ``buy_extra`` more."""
    contract["waiting_size"] += size
    contract["waiting_weight"] += weighted
    contract["waiting_buy_extra"] += buy_extra
    slot = _remember(event, row, size, size, weighted, contract, trades)
    if slot > 0:
        trades[slot - 1]["waiting"] = 1
        trades[slot - 1]["buy_extra"] = buy_extra
        trades[slot - 1]["earlier"] = contract["waiting_slot"]
        contract["waiting_slot"] = slot


@kernel
def clipped(contracts: float, open_interest: float) -> float:
    """Nobody holds more than is open; an unknown open interest bounds nothing."""
    return min(max(contracts, -open_interest), open_interest) if open_interest >= 0.0 else contracts


@kernel
def _take_from_carried(effect: float, book: int, contract: Any) -> float:
    """Take a trade out of what was carried into the last print; returns by how much the position moves."""
    if math.isnan(contract["carried"][book]):
        return 0.0  # began as naive at that print: the trade was no longer in it
    contract["carried"][book] -= effect
    before = contract["held"][book]
    contract["held"][book] = clipped(contract["carried"][book], contract["open_interest"])
    return contract["held"][book] - before


@kernel
def _cancel(event: Any, row: int, state: ContractState, trades: NDArray[np.void], rules: PanelRules) -> None:
    """Take back what the trade with the sequence ``cancels`` did."""
    market = state.market[0]
    slot = _slot(event["cancels"], event["source"], trades) if trades.shape[0] > 0 else -1
    if (
        slot < 0
        or trades[slot]["sequence"] != event["cancels"]
        or trades[slot]["source"] != event["source"]
        or trades[slot]["row"] != row
    ):
        market["flags"][CANCEL_OF_UNKNOWN_TRADE] += 1
        return
    trade = trades[slot]
    market["flags"][TRADE_CANCELLED] += 1
    market["open_interest_valid"] = 0
    contract = state.contracts[row]
    if _came_after_print(trade["prints"], trade["day"], contract):
        contract["volume"] = max(contract["volume"] - trade["size"], 0.0)
        if trade["day"] == contract["day"]:
            contract["day_volume"] -= trade["size"]
    if trade["anchors"] != contract["anchors"]:
        pass  # a report has replaced the position since, and does not hold what did not stand
    elif trade["waiting"] == 1:
        contract["waiting_size"] -= trade["flow"]
        contract["waiting_weight"] -= trade["weighted"]
        contract["waiting_buy_extra"] -= trade["buy_extra"]
        trade["flow"] = 0.0
        trade["weighted"] = 0.0
        trade["buy_extra"] = 0.0
    elif _came_after_print(trade["moved_prints"], trade["moved_day"], contract):
        _move(row, -trade["flow"], -trade["weighted"], trade["moved_day"], state, rules)
    else:
        flow = _take_from_carried(trade["flow"], FLOW, contract)
        weighted = _take_from_carried(trade["weighted"], WEIGHTED, contract)
        _put(row, flow, weighted, state, rules)
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
    day = event["ts_event_ns"] // NS_PER_DAY
    size = grains(event["size"])
    _count_volume(size, day, contract, market)
    _end_waiting(event["price"], day, row, state, trades, panel_rules)
    side, rule, worths = label_option_trade(event, place, contract, side_rules, market, labels)
    worth, worth_as_buy = worths
    if event["side"] != 0:
        if rule == RULE_REVERSE_TICK and event["flags"] & MULTI_LEG == 0:
            contract["waiting_buys"] += 1 if event["side"] > 0 else 0
            contract["waiting_sells"] += 1 if event["side"] < 0 else 0
        side, worth = int(event["side"]), 1.0
    weighted = grains((2.0 * worth - 1.0) * event["size"])
    if side != 0:
        _move(row, -side * size, -side * weighted, day, state, panel_rules)
        _remember(event, row, size, -side * size, -side * weighted, contract, trades)
    elif rule == RULE_REVERSE_TICK:
        buy_extra = grains((2.0 * worth_as_buy - 1.0) * event["size"]) - weighted
        _wait(event, row, size, weighted, buy_extra, contract, trades)
    else:
        _remember(event, row, size, 0.0, 0.0, contract, trades)
