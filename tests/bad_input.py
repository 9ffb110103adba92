"""The whole list of bad input as a table: what makes each case, and what must come of it.

Every row belongs to one item of ``ITEMS``. Its messages go to the underlying ``BAD`` of a small quoted market, while
``SIMA`` and ``SIMC`` beside it are at work. What a row does not name must not move: no dead letter, no counter.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from option_chain import MS, SETTLES_NS, chain
from worker_room import START_NS

ITEMS = (
    "empty value; null tombstone; null key; key is not the payload's; truncated; random bytes; "
    "valid JSON of the wrong shape; NaN and Infinity literals; bad UTF-8 or BOM; 10 MB; 10,000-deep JSON; "
    "compressed bomb; newer or older schema; unknown fields; number as string, bool as number; NaN, Inf, -0.0; "
    "bid 0; both 0; negative price; locked; crossed; ask 1e9; INT64_MAX sentinel; size 0, negative, huge; strike <= 0; "
    "unknown contract; expired or expiry before trade date; right not C/P; renamed or split underlying; "
    "time 0, negative, ms/us/ns confused; future by 1 s or 1 day; time going back 1 ms or 10 min; exact duplicate; "
    "same sequence, other payload; gap of 1 or 10**6; legitimate sequence reset at the open; "
    "out of order in and across topics; partial, oversized, duplicate, unsorted chain; tick before chain; "
    "chain without spot; halted market; stale feed; rate or dividend NaN; IV that does not solve; tau <= 0; "
    "topic recreated; retention past the committed offset"
).split("; ")

UNDERLYING = "BAD"
STRIKES = (95.0, 100.0, 105.0)
LATER_NS = START_NS + 1_500 * MS
CONTRACTS_MAX = 700
RECORDS_MAX = 500
INT64_MAX = 2**63 - 1


class Put(NamedTuple):
    """A message as a producer writes it."""

    value: bytes | None
    key: bytes | None = UNDERLYING.encode()
    topic: str = "ticks"
    headers: tuple[tuple[str, bytes], ...] = ()


class Case(NamedTuple):
    """``stages`` are written one after the other, each when the one before is applied.

    ``rejected`` and ``flagged`` are the counters that move, by label, ``dead`` the reasons of the dead letters, and
    ``quality`` a reason that the underlying's last state then carries.
    """

    item: str
    name: str
    stages: tuple[tuple[Put, ...], ...]
    rejected: Mapping[str, int] = MappingProxyType({})
    flagged: Mapping[str, int] = MappingProxyType({})
    dead: tuple[str, ...] = ()
    quality: str | None = None


def record(kind: str, **fields: Any) -> dict[str, Any]:
    """A record of the bad underlying."""
    return {"kind": kind, "underlying": UNDERLYING, "ts_event_ns": LATER_NS} | fields


def put(*records: dict[str, Any], topic: str = "ticks") -> tuple[Put, ...]:
    """Each record as a message of its own."""
    return tuple(Put(json.dumps(one, ensure_ascii=False).encode(), topic=topic) for one in records)


def market(*, spot: bool = True) -> list[Put]:
    """The bad underlying's own small market before anything goes wrong: contracts on ``chain``, quotes on ``ticks``."""
    records = [{"underlying": UNDERLYING, "ts_event_ns": START_NS + MS} | one for one in chain(-10.0, STRIKES)[:-1]]
    slow = [one | {"settles_ns": SETTLES_NS} if one["kind"] == "contract" else one for one in records]
    messages = [one for one in slow if one["kind"] in ("contract", "dealer_position")]
    hot = [one for one in slow if one["kind"] not in ("contract", "dealer_position")]
    return [*put(*messages, topic="chain"), *put(*(hot if spot else hot[1:]))]


def quote(**fields: Any) -> dict[str, Any]:
    """A best quote of the underlying."""
    return record("quote", bid=99.9, bid_size=5, ask=100.1, ask_size=5) | fields


def option(**fields: Any) -> dict[str, Any]:
    """A quote of one of the series, as good as the one before it."""
    return record("option_quote", symbol="C100", bid=2.2, bid_size=5, ask=2.4, ask_size=5) | fields


def trade(**fields: Any) -> dict[str, Any]:
    """A trade in the underlying."""
    return record("trade", price=100.0, size=1.0) | fields


def contract(**fields: Any) -> dict[str, Any]:
    """One more series."""
    legal = {"symbol": "C110", "right": "C", "strike": 110.0, "multiplier": 100, "settles_ns": SETTLES_NS}
    return record("contract") | legal | fields


def numbered(numbers: Iterable[int], first_ns: int = LATER_NS, **fields: Any) -> list[dict[str, Any]]:
    """Quotes with these sequences, a microsecond apart."""
    return [quote(sequence=n, source="b", ts_event_ns=first_ns + at * 1_000, **fields) for at, n in enumerate(numbers)]


def dead(item: str, name: str, reason: str, *puts: Put | dict[str, Any], records: int = 1) -> Case:
    """Messages each of which gives one dead letter for ``reason``; ``records`` are counted of each."""
    messages = tuple(one if isinstance(one, Put) else put(one)[0] for one in puts)
    return Case(item, name, (messages,), {reason: records * len(puts)}, {}, (reason,) * len(puts))


def fine(item: str, name: str, *records: dict[str, Any], quality: str | None = None, **flags: int) -> Case:
    """Records that are accepted, with these flags."""
    return Case(item, name, (put(*records),), {}, flags, (), quality)


def raw(record_of: dict[str, Any], old: str, new: str) -> Put:
    """A record in which a piece of its text is another one: what json.dumps would not write."""
    return Put(json.dumps(record_of).replace(old, new, 1).encode())
