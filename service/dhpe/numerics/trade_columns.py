"""The trade side rules over columns of many trades: one kernel call each, for scores and for feeds in bulk."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import MULTI_LEG
from dhpe.numerics.jit import kernel
from dhpe.numerics.side_calibration import WAITED, situation, spread_position, tick_word
from dhpe.numerics.side_labels import begin_sweep, continues_sweep
from dhpe.numerics.state import SWEEP
from dhpe.numerics.trade_side import (
    EXACT,
    RULE_CLNV,
    RULE_DEPTH,
    RULE_EMO,
    RULE_LEE_READY,
    RULE_QUOTE,
    RULE_REVERSE_CLNV,
    RULE_REVERSE_EMO,
    RULE_REVERSE_LEE_READY,
    RULE_REVERSE_TICK,
    RULE_STACK,
    RULE_TICK,
    RULE_TRADE_SIZE,
    Tolerance,
    at_one_quote,
    compared,
    depth_side,
    near_one_quote,
    quote_side,
    stack_side,
    trade_size_side,
)

Floats = NDArray[np.float64]


class TradeColumns(NamedTuple):
    """Trades (n,) with the best quote and the venue's quote in force before each; NaN where absent.

    ``previous_price`` and ``next_price`` are the closest different prices of the same instrument before and after.
    """

    price: Floats
    size: Floats
    bid: Floats
    bid_size: Floats
    ask: Floats
    ask_size: Floats
    venue_bid: Floats
    venue_bid_size: Floats
    venue_ask: Floats
    venue_ask_size: Floats
    previous_price: Floats
    next_price: Floats


@kernel
def previous_prices(price: Floats, instrument: NDArray[np.int64], instruments: int, previous: Floats) -> None:
    """Write into ``previous`` (n,) the closest different price before each trade of its instrument, else NaN.

    ``instrument`` (n,) are codes below ``instruments``.
    """
    last = np.full(instruments, np.nan)
    different = np.full(instruments, np.nan)
    for place in range(price.shape[0]):
        code = instrument[place]
        if price[place] != last[code]:
            different[code] = last[code]
            last[code] = price[place]
        previous[place] = different[code]


@kernel
def next_prices(price: Floats, instrument: NDArray[np.int64], instruments: int, following: Floats) -> None:
    """As ``previous_prices``, after each trade: hindsight, which the reverse tick rule needs."""
    last = np.full(instruments, np.nan)
    different = np.full(instruments, np.nan)
    for place in range(price.shape[0] - 1, -1, -1):
        code = instrument[place]
        if price[place] != last[code]:
            different[code] = last[code]
            last[code] = price[place]
        following[place] = different[code]


@kernel
def _side(
    rule: int,
    price: float,
    size: float,
    best: tuple[float, float, float, float],
    venue: tuple[float, float, float, float],
    different: tuple[float, float],
    tolerance: Tolerance,
) -> int:
    """The side by one rule; ``different`` are the closest different prices before and after."""
    bid, bid_size, ask, ask_size = best
    if rule in (RULE_REVERSE_TICK, RULE_REVERSE_LEE_READY, RULE_REVERSE_EMO, RULE_REVERSE_CLNV, RULE_STACK):
        tick = compared(price, different[1])
    else:
        tick = compared(price, different[0])
    if rule in (RULE_TICK, RULE_REVERSE_TICK):
        return tick
    if rule in (RULE_QUOTE, RULE_LEE_READY, RULE_REVERSE_LEE_READY):
        side = quote_side(price, bid, ask)
        return side if side != 0 or rule == RULE_QUOTE else tick
    if rule in (RULE_EMO, RULE_REVERSE_EMO):
        return quote_side(price, bid, ask) if at_one_quote(price, bid, ask, tolerance) else tick
    if rule in (RULE_CLNV, RULE_REVERSE_CLNV):
        return quote_side(price, bid, ask) if near_one_quote(price, bid, ask) else tick
    if rule == RULE_TRADE_SIZE:
        return trade_size_side(size, bid_size, ask_size, tolerance)
    if rule == RULE_DEPTH:
        return depth_side(price, best, tolerance)
    if rule == RULE_STACK:
        side, _ = stack_side(price, size, best, venue, tolerance)
        return side if side != 0 else tick
    return 0


@kernel
def classify(rule: int, trades: TradeColumns, tolerance: Tolerance, sides: NDArray[np.int8]) -> None:
    """Write the side of each trade by ``rule`` (a code of ``trade_side``) into ``sides`` (n,)."""
    # The columns stay in this function: to hand them on would count references at each trade.
    for i in range(trades.price.shape[0]):
        sides[i] = _side(
            rule,
            trades.price[i],
            trades.size[i],
            (trades.bid[i], trades.bid_size[i], trades.ask[i], trades.ask_size[i]),
            (trades.venue_bid[i], trades.venue_bid_size[i], trades.venue_ask[i], trades.venue_ask_size[i]),
            (trades.previous_price[i], trades.next_price[i]),
            tolerance,
        )


@kernel
def stack_rules(trades: TradeColumns, tolerance: Tolerance, rules: NDArray[np.int8]) -> None:
    """Write which rule of the stack speaks of each trade into ``rules`` (n,), the reverse tick where no other does."""
    for place in range(trades.price.shape[0]):
        best = (trades.bid[place], trades.bid_size[place], trades.ask[place], trades.ask_size[place])
        venue = (
            trades.venue_bid[place],
            trades.venue_bid_size[place],
            trades.venue_ask[place],
            trades.venue_ask_size[place],
        )
        side, rule = stack_side(trades.price[place], trades.size[place], best, venue, tolerance)
        rules[place] = rule if side != 0 else RULE_REVERSE_TICK


@kernel
def spread_positions(trades: TradeColumns, positions: NDArray[np.int64]) -> None:
    """Write where in its spread each trade stands, a code of ``side_calibration.POSITIONS``, into ``positions``."""
    for place in range(trades.price.shape[0]):
        positions[place] = spread_position(trades.price[place], trades.bid[place], trades.ask[place], EXACT)


@kernel
def situations(
    trades: TradeColumns,
    sides: NDArray[np.int8],
    rules: NDArray[np.int8],
    moved: NDArray[np.bool_],
    age_ns: NDArray[np.int64],
    stale_ns: int,
    places: NDArray[np.int64],
) -> None:
    """Write the situation of each label, of an orderly feed, into ``places`` (n,).

    ``rules`` (n,) made the ``sides``; ``moved``: the price is not that of the trade before in the instrument.
    """
    for place in range(trades.price.shape[0]):
        price, bid, ask = trades.price[place], trades.bid[place], trades.ask[place]
        position = spread_position(price, bid, ask, EXACT)
        tick = compared(price, trades.previous_price[place])
        if rules[place] == RULE_REVERSE_TICK:
            places[place] = WAITED + tick_word(sides[place], tick, False)
            continue
        word = tick_word(sides[place], tick, moved[place])
        places[place] = situation(position, bid, ask, age_ns[place], stale_ns, 0.0, word)


@kernel
def price_moves(price: Floats, instrument: NDArray[np.int64], instruments: int, moved: NDArray[np.bool_]) -> None:
    """Write into ``moved`` (n,) whether each trade changed the last price of its instrument."""
    last = np.full(instruments, np.nan)
    for place in range(price.shape[0]):
        code = instrument[place]
        moved[place] = not np.isnan(last[code]) and price[place] != last[code]
        last[code] = price[place]


@kernel
def sweep_firsts(
    events: NDArray[np.void],
    instrument: NDArray[np.int64],
    instruments: int,
    sides: NDArray[np.int8],
    sweep_ns: int,
    firsts: NDArray[np.int64],
) -> None:
    """Write for each trade, a row of ``columns.EVENT``, the place of the first part of its order into ``firsts`` (n,).

    Its own place where it is no later part of a sweep. ``sides`` (n,) are what a rule says of each trade by itself;
    the sources of the events are codes of venues.
    """
    sweeps = np.zeros(instruments, SWEEP)
    last = np.zeros(instruments)
    begun = np.zeros(instruments, np.int64)
    for place in range(events.shape[0]):
        event, code = events[place], instrument[place]
        now_ns, source, price = event["ts_event_ns"], event["source"], event["price"]
        whole = event["flags"] & MULTI_LEG == 0
        if not whole or not continues_sweep(now_ns, source, price, last[code], sweeps[code], sweep_ns):
            begun[code] = place
            begin_sweep(now_ns, source, sides[place] if whole else 0, 0.5, sweeps[code])
        last[code] = price
        firsts[place] = begun[code]
