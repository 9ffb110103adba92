"""Who started a trade: the Lee-Ready rule and its parts, one trade at a time.

Source: Lee and Ready (1991), "Inferring Trade Direction from Intraday Data". The quote in force is the one
strictly before the trade in exchange time; allowing the same instant ruins the label (MODEL.md section 8).
"""

from typing import Any, Final

from dhpe.numerics.jit import kernel

RULE_NONE: Final = 0
RULE_AGGRESSOR: Final = 1
RULE_QUOTE: Final = 2
RULE_TICK: Final = 3
RULE_NAMES: Final = ("none", "aggressor", "quote", "tick")


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
def remember_tick(price: float, tick: Any) -> None:
    """Move the tick rule's memory past a trade at ``price``."""
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
def quote_before(ts_event_ns: int, quote: Any, earlier: Any) -> tuple[float, float]:
    """Bid and ask in force strictly before ``ts_event_ns``, from a memory two deep; (NaN, NaN) where there is none."""
    if quote["ts_ns"] < ts_event_ns:
        if quote["ts_ns"] > 0:
            return quote["bid"], quote["ask"]
    elif 0 < earlier["ts_ns"] < ts_event_ns:
        return earlier["bid"], earlier["ask"]
    return float("nan"), float("nan")
