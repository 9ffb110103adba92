"""Several sources become one order of event time, whatever their batches."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dhpe.columns import DEPTH, OPTION_QUOTE, REFERENCE, Batch, OpenInterest, Reject, empty_events
from dhpe.edge.formats.merge import in_time_order, merged

Rows = list[tuple[int, bool]]  # event time, whether it is a fact


def source(name: str, rows: Rows) -> Batch:
    """A source: each row names itself, facts by their fact, depth records by their levels."""
    events = empty_events(len(rows))
    names = ["unused", name, *(f"{name}{place}" for place in range(len(rows)))]
    facts = [OpenInterest(f"{name}{place}", "2026-08-18", 1.0) for place in range(len(rows))]
    levels = np.arange(4.0 * len(rows)).reshape(-1, 2)
    for place, (time_ns, fact) in enumerate(rows):
        row = events[place]
        row["ts_event_ns"] = time_ns
        row["kind"] = REFERENCE if fact else DEPTH
        row["underlying"], row["name"] = 1, 2 + place
        row["reference"] = place if fact else -1
        if not fact:
            row["levels_start"], row["bid_levels"], row["ask_levels"] = 2 * place, 1, 1
    return Batch(events, names, list(facts), levels)


def cut(batch: Batch, bounds: list[int]) -> Iterator[Batch]:
    """The same source in other batches."""
    edges = sorted({0, len(batch.events), *(bound % (len(batch.events) + 1) for bound in bounds)})
    for first, last in pairwise(edges):
        yield batch._replace(events=batch.events[first:last])


def told(items: list[Batch | Reject]) -> list[tuple[str, int, str | None, list[float]]]:
    """Name, time, fact and levels of each row, through whatever indices."""
    rows = []
    for batch in items:
        assert isinstance(batch, Batch)
        for row in batch.events:
            fact = batch.reference[row["reference"]].symbol if row["reference"] >= 0 else None
            start, count = int(row["levels_start"]), int(row["bid_levels"] + row["ask_levels"])
            levels: NDArray[np.float64] = batch.levels[start : start + count]
            rows.append((batch.names[row["name"]], int(row["ts_event_ns"]), fact, levels.ravel().tolist()))
    return rows


ROWS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12)
ORDERED = ROWS.map(lambda rows: sorted(rows, key=lambda row: row[0]))
BOUNDS = st.lists(st.integers(0, 12), max_size=3)


@given(st.lists(st.tuples(ORDERED, BOUNDS), min_size=1, max_size=3))
def test_ordered_sources_merge_like_one_stable_sort(parts: list[tuple[Rows, list[int]]]) -> None:
    """By event time, at equal times by the order of the sources; facts and levels stay with their rows."""
    wholes = [source("abc"[place], rows) for place, (rows, _) in enumerate(parts)]
    expected = sorted(told(list(wholes)), key=lambda row: row[1])
    found = told(list(merged([cut(whole, bounds) for whole, (_, bounds) in zip(wholes, parts, strict=True)])))
    assert found == expected


@given(st.lists(st.tuples(ROWS, BOUNDS), min_size=2, max_size=3))
def test_a_source_keeps_its_own_order(parts: list[tuple[Rows, list[int]]]) -> None:
    """Even where its time goes back: nothing is lost, nothing overtakes within a source."""
    wholes = [source("abc"[place], rows) for place, (rows, _) in enumerate(parts)]
    found = told(list(merged([cut(whole, bounds) for whole, (_, bounds) in zip(wholes, parts, strict=True)])))
    for whole in wholes:
        own = [row for row in found if row[0].startswith(whole.names[1])]
        assert own == told([whole])


def test_facts_stay_before_the_tick_they_precede() -> None:
    """A fact stamped later than the tick behind it (open interest of 06:31 before ticks of 04:00) is not moved back."""
    day = source("a", [(0, True), (631, True), (400, False), (700, False)])
    indices = source("b", [(500, False), (650, False)])
    names = [row[0] for row in told(list(merged([iter([day]), iter([indices])])))]
    assert names == ["a0", "a1", "a2", "b0", "b1", "a3"]


@given(ROWS, BOUNDS)
def test_enough_slack_gives_a_stable_sort(rows: Rows, bounds: list[int]) -> None:
    """Records within the slack leave by event time, those of equal time as they came, whatever the batches."""
    whole = source("a", [(time_ns, False) for time_ns, _ in rows])
    found = told(list(in_time_order(cut(whole, bounds), slack_ns=20)))
    assert found == sorted(told([whole]), key=lambda row: row[1])


@given(ROWS, BOUNDS, st.integers(0, 20))
def test_too_little_slack_loses_nothing(rows: Rows, bounds: list[int], slack_ns: int) -> None:
    """What comes too late is let through."""
    whole = source("a", [(time_ns, False) for time_ns, _ in rows])
    found = told(list(in_time_order(cut(whole, bounds), slack_ns)))
    assert sorted(found) == sorted(told([whole]))


def test_rejects_pass() -> None:
    """A reject goes through the merge and the reordering."""
    reject = Reject("", -1, 7, "file", "bad_price", "bid is -1")
    batch = source("a", [(1, False)])
    batch.events["kind"] = OPTION_QUOTE
    assert reject in list(in_time_order(iter([reject, batch]), 5))
    assert reject in list(merged([iter([reject, batch]), iter([batch, reject])]))
