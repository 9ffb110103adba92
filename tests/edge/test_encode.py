"""Columns to bytes: the exact inverse of decoding, and outputs as their readers expect them."""

import math
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dhpe.columns import TOPIC_OF_KIND, Batch, empty_batch
from dhpe.edge import messages as wire
from dhpe.edge.decode import Message, decode
from dhpe.edge.encode import WireMessage, encode_batch, encode_output, rfc3339, to_records
from dhpe.edge.examples import ALERT, PRESSURE
from wire_records import ANY_RECORD, RECORDS, canonical

ROUND_TRIP = settings(max_examples=60, derandomize=True, deadline=None)


def batch_of(records: list[Any]) -> Batch:
    """Records as the batch that the wire makes of them."""
    messages: list[Message] = [(place, None, msgspec.json.encode(one), None, None) for place, one in enumerate(records)]
    batch, rejects = decode(messages, "ticks")
    assert rejects == []
    return batch


def read_back(messages: list[WireMessage]) -> Batch:
    """The messages as a consumer gets them: with their keys, in their order."""
    batch, rejects = decode(
        [(offset, message.key, message.value, None, None) for offset, message in enumerate(messages)], "ticks"
    )
    assert rejects == []
    return batch


def records_of(message: WireMessage) -> list[Any]:
    """What a message holds."""
    read = msgspec.json.decode(message.value, type=wire.Record | list[wire.Record])
    return read if isinstance(read, list) else [read]


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
@settings(max_examples=30, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_record_survives_bytes_columns_and_bytes(kind: str, data: st.DataObject) -> None:
    """Record to batch to record: nothing is lost and nothing is added, whatever the kind."""
    records = data.draw(st.lists(RECORDS[kind], min_size=1, max_size=5))
    assert to_records(batch_of(records)) == records


@ROUND_TRIP
@given(st.lists(ANY_RECORD, max_size=20))
def test_encoding_is_the_inverse_of_decoding_bit_by_bit(records: list[Any]) -> None:
    """Batch to messages to batch gives the same rows in the same order, every float to its last bit."""
    batch = batch_of(records)
    messages = list(encode_batch(batch))
    assert len(messages) == len(records)
    assert canonical(read_back(messages)) == canonical(batch)


@ROUND_TRIP
@given(st.lists(ANY_RECORD, max_size=30), st.integers(1, 7))
def test_arrays_hold_one_underlying_and_one_topic_in_order(records: list[Any], records_per_message: int) -> None:
    """Every record arrives, in its order among those of its underlying and topic, and no message is too long."""
    messages = list(encode_batch(batch_of(records), records_per_message=records_per_message))
    arrived: dict[tuple[str, str], list[Any]] = {}
    for message in messages:
        held = records_of(message)
        assert 1 <= len(held) <= records_per_message
        assert {record.underlying.encode() for record in held} == {message.key}
        assert {TOPIC_OF_KIND[wire.KIND_OF_TYPE[type(record)]] for record in held} == {message.topic}
        arrived.setdefault((message.topic, held[0].underlying), []).extend(held)
    sent: dict[tuple[str, str], list[Any]] = {}
    for record in records:
        sent.setdefault((TOPIC_OF_KIND[wire.KIND_OF_TYPE[type(record)]], record.underlying), []).append(record)
    assert arrived == sent


def test_a_clock_of_everybody_comes_after_all_that_came_before_it() -> None:
    """It moves the time of all underlyings, so no earlier record may wait in a half-filled array behind it."""
    values = [wire.IndexValue(name, 10**18 + place, "VIX", 1.0) for place, name in enumerate(["A", "B", "A"])]
    records = [*values, wire.Clock("*", 10**18 + 5), wire.Clock("A", 10**18 + 6)]
    keys = [message.key for message in encode_batch(batch_of(records), records_per_message=100)]
    assert keys == [b"A", b"B", b"*", b"A"]


@pytest.mark.parametrize("number", [1e-12, 0.1, 1 / 3, 1.0000000000000002e-12, 999_999_999.9999999, 1e-7, 123456.0])
def test_floats_keep_their_last_bit(number: float) -> None:
    """Shortest digits that read back the same: also for the smallest and the awkward."""
    batch = batch_of([wire.OptionQuote("SPX", 10**18, "C1", number, number, number, number)])
    back = read_back(list(encode_batch(batch)))
    assert back.events["bid"].tobytes() == np.float64(number).tobytes()


def test_a_message_of_one_record_is_an_object_and_names_no_content_type() -> None:
    """JSON is the default, so the plain case costs no header."""
    (message,) = encode_batch(batch_of([wire.Clock("SPX", 10**18)]), records_per_message=50)
    assert message == ("ticks", b"SPX", b'{"kind":"clock","underlying":"SPX","ts_event_ns":1000000000000000000}', ())


def test_an_empty_batch_makes_no_message_and_no_record_per_message_is_an_error() -> None:
    """The second would otherwise never end or never send."""
    assert list(encode_batch(empty_batch())) == []
    with pytest.raises(ValueError, match="at least 1"):
        list(encode_batch(empty_batch(), records_per_message=0))


def test_pressure_is_plain_json_under_its_underlying() -> None:
    """Read back it is the same fact; NaN never stands in it, because null says unknown."""
    message = encode_output(PRESSURE)
    assert (message.topic, message.key, message.headers) == ("pressure", b"SPX", ())
    assert msgspec.json.decode(message.value, type=wire.Pressure) == PRESSURE
    unknown = encode_output(msgspec.structs.replace(PRESSURE, spot=math.nan))
    assert msgspec.json.decode(unknown.value, type=wire.Pressure).spot is None


def test_an_alert_carries_the_cloudevents_attributes_in_its_headers() -> None:
    """Binary mode, version 1.0: every required attribute, time and subject; the same alert gives the same bytes."""
    message = encode_output(ALERT)
    assert (message.topic, message.key) == ("alerts", b"SPX")
    assert msgspec.json.decode(message.value, type=wire.Alert) == ALERT
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": ALERT.id.encode(),
        "ce_source": b"/dhpe",
        "ce_type": b"dhpe.alert.bulldozer",
        "ce_time": b"2026-08-20T16:00:00.000000000Z",
        "ce_subject": b"SPX",
        "content-type": b"application/json",
    }
    assert encode_output(ALERT) == message


@settings(derandomize=True)
@given(st.integers(wire.TIME_FIRST_NS, wire.TIME_LAST_NS - 1))
def test_event_time_is_written_as_rfc_3339_to_the_nanosecond(time_ns: int) -> None:
    """What a standard parser reads back, and the digits it drops, make the same instant."""
    text = rfc3339(time_ns)
    seconds = int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
    assert seconds * 10**9 + int(text[20:29]) == time_ns
    assert (len(text), text[-1]) == (30, "Z")
