"""The cases of the bad-input table that come as packed columns: what JSON is refused for, these are refused for too."""

import json
import random
from typing import Any

from bad_input import LATER_NS, RECORDS_MAX, UNDERLYING, Case, Put, dead
from dhpe.edge import packed
from dhpe.edge.salvage import COLUMNS_CONTENT_TYPE
from packed_rows import rows, value_of

NAMES = json.dumps([UNDERLYING, "C100"]).encode()
NOISE = random.Random(20_240_806)
NAN = float("nan")
GOOD = {"ts_event_ns": LATER_NS, "symbol": 1, "bid": 2.2, "bid_size": 5.0, "ask": 2.4, "ask_size": 5.0}


def options(*changed: dict[str, Any]) -> Put:
    """Quotes of one series that differ from a good one by this."""
    return columns("option_quote", value_of(rows("option_quote", *(GOOD | one for one in changed)), NAMES))


def columns(kind: str, value: bytes) -> Put:
    """A message of this kind."""
    return Put(value, headers=packed.headers(kind))


def packed_columns() -> list[Case]:
    """Parts that do not add up, then rows that cannot be."""
    good = options({}).value or b""
    bad = {"bad_price": {"bid": NAN}, "bad_size": {"ask_size": -1}, "bad_time": {"ts_event_ns": LATER_NS // 1000}}
    among = options({}, *bad.values(), {"symbol": 7}, {})
    told = (*bad, "wrong_shape")
    return [
        Case("bid 0", "packed: nobody bids", ((options({"bid": 0.0, "bid_size": 0.0}),),), {}, {"zero_bid": 1}),
        Case(
            "NaN, Inf, -0.0",
            "packed: four bad rows among good ones",
            ((among,),),
            dict.fromkeys(told, 1),
            {},
            (",".join(told),),
        ),
        dead("NaN, Inf, -0.0", "packed: infinite", "bad_price", options({"ask": float("inf")})),
        dead("unknown contract", "packed", "unknown_contract", options({"symbol": 0})),
        dead("key is not the payload's", "packed", "key_mismatch", options({})._replace(key=b"SIMA")),
        dead("empty value", "packed", "empty", columns("quote", b""), columns("clock", value_of(rows("clock")))),
        dead("null tombstone", "packed", "tombstone", Put(None, headers=packed.headers("quote"))),
        dead(
            "truncated",
            "packed, at every tenth byte",
            "wrong_size",
            *(columns("option_quote", good[:n]) for n in range(4, len(good), 10)),
        ),
        dead(
            "random bytes",
            "packed",
            "unknown_version",
            *(columns("trade", b"\xff" + NOISE.randbytes(n)) for n in range(15, 30)),
        ),
        dead("bad UTF-8 or BOM", "packed", "undecodable", columns("clock", value_of(rows("clock", {}), b'["B\xff"]'))),
        dead(
            "newer or older schema",
            "packed: a newer layout",
            "unknown_version",
            columns("clock", value_of(rows("clock", {}), version=2)),
        ),
        dead(
            "newer or older schema",
            "packed: a kind of the future, and none",
            "unknown_kind",
            columns("auction", good),
            Put(good, headers=(("content-type", COLUMNS_CONTENT_TYPE.encode()),)),
        ),
        dead(
            "compressed bomb",
            "packed: too many rows",
            "too_many_records",
            columns("clock", value_of(rows("clock", *[{}] * (RECORDS_MAX + 1)))),
        ),
        dead(
            "valid JSON of the wrong shape",
            "as packed columns",
            "unknown_version",
            columns("quote", b'{"kind": "quote"}'),
        ),
    ]
