"""Rows of one chunk, written in any order of kinds and handed out in event time as a Batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import CLOCK, DEPTH, INDEX_VALUE, QUOTE, REFERENCE, SNAPSHOT, TRADE, Batch, Reference, empty_events

SOURCE = "simulated"


class Chunk(NamedTuple):
    """A batch and, for each of its records, the aggressor's true side (0 where the record is no trade)."""

    batch: Batch
    sides: NDArray[np.int8]


class Recorder:
    """Collects the records of one underlying between two chunks; names are indices into ``names``."""

    def __init__(self, underlying: str, names: Sequence[str]) -> None:
        """``names`` are the symbols, instruments and indices that records may mean."""
        self._names = [underlying, SOURCE, *names]  # the underlying trades as an instrument of its own name
        self._place = {name: place for place, name in enumerate(self._names)}
        self._rows = empty_events(1024)
        self._sides = np.zeros(1024, np.int8)
        self._count = 0
        self._reference: list[Reference] = []
        self._levels: list[NDArray[np.float64]] = []
        self._levels_count = 0

    def names_at(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Where these names stand."""
        return np.array([self._place[name] for name in names], np.int64)

    def rows(self, count: int, kind: int) -> NDArray[np.void]:
        """``count`` fresh rows of one kind to be filled in place, before the next call."""
        while self._count + count > len(self._rows):
            self._rows = np.concatenate([self._rows, empty_events(len(self._rows))])
            self._sides = np.concatenate([self._sides, np.zeros(len(self._sides), np.int8)])
        rows = self._rows[self._count : self._count + count]
        rows["kind"] = kind
        rows["underlying"] = 0
        rows["source"] = 1
        self._count += count
        return rows

    def _row(self, kind: int, ts_event_ns: int, name: str | None = None) -> np.void:
        row: np.void = self.rows(1, kind)[0]
        row["ts_event_ns"] = ts_event_ns
        if name is not None:
            row["name"] = self._place[name]
        return row

    def true_sides(self, sides: NDArray[np.int8]) -> None:
        """Keep the true sides of the last ``len(sides)`` rows beside the stream."""
        self._sides[self._count - len(sides) : self._count] = sides

    def reference(self, ts_event_ns: int, fact: Reference) -> None:
        """Write a reference record."""
        self._row(REFERENCE, ts_event_ns)["reference"] = len(self._reference)
        self._reference.append(fact)

    def trade(self, ts_event_ns: int, instrument: str, price: float, size: float, side: int) -> np.void:
        """Write a trade of the underlying, without its side on the row."""
        row = self._row(TRADE, ts_event_ns, instrument)
        row["price"], row["size"] = price, size
        self._sides[self._count - 1] = side
        return row

    def quote(self, ts_event_ns: int, instrument: str, bid: tuple[float, float], ask: tuple[float, float]) -> None:
        """Write a best quote of the underlying, (price, size) on either side."""
        row = self._row(QUOTE, ts_event_ns, instrument)
        row["bid"], row["bid_size"] = bid
        row["ask"], row["ask_size"] = ask

    def depth(self, ts_event_ns: int, instrument: str, levels: NDArray[np.float64]) -> None:
        """Write a snapshot of the book, (2n, 2): n bids, then n asks."""
        row = self._row(DEPTH, ts_event_ns, instrument)
        row["flags"] = SNAPSHOT
        row["levels_start"] = self._levels_count
        row["bid_levels"] = row["ask_levels"] = len(levels) // 2
        self._levels.append(levels)
        self._levels_count += len(levels)

    def index_value(self, ts_event_ns: int, name: str, value: float) -> None:
        """Write a volatility or sector index, rounded as it is published."""
        self._row(INDEX_VALUE, ts_event_ns, name)["price"] = round(value, 2)

    def clock(self, ts_event_ns: int) -> None:
        """Say that event time has come this far."""
        self._row(CLOCK, ts_event_ns)

    def take(self) -> Chunk:
        """Hand out what was collected since the last time, in event time."""
        order = np.argsort(self._rows["ts_event_ns"][: self._count], kind="stable")
        levels = np.concatenate(self._levels) if self._levels else np.zeros((0, 2))
        chunk = Chunk(Batch(self._rows[order], self._names, self._reference, levels), self._sides[order])
        self._rows[: self._count] = empty_events(self._count)
        self._sides[: self._count] = 0
        self._count, self._levels_count = 0, 0
        self._reference, self._levels = [], []
        return chunk


def merged(chunks: Sequence[Chunk], offset: int) -> Chunk:
    """One chunk of several underlyings in event time, its offsets running on from ``offset``."""
    names: list[str] = []
    reference: list[Reference] = []
    levels_count = 0
    parts = []
    for chunk in chunks:
        events = chunk.batch.events
        for field in ("underlying", "name", "source"):
            events[field] = np.where(events[field] >= 0, events[field] + len(names), -1)
        events["reference"] = np.where(events["reference"] >= 0, events["reference"] + len(reference), -1)
        events["levels_start"] += levels_count
        names += chunk.batch.names
        reference += chunk.batch.reference
        levels_count += len(chunk.batch.levels)
        parts.append(events)
    events = np.concatenate(parts)
    order = np.argsort(events["ts_event_ns"], kind="stable")
    events = events[order]
    events["offset"] = np.arange(offset, offset + len(events))
    levels = np.concatenate([chunk.batch.levels for chunk in chunks])
    sides = np.concatenate([chunk.sides for chunk in chunks])[order]
    return Chunk(compact(Batch(events, names, reference, levels)), sides)


def compact(batch: Batch) -> Batch:
    """The same records with only the names that they use: the engine looks each name of a batch up once."""
    events = batch.events
    columns = [events[field] for field in ("underlying", "name", "source")]
    used = np.unique(np.concatenate(columns))
    used = used[used >= 0]
    place = np.full(len(batch.names) + 1, -1, np.int32)  # the last is where an absent name, -1, points
    place[used] = np.arange(len(used))
    for field in ("underlying", "name", "source"):
        events[field] = place[events[field]]
    return batch._replace(names=[batch.names[name] for name in used])
