"""Bytes to columns: whatever a message holds, the process stays up and the neighbours are not touched."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe import columns
from dhpe.columns import Batch
from dhpe.edge import layouts, salvage
from dhpe.edge.decode import Message, content_type_of, decode
from dhpe.edge.salvage import WHOLE_MESSAGE
from dhpe.edge.sessions import settlement_ns
from dhpe.parameters import Parameters
from wire_records import ANY_RECORD, canonical

NOW_NS = 1_700_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000


def quote(**changes: Any) -> bytes:
    """A legal option quote as JSON, with some fields changed."""
    legal = {"kind": "option_quote", "underlying": "SPX", "ts_event_ns": NOW_NS, "symbol": "C1"}
    legal |= {"bid": 1.5, "bid_size": 2.0, "ask": 2.5, "ask_size": 3.0}
    return json.dumps(legal | changes).encode()


def contract(**changes: Any) -> bytes:
    """A contract as JSON that only lacks its settlement, with some fields changed."""
    legal = {"kind": "contract", "underlying": "SPX", "ts_event_ns": NOW_NS, "symbol": "C1", "right": "C", "strike": 50}
    return json.dumps(legal | changes).encode()


def messages_of(*values: bytes | None, key: bytes | None = None, append_ms: int | None = None) -> list[Message]:
    """Values as messages of one topic."""
    return [(offset, key, value, None, append_ms) for offset, value in enumerate(values)]


def reason_of(value: bytes | None, **options: Any) -> str | None:
    """The reason for which one message, between two good neighbours, is rejected; None where it is not."""
    messages = [
        (0, None, quote(bid=0.5), None, None),
        (1, *decode_options(value, options)),
        (2, None, quote(), None, None),
    ]
    batch, rejects = decode(messages, "ticks")
    offsets = batch.events["offset"].tolist()
    assert offsets[0] == 0
    assert offsets[-1] == 2
    if not rejects:
        assert 1 in offsets
        return None
    (reject,) = rejects
    assert reject.offset == 1
    assert reject.topic == "ticks"
    assert 10 < len(reject.detail) < 400
    return reject.reason


def decode_options(value: bytes | None, options: dict[str, Any]) -> tuple[Any, ...]:
    """The rest of a message, in its order."""
    return options.get("key"), value, options.get("content_type"), options.get("append_ms")


DEEP = b"[" * 10_000 + b"]" * 10_000
HOSTILE: list[tuple[str, bytes | None, str]] = [
    ("tombstone", None, "tombstone"),
    ("empty value", b"", "empty"),
    ("only blanks", b" \r\n\t", "empty"),
    ("empty array", b"[]", "empty"),
    ("random bytes", bytes(range(256)), "undecodable"),
    ("plain text", b"hello", "undecodable"),
    ("truncated", quote()[:-1], "undecodable"),
    ("truncated array", b"[" + quote(), "undecodable"),
    ("trailing bytes", quote() + b"x", "undecodable"),
    ("wrong shape, then truncated", b'{"kind":"trade","underlying":5,"pri', "undecodable"),
    ("byte order mark", b"\xef\xbb\xbf" + quote(), "undecodable"),
    ("UTF-16", quote().decode().encode("utf-16"), "undecodable"),
    ("bad UTF-8 in a name", quote().replace(b"C1", b"C\xff"), "undecodable"),
    ("bad UTF-8 in an unknown field", quote(note="?").replace(b"?", b"\xff"), "undecodable"),
    ("lone surrogate", quote().replace(b"C1", b"\\ud800"), "undecodable"),
    ("NaN literal", quote(bid=float("nan")), "undecodable"),
    ("Infinity literal", quote(bid=float("inf")), "undecodable"),
    ("number out of range", quote(bid=7).replace(b"7", b"1e999"), "wrong_shape"),
    ("10,000 deep", DEEP, "too_deep"),
    ("10,000 deep in an unknown field", quote(x=0)[:-2] + DEEP + b"}", "too_deep"),
    ("10,000 deep objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep"),
    ("10 MB", b"[" + b"1," * 5_000_000 + b"1]", "too_large"),
    ("a flood of nothings", b"[" + b"1," * salvage.RECORDS_MAX + b"1]", "too_many_records"),
    ("a number", b"12", "wrong_shape"),
    ("null", b"null", "wrong_shape"),
    ("a string", b'"option_quote"', "wrong_shape"),
    ("object of nothing", b"{}", "wrong_shape"),
    ("no kind", quote().replace(b"kind", b"kine"), "wrong_shape"),
    ("kind is a number", quote(kind=3), "wrong_shape"),
    ("unknown kind", quote(kind="dividend"), "unknown_kind"),
    ("kind in capitals", quote(kind="Option_Quote"), "unknown_kind"),
    ("number as string", quote(bid="1.5"), "wrong_shape"),
    ("bool as number", quote(bid=True), "wrong_shape"),
    ("missing field", quote().replace(b"ask_size", b"ask_sizes"), "wrong_shape"),
    ("time beyond 64 bits", quote(ts_event_ns=2**70), "wrong_shape"),
    ("right is not C or P", contract(right="X", settles_ns=NOW_NS * 2), "wrong_shape"),
    ("right is a novel", contract(right="X" * 10**6, settles_ns=NOW_NS * 2), "wrong_shape"),
    ("time 0", quote(ts_event_ns=0), "bad_time"),
    ("time negative", quote(ts_event_ns=-1), "bad_time"),
    ("time in ms", quote(ts_event_ns=NOW_MS), "bad_time"),
    ("time in us", quote(ts_event_ns=NOW_MS * 1000), "bad_time"),
    ("negative price", quote(bid=-0.01), "bad_price"),
    ("INT64_MAX as a price", quote(ask=2**63 - 1), "bad_price"),
    ("INT64_MAX of 1e-9 as a price", quote(ask=(2**63 - 1) / 1e9), "bad_price"),
    ("ask 1e9", quote(ask=1e9), "bad_price"),
    ("negative size", quote(bid_size=-1), "bad_size"),
    ("half a quote before a trade", quote(kind="option_trade", price=1, size=1, ask=None), "half_quote"),
    ("trade of size 0", quote(kind="trade", price=1, size=0), "bad_size"),
    ("huge trade", quote(kind="trade", price=1, size=1e15), "bad_size"),
    ("strike 0", contract(strike=0, settles_ns=NOW_NS * 2), "bad_strike"),
    ("expired", contract(settles_ns=NOW_NS - 1), "expired_contract"),
    ("contract without settlement", contract(), "no_settlement"),
    ("contract with half a settlement", contract(expiration="2030-01-18", settlement="pm"), "no_settlement"),
    ("unknown calendar", contract(expiration="2030-01-18", settlement="pm", calendar="MARS"), "unknown_session"),
    ("no such date", contract(expiration="2030-02-31", settlement="pm", calendar="XNYS"), "unknown_session"),
    ("everybody's quote", quote(underlying="*"), "reserved_underlying"),
]


@pytest.mark.parametrize(("value", "reason"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_message_is_rejected_with_its_reason_and_its_neighbours_are_kept(
    value: bytes | None, reason: str
) -> None:
    """Nothing raises; one reject; the messages before and after are applied."""
    assert reason_of(value) == reason


@pytest.mark.parametrize(
    "value",
    [
        quote(bid=0, bid_size=0),
        quote(bid=3.0),
        quote(bid=2.5),
        quote(unknown={"deep": [[]]}),
        b" \n" + quote() + b"\r\n",
        b"[" + quote() + b"]",
        quote(symbol="日経 C1"),
        quote(sequence=2**63 - 1),
    ],
)
def test_odd_but_legal_messages_pass(value: bytes) -> None:
    """Zero bid, crossed, locked, unknown fields, blanks around, an array of one, any script."""
    assert reason_of(value) is None


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"SPX", None),
        (None, None),
        (b"", "key_mismatch"),
        (b"NDX", "key_mismatch"),
        (b"C1", "key_mismatch"),
        (b"\xff", "key_mismatch"),
    ],
)
def test_the_key_is_the_underlying_or_absent(key: bytes | None, reason: str | None) -> None:
    """A record under another key would be on another underlying's partition."""
    assert reason_of(quote(), key=key) == reason


@pytest.mark.parametrize(
    ("content_type", "reason"),
    [
        ("application/json", None),
        ("Application/JSON; charset=utf-8", None),
        ("", "unknown_content_type"),
        ("application/avro", "unknown_content_type"),
        ("x" * 10_000, "unknown_content_type"),
    ],
)
def test_an_unknown_content_type_is_rejected_unread(content_type: str, reason: str | None) -> None:
    """Only what says that it is JSON, or says nothing, is read as JSON."""
    assert reason_of(quote(), content_type=content_type) == reason


def test_the_content_type_is_found_among_headers_whatever_their_bytes() -> None:
    """Header names differ in case between clients; values may hold any bytes or none."""
    assert content_type_of([("x", b"1"), ("Content-Type", b"application/json")]) == "application/json"
    assert content_type_of([("content-type", b"\xff")]) == "\xff"
    assert content_type_of([("content-type", None)]) is None
    assert content_type_of([]) is None


def test_the_future_is_what_lies_beyond_the_messages_own_append_time() -> None:
    """One second is allowed by default, as in the parameters."""
    assert reason_of(quote(), append_ms=NOW_MS - 1000) is None
    assert reason_of(quote(), append_ms=NOW_MS - 1001) == "future_time"
    assert Parameters().future_limit_ms == salvage.FUTURE_LIMIT_MS


def test_good_records_of_an_array_with_bad_ones_are_kept_in_their_places() -> None:
    """Rejects carry the index of the record; the rows keep theirs."""
    bad = [
        b"7",
        quote(kind="zz"),
        quote(bid=-1),
        quote(underlying="NDX"),
        b'{"kind":"trade"}',
        contract(),
        DEEP[:4] + DEEP[-4:],
    ]
    array = b"[" + b",".join([quote(bid=0.1), *bad, quote(bid=0.2)]) + b"]"
    batch, rejects = decode([(40, b"SPX", array, None, None)], "ticks")
    assert batch.events["index"].tolist() == [0, 8]
    assert batch.events["bid"].tolist() == [0.1, 0.2]
    assert set(batch.events["offset"].tolist()) == {40}
    assert [(reject.offset, reject.index, reject.reason) for reject in rejects] == [
        (40, 1, "wrong_shape"),
        (40, 2, "unknown_kind"),
        (40, 3, "bad_price"),
        (40, 4, "key_mismatch"),
        (40, 5, "wrong_shape"),
        (40, 6, "no_settlement"),
        (40, 7, "wrong_shape"),
    ]


def test_a_message_that_is_bad_as_a_whole_has_no_index() -> None:
    """The dead letter of such a message has nothing to point at."""
    rejects = decode(messages_of(b"[" + quote() + b",", None), "chain").rejects
    assert [(reject.offset, reject.index, reject.reason) for reject in rejects] == [
        (0, WHOLE_MESSAGE, "undecodable"),
        (1, WHOLE_MESSAGE, "tombstone"),
    ]


def test_absent_fields_become_the_absent_values_of_the_columns() -> None:
    """NaN for numbers, -1 for names and sequence, 0 for the side; a carried quote sets its flag."""
    trade = (
        b'{"kind":"option_trade","underlying":"SPX","ts_event_ns":1700000000000000000,"symbol":"C1","price":2,"size":1'
    )
    batch, rejects = decode(
        messages_of(trade + b"}", trade + b',"bid":1,"ask":2,"side":"sell","multi_leg":true}'), "ticks"
    )
    assert rejects == []
    bare, full = batch.events
    assert all(np.isnan(bare[name]) for name in (*layouts.QUOTE_FIELDS, *layouts.VENUE_QUOTE_FIELDS))
    assert (bare["sequence"], bare["source"], bare["side"], bare["flags"]) == (-1, -1, 0, 0)
    assert (full["side"], full["flags"]) == (columns.SELL, columns.CARRIES_QUOTE | columns.MULTI_LEG)


def test_a_contract_by_expiration_settles_when_its_calendar_says() -> None:
    """The instant comes from the session table, by expiration, settlement and calendar."""
    batch, rejects = decode(messages_of(contract(expiration="2026-09-18", settlement="pm", calendar="XNYS")), "chain")
    assert rejects == []
    assert batch.reference == [
        columns.Contract("C1", 1, 50.0, 100.0, False, settlement_ns("2026-09-18", "pm", "XNYS")),
    ]


def test_names_stand_once_in_a_batch() -> None:
    """A thousand records of one option hold its name once."""
    batch, _ = decode(messages_of(*[quote(source="a")] * 1000), "ticks")
    assert sorted(batch.names) == ["C1", "SPX", "a"]


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.lists(ANY_RECORD, max_size=12), st.integers(0, 12))
def test_decoding_does_not_depend_on_how_messages_are_cut_into_batches(records: list[Any], cut: int) -> None:
    """A decoder keeps no state: two halves give what the whole gives."""
    messages = messages_of(*map(msgspec.json.encode, records))
    whole = canonical(decode(messages, "ticks").batch)
    halves = [decode(part, "ticks").batch for part in (messages[:cut], messages[cut:])]
    assert canonical(halves[0]) + canonical(halves[1]) == whole


def test_no_messages_make_an_empty_batch() -> None:
    """Polls that bring nothing are normal."""
    batch, rejects = decode([], "ticks")
    assert (len(batch.events), rejects) == (0, [])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
def test_no_bytes_raise(value: bytes) -> None:
    """Random bytes are rejected, not thrown."""
    batch, rejects = decode(messages_of(value), "ticks")
    assert len(rejects) == 1
    assert len(batch.events) == 0


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.sampled_from([quote(), contract(settles_ns=NOW_NS * 2), b"[" + quote() + b"]"]), st.data())
def test_no_damaged_record_raises(value: bytes, data: st.DataObject) -> None:
    """One byte overwritten anywhere: a record, or a reject, never both and never neither."""
    place = data.draw(st.integers(0, len(value) - 1))
    damaged = value[:place] + data.draw(st.binary(min_size=1, max_size=1)) + value[place + 1 :]
    batch, rejects = decode(messages_of(damaged), "ticks")
    assert len(batch.events) + len(rejects) == 1
    assert_no_nan_where_required(batch)


def assert_no_nan_where_required(batch: Batch) -> None:
    """A quote in the columns has all four of its numbers."""
    quotes = batch.events[batch.events["kind"] == columns.OPTION_QUOTE]
    assert not any(np.isnan(quotes[name]).any() for name in layouts.QUOTE_FIELDS)
