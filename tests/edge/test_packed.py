"""Packed columns: what JSON says, said in rows; and whatever the bytes hold, nobody else is touched."""

import json
import random
import re
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import damage
from dhpe import columns
from dhpe.columns import Batch, empty_batch
from dhpe.edge import messages as wire
from dhpe.edge import packed, schemas
from dhpe.edge.decode import Decoded, Message, content_type_of, decode
from dhpe.edge.encode import WireMessage, encode_batch, encode_packed
from dhpe.edge.examples import RECORDS as RECORDS_OF
from dhpe.edge.layouts import PACKED
from dhpe.edge.log import LogRecord, OutRecord
from dhpe.edge.salvage import COLUMNS_CONTENT_TYPE, Limits
from dhpe.edge.steps import Outcome, Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from packed_rows import NOW_NS, rows, value_of
from same_state import differences
from wire_records import ANY_RECORD, RECORDS, canonical
from worker_room import market

HOT_RECORDS = st.one_of(*(RECORDS[kind] for kind in columns.HOT_KINDS))


def read(messages: list[WireMessage], limits: Limits | None = None) -> Decoded:
    """The messages as a consumer gets them: with their keys and headers, in their order."""
    wire_messages: list[Message] = [
        (place, one.key, one.value, content_type_of(one.headers), None) for place, one in enumerate(messages)
    ]
    return decode(wire_messages, "ticks", limits or Limits())


def batch_of(records: list[Any]) -> Batch:
    """Records as the batch that JSON makes of them."""
    decoded = decode([(place, None, msgspec.json.encode(one), None, None) for place, one in enumerate(records)], "")
    assert decoded.rejects == []
    return decoded.batch


def message(kind: str | None, value: bytes) -> WireMessage:
    """It, under the key SPX, with the headers of its kind."""
    return WireMessage("ticks", b"SPX", value, packed.headers(kind) if kind is not None else packed.headers("")[:1])


def told(kind: str | None, value: bytes, limits: Limits | None = None) -> list[tuple[int, str]]:
    """Index and reason of what is rejected of one message between two good neighbours."""
    good = message("quote", value_of(rows("quote", {"instrument": -1}, {"instrument": -1})))
    alone = canonical(read([good, good]).batch)
    batch, rejects = read([good, message(kind, value), good], limits)
    neighbours = batch._replace(events=batch.events[batch.events["offset"] != 1])
    assert canonical(neighbours) == alone
    assert {reject.offset for reject in rejects} <= {1}
    assert all(10 < len(reject.detail) < 500 for reject in rejects)
    return [(reject.index, reject.reason) for reject in rejects]


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(ANY_RECORD, max_size=12), st.integers(1, 5))
def test_what_is_packed_is_read_back_to_the_bit(records: list[Any], records_per_message: int) -> None:
    """Every kind, reference records among them as JSON; the rows of one underlying stay in their order."""
    batch = batch_of(records)
    back = read(list(encode_packed(batch, records_per_message=records_per_message)))
    assert back.rejects == []

    def of_each(told: Batch) -> dict[str, list[Any]]:
        return {
            name: [row for row in canonical(told) if row[5] == name] for name in {row[5] for row in canonical(told)}
        }

    assert of_each(back.batch) == of_each(batch)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(HOT_RECORDS, min_size=1, max_size=12), st.data())
def test_json_and_packed_messages_in_one_batch_keep_the_order_of_the_log(records: list[Any], data: Any) -> None:
    """Whichever of them is sent which way, the rows are those of the log."""
    ways = st.sampled_from([encode_batch, encode_packed])
    mixed = [message for one in records for message in data.draw(ways)(batch_of([one]))]
    batch, rejects = read(mixed)
    assert rejects == []
    assert batch.events["offset"].tolist() == list(range(len(records)))
    assert canonical(batch) == canonical(batch_of(records))


def applied(messages: list[WireMessage], names: TopicNames, steps: int) -> tuple[Stepper, list[Outcome]]:
    """The messages through a stepper, as a worker would take them."""
    stepper = Stepper(Settings(pressure_interval_ms=0, surface_interval_s=0.5), names, 0, 1)
    log = [LogRecord(one.topic, 0, at, one.key, one.value, one.headers, 4 * 10**12) for at, one in enumerate(messages)]
    size = -(-len(log) // steps)
    return stepper, [
        stepper.apply(
            [one for one in log[start : start + size] if one.topic == "chain"],
            [one for one in log[start : start + size] if one.topic == "ticks"],
        )
        for start in range(0, len(log), size)
    ]


def comparable(record: OutRecord) -> OutRecord:
    """An output; of a dead letter only what it tells of its message, which is in other bytes."""
    if not record.topic.endswith(".dlt"):
        return record
    told = tuple(header for header in record.headers if header[0] not in ("content-type", packed.KIND_HEADER))
    return record._replace(value=None, headers=told)


def same_in_both(packed_messages: list[WireMessage]) -> list[Outcome]:
    """What comes of the messages; the same to the bit, with flags and state, where each of them is an array of JSON."""
    names = TopicNames.of(Settings())
    as_json = []
    for one in packed_messages:
        batch, rejects = read([one])
        assert rejects == []
        as_json += encode_batch(batch, records_per_message=1_000)
    assert len(as_json) == len(packed_messages)
    (columnar, outcomes), (plain, others) = applied(packed_messages, names, 5), applied(as_json, names, 5)
    assert [list(map(comparable, one.records)) for one in outcomes] == [
        list(map(comparable, one.records)) for one in others
    ]
    assert [one.flags for one in outcomes] == [one.flags for one in others]
    assert list(differences(columnar.engine, plain.engine)) == []
    return outcomes


def test_the_engine_says_the_same_bytes_of_a_market_in_json_and_in_columns() -> None:
    """Pressure, alerts, their headers, positions and the state: messages cut alike differ in nothing."""
    packed_messages = [one for batch in market(12) for one in encode_packed(batch, records_per_message=50)]
    assert sum(len(one.headers) for one in packed_messages) > 100
    assert sum(len(one.outputs) for one in same_in_both(packed_messages)) > 20


@settings(max_examples=12, derandomize=True, deadline=None, phases=[Phase.generate])
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_whatever_can_be_told_both_ways_makes_the_same_state(seed: int, records_per_message: int) -> None:
    """Records that meet: repeated and missing numbers, cancels, odd quotes, unknown series, times that go back."""
    dice = random.Random(seed)
    made = [damage.record(dice, "contract") for _ in range(10)] + [damage.record(dice) for _ in range(120)]
    batch = decode([(at, None, msgspec.json.encode(one), None, None) for at, one in enumerate(made)], "ticks").batch
    same_in_both(list(encode_packed(batch, records_per_message=records_per_message)))


def test_a_message_made_from_the_document_alone_is_what_the_same_records_in_json_are() -> None:
    """As a producer in another language makes it: offsets and types of columns.json, and nothing of ours."""
    told = schemas.documents()[schemas.COLUMNS_FILE]
    letters = {"<i8": "<q", "<f8": "<d", "<i4": "<i", "|i1": "<b", "|u1": "<B"}
    for kind, of_kind in told["kinds"].items():
        record = json.loads(msgspec.json.encode(RECORDS_OF[kind][0]))
        names = sorted(
            {value for name, value in record.items() if isinstance(value, str) and name not in ("kind", "side")}
        )
        row = bytearray(b"?" * of_kind["row_bytes"])
        levels = [*record.get("bids", ()), *record.get("asks", ())]
        record |= {"bid_levels": len(record.get("bids", ())), "ask_levels": len(record.get("asks", ()))}
        for field in of_kind["fields"]:
            value = record.get(field["name"])
            if value is None:
                value = float(field["absent"]) if field["type"] == "<f8" else int(field["absent"])
            elif isinstance(value, str):
                value = {"buy": 1, "sell": -1}[value] if field["name"] == "side" else names.index(value)
            struct.pack_into(letters[field["type"]], row, field["offset"], value)
        named = json.dumps(names).encode()
        head = {"version": told["version"], "records": 1, "levels": len(levels), "names_bytes": len(named)}
        value = struct.pack("<4I", *(head[field["name"]] for field in told["head"])) + bytes(row)
        value += b"".join(struct.pack("<2d", *level) for level in levels) + named
        batch, rejects = read([WireMessage("ticks", record["underlying"].encode(), value, packed.headers(kind))])
        assert rejects == []
        assert canonical(batch) == canonical(batch_of([RECORDS_OF[kind][0]]))


def test_the_example_of_the_documentation_is_two_quotes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is run as it stands there."""
    (example,) = re.findall(
        r"^```python\n(.*?)^```", (project / "docs" / "columns.md").read_text(), re.DOTALL | re.MULTILINE
    )
    monkeypatch.chdir(project)
    made: dict[str, Any] = {}
    exec(example, made)  # noqa: S102 - our own page
    batch, rejects = read([WireMessage("ticks", b"ACME", made["value"], tuple(made["headers"]))])
    assert rejects == []
    assert [batch.names[name] for name in batch.events["name"]] == ["ACME-C100", "ACME-P100"]
    assert batch.events["bid"].tolist() == [2.25, 1.15]
    assert batch.events["ask_size"].tolist() == [40.0, 40.0]


QUOTE = rows("option_quote", {}, {})
HOSTILE: list[tuple[str, str | None, bytes, str]] = [
    ("no bytes", "option_quote", b"", "empty"),
    ("half a head", "option_quote", b"\x01\0\0\0", "wrong_size"),
    ("no rows", "option_quote", value_of(QUOTE[:0]), "empty"),
    ("no kind", None, value_of(QUOTE), "unknown_kind"),
    ("an empty kind", "", value_of(QUOTE), "unknown_kind"),
    ("a kind of the future", "auction", value_of(QUOTE), "unknown_kind"),
    ("a kind of JSON alone", "contract", value_of(QUOTE), "unknown_kind"),
    ("a newer version", "option_quote", value_of(QUOTE, version=2), "unknown_version"),
    ("version 0", "option_quote", value_of(QUOTE, version=0), "unknown_version"),
    ("JSON under the wrong type", "option_quote", b'{"kind":"option_quote","underlying":"SPX"}', "unknown_version"),
    ("another kind's rows", "option_trade", value_of(QUOTE), "wrong_size"),
    ("a row less", "option_quote", value_of(QUOTE, records=3), "wrong_size"),
    ("a row more", "option_quote", value_of(QUOTE, records=1), "wrong_size"),
    ("4 billion rows", "option_quote", value_of(QUOTE, records=2**32 - 1), "wrong_size"),
    ("levels of no depth", "quote", value_of(rows("quote", {}), b'["SPX"]', bytes(16)), "wrong_size"),
    ("names cut off", "option_quote", value_of(QUOTE)[:-1], "wrong_size"),
    ("names that are no JSON", "option_quote", value_of(QUOTE, b'["SPX'), "undecodable"),
    ("names that are no strings", "option_quote", value_of(QUOTE, b"[1]"), "undecodable"),
    ("names that are no array", "option_quote", value_of(QUOTE, b'"SPX"'), "undecodable"),
    ("names of bad UTF-8", "option_quote", value_of(QUOTE, b'["S\xff"]'), "undecodable"),
    ("names 10,000 deep", "option_quote", value_of(QUOTE, b"[" * 10_000 + b"]" * 10_000), "undecodable"),
    ("levels missing", "depth", value_of(rows("depth", {"bid_levels": 1})), "wrong_size"),
    ("levels below 0", "depth", value_of(rows("depth", {"bid_levels": 1, "ask_levels": -1})), "wrong_shape"),
    (
        "levels beyond 32 bits",
        "depth",
        value_of(rows("depth", {"bid_levels": 2**31 - 1, "ask_levels": 2**31 - 1}, {"bid_levels": 2})),
        "wrong_size",
    ),
]


@pytest.mark.parametrize(("kind", "value", "reason"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_message_whose_parts_do_not_add_up_is_refused_as_a_whole(kind: str | None, value: bytes, reason: str) -> None:
    """One reject without an index; the messages before and after are applied."""
    assert told(kind, value) == [(-1, reason)]


def test_the_limits_of_messages_hold_for_columns() -> None:
    """Bytes, rows, and a tombstone of that type."""
    assert told("option_quote", value_of(np.repeat(QUOTE, 2)), Limits(bytes_max=200)) == [(-1, "too_large")]
    many = rows("option_quote", *[{}] * 3)
    assert told("option_quote", value_of(many), Limits(records_max=2)) == [(-1, "too_many_records")]
    batch, rejects = decode([(7, b"SPX", None, COLUMNS_CONTENT_TYPE, None)], "ticks")
    assert (len(batch.events), [reject.reason for reject in rejects]) == (0, ["tombstone"])


NAN = float("nan")
BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("option_quote", {"bid": NAN}, "bad_price"),
    ("option_quote", {"ask": float("inf")}, "bad_price"),
    ("option_quote", {"bid": -0.01}, "bad_price"),
    ("option_quote", {"bid_size": NAN}, "bad_size"),
    ("option_quote", {"ts_event_ns": 0}, "bad_time"),
    ("option_quote", {"ts_event_ns": -(2**63)}, "bad_time"),
    ("option_quote", {"ts_event_ns": NOW_NS // 1000}, "bad_time"),
    ("option_quote", {"sequence": -2}, "wrong_shape"),
    ("option_quote", {"symbol": 5}, "wrong_shape"),
    ("option_quote", {"symbol": -2}, "wrong_shape"),
    ("option_quote", {"symbol": -1}, "missing_symbol"),
    ("option_quote", {"symbol": 3}, "wrong_shape"),  # a name of no characters
    ("option_quote", {"symbol": 4}, "wrong_shape"),  # a name of 65
    ("option_quote", {"source": 2**31 - 1}, "wrong_shape"),
    ("option_quote", {"underlying": 5}, "wrong_shape"),
    ("option_quote", {"underlying": -1}, "key_mismatch"),
    ("option_quote", {"underlying": 1}, "key_mismatch"),
    ("option_trade", {"cancels": -5}, "wrong_shape"),
    ("option_trade", {"multi_leg": 2}, "wrong_shape"),
    ("option_trade", {"side": 2}, "bad_side"),
    ("option_trade", {"side": -128}, "bad_side"),
    ("option_trade", {"ask": NAN}, "half_quote"),
    ("option_trade", {"price": NAN}, "bad_price"),
    ("trade", {"size": 0.0}, "bad_size"),
    ("trade", {"instrument": 9}, "wrong_shape"),
    ("index_value", {"value": NAN}, "bad_value"),
    ("depth", {"snapshot": 255}, "wrong_shape"),
    ("depth", {"bid_levels": 1, "ask_levels": 1}, "bad_level"),
    ("clock", {"ts_event_ns": 2**63 - 1}, "bad_time"),
]


@pytest.mark.parametrize(("kind", "fields", "reason"), BAD_ROWS, ids=str)
def test_a_bad_row_is_told_with_its_index_and_the_others_are_applied(
    kind: str, fields: dict[str, Any], reason: str
) -> None:
    """As a bad record of a JSON array is."""
    good: dict[str, Any] = {"symbol": 2} if "symbol" in (PACKED[kind].row.names or ()) else {}
    names = json.dumps(["SPX", "NDX", "C1", "", "x" * 65]).encode()
    levels = np.array([[NAN, 1.0], [1.0, 1.0]]).tobytes() if "bid_levels" in fields else b""
    made = rows(kind, good, good | fields, good)
    if kind == "index_value":
        made["name"] = 1
    value = value_of(made, names, levels)
    assert told(kind, value) == [(1, reason)]
    batch = read([message(kind, value)]).batch
    assert batch.events["index"].tolist() == [0, 2]
    assert not {"", "x" * 65} & set(batch.names)


def test_the_future_is_what_lies_beyond_the_messages_own_append_time() -> None:
    """As of a JSON record."""
    value = value_of(rows("clock", {}, {"ts_event_ns": NOW_NS + 2 * 10**9}))
    headers = content_type_of(packed.headers("clock"))
    _, rejects = decode([(0, b"SPX", value, headers, NOW_NS // 10**6)], "ticks")
    assert [(reject.index, reject.reason) for reject in rejects] == [(1, "future_time")]


def test_absent_numbers_are_one_nan_whatever_bits_a_producer_has() -> None:
    """Else two feeds of the same trade would make two states."""
    odd = np.frombuffer(struct.pack("<Q", 0xFFF0_0000_0000_0001), "<f8")[0]  # negative, signalling
    made = rows("option_trade", dict.fromkeys(("bid", "ask", "venue_bid", "venue_ask", "bid_size"), 0.0))
    for field in ("bid", "ask", "venue_bid", "venue_ask", "bid_size"):
        made[field] = odd
    batch, rejects = read([message("option_trade", value_of(made))])
    assert rejects == []
    assert batch.events["bid"].tobytes() == np.float64(np.nan).tobytes()
    assert batch.events["flags"].tolist() == [0]


def test_names_that_no_row_means_are_not_taken_in() -> None:
    """A table of the whole exchange beside one quote costs the engine nothing."""
    names = json.dumps(["SPX", *map(str, range(1_000)), "C1"]).encode()
    batch, _ = read([message("option_quote", value_of(rows("option_quote", {"symbol": 1_001}), names))])
    assert sorted(batch.names) == ["C1", "SPX"]


def test_a_clock_of_all_underlyings_comes_after_what_was_before_it() -> None:
    """As in JSON: it moves the time of all of them."""
    values = [wire.IndexValue(name, 10**18 + place, "VIX", 1.0) for place, name in enumerate(["A", "B", "A"])]
    records = [*values, wire.Clock("*", 10**18 + 5), wire.Clock("A", 10**18 + 6)]
    messages = list(encode_packed(batch_of(records), records_per_message=100))
    assert [one.key for one in messages] == [b"A", b"B", b"*", b"A"]
    assert list(encode_packed(empty_batch())) == []
    with pytest.raises(ValueError, match="at least 1"):
        list(encode_packed(empty_batch(), records_per_message=0))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.sampled_from(columns.HOT_KINDS), st.binary(max_size=120))
def test_no_bytes_raise(kind: str, value: bytes) -> None:
    """Random bytes are rejected, not thrown."""
    assert len(told(kind, value)) == 1


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(HOT_RECORDS, min_size=1, max_size=3), st.data())
def test_a_byte_overwritten_anywhere_is_borne(records: list[Any], data: Any) -> None:
    """Each row is applied or told, once; what is applied has passed the door."""
    whole = next(encode_packed(batch_of(records), records_per_message=3))
    place = data.draw(st.integers(0, len(whole.value) - 1))
    spoilt = whole.value[:place] + data.draw(st.binary(min_size=1, max_size=1)) + whole.value[place + 1 :]
    batch, rejects = read([whole._replace(value=spoilt)])
    if [reject.index for reject in rejects] != [-1]:
        expected = len(read([whole]).batch.events)
        assert sorted([*batch.events["index"].tolist(), *(one.index for one in rejects)]) == list(range(expected))
