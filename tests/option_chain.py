"""A small European chain as wire records, priced by the textbook under any smile."""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from dhpe.columns import Batch
from dhpe.edge.decode import decode
from naive import plain_price

NAME = "XYZ"
START_NS = 1_790_000_000 * 1_000_000_000
MS = 1_000_000
TAU_DAYS = 30
SETTLES_NS = START_NS + TAU_DAYS * 86_400 * 1_000_000_000
YEAR_NS = 365 * 86_400 * 1_000_000_000
MULTIPLIER = 100


def batch(records: list[dict[str, Any]]) -> Batch:
    """Records through the wire's own door, a message each; without a time of their own a millisecond apart."""
    messages = [
        msgspec.json.encode({"underlying": NAME, "ts_event_ns": START_NS + place * MS} | record)
        for place, record in enumerate(records)
    ]
    decoded = decode([(place, None, value, None, None) for place, value in enumerate(messages)], "ticks")
    assert decoded.rejects == []
    return decoded.batch


def spot_quote(spot: float, **more: Any) -> dict[str, Any]:
    """A best quote of the underlying, five cents either side."""
    return {"kind": "quote", "bid": spot - 0.05, "bid_size": 100, "ask": spot + 0.05, "ask_size": 100} | more


def contracts(strikes: tuple[float, ...], position: float) -> list[dict[str, Any]]:
    """A call and a put at each strike, dealers holding ``position`` of each."""
    records: list[dict[str, Any]] = []
    for strike in strikes:
        for right in "CP":
            symbol = f"{right}{strike:g}"
            terms = {"right": right, "strike": strike, "multiplier": MULTIPLIER, "exercise": "european"}
            records.append({"kind": "contract", "symbol": symbol, "settles_ns": SETTLES_NS} | terms)
            records.append({"kind": "dealer_position", "symbol": symbol, "position": position})
    return records


def option_quotes(
    strikes: tuple[float, ...], spot: float, ts_ns: int, vol_of: Callable[[float], float], **more: Any
) -> list[dict[str, Any]]:
    """A quote of each series around its price at ``vol_of(ln(strike / spot))``, a hundredth either side."""
    tau = (SETTLES_NS - ts_ns) / YEAR_NS
    records = []
    for strike in strikes:
        vol = vol_of(math.log(strike / spot))
        for right, sign in (("C", 1), ("P", -1)):
            mid = plain_price((spot, strike, tau, 0.0, 0.0, vol, sign))
            sizes = {"bid": max(mid - 0.01, 0.0), "bid_size": 5, "ask": mid + 0.01, "ask_size": 5}
            records.append({"kind": "option_quote", "symbol": f"{right}{strike:g}"} | sizes | more)
    return records


def chain(position: float, strikes: tuple[float, ...], spot: float = 100.0, vol: float = 0.20) -> list[dict[str, Any]]:
    """A flat chain, quoted, and a clock a second later."""
    return [
        spot_quote(spot),
        *contracts(strikes, position),
        *option_quotes(strikes, spot, START_NS, lambda _: vol),
        {"kind": "clock", "ts_event_ns": START_NS + 1000 * MS},
    ]
