"""The one door: what cannot be true in a market stays outside, with its reason; everything else passes."""

import math
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe import columns
from dhpe.columns import Batch, Contract, DealerPosition, Instrument, OpenInterest, Rates, empty_events
from dhpe.edge import door
from dhpe.edge.door import NO_APPEND_TIME, check
from dhpe.edge.messages import TIME_FIRST_NS, TIME_LAST_NS

NOW_NS = 1_700_000_000_000_000_000
NOW_MS = NOW_NS // 1_000_000
NAN = math.nan
PRICE_NAMES = ("bid", "ask", "venue_bid", "venue_ask")
NASTY = st.sampled_from(
    [
        0.0,
        -0.0,
        1e-12,
        9e-13,
        5e-324,
        -9e-13,
        1.0,
        2.5,
        -1.0,
        NAN,
        math.inf,
        -math.inf,
        1e9,
        999_999_999.5,
        1e12,
        2.0**31 - 1,
        2.0**32 - 1,
        2.0**63,
    ]
)


def batch_of(*rows: dict[str, Any], reference: list[Any] | None = None, levels: list[Any] | None = None) -> Batch:
    """Rows as a batch; what a row does not say is a legal quote of option "C1" on "SPX"."""
    legal = {"kind": columns.OPTION_QUOTE, "ts_event_ns": NOW_NS, "underlying": 0, "name": 1}
    legal |= {"bid": 1.0, "bid_size": 1.0, "ask": 2.0, "ask_size": 1.0, "price": 1.0, "size": 1.0}
    events = empty_events(len(rows))
    for place, row in enumerate(rows):
        for name, value in (legal | {"offset": place} | row).items():
            events[place][name] = value
    return Batch(events, ["SPX", "C1", "*", "file.jsonl"], reference or [], np.array(levels or []).reshape(-1, 2))


def reasons(batch: Batch, **options: Any) -> list[str | None]:
    """The reject reason of each row, None where it passed."""
    options = {"append_time_ms": None, "future_limit_ms": 1000} | options
    passed, rejects = check(batch, **options)
    found: list[str | None] = [None] * len(batch.events)
    for reject in rejects:
        found[reject.offset] = reject.reason
    assert passed.events["offset"].tolist() == [row for row, reason in enumerate(found) if reason is None]
    return found


def naive_price(value: float) -> bool:
    """A price that a market can show."""
    return value == 0.0 or 1e-12 <= value < 1e9


def naive_size(value: float) -> bool:
    """A size that a market can show."""
    return (value == 0.0 or 1e-12 <= value < 1e12) and value not in (2.0**31 - 1, 2.0**32 - 1, 2.0**63 - 1)


def naive_reason(batch: Batch, row: int, append_ms: int, future_ms: int) -> str | None:
    """The door as one would write it for one record: the oracle."""
    event = {name: batch.events[name][row].item() for name in columns.EVENT.names or ()}
    kind = event["kind"]
    time_ns = event["ts_event_ns"]
    if not TIME_FIRST_NS <= time_ns < TIME_LAST_NS:
        return "bad_time"
    if append_ms != NO_APPEND_TIME and time_ns > (append_ms + future_ms) * 1_000_000:
        return "future_time"
    if event["underlying"] < 0:
        return "missing_underlying"
    if batch.names[event["underlying"]] == "*" and kind != columns.CLOCK:
        return "reserved_underlying"
    if kind in (columns.OPTION_QUOTE, columns.OPTION_TRADE, columns.INDEX_VALUE) and event["name"] < 0:
        return "missing_symbol"
    return {
        columns.OPTION_QUOTE: naive_quote,
        columns.QUOTE: naive_quote,
        columns.OPTION_TRADE: naive_option_trade,
        columns.TRADE: naive_trade,
        columns.INDEX_VALUE: naive_index_value,
    }.get(kind, lambda _: None)(event)


def naive_quote(event: dict[str, Any]) -> str | None:
    """A quote by itself."""
    if not (naive_price(event["bid"]) and naive_price(event["ask"])):
        return "bad_price"
    return None if naive_size(event["bid_size"]) and naive_size(event["ask_size"]) else "bad_size"


def naive_trade(event: dict[str, Any]) -> str | None:
    """A trade in the underlying by itself."""
    if not naive_price(event["price"]) or event["price"] == 0.0:
        return "bad_price"
    if not naive_size(event["size"]) or event["size"] == 0.0:
        return "bad_size"
    return "bad_side" if event["side"] not in (-1, 0, 1) else None


def naive_option_trade(event: dict[str, Any]) -> str | None:
    """An option trade by itself, with the quotes that it carries."""
    if not naive_price(event["price"]):
        return "bad_price"
    if not naive_size(event["size"]) or event["size"] == 0.0:
        return "bad_size"
    if not all(math.isnan(event[name]) or naive_price(event[name]) for name in PRICE_NAMES):
        return "bad_price"
    if not all(math.isnan(event[f"{name}_size"]) or naive_size(event[f"{name}_size"]) for name in PRICE_NAMES):
        return "bad_size"
    if event["side"] not in (-1, 0, 1):
        return "bad_side"
    carries = event["flags"] & columns.CARRIES_QUOTE
    return "half_quote" if carries and (math.isnan(event["bid"]) or math.isnan(event["ask"])) else None


def naive_index_value(event: dict[str, Any]) -> str | None:
    """An index value by itself."""
    if not naive_price(abs(event["price"])):
        return "bad_value"
    return "bad_value" if event["name"] == event["underlying"] and not event["price"] > 0.0 else None


ROWS = st.fixed_dictionaries(
    {"kind": st.sampled_from([0, 1, 2, 3, 5, 6])},
    optional={
        "ts_event_ns": st.sampled_from(
            [
                0,
                -1,
                NOW_MS,
                NOW_NS,
                NOW_NS + 1,
                NOW_NS + 10**9,
                TIME_FIRST_NS - 1,
                TIME_FIRST_NS,
                TIME_LAST_NS,
                2**63 - 1,
            ]
        ),
        "underlying": st.sampled_from([-1, 0, 2]),
        "name": st.sampled_from([-1, 0, 1]),
        "side": st.sampled_from([-1, 0, 1, 2, -2]),
        "flags": st.sampled_from([0, columns.MULTI_LEG, columns.CARRIES_QUOTE]),
    }
    | {name: NASTY for name in columns.EVENT.names or () if columns.EVENT[name] == np.float64},
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(ROWS, max_size=8), st.sampled_from([NO_APPEND_TIME, 0, NOW_MS, NOW_MS + 5]), st.sampled_from([0, 1000]))
def test_the_door_over_columns_is_the_door_record_by_record(
    rows: list[dict[str, Any]], append_ms: int, future_ms: int
) -> None:
    """Whatever the values, the vectorised rules give the reasons of the plain ones."""
    batch = batch_of(*rows)
    expected = [naive_reason(batch, row, append_ms, future_ms) for row in range(len(rows))]
    assert reasons(batch, append_time_ms=append_ms, future_limit_ms=future_ms) == expected


def test_what_looks_odd_but_happens_in_life_passes() -> None:
    """Zero bids, both sides empty, locked and crossed quotes, cabinet trades and time going back are legal."""
    rows = [
        {"bid": 0.0, "bid_size": 0.0},
        {"bid": 0.0, "ask": 0.0},
        {"bid": 2.0, "ask": 2.0},
        {"bid": 3.0, "ask": 2.0},
        {"kind": columns.OPTION_TRADE, "price": 0.0, "bid": NAN, "ask": NAN},
        {"ts_event_ns": NOW_NS - 600 * 10**9},
        {"kind": columns.CLOCK, "underlying": 2, "name": -1},
        {"kind": columns.DEPTH, "name": -1},
    ]
    assert reasons(batch_of(*rows)) == [None] * len(rows)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (Contract("C1", 1, 100.0, 100.0, False, NOW_NS + 1), None),
        (Contract("C1", 0, 100.0, 100.0, False, NOW_NS + 1), "bad_right"),
        (Contract("C1", 1, 0.0, 100.0, False, NOW_NS + 1), "bad_strike"),
        (Contract("C1", 1, NAN, 100.0, False, NOW_NS + 1), "bad_strike"),
        (Contract("C1", 1, 1e9, 100.0, False, NOW_NS + 1), "bad_strike"),
        (Contract("C1", 1, 100.0, 0.0, False, NOW_NS + 1), "bad_multiplier"),
        (Contract("C1", 1, 100.0, 100.0, False, NOW_NS), "expired_contract"),
        (Contract("C1", 1, 100.0, 100.0, False, 1_700_000_000), "bad_settlement"),
        (Instrument("ES", "hedge", 50.0, False), None),
        (Instrument("ES", "toy", 50.0, False), "bad_role"),
        (Instrument("ES", "spot", -1.0, False), "bad_multiplier"),
        (OpenInterest("C1", "2023-11-14", 0.0), None),
        (OpenInterest("C1", "2023-11-14", -1.0), "bad_open_interest"),
        (OpenInterest("C1", "2023-11-14", NAN), "bad_open_interest"),
        (OpenInterest("C1", "2023-11-14", 2.0**63 - 1), "bad_open_interest"),
        (OpenInterest("C1", "2023-02-30", 1.0), "bad_date"),
        (OpenInterest("C1", "20231114", 1.0), "bad_date"),
        (OpenInterest("C1", "tomorrow", 1.0), "bad_date"),
        (Rates(0.05, NAN, 0, NAN, NAN), None),
        (Rates(NAN, NAN, NOW_NS, 100.0, 0.99), None),
        (Rates(5.0, 0.0, 0, NAN, NAN), "bad_rate"),
        (Rates(0.05, -math.inf, 0, NAN, NAN), "bad_rate"),
        (Rates(NAN, NAN, 0, NAN, NAN), "incomplete_rates"),
        (Rates(NAN, NAN, 0, 100.0, 0.99), "incomplete_rates"),
        (Rates(NAN, NAN, NOW_NS, -1.0, 0.99), "bad_price"),
        (Rates(NAN, NAN, NOW_NS, 100.0, 2.0), "bad_discount"),
        (Rates(0.05, 0.0, 17, NAN, NAN), "bad_settlement"),
        (DealerPosition("C1", -5000.0), None),
        (DealerPosition("C1", NAN), "bad_position"),
        (DealerPosition("C1", -math.inf), "bad_position"),
    ],
    ids=str,
)
def test_a_reference_fact_must_be_possible(fact: columns.Reference, reason: str | None) -> None:
    """Strikes, multipliers, settlements, rates, open interest: each has its limits and its word."""
    row = {"kind": columns.REFERENCE, "name": -1, "reference": 0}
    assert reasons(batch_of(row, reference=[fact])) == [reason]


@pytest.mark.parametrize(
    ("row", "levels", "reason"),
    [
        ({"levels_start": 0, "bid_levels": 1, "ask_levels": 1}, [(1.0, 2.0), (3.0, 0.0)], None),
        ({"levels_start": 0, "bid_levels": 1, "ask_levels": 1}, [(1.0, 2.0), (0.0, 1.0)], "bad_level"),
        ({"levels_start": 0, "bid_levels": 1, "ask_levels": 1}, [(1.0, -2.0), (3.0, 1.0)], "bad_level"),
        ({"levels_start": 1, "bid_levels": 1, "ask_levels": 0}, [(NAN, NAN), (3.0, 1.0), (NAN, 1.0)], None),
        ({"levels_start": 0, "bid_levels": 1, "ask_levels": 2}, [(1.0, 2.0), (3.0, 1.0)], "bad_depth"),
        ({"levels_start": -1, "bid_levels": 1, "ask_levels": 0}, [(1.0, 2.0)], "bad_depth"),
        ({"levels_start": 0, "bid_levels": 5000, "ask_levels": 5001}, [(1.0, 2.0)] * 10_001, "too_many_levels"),
    ],
    ids=str,
)
def test_the_levels_of_a_depth_record_must_be_possible(row: dict[str, int], levels: Any, reason: str | None) -> None:
    """Each record answers for its own levels, not for its neighbours'."""
    assert reasons(batch_of({"kind": columns.DEPTH, "name": -1} | row, levels=levels)) == [reason]


def test_rows_of_no_kind_and_facts_that_are_not_there_are_refused() -> None:
    """A format that makes such rows is wrong, and the engine never sees them."""
    rows = [{"kind": 9}, {"kind": -1}, {"kind": columns.REFERENCE, "reference": 3}]
    assert reasons(batch_of(*rows)) == ["unknown_kind", "unknown_kind", "bad_reference"]


def test_minus_zero_leaves_as_zero_and_the_given_batch_is_left_as_it_is() -> None:
    """Equal records have equal bits behind the door."""
    given_batch = batch_of(
        {"bid": -0.0, "bid_size": -0.0},
        {"kind": columns.DEPTH, "bid_levels": 1},
        *({"kind": columns.REFERENCE, "reference": place} for place in range(3)),
        reference=[Rates(-0.0, -0.0, 0, NAN, NAN), DealerPosition("C1", -0.0), OpenInterest("C1", "2023-11-14", -0.0)],
        levels=[(1.0, -0.0)],
    )
    passed, rejects = check(given_batch, None, 0)
    assert rejects == []
    numbers = [
        *(passed.events[name][0] for name in ("bid", "bid_size")),
        passed.levels[0, 1],
        *(value for fact in passed.reference for value in fact if value == 0.0),
    ]
    assert [math.copysign(1.0, value) for value in numbers] == [1.0] * len(numbers)
    assert math.copysign(1.0, given_batch.events["bid"][0]) == -1.0


def test_each_row_is_held_against_its_own_append_time() -> None:
    """Messages of one batch were appended at different times; some logs and all files know none."""
    batch = batch_of(*[{}] * 4)
    times = np.array([NOW_MS, NOW_MS - 1000, NOW_MS - 1001, NO_APPEND_TIME])
    assert reasons(batch, append_time_ms=times) == [None, None, "future_time", None]


def test_a_reject_says_where_and_why_in_a_sentence() -> None:
    """The position, the file, the field, the value, and for times the unit that was probably meant."""
    batch = batch_of({"bid": -1.5, "offset": 7, "index": 3, "file": 3}, {"ts_event_ns": NOW_MS})
    first, second = check(batch, None, 0, "ticks").rejects
    assert first[:5] == ("ticks", 7, 3, "file.jsonl", "bad_price")
    assert first.detail.startswith("bid is -1.5: ")
    assert "looks like milliseconds" in second.detail


def test_the_limits_in_the_documentation_are_the_limits() -> None:
    """2000-01-01 and 2100-01-01 in nanoseconds, as the calendar counts them."""
    days = [(date(year, 1, 1) - date(1970, 1, 1)).days for year in (2000, 2100)]
    assert [day * 86_400 * 10**9 for day in days] == [TIME_FIRST_NS, TIME_LAST_NS]
    assert door.LEVELS_MAX == 10_000
