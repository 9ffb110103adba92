"""The records of the wire: what their shape is, before anybody asks whether they can be true."""

import msgspec
import pytest

from dhpe import columns, outputs
from dhpe.edge import messages as wire
from dhpe.edge.examples import RECORDS

QUOTE = {
    "kind": "option_quote",
    "underlying": "SPX",
    "ts_event_ns": 1_700_000_000_000_000_000,
    "symbol": "C1",
    "bid": 1.5,
    "bid_size": 2,
    "ask": 2.5,
    "ask_size": 3,
}


def read(fields: dict[str, object]) -> wire.Stamped:
    """Decode the fields as one record."""
    return msgspec.json.decode(msgspec.json.encode(fields), type=wire.Record)


def test_every_kind_of_the_shared_facts_has_a_record_and_an_example() -> None:
    """The kinds of the columns, of the wire and of the examples are the same ones."""
    assert set(wire.RECORD_OF_KIND) == {*columns.HOT_KINDS, *columns.REFERENCE_KINDS} == set(RECORDS)
    assert set(wire.RECORD_OF_KIND) == set(columns.TOPIC_OF_KIND)
    assert set(wire.Record.__args__) == set(wire.KIND_OF_TYPE)


def test_a_record_is_told_by_its_kind() -> None:
    """The tag on the wire is the name under which the record is known."""
    for kind, record in wire.RECORD_OF_KIND.items():
        assert record.__struct_config__.tag == kind
        assert record.__struct_config__.frozen


def test_the_wire_shows_kind_underlying_and_time_first_and_the_source_last() -> None:
    """Fields stand in the order a reader looks for them; absent ones are not written."""
    trade = wire.OptionTrade("SPX", 5, "C1", 1.0, 2.0, sequence=3, source="a")
    assert list(msgspec.json.decode(msgspec.json.encode(trade))) == [
        *("kind", "underlying", "ts_event_ns", "symbol", "price", "size", "sequence", "source"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bid": "1.5"},
        {"bid": True},
        {"bid": None},
        {"bid_size": "2"},
        {"ts_event_ns": "1700000000000000000"},
        {"ts_event_ns": 1.7e18},
        {"ts_event_ns": True},
        {"ts_event_ns": 2**63},
        {"symbol": 7},
        {"symbol": ""},
        {"symbol": "x" * 65},
        {"sequence": -1},
        {"sequence": 1.5},
        {"underlying": ["SPX"]},
        {"kind": "contract"},
    ],
    ids=str,
)
def test_a_wrong_type_is_not_bent_into_a_right_one(wrong: dict[str, object]) -> None:
    """A number as a string, a bool as a number, null in a required field: each is refused."""
    with pytest.raises(msgspec.ValidationError):
        read(QUOTE | wrong)


def test_unknown_fields_are_accepted_and_null_is_absence() -> None:
    """A newer producer may send more; an explicit null in an optional field is as if it were not there."""
    assert read(QUOTE | {"implied_vol": {"new": [1]}, "sequence": None}) == read(QUOTE)


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"0x10", b"+1", b"01"])
def test_numbers_that_json_does_not_have_are_refused(literal: bytes) -> None:
    """NaN and infinity cannot come in by JSON."""
    text = msgspec.json.encode(QUOTE).replace(b"2.5", literal)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=wire.Record)


def test_the_outputs_are_the_shared_facts() -> None:
    """The wire has no second definition of what is published."""
    assert wire.Output is outputs.Output
    assert (wire.Pressure, wire.Alert) == (outputs.Pressure, outputs.Alert)
