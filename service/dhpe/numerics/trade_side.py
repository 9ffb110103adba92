"""Who started a trade: the rules of the literature, one trade at a time; +1 buy, -1 sell, 0 not classified.

Sources: Lee and Ready (1991), tick and quote rule; Ellis, Michaely and O'Hara (2000), EMO; Chakrabarty, Li, Nguyen and
Van Ness (2007), CLNV; Grauer, Schuster and Uhrig-Homburg (2023), trade size and depth. The quote in force is the one
strictly before the trade in exchange time; allowing the same instant ruins the label (MODEL.md section 8).
"""

from typing import Any, Final, NamedTuple

from dhpe.numerics.jit import kernel

RULE_NAMES: Final = (
    "none",
    "aggressor",
    "quote",
    "tick",
    "reverse_tick",
    "depth",
    "trade_size",
    "venue_quote",
    "venue_depth",
    "sweep",
    "far_trade",
    # whole algorithms, which a score names; the rules above are what a label carries
    "lee_ready",
    "emo",
    "clnv",
    "stack",
    "reverse_lee_ready",
    "reverse_emo",
    "reverse_clnv",
)
(
    RULE_NONE,
    RULE_AGGRESSOR,
    RULE_QUOTE,
    RULE_TICK,
    RULE_REVERSE_TICK,
    RULE_DEPTH,
    RULE_TRADE_SIZE,
    RULE_VENUE_QUOTE,
    RULE_VENUE_DEPTH,
    RULE_SWEEP,
    RULE_FAR_TRADE,
    RULE_LEE_READY,
    RULE_EMO,
    RULE_CLNV,
    RULE_STACK,
    RULE_REVERSE_LEE_READY,
    RULE_REVERSE_EMO,
    RULE_REVERSE_CLNV,
) = range(len(RULE_NAMES))
LABEL_RULES: Final = RULE_LEE_READY
"""Number of the rules that a label can carry: the codes below this one."""

CLNV_SHARE: Final = 0.3
"""Of the spread, from either quote inwards, where CLNV trusts the quote rule."""


class Tolerance(NamedTuple):
    """Two numbers are the same when they differ by at most absolute + relative * |the second|."""

    absolute: float
    relative: float


EXACT: Final = Tolerance(0.0, 1e-9)
"""Prices and sizes that went through text: equal but for their last bits."""
PUBLISHED: Final = Tolerance(1e-4, 1e-5)
"""What the reference implementation of Grauer et al. takes for equal; too wide above prices of about 1,000."""


@kernel
def quote_is_usable(bid: float, ask: float) -> bool:
    """Whether a quote has a midpoint to compare with: an offer, a bid of 0 or more, and not crossed."""
    return ask > 0.0 and bid >= 0.0 and bid <= ask


@kernel
def quote_side(price: float, bid: float, ask: float) -> int:
    """Quote rule: +1 above the midpoint, -1 below, 0 at the midpoint or where the quote is unusable."""
    if not quote_is_usable(bid, ask):
        return 0
    # Compared as sums: halving first would round, and exact midpoints are common.
    doubled = 2.0 * price - (bid + ask)
    if doubled > 0.0:
        return 1
    if doubled < 0.0:
        return -1
    return 0


@kernel
def only_bid_side(price: float, bid: float, ask: float) -> int:
    """Where nobody offers: -1 at the only bid and below it, 0 above; 0 for every other quote."""
    return -1 if bid > 0.0 and not ask > 0.0 and price <= bid else 0


@kernel
def tick_side(price: float, tick: Any) -> int:
    """Tick rule: the sign of the last change of price that includes this trade, 0 before any change.

    ``tick`` is a row of ``state.TICK`` as it stood before this trade.
    """
    if tick["price"] > 0.0:
        if price > tick["price"]:
            return 1
        if price < tick["price"]:
            return -1
    return int(tick["direction"])


@kernel
def compared(price: float, other: float) -> int:
    """+1 where a price is above another, -1 below, 0 where they are equal or the other is absent (NaN)."""
    if price > other:
        return 1
    if price < other:
        return -1
    return 0


@kernel
def same(value: float, other: float, tolerance: Tolerance) -> bool:
    """Whether two numbers are the same within ``tolerance``; NaN is the same as nothing."""
    return abs(value - other) <= tolerance.absolute + tolerance.relative * abs(other)


@kernel
def at_one_quote(price: float, bid: float, ask: float, tolerance: Tolerance) -> bool:
    """Whether a trade is at the bid or at the ask, and not at both: where EMO trusts the quote rule."""
    return same(price, ask, tolerance) != same(price, bid, tolerance)


@kernel
def near_one_quote(price: float, bid: float, ask: float) -> bool:
    """Whether a trade is within CLNV_SHARE of the spread of one quote, not of both, and not outside the quotes."""
    upper = (1.0 - CLNV_SHARE) * ask + CLNV_SHARE * bid <= price <= ask
    lower = bid <= price <= CLNV_SHARE * ask + (1.0 - CLNV_SHARE) * bid
    return upper != lower


@kernel
def trade_size_side(size: float, bid_size: float, ask_size: float, tolerance: Tolerance) -> int:
    """Trade size rule: a size equal to the bid's is a buy, to the ask's a sell, where the two differ.

    The directions surprise: a market maker fills a customer's resting order with its whole size, so an order of the
    bid's size was the customer's limit order to buy.
    """
    if same(ask_size, bid_size, tolerance):
        return 0
    if same(size, bid_size, tolerance):
        return 1
    if same(size, ask_size, tolerance):
        return -1
    return 0


@kernel
def depth_side(price: float, best: tuple[float, float, float, float], tolerance: Tolerance) -> int:
    """Depth rule, at the midpoint alone: more offered than bid is a buy, less a sell, the same is neither."""
    bid, bid_size, ask, ask_size = best
    if not quote_is_usable(bid, ask) or not same(0.5 * (ask + bid), price, tolerance):
        return 0
    return compared(ask_size, bid_size)


@kernel
def stack_side(
    price: float,
    size: float,
    best: tuple[float, float, float, float],
    venue: tuple[float, float, float, float],
    tolerance: Tolerance,
) -> tuple[int, int]:
    """Grauer et al.'s stack as far as it knows the side at once. Returns (side, rule that made it).

    Quotes are (bid, bid size, ask, ask size), NaN where absent. Sizes are compared with the venue's quote where it is
    known. What is left takes the reverse tick rule, which has to wait for the next different price.
    """
    sized = venue if venue[1] >= 0.0 or venue[3] >= 0.0 else best
    side = trade_size_side(size, sized[1], sized[3], tolerance)
    if side != 0:
        return side, RULE_TRADE_SIZE
    side = quote_side(price, best[0], best[2])
    if side != 0:
        return side, RULE_QUOTE
    side = quote_side(price, venue[0], venue[2])
    if side != 0:
        return side, RULE_VENUE_QUOTE
    side = depth_side(price, best, tolerance)
    if side != 0:
        return side, RULE_DEPTH
    side = depth_side(price, venue, tolerance)
    if side != 0:
        return side, RULE_VENUE_DEPTH
    return 0, RULE_NONE


@kernel
def remember_tick(ts_event_ns: int, price: float, tick: Any) -> None:
    """Move the tick rule's memory past a trade at ``price``."""
    tick["ts_ns"] = max(tick["ts_ns"], ts_event_ns)
    if tick["price"] > 0.0 and price != tick["price"]:
        tick["direction"] = 1 if price > tick["price"] else -1
        tick["previous_price"] = tick["price"]
    tick["price"] = price


@kernel
def lee_ready_side(price: float, bid: float, ask: float, tick: Any) -> tuple[int, int]:
    """Lee-Ready: the quote rule, at the midpoint the tick rule. Returns (side, rule code)."""
    side = quote_side(price, bid, ask)
    if side != 0:
        return side, RULE_QUOTE
    side = tick_side(price, tick)
    if side != 0:
        return side, RULE_TICK
    return 0, RULE_NONE


@kernel
def best_before(ts_event_ns: int, quote: Any, earlier: Any) -> tuple[tuple[float, float, float, float], int]:
    """(bid, bid size, ask, ask size) in force strictly before ``ts_event_ns``, and its age in ns.

    From a memory two deep; NaN and age 0 where there is none.
    """
    if quote["ts_ns"] < ts_event_ns:
        if quote["ts_ns"] > 0:
            best = (quote["bid"], quote["bid_size"], quote["ask"], quote["ask_size"])
            return best, ts_event_ns - quote["ts_ns"]
    elif 0 < earlier["ts_ns"] < ts_event_ns:
        best = (earlier["bid"], earlier["bid_size"], earlier["ask"], earlier["ask_size"])
        return best, ts_event_ns - earlier["ts_ns"]
    nan = float("nan")
    return (nan, nan, nan, nan), 0
