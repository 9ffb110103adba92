"""The label of each trade: its side, the rule that made it, and the probability that it is right.

Options take the stack of Grauer et al., the underlying Lee-Ready. The feed's own aggressor wins, and is the truth from
which the rule that would have spoken learns. A trade more than ``FAR_FACTOR`` times outside its quote is no customer
crossing a spread: it gets no side.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import MULTI_LEG
from dhpe.numerics.jit import kernel
from dhpe.numerics.side_calibration import (
    INDEX_OPTION,
    PACKAGE,
    SHARE_OPTION,
    UNDERLYING,
    WAITED,
    Counts,
    learn,
    probability,
    situation,
    spread_position,
)
from dhpe.numerics.state import FAR_TRADE, TRADE_WITHOUT_QUOTE, UNCLASSIFIED_TRADE
from dhpe.numerics.trade_side import (
    EXACT,
    RULE_AGGRESSOR,
    RULE_NONE,
    RULE_REVERSE_TICK,
    RULE_TICK,
    RULE_TRADE_SIZE,
    best_before,
    lee_ready_side,
    quote_is_usable,
    remember_tick,
    stack_side,
)

FAR_FACTOR: Final = 10.0


class SideRules(NamedTuple):
    """Published accuracies until calibrated, and the age in ns from which a quote counts less."""

    stack: float
    index_lee_ready: float
    lee_ready: float
    tick: float
    multi_leg: float
    quote_stale_ns: int


@kernel
def counts_of(market: Any) -> Counts:
    """The calibration's counts of an underlying."""
    return Counts(market["side_known"], market["side_right"], market["side_labelled"])


@kernel
def is_far(price: float, bid: float, ask: float) -> bool:
    """Whether a price is beyond ten times the ask or below a tenth of the bid."""
    return quote_is_usable(bid, ask) and (price > FAR_FACTOR * ask or FAR_FACTOR * price < bid)


@kernel
def _trust(age_ns: int, late: float, stale_ns: int) -> float:
    """How much of a label's edge over a coin survives an old quote and a feed that delivers late."""
    trust = 1.0 - late
    if age_ns > stale_ns:
        trust *= stale_ns / age_ns
    return trust


@kernel
def start_of(instrument_class: int, rule: int, sized: bool, rules: SideRules) -> float:
    """The published accuracy of a label. Without sizes the stack is nothing but Lee-Ready."""
    if instrument_class == UNDERLYING:
        return rules.tick if rule == RULE_TICK else rules.lee_ready
    if instrument_class == INDEX_OPTION and rule != RULE_TRADE_SIZE:
        return rules.index_lee_ready
    return rules.stack if sized else rules.lee_ready


@kernel
def _write(
    place: int, side: int, rule: int, lee_ready: int, worth: float, age_ns: int, market: Any, labels: NDArray[np.void]
) -> None:
    label = labels[market["labels"]]
    label["event"] = place
    label["side"] = side
    label["rule"] = rule
    label["lee_ready"] = lee_ready
    label["probability"] = worth
    label["quote_age_ns"] = age_ns
    market["labels"] += 1
    if side == 0:
        market["flags"][UNCLASSIFIED_TRADE] += 1


@kernel
def _judge(event: Any, side: int, rule: int, where: tuple[int, int, float, float], market: Any) -> float:
    """Probability of a label, ``where`` = (class, situation, start, trust); learns where the side is known."""
    instrument_class, place, start, trust = where
    counts = counts_of(market)
    worth = 0.5
    if side != 0:
        worth = probability(instrument_class, rule, place, start, trust, counts)
    if event["side"] != 0:
        counts.known[instrument_class] += 1
        if side != 0:
            learn(instrument_class, rule, place, 1 if side == event["side"] else 0, 1, counts)
    return worth


@kernel
def label_underlying_trade(
    event: Any, place: int, instrument: Any, rules: SideRules, market: Any, labels: NDArray[np.void]
) -> int:
    """Lee-Ready; writes the label and returns the side."""
    best, age_ns = best_before(event["ts_event_ns"], instrument["quote"], instrument["earlier_quote"])
    price = event["price"]
    side, rule = lee_ready_side(price, best[0], best[2], instrument["tick"])
    remember_tick(price, instrument["tick"])
    lee_ready = side
    if is_far(price, best[0], best[2]):
        market["flags"][FAR_TRADE] += 1
        side, rule = 0, RULE_NONE
    late = market["underlying_late_share"]
    position = spread_position(price, best[0], best[2], EXACT)
    where = (
        UNDERLYING,
        situation(position, best[0], best[2], age_ns, late),
        start_of(UNDERLYING, rule, True, rules),
        _trust(age_ns, late, rules.quote_stale_ns),
    )
    worth = _judge(event, side, rule, where, market)
    if event["side"] != 0:
        side, rule, worth = int(event["side"]), RULE_AGGRESSOR, 1.0
    _write(place, side, rule, lee_ready, worth, age_ns if best[2] > 0.0 else -1, market, labels)
    return side


@kernel
def _quotes(event: Any, contract: Any) -> tuple[tuple[float, float, float, float], int]:
    """The best quote before an option trade and its age: the one that the record carries wins."""
    if event["ask"] > 0.0:
        return (event["bid"], event["bid_size"], event["ask"], event["ask_size"]), 0
    return best_before(event["ts_event_ns"], contract["quote"], contract["earlier_quote"])


@kernel
def label_option_trade(
    event: Any, place: int, contract: Any, rules: SideRules, market: Any, labels: NDArray[np.void]
) -> tuple[int, int, float]:
    """The stack; writes the label. Returns (side, rule, probability).

    Side 0 with the rule reverse_tick: the next different price in the contract will tell, and the probability is what
    that will be worth.
    """
    best, age_ns = _quotes(event, contract)
    venue = (event["venue_bid"], event["venue_bid_size"], event["venue_ask"], event["venue_ask_size"])
    price = event["price"]
    lee_ready, _ = lee_ready_side(price, best[0], best[2], contract["tick"])
    remember_tick(price, contract["tick"])
    known = int(event["side"])
    far = is_far(price, best[0], best[2])
    side, rule = 0, RULE_NONE
    if far:
        market["flags"][FAR_TRADE] += 1
    else:
        side, rule = stack_side(price, event["size"], best, venue, EXACT)
        if side == 0:
            rule = RULE_REVERSE_TICK
    if not best[2] > 0.0:
        market["flags"][TRADE_WITHOUT_QUOTE] += 1
    instrument_class = SHARE_OPTION if contract["american"] == 1 else INDEX_OPTION
    start = start_of(instrument_class, rule, best[1] > 0.0 and best[3] > 0.0, rules)
    late = market["option_late_share"]
    trust = _trust(age_ns, late, rules.quote_stale_ns)
    where = WAITED
    if event["flags"] & MULTI_LEG:
        where, start = PACKAGE, rules.multi_leg
    elif side != 0:
        where = situation(spread_position(price, best[0], best[2], EXACT), best[0], best[2], age_ns, late)
    worth = _judge(event, side, rule, (instrument_class, where, start, trust), market)
    if rule == RULE_REVERSE_TICK:
        worth = probability(instrument_class, rule, where, start, trust, counts_of(market))
    shown = worth if side != 0 else 0.5
    age_ns = age_ns if best[2] > 0.0 else -1
    if known != 0:
        _write(place, known, RULE_AGGRESSOR, lee_ready, 1.0, age_ns, market, labels)
    else:
        _write(place, side, rule, lee_ready, shown, age_ns, market, labels)
    return side, rule, worth


@kernel
def learn_from_waiting(side: int, contract: Any, market: Any) -> None:
    """Score the reverse tick rule on the trades of known side that waited for the price that came now."""
    labelled = contract["waiting_buys"] + contract["waiting_sells"]
    right = contract["waiting_buys"] if side > 0 else contract["waiting_sells"]
    instrument_class = SHARE_OPTION if contract["american"] == 1 else INDEX_OPTION
    learn(instrument_class, RULE_REVERSE_TICK, WAITED, right, labelled, counts_of(market))
