"""A sweep is one order: its later parts take the decision of the first, and nothing else does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_records import START_NS, contract, open_interest, positions, step, trade
from dhpe.columns import MULTI_LEG, empty_events
from dhpe.engine import Engine
from dhpe.numerics.trade_columns import sweep_firsts
from dhpe.parameters import Parameters

MS = 1_000_000
WEEKLY = contract() | {"exercise": "american"}
BEFORE = {"bid": 0.8, "bid_size": 5, "ask": 1.2, "ask_size": 9}
AFTER = {"bid": 1.2, "bid_size": 5, "ask": 1.4, "ask_size": 9}
"""What the first part of a buy leaves behind: taken by itself, a trade at 1.2 would now be a sale."""


def part(ms: int, venue: str | None, price: float = 1.2, **more: object) -> dict[str, object]:
    """A trade of unknown side, against the quote that the sweep has moved."""
    record = trade(7, "buy") | {"price": price, "ts_event_ns": START_NS + ms * MS} | AFTER | more
    del record["side"]
    return record if venue is None else record | {"source": venue}


FIRST = part(0, "A", **BEFORE)


def labels(*records: dict[str, object], window_ms: int = 500) -> list[tuple[str | None, str]]:
    """Side and rule of each trade."""
    result = step(Engine(Parameters(sweep_window_ms=window_ms)), WEEKLY, *records)
    return [(label.side, label.rule) for label in result.labels]


@pytest.mark.parametrize(
    "later",
    [part(0, "A"), part(0, None), part(300, "B"), part(500, "B"), part(300, "B", 1.3)],
    ids="same_time venue_unknown_same_time other_venue end_of_window worse_price".split(),
)
def test_a_later_part_takes_the_decision_of_the_first(later: dict[str, object]) -> None:
    """Its side and its probability, whatever its own quote says; the rule on the label is sweep."""
    engine = Engine(Parameters())
    result = step(engine, WEEKLY, open_interest(1000), FIRST, later)
    first, second = result.labels
    assert (first.side, first.rule) == ("buy", "quote")
    assert (second.side, second.rule, second.probability) == ("buy", "sweep", first.probability)
    assert second.lee_ready_side == ("sell" if later["price"] == 1.2 else "buy")
    assert result.flags["sweep_part"] == 1
    assert positions(engine)[1] == 1000 - 14


@pytest.mark.parametrize(
    "later",
    [
        part(300, "A"),
        part(501, "B"),
        part(300, None),
        part(-1, "B"),
        part(300, "B", 1.15) | {"bid": 1.15},
        part(300, "B", multi_leg=True),
    ],
    ids="same_venue_later beyond_window venue_unknown time_back better_price package".split(),
)
def test_another_order_is_judged_by_itself(later: dict[str, object]) -> None:
    """A sweep leaves a venue once, ends with its window, and only walks away from the price."""
    assert labels(FIRST, later)[1] == ("sell", "quote")


def test_without_a_window_each_trade_is_judged_by_itself() -> None:
    """Also those of one exchange time."""
    assert labels(FIRST, part(0, "A"), window_ms=0)[1] == ("sell", "quote")


def test_a_sweep_runs_from_its_first_part_and_over_many() -> None:
    """The window does not move on with the parts; the next trade begins anew."""
    parts = [part(ms, venue) for ms, venue in ((200, "B"), (200, "B"), (400, "C"), (600, "D"), (700, "E"))]
    assert [rule for _, rule in labels(FIRST, *parts)] == ["quote", "sweep", "sweep", "sweep", "quote", "sweep"]


def test_the_side_that_the_feed_tells_is_the_decision() -> None:
    """For the parts of unknown side that follow; a known side needs no other."""
    told = FIRST | {"side": "sell"}
    assert labels(told, part(100, "B") | {"bid": 1.0, "ask": 1.2}) == [("sell", "aggressor"), ("sell", "sweep")]
    assert labels(FIRST, part(100, "B") | {"side": "sell"}, part(200, "C"))[1:] == [
        ("sell", "aggressor"),
        ("sell", "sweep"),
    ]


def test_trades_of_the_underlying_sweep_too() -> None:
    """In their own instrument."""
    quote = {"kind": "quote", "bid": 99.0, "bid_size": 1, "ask": 101.0, "ask_size": 1, "ts_event_ns": START_NS}
    moved = quote | {"bid": 101.0, "ask": 103.0, "ts_event_ns": START_NS + 20 * MS}
    bought = {"kind": "trade", "price": 101.0, "size": 1, "ts_event_ns": START_NS + 10 * MS, "source": "A"}
    later = bought | {"ts_event_ns": START_NS + 30 * MS, "source": "B"}
    result = step(Engine(Parameters()), quote, bought, moved, later)
    assert [(label.side, label.rule) for label in result.labels] == [("buy", "quote"), ("buy", "sweep")]


ANY_PART = st.tuples(
    st.integers(0, 400), st.sampled_from([None, "A", "B", "C"]), st.sampled_from([0.8, 1.0, 1.2]), st.booleans()
)


@given(st.lists(ANY_PART, min_size=2, max_size=20), st.data())
def test_sweeps_do_not_know_how_the_records_were_cut(
    parts: list[tuple[int, str | None, float, bool]], data: st.DataObject
) -> None:
    """A venue has one code in every batch, however many names stand before it."""
    records, now = [], 0
    for wait, venue, price, legs in parts:
        now += wait
        records.append(part(now, venue, price, multi_leg=legs, **BEFORE))
    place = data.draw(st.integers(0, len(records)))
    whole, cut = Engine(Parameters()), Engine(Parameters())
    once = step(whole, WEEKLY, open_interest(1000), *records).labels
    step(cut, WEEKLY, open_interest(1000))
    twice = [label for piece in (records[:place], records[place:]) for label in step(cut, *piece).labels]
    assert [(one.side, one.rule, one.probability) for one in once] == [
        (one.side, one.rule, one.probability) for one in twice
    ]
    assert positions(whole) == positions(cut)


def slow_firsts(events: np.ndarray, sides: list[int], window_ns: int) -> list[int]:
    """The definition, read from the whole history of one instrument."""
    firsts: list[int] = []
    for place, event in enumerate(events):
        first = firsts[-1] if firsts else -1
        whole = event["flags"] == 0
        joins = False
        if first >= 0 and whole and events[first]["flags"] == 0 and sides[first] != 0:
            since_ns = event["ts_event_ns"] - events[first]["ts_event_ns"]
            venues = {int(event["source"]), int(events[first]["source"])}
            walks = (event["price"] - events[place - 1]["price"]) * sides[first] >= 0
            joins = walks and (since_ns == 0 or (0 < since_ns <= window_ns and len(venues) == 2 and -1 not in venues))
        firsts.append(first if joins else place)
    return firsts


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3), st.integers(-1, 2), st.integers(1, 4), st.sampled_from([-1, 0, 1]), st.integers(0, 9)
        ),
        max_size=40,
    )
)
def test_columns_of_trades_are_cut_into_orders_by_the_definition(rows: list[tuple[int, ...]]) -> None:
    """The kernel of the scores, against a slow reading."""
    events = empty_events(len(rows))
    events["ts_event_ns"] = np.cumsum([row[0] for row in rows] or [0])[: len(rows)]
    events["source"], events["price"] = [row[1] for row in rows], [row[2] for row in rows]
    events["flags"] = [MULTI_LEG if row[4] == 0 else 0 for row in rows]
    sides = np.array([row[3] for row in rows], np.int8)
    firsts = np.empty(len(rows), np.int64)
    sweep_firsts(events, np.zeros(len(rows), np.int64), 1, sides, 4, firsts)
    assert firsts.tolist() == slow_firsts(events, sides.tolist(), 4)
