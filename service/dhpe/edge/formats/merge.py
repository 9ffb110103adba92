"""Several sources in one order of event time, in bounded memory and the same way every time."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import REFERENCE, Batch, Reference, Reject, empty_batch

_CODES: Final = ("file", "underlying", "name", "source")
_LATEST: Final = np.iinfo(np.int64).max


def selected(batch: Batch, rows: NDArray[np.intp]) -> Batch:
    """The ``rows`` of a batch, in that order, holding only the facts and levels that they mean."""
    return _joined([batch._replace(events=batch.events[rows])])


def merged(sources: Sequence[Iterable[Batch | Reject]]) -> Iterator[Batch | Reject]:
    """All records of ``sources`` by event time; at equal times, in the order of the sources.

    A source keeps its own order, even where its time goes back. Its reference records stay before the hot record that
    they precede. One batch of each source is held at a time.
    """
    if len(sources) == 1:
        yield from sources[0]
        return
    waiting: list[_Waiting] = []
    for source in sources:
        yield from _advance(waiting, iter(source), 0)
    while waiting:
        last_keys = [int(begun.keys[-1]) for begun in waiting]
        frontier = min(last_keys)
        ending = last_keys.index(frontier)
        # More of the same time may follow in the source whose batch ends, so those behind it wait.
        heads = [
            int(begun.keys.searchsorted(frontier, side="right" if rank <= ending else "left"))
            for rank, begun in enumerate(waiting)
        ]
        joined = _joined(
            [begun.batch._replace(events=begun.batch.events[:head]) for begun, head in zip(waiting, heads, strict=True)]
        )
        keys = np.concatenate([begun.keys[:head] for begun, head in zip(waiting, heads, strict=True)])
        yield joined._replace(events=joined.events[np.argsort(keys, kind="stable")])
        still, waiting = waiting, []
        for begun, head in zip(still, heads, strict=True):
            if head < len(begun.keys):
                rest = begun.batch._replace(events=begun.batch.events[head:])
                waiting.append(begun._replace(batch=rest, keys=begun.keys[head:]))
            else:
                yield from _advance(waiting, begun.more, int(begun.keys[-1]))


class _Waiting(NamedTuple):
    """A batch of a source that is not yet merged, the keys of its rows, never falling, and what follows."""

    batch: Batch
    keys: NDArray[np.int64]
    more: Iterator[Batch | Reject]


def _advance(waiting: list[_Waiting], more: Iterator[Batch | Reject], last_key: int) -> Iterator[Reject]:
    """Read on until the source has a batch again, and pass on the rejects before it."""
    for item in more:
        if isinstance(item, Reject):
            yield item
        elif len(item.events):
            waiting.append(_Waiting(item, _keys(item.events, last_key), more))
            return


def _keys(events: NDArray[np.void], last_key: int) -> NDArray[np.int64]:
    time_ns = events["ts_event_ns"].copy()
    reference = events["kind"] == REFERENCE
    if reference.any():
        next_hot = np.minimum.accumulate(np.where(reference, _LATEST, time_ns)[::-1])[::-1]
        time_ns[reference] = np.minimum(time_ns, next_hot)[reference]
    keys: NDArray[np.int64] = np.maximum(np.maximum.accumulate(time_ns), last_key)
    return keys


def in_time_order(source: Iterable[Batch | Reject], slack_ns: int) -> Iterator[Batch | Reject]:
    """Hot records of one source by event time, those of equal time as they came; batches of facts pass at once.

    A record is held until another one is ``slack_ns`` later than it; whatever comes later still is let through where it
    comes, and the engine sees time going back.
    """
    held = empty_batch()
    for item in source:
        if isinstance(item, Reject) or (item.events["kind"] == REFERENCE).all():
            yield item
            continue
        together = _joined([held, item])
        order = np.argsort(together.events["ts_event_ns"], kind="stable")
        time_ns = together.events["ts_event_ns"][order]
        ready = int(time_ns.searchsorted(time_ns[-1] - slack_ns, side="right")) if len(time_ns) else 0
        if ready:
            yield selected(together, order[:ready])
        held = selected(together, order[ready:])
    if len(held.events):
        yield held


def _joined(parts: Sequence[Batch]) -> Batch:
    """The rows of all parts, one after the other, as one batch."""
    names: dict[str, int] = {}
    events: list[NDArray[np.void]] = []
    reference: list[Reference] = []
    levels: list[NDArray[np.float64]] = []
    levels_count = 0
    for part in parts:
        rows = part.events.copy()
        codes = np.array([*(names.setdefault(name, len(names)) for name in part.names), -1], np.int32)
        for field in _CODES:
            rows[field] = codes[rows[field]]
        meaning = np.flatnonzero(rows["reference"] >= 0)
        facts = [part.reference[place] for place in rows["reference"][meaning].tolist()]
        rows["reference"][meaning] = np.arange(len(reference), len(reference) + len(facts))
        reference += facts
        kept = _move_levels(rows, part.levels, levels_count)
        levels.append(kept)
        levels_count += len(kept)
        events.append(rows)
    return Batch(np.concatenate(events), list(names), reference, np.concatenate(levels))


def _move_levels(rows: NDArray[np.void], levels: NDArray[np.float64], base: int) -> NDArray[np.float64]:
    """The levels that ``rows`` mean, which from now on stand from ``base`` on, in the order of the rows."""
    counts = (rows["bid_levels"] + rows["ask_levels"]).astype(np.int64)
    ends = np.cumsum(counts)
    if not len(ends) or not ends[-1]:
        return levels[:0]
    first = np.repeat(rows["levels_start"] - (ends - counts), counts)
    rows["levels_start"] = np.where(counts > 0, base + ends - counts, rows["levels_start"])
    kept: NDArray[np.float64] = levels[first + np.arange(ends[-1])]
    return kept
