"""The cases of the bad-input table, group by group. See ``bad_input``."""

import json
import random
import time

from bad_columns_cases import packed_columns
from bad_input import (
    CONTRACTS_MAX,
    INT64_MAX,
    LATER_NS,
    RECORDS_MAX,
    STRIKES,
    UNDERLYING,
    Case,
    Put,
    contract,
    dead,
    fine,
    numbered,
    option,
    put,
    quote,
    raw,
    record,
    trade,
)
from option_chain import MS, SETTLES_NS, contracts, option_quotes
from worker_room import START_NS

NOISE = random.Random(20_240_805)
DEEP = b"[" * 10_000 + b"]" * 10_000
WITHOUT_BID = {key: value for key, value in quote().items() if key != "bid"}


def messages_that_cannot_be_read() -> list[Case]:
    """Bytes, shapes, sizes."""
    good = json.dumps(quote()).encode()
    return [
        dead("empty value", "no bytes", "empty", Put(b"")),
        dead("empty value", "blanks", "empty", Put(b" \n\t")),
        dead("empty value", "empty array", "empty", Put(b"[]")),
        dead("null tombstone", "of the key", "tombstone", Put(None)),
        dead("null tombstone", "of no key", "tombstone", Put(None, None)),
        Case("null key", "on its partition", ((put(quote())[0]._replace(key=None),),)),
        dead("key is not the payload's", "another name", "key_mismatch", put(quote())[0]._replace(key=b"SIMA")),
        dead("key is not the payload's", "of no script", "key_mismatch", put(quote())[0]._replace(key=b"\xff\x00")),
        dead("truncated", "at every tenth byte", "undecodable", *(Put(good[:end]) for end in range(10, len(good), 10))),
        dead("truncated", "array", "undecodable", Put(b"[" + good + b",")),
        dead("random bytes", "of many lengths", "undecodable", *(Put(b"\xff" + NOISE.randbytes(n)) for n in range(40))),
        dead(
            "valid JSON of the wrong shape", "no object", "wrong_shape", *map(Put, (b"1", b"null", b'"quote"', b"{}"))
        ),
        dead("valid JSON of the wrong shape", "a field is missing", "wrong_shape", WITHOUT_BID),
        dead("valid JSON of the wrong shape", "a list for a number", "wrong_shape", quote(bid=[1])),
        dead(
            "valid JSON of the wrong shape",
            "400 in an array",
            "wrong_shape",
            Put(b"[" + b"1," * 399 + b"1]"),
            records=400,
        ),
        dead("NaN and Infinity literals", "NaN", "undecodable", quote(bid=float("nan"))),
        dead("NaN and Infinity literals", "Infinity", "undecodable", quote(ask=float("inf")), quote(bid=float("-inf"))),
        dead("bad UTF-8 or BOM", "in a name", "undecodable", Put(good.replace(b"BAD", b"B\xffD"))),
        dead("bad UTF-8 or BOM", "overlong", "undecodable", Put(good.replace(b"BAD", b"B\xc0\xafD"))),
        dead("bad UTF-8 or BOM", "BOM", "undecodable", Put(b"\xef\xbb\xbf" + good)),
        dead("bad UTF-8 or BOM", "UTF-16", "undecodable", Put(good.decode().encode("utf-16"))),
        dead("bad UTF-8 or BOM", "half a surrogate pair", "undecodable", Put(good.replace(b"BAD", b"B\\ud800D"))),
        dead("10 MB", "of blanks in a record", "too_large", Put(good[:-1] + b" " * 10_000_000 + b"}")),
        dead("10 MB", "of records", "too_large", Put(b"[" + good + (b"," + good) * 100_000 + b"]")),
        dead("10,000-deep JSON", "arrays", "too_deep", Put(DEEP)),
        dead("10,000-deep JSON", "in an unknown field", "too_deep", Put(good[:-1] + b',"x":' + DEEP + b"}")),
        dead("compressed bomb", "a million records", "too_large", Put(b"[" + b"1," * 1_000_000 + b"1]")),
        dead(
            "compressed bomb",
            "too many records",
            "too_many_records",
            Put(b"[" + (good + b",") * RECORDS_MAX + good + b"]"),
        ),
        dead("compressed bomb", "of another encoding", "undecodable", Put(b"\x1f\x8b\x08" + bytes(100))),
        dead(
            "compressed bomb",
            "of another type",
            "unknown_content_type",
            Put(good, headers=(("content-type", b"application/zstd"),)),
        ),
    ]


def records_of_another_time() -> list[Case]:
    """Schemas and types."""
    return [
        dead("newer or older schema", "a kind of the future", "unknown_kind", record("auction", price=1)),
        dead(
            "newer or older schema", "a field that was not there yet", "wrong_shape", WITHOUT_BID | {"best_bid": 99.9}
        ),
        fine(
            "newer or older schema",
            "optional fields as null",
            trade(side=None, instrument=None, sequence=None),
            unclassified_trade=1,
        ),
        fine("unknown fields", "of any depth", quote(venue={"id": [1, {"x": None}]}, note="ÅÄÖ")),
        dead("number as string, bool as number", "string", "wrong_shape", quote(bid="99.9")),
        dead("number as string, bool as number", "bool", "wrong_shape", quote(bid=True)),
        dead("number as string, bool as number", "time as string", "wrong_shape", quote(ts_event_ns=str(LATER_NS))),
        dead("NaN, Inf, -0.0", "1e999", "wrong_shape", raw(quote(bid=1e300), "1e+300", "1e999")),
        fine("NaN, Inf, -0.0", "-0.0", option(bid=-0.0, bid_size=-0.0), zero_bid=1),
        fine("bid 0", "nobody bids", option(bid=0, bid_size=0), zero_bid=1),
        fine("both 0", "nobody is there", option(bid=0, bid_size=0, ask=0, ask_size=0), zero_bid=1, no_ask=1),
        fine("both 0", "of the underlying", quote(bid=0, bid_size=0, ask=0, ask_size=0), zero_bid=1, no_ask=1),
        dead(
            "negative price", "bid, ask, trade, level", "bad_price", option(bid=-0.01), option(ask=-1), trade(price=-5)
        ),
        dead("negative price", "in a level", "bad_level", record("depth", bids=[[-1, 1]], asks=[])),
        fine("locked", "option", option(bid=2.3, ask=2.3), locked_quote=1),
        fine("crossed", "option", option(bid=2.5, ask=2.3), crossed_quote=1),
        fine("crossed", "underlying", quote(bid=100.2, ask=100.1), crossed_quote=1),
        dead("ask 1e9", "of both", "bad_price", option(ask=1e9), quote(ask=1e9)),
        fine("ask 1e9", "nearly", quote(ask=999_999_999), wide_quote=1),
        fine("ask 1e9", "nearly, of an option", option(ask=999_999_999), wide_quote=1),
        dead("INT64_MAX sentinel", "price", "bad_price", quote(bid=INT64_MAX), option(ask=INT64_MAX / 1e9)),
        dead("INT64_MAX sentinel", "size", "bad_size", quote(bid_size=INT64_MAX), trade(size=2**31 - 1)),
        dead("INT64_MAX sentinel", "time", "bad_time", quote(ts_event_ns=INT64_MAX), quote(ts_event_ns=-(2**63))),
        dead("INT64_MAX sentinel", "beyond it", "wrong_shape", quote(ts_event_ns=INT64_MAX + 1)),
        dead("size 0, negative, huge", "trade", "bad_size", trade(size=0), trade(size=-1), trade(size=1e12)),
        dead("size 0, negative, huge", "quote", "bad_size", option(bid_size=-1), option(ask_size=1e15)),
        fine("size 0, negative, huge", "quote of size 0", option(bid_size=0, ask_size=0)),
    ]


def facts_that_cannot_be() -> list[Case]:
    """Contracts, names, times."""
    slow = [Put(one.value, topic="chain") for one in put(contract(strike=0), contract(strike=-1), contract(strike=1e9))]
    second_ns = time.time_ns()
    gone = contract(symbol="OLD", settles_ns=LATER_NS - 1)
    return [
        dead("strike <= 0", "or absurd", "bad_strike", *slow),
        dead(
            "unknown contract",
            "quote and trade",
            "unknown_contract",
            option(symbol="NONE"),
            record("option_trade", symbol="NONE", price=1, size=1),
        ),
        dead(
            "unknown contract",
            "open interest",
            "unknown_contract",
            record("open_interest", symbol="NONE", trading_date="2025-06-16", open_interest=5),
        ),
        dead("expired or expiry before trade date", "before the record", "expired_contract", gone),
        dead(
            "expired or expiry before trade date",
            "before event time",
            "expired_contract",
            gone | {"ts_event_ns": START_NS - 10**10, "settles_ns": START_NS},
        ),
        dead(
            "expired or expiry before trade date",
            "no such session",
            "unknown_session",
            contract(settles_ns=None, expiration="2025-02-30", settlement="pm", calendar="XNYS"),
        ),
        dead("right not C/P", "a novel", "wrong_shape", contract(right="X" * 100_000), contract(right="c")),
        dead(
            "renamed or split underlying",
            "series of the old name",
            "unknown_contract",
            put(option(underlying="BAD1"))[0]._replace(key=b"BAD1"),
        ),
        dead(
            "renamed or split underlying",
            "series with other terms",
            "contract_conflict",
            contract(symbol="C100", strike=50.0),
            contract(symbol="C100", strike=100.0, multiplier=200),
        ),
        dead(
            "time 0, negative, ms/us/ns confused",
            "all of them",
            "bad_time",
            *(quote(ts_event_ns=at) for at in (0, -1, LATER_NS // 10**3, LATER_NS // 10**6, LATER_NS // 10**9)),
        ),
        dead(
            "future by 1 s or 1 day",
            "both",
            "future_time",
            *(quote(ts_event_ns=second_ns + after_s * 10**9) for after_s in (600, 86_400)),
        ),
        dead(
            "future by 1 s or 1 day",
            "a clock for everybody",
            "future_time",
            Put(json.dumps(record("clock", underlying="*", ts_event_ns=second_ns + 86_400 * 10**9)).encode(), b"*"),
        ),
        fine(
            "time going back 1 ms or 10 min",
            "quote",
            quote(),
            quote(ts_event_ns=LATER_NS - MS),
            quote(ts_event_ns=LATER_NS - 600_000 * MS),
            time_backwards=2,
            late_quote=2,
        ),
        fine(
            "time going back 1 ms or 10 min",
            "trade",
            trade(),
            trade(ts_event_ns=LATER_NS - MS),
            time_backwards=1,
            unclassified_trade=2,
        ),
    ]


def records_in_the_wrong_order() -> list[Case]:
    """Numbers of the sources, and records before those they need."""
    gapless = list(range(1, 13))
    conflict = numbered([5, 5])
    conflict[1] |= {"bid": 99.8}
    repeated = numbered([7])[0]
    swapped = numbered([*gapless, 14, 13, 15])
    across = put(*numbered([*gapless, 14])), put(*numbered([13], LATER_NS + 20_000), topic="chain")
    reopened = [*numbered(gapless), *numbered(gapless, LATER_NS + 11 * 10**9)]
    late_chain = contract(symbol="C115", strike=115.0)
    return [
        Case("exact duplicate", "twice", (put(repeated, repeated, repeated),), {"duplicate": 2}),
        Case(
            "same sequence, other payload",
            "another bid",
            (put(*conflict),),
            {"sequence_conflict": 1},
            {},
            ("sequence_conflict",),
        ),
        fine("gap of 1 or 10**6", "1", *numbered([*gapless, 14]), sequence_gap=1, quality="sequence_gap"),
        fine("gap of 1 or 10**6", "10**6", *numbered([*gapless, 10**6]), sequence_gap=1, quality="sequence_gap"),
        fine("gap of 1 or 10**6", "until a snapshot", *numbered([*gapless, 14]), sequence_gap=1)._replace(
            stages=(
                put(*numbered([*gapless, 14])),
                put(record("depth", bids=[[99.9, 1]], asks=[[100.1, 1]], snapshot=True, ts_event_ns=LATER_NS + MS)),
            )
        ),
        fine("legitimate sequence reset at the open", "after a silence", *reopened),
        fine("out of order in and across topics", "in one", *swapped, sequence_gap=1),
        Case("out of order in and across topics", "across", across, {}, {"sequence_gap": 1}),
        fine(
            "partial, oversized, duplicate, unsorted chain",
            "calls only",
            contract(),
            contract(symbol="C120", strike=120),
        ),
        dead(
            "partial, oversized, duplicate, unsorted chain",
            "oversized",
            "too_many_contracts",
            *(contract(symbol=f"C{n}", strike=n) for n in range(200, 203)),
        )._replace(stages=(put(*(contract(symbol=f"C{n}", strike=n) for n in range(200, 203 + CONTRACTS_MAX - 6))),)),
        fine("partial, oversized, duplicate, unsorted chain", "duplicate", *[contract()] * 3),
        fine(
            "partial, oversized, duplicate, unsorted chain",
            "unsorted",
            *(contract(symbol=f"C{n}", strike=n) for n in (130, 110, 125, 120, 115)),
        ),
        Case(
            "tick before chain",
            "until the contract comes",
            (put(option(symbol="C115")), put(late_chain, topic="chain"), put(option(symbol="C115", bid=0.1, ask=0.2))),
            {"unknown_contract": 1},
            {},
            ("unknown_contract",),
        ),
        fine(
            "rate or dividend NaN",
            "one of them is left out",
            record("rates", dividend_yield=0.01),
            record("rates", rate=0.02),
        ),
        dead(
            "rate or dividend NaN", "both are left out", "incomplete_rates", record("rates"), record("rates", rate=None)
        ),
        dead("rate or dividend NaN", "as literals", "undecodable", record("rates", rate=float("nan"))),
        dead("rate or dividend NaN", "percent for a fraction", "bad_rate", record("rates", rate=4.5)),
    ]


def markets_that_stand_still() -> list[Case]:
    """Halts, old spots, vols that cannot be."""
    minutes = [LATER_NS + minute * 60_000 * MS for minute in (1, 2, 3)]
    clocks = [record("clock", ts_event_ns=at) for at in minutes]
    quotes = [
        one | {"underlying": UNDERLYING}
        for at in minutes
        for one in option_quotes(STRIKES, 100.0, at, lambda _: 0.2, ts_event_ns=at)
    ]
    bare = [one | {"underlying": "BARE", "ts_event_ns": LATER_NS} for one in contracts(STRIKES, 5.0)]
    bare += [
        one | {"underlying": "BARE"}
        for one in option_quotes(STRIKES[:1], 100.0, LATER_NS, lambda _: 0.2, ts_event_ns=LATER_NS)
    ]
    without_spot = tuple(one._replace(key=b"BARE") for one in put(*bare))
    settled = [
        option(ts_event_ns=SETTLES_NS),
        record("option_trade", symbol="C100", price=1, size=1, ts_event_ns=SETTLES_NS + 1),
    ]
    return [
        Case("chain without spot", "quotes before the first spot", (without_spot,), {}, {"quote_without_spot": 2}),
        fine("halted market", "only clocks", *clocks, quality="spot_stale"),
        fine(
            "halted market",
            "both sides empty",
            *(quote(bid=0, bid_size=0, ask=0, ask_size=0, ts_event_ns=at) for at in minutes),
            zero_bid=3,
            no_ask=3,
            quality="spot_stale",
        ),
        fine("stale feed", "options tick on, the spot does not", *quotes, quality="spot_stale"),
        fine(
            "IV that does not solve",
            "of neither right",
            option(symbol="C105", bid=150, ask=151),
            option(symbol="P105", bid=150, ask=151),
            vol_unsolved=1,
        ),
        fine(
            "IV that does not solve",
            "below intrinsic, but the other right tells",
            option(symbol="P105", bid=0.01, ask=0.02),
        ),
        fine("IV that does not solve", "wide", option(bid=0.01, ask=80.0), wide_quote=1),
        dead("tau <= 0", "at and after its settlement", "expired_contract", *settled),
    ]


CASES = [
    *packed_columns(),
    *messages_that_cannot_be_read(),
    *records_of_another_time(),
    *facts_that_cannot_be(),
    *records_in_the_wrong_order(),
    *markets_that_stand_still(),
]
ON_KAFKA_ALONE = ("topic recreated", "retention past the committed offset")
"""Items that end the work: their tests are those of the worker and of the real broker."""
