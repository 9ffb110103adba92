"""Best quotes: what is remembered of them, and which are odd."""

from typing import Any, Final

from dhpe.numerics.jit import kernel
from dhpe.numerics.state import CROSSED_QUOTE, LOCKED_QUOTE, NO_ASK, WIDE_QUOTE, ZERO_BID

UNDERLYING_SPREAD_MAX: Final = 1.0
"""Spread over mid, of a quote of the underlying: beyond it, an ask three times the bid, its mid is no spot."""
OPTION_SPREAD_MAX: Final = 1.9
"""The same of an option: beyond it the bid is less than a twentieth of the mid, and the fit weighs it less."""
LATE_WEIGHT: Final = 1.0 / 256.0
"""Of a new quote in the share of late ones, of a new trade in the mean age of the quotes that trades found."""


@kernel
def _copy_quote(ts_event_ns: int, best: tuple[float, float, float, float], quote: Any) -> None:
    quote["ts_ns"] = ts_event_ns
    quote["bid"] = best[0]
    quote["bid_size"] = best[1]
    quote["ask"] = best[2]
    quote["ask_size"] = best[3]


@kernel
def keep_quote(ts_event_ns: int, best: tuple[float, float, float, float], row: Any) -> bool:
    """Remember a best quote (bid, bid size, ask, ask size) in ``row``; False for one older than the last.

    The memory is two deep, the last quote and the last one with an earlier time: with less, "strictly before the
    trade" has no answer for a trade at the time of the last quote.
    """
    quote = row["quote"]
    earlier = row["earlier_quote"]
    if ts_event_ns < quote["ts_ns"]:
        if ts_event_ns >= earlier["ts_ns"]:
            _copy_quote(ts_event_ns, best, earlier)
        return False
    if ts_event_ns > quote["ts_ns"]:
        _copy_quote(quote["ts_ns"], (quote["bid"], quote["bid_size"], quote["ask"], quote["ask_size"]), earlier)
    _copy_quote(ts_event_ns, best, quote)
    return True


@kernel
def is_late(ts_event_ns: int, row: Any) -> bool:
    """Whether a quote comes after a newer quote of its contract or instrument, or after a trade that it preceded."""
    return bool(ts_event_ns < row["quote"]["ts_ns"] or ts_event_ns < row["tick"]["ts_ns"])


@kernel
def late_share(share: float, late: bool, bid: float, ask: float, quote: Any) -> float:
    """The share of quotes that came too late after one more; the last few hundred count.

    A late quote of the prices that stand in ``quote``, the newest, would have told a trade nothing else.
    """
    missed = late and (bid != quote["bid"] or ask != quote["ask"])
    return share + LATE_WEIGHT * ((1.0 if missed else 0.0) - share)


@kernel
def mean_age_ns(mean_ns: float, age_ns: int) -> float:
    """The mean age of the quotes that trades found after one more; ``mean_ns`` is negative before the first."""
    return mean_ns + LATE_WEIGHT * (age_ns - mean_ns) if mean_ns >= 0.0 else float(age_ns)


@kernel
def wide(bid: float, ask: float, spread_max: float) -> bool:
    """Whether the spread is more than ``spread_max`` of the mid: nobody trades there."""
    return ask - bid > spread_max * 0.5 * (bid + ask)


@kernel
def flag_quote(bid: float, ask: float, spread_max: float, market: Any) -> None:
    """Count the odd quotes, all of which are accepted: crossed, locked, wide, and with one side missing.

    ``spread_max`` is a share of the mid.
    """
    if ask == 0.0:
        market["flags"][NO_ASK] += 1
    elif bid > ask:
        market["flags"][CROSSED_QUOTE] += 1
    elif bid == ask:
        market["flags"][LOCKED_QUOTE] += 1
    if bid == 0.0:
        market["flags"][ZERO_BID] += 1
    elif wide(bid, ask, spread_max):
        market["flags"][WIDE_QUOTE] += 1
