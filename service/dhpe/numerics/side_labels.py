"""The label of each trade: its side, the rule that made it, and the probability that it is right.

Options take the stack of Grauer et al., the underlying Lee-Ready. The feed's own aggressor wins, and is the truth from
which the rule that would have spoken learns.

What the rules do with odd quotes, and how a label says so (``QUOTE_STATES`` before the rule, as in
``crossed_quote/reverse_tick``):

- locked_quote: off its price the quote rule speaks, at it depth, then the tick.
- crossed_quote: the quote has no midpoint; trade size, the venue's quote or the tick must do.
- one_sided_quote: where nobody bids, the midpoint is half the offer; where nobody offers, a trade at the only bid or
  below is a sale, and above it the tick must do.
- stale_quote: older than ``quote_stale_s``; the rules speak as ever, and the label is worth less the older it is.

A trade more than ``FAR_FACTOR`` times outside its quote (far_trade) is no customer crossing a spread: it gets no side.
Where no quote stands before a trade, the quote's age is unknown and the tick decides.

A sweep is one order that takes several venues: its later parts take the decision of the first one (rule sweep), whose
quote alone was not yet moved by the order. A trade belongs to the decision of the trade just before it in the same
contract or instrument where it is no worse for the seller of a buy, nor for the buyer of a sale, than that trade, and
either has the first part's exchange time, or follows within ``sweep_ns`` at another known venue than the first part. A
trade whose side the feed tells needs no other, but later parts may take it from it.

Nothing is remembered over a break between sessions: no quote, no price of the tick rule, no trade that waits. What was
counted of the rules, and the share of late quotes, stay.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import CARRIES_QUOTE, MULTI_LEG
from dhpe.numerics.jit import kernel
from dhpe.numerics.quotes import mean_age_ns
from dhpe.numerics.side_calibration import (
    CROSSED,
    INDEX_OPTION,
    LOCKED,
    NO_QUOTE,
    ONE_SIDED,
    PACKAGE,
    SHARE_OPTION,
    UNDERLYING,
    WAITED,
    Counts,
    learn,
    probability,
    situation,
    spread_position,
    tick_word,
)
from dhpe.numerics.state import FAR_TRADE, SWEEP_PART, TRADE_WITHOUT_QUOTE, UNCLASSIFIED_TRADE
from dhpe.numerics.trade_side import (
    EXACT,
    RULE_AGGRESSOR,
    RULE_FAR_TRADE,
    RULE_NAMES,
    RULE_QUOTE,
    RULE_REVERSE_TICK,
    RULE_SWEEP,
    RULE_TICK,
    RULE_TRADE_SIZE,
    best_before,
    lee_ready_side,
    only_bid_side,
    quote_is_usable,
    remember_tick,
    stack_side,
    tick_side,
)

FAR_FACTOR: Final = 10.0
QUOTE_STATES: Final = ("", "locked_quote", "crossed_quote", "one_sided_quote", "stale_quote")
PLAIN_QUOTE, LOCKED_QUOTE, CROSSED_QUOTE, ONE_SIDED_QUOTE, STALE_QUOTE = range(len(QUOTE_STATES))
RULE_WORDS: Final = tuple(tuple(f"{state}/{rule}" if state else rule for rule in RULE_NAMES) for state in QUOTE_STATES)
"""What a label calls its rule, by quote state and rule."""


class SideRules(NamedTuple):
    """Published accuracies until calibrated, and times in ns; ``sweep_ns`` 0 for no sweeps."""

    stack: float
    index_lee_ready: float
    lee_ready: float
    tick: float
    multi_leg: float
    quote_stale_ns: int
    sweep_ns: int
    session_gap_ns: int


class Sight(NamedTuple):
    """What a trade saw: best quote (bid, bid size, ask, ask size), its age, position in it, and the tick rule."""

    best: tuple[float, float, float, float]
    age_ns: int
    position: int  # a code of side_calibration.POSITIONS
    state: int  # a code of QUOTE_STATES
    late_share: float  # of the feed that brought the quote
    tick: int
    moved: bool


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
def quote_state(position: int, age_ns: int, stale_ns: int) -> int:
    """What is odd about a quote: a code of ``QUOTE_STATES``."""
    if position == LOCKED:
        return LOCKED_QUOTE
    if position == CROSSED:
        return CROSSED_QUOTE
    if position == ONE_SIDED:
        return ONE_SIDED_QUOTE
    if position != NO_QUOTE and age_ns > stale_ns:
        return STALE_QUOTE
    return PLAIN_QUOTE


@kernel
def _look(event: Any, row: Any, late_share: float, stale_ns: int, market: Any) -> Sight:
    """What a trade sees in its contract or instrument: the quote that the record carries wins, if it carries one."""
    tick = row["tick"]
    if tick["ts_ns"] < market["session_ns"]:
        tick["price"] = 0.0
        tick["previous_price"] = 0.0
        tick["direction"] = 0
    best, age_ns = (event["bid"], event["bid_size"], event["ask"], event["ask_size"]), 0
    if event["flags"] & CARRIES_QUOTE == 0:
        best, age_ns = best_before(event["ts_event_ns"], row["quote"], row["earlier_quote"])
        if event["ts_event_ns"] - age_ns < market["session_ns"]:
            nan = float("nan")
            best, age_ns = (nan, nan, nan, nan), 0
    else:
        late_share = 0.0
    price = event["price"]
    position = spread_position(price, best[0], best[2], EXACT)
    if position == NO_QUOTE:
        late_share = 0.0  # what is late has no part in this label
    moved = tick["price"] > 0.0 and price != tick["price"]
    state = quote_state(position, age_ns, stale_ns)
    return Sight(best, age_ns, position, state, late_share, tick_side(price, tick), moved)


@kernel
def _place(side: int, sight: Sight, stale_ns: int) -> int:
    """The place of a label among the calibration's counts."""
    word = tick_word(side, sight.tick, sight.moved)
    return situation(sight.position, sight.best[0], sight.best[2], sight.age_ns, stale_ns, sight.late_share, word)


@kernel
def _write(
    place: int, side: int, rule: int, lee_ready: int, worth: float, sight: Sight, market: Any, labels: NDArray[np.void]
) -> None:
    label = labels[market["labels"]]
    label["event"] = place
    label["side"] = side
    label["rule"] = rule
    label["quote_state"] = PLAIN_QUOTE if rule in (RULE_AGGRESSOR, RULE_SWEEP) else sight.state
    label["lee_ready"] = lee_ready
    label["probability"] = worth
    label["quote_age_ns"] = -1 if sight.position == NO_QUOTE else sight.age_ns
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
def continues_sweep(ts_event_ns: int, source: int, price: float, last_price: float, sweep: Any, sweep_ns: int) -> bool:
    """Whether a trade is a later part of the order that the trade before it, at ``last_price``, belongs to.

    ``sweep`` is a row of ``state.SWEEP``, ``source`` a code of the venue, -1 unknown. See the head of this file.
    """
    if sweep_ns == 0 or sweep["side"] == 0 or (price - last_price) * sweep["side"] < 0.0:
        return False
    since_ns = ts_event_ns - sweep["first_ns"]
    elsewhere = source >= 0 and sweep["source"] >= 0 and source != sweep["source"]
    return bool(since_ns == 0 or (elsewhere and 0 < since_ns <= sweep_ns))


@kernel
def begin_sweep(ts_event_ns: int, source: int, side: int, worth: float, sweep: Any) -> None:
    """Remember a decision for the later parts of its order; side 0 where nothing was decided."""
    sweep["first_ns"] = ts_event_ns
    sweep["source"] = source
    sweep["side"] = side
    sweep["probability"] = worth


@kernel
def _is_part(event: Any, row: Any, far: bool, rules: SideRules) -> bool:
    if event["side"] != 0 or far or event["flags"] & MULTI_LEG:
        return False
    return continues_sweep(
        event["ts_event_ns"], event["source"], event["price"], row["tick"]["price"], row["sweep"], rules.sweep_ns
    )


@kernel
def label_underlying_trade(
    event: Any, place: int, instrument: Any, rules: SideRules, market: Any, labels: NDArray[np.void]
) -> int:
    """Lee-Ready; writes the label and returns the side."""
    sight = _look(event, instrument, market["underlying_late_share"], rules.quote_stale_ns, market)
    price, bid, ask = event["price"], sight.best[0], sight.best[2]
    if sight.position != NO_QUOTE:
        market["underlying_quote_age_ns"] = mean_age_ns(market["underlying_quote_age_ns"], sight.age_ns)
    lee_ready, rule = lee_ready_side(price, bid, ask, instrument["tick"])
    far = is_far(price, bid, ask)
    part = _is_part(event, instrument, far, rules)
    remember_tick(event["ts_event_ns"], price, instrument["tick"])
    if part:
        market["flags"][SWEEP_PART] += 1
        side, worth = int(instrument["sweep"]["side"]), instrument["sweep"]["probability"]
        _write(place, side, RULE_SWEEP, lee_ready, worth, sight, market, labels)
        return side
    side = lee_ready
    if far:
        market["flags"][FAR_TRADE] += 1
        side, rule = 0, RULE_FAR_TRADE
    elif only_bid_side(price, bid, ask) != 0:
        side, rule = -1, RULE_QUOTE
    where = (
        UNDERLYING,
        _place(side, sight, rules.quote_stale_ns),
        start_of(UNDERLYING, rule, True, rules),
        _trust(sight.age_ns, sight.late_share, rules.quote_stale_ns),
    )
    worth = _judge(event, side, rule, where, market)
    if event["side"] != 0:
        side, rule, worth = int(event["side"]), RULE_AGGRESSOR, 1.0
    begin_sweep(event["ts_event_ns"], event["source"], side, worth, instrument["sweep"])
    _write(place, side, rule, lee_ready, worth, sight, market, labels)
    return side


@kernel
def _stack(event: Any, sight: Sight, market: Any) -> tuple[int, int]:
    """Side and rule of an option trade; side 0 with the rule reverse_tick has to wait for the next price."""
    price, bid, ask = event["price"], sight.best[0], sight.best[2]
    if is_far(price, bid, ask):
        market["flags"][FAR_TRADE] += 1
        return 0, RULE_FAR_TRADE
    venue = (event["venue_bid"], event["venue_bid_size"], event["venue_ask"], event["venue_ask_size"])
    side, rule = stack_side(price, event["size"], sight.best, venue, EXACT)
    if side == 0 and only_bid_side(price, bid, ask) != 0:
        return -1, RULE_QUOTE
    return (side, rule) if side != 0 else (0, RULE_REVERSE_TICK)


@kernel
def label_option_trade(
    event: Any, place: int, contract: Any, rules: SideRules, market: Any, labels: NDArray[np.void]
) -> tuple[int, int, tuple[float, float]]:
    """The stack; writes the label. Returns (side, rule, probabilities if it was a sale, if it was a buy).

    Side 0 with the rule reverse_tick: the next different price in the contract will tell, and the probabilities are
    what that will be worth.
    """
    stale_ns = rules.quote_stale_ns
    sight = _look(event, contract, market["option_late_share"], stale_ns, market)
    if sight.position == NO_QUOTE:
        market["flags"][TRADE_WITHOUT_QUOTE] += 1
    else:
        market["option_quote_age_ns"] = mean_age_ns(market["option_quote_age_ns"], sight.age_ns)
    lee_ready, _ = lee_ready_side(event["price"], sight.best[0], sight.best[2], contract["tick"])
    part = _is_part(event, contract, is_far(event["price"], sight.best[0], sight.best[2]), rules)
    remember_tick(event["ts_event_ns"], event["price"], contract["tick"])
    if part:
        market["flags"][SWEEP_PART] += 1
        side, worth = int(contract["sweep"]["side"]), contract["sweep"]["probability"]
        _write(place, side, RULE_SWEEP, lee_ready, worth, sight, market, labels)
        return side, RULE_SWEEP, (worth, worth)
    side, rule = _stack(event, sight, market)
    instrument_class = SHARE_OPTION if contract["american"] == 1 else INDEX_OPTION
    start = start_of(instrument_class, rule, sight.best[1] > 0.0 and sight.best[3] > 0.0, rules)
    trust = _trust(sight.age_ns, sight.late_share, stale_ns)
    where = _place(side, sight, stale_ns)
    as_sale, as_buy = WAITED + tick_word(-1, sight.tick, False), WAITED + tick_word(1, sight.tick, False)
    if event["flags"] & MULTI_LEG:
        where, as_sale, as_buy, start = PACKAGE, PACKAGE, PACKAGE, rules.multi_leg
    worth = _judge(event, side, rule, (instrument_class, where, start, trust), market)
    worths = (worth, worth)
    if rule == RULE_REVERSE_TICK:
        counts = counts_of(market)
        worths = (
            probability(instrument_class, rule, as_sale, start, trust, counts),
            probability(instrument_class, rule, as_buy, start, trust, counts),
        )
    known = int(event["side"])
    if known != 0:
        begin_sweep(event["ts_event_ns"], event["source"], known, 1.0, contract["sweep"])
        _write(place, known, RULE_AGGRESSOR, lee_ready, 1.0, sight, market, labels)
    else:
        one_leg = event["flags"] & MULTI_LEG == 0
        begin_sweep(event["ts_event_ns"], event["source"], side if one_leg else 0, worth, contract["sweep"])
        _write(place, side, rule, lee_ready, worth, sight, market, labels)
    return side, rule, worths


@kernel
def learn_from_waiting(side: int, contract: Any, market: Any) -> None:
    """Score the reverse tick rule on the trades of known side that waited for the price that came now."""
    labelled = contract["waiting_buys"] + contract["waiting_sells"]
    right = contract["waiting_buys"] if side > 0 else contract["waiting_sells"]
    instrument_class = SHARE_OPTION if contract["american"] == 1 else INDEX_OPTION
    place = WAITED + tick_word(side, contract["tick"]["direction"], False)
    learn(instrument_class, RULE_REVERSE_TICK, place, right, labelled, counts_of(market))
