"""Batches onto the input topics, in the rhythm of their event time.

A source is any iterator of Batches and Rejects: the simulated market, a file read by one of the formats. A record is
sent when its event time has come, never before, so that nothing in the log lies in the future. Files end with a clock
that lets the engine publish the last state; a live source sends its own clocks and ends with none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Final, NamedTuple

import numpy as np

from dhpe.columns import CLOCK, EVERY_UNDERLYING, REFERENCE, Batch, Reject, empty_events
from dhpe.edge.encode import WireMessage, encode_batch, encode_packed
from dhpe.edge.log import Log, OutRecord

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_PIECE_S: Final = 0.1  # of wall time: what a paced source sends at once
_PIECE_RECORDS_MAX: Final = 2_000  # so that encoding never holds the event loop for long


class Pace(NamedTuple):
    """The wall clock as a feed sees it, so that a test can bring its own."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class FeedRules(NamedTuple):
    """How a source goes onto the log.

    ``speed`` is event time over wall time, 0 or None as fast as it goes. ``closing_ms`` is how far after the last
    record the closing clock stands (the ``pressure_interval_ms`` of the engine), None for a live source, whose time
    begins when it is first asked: what it needs to begin is caught up.
    """

    speed: float | None = 1.0
    closing_ms: int | None = None
    topic_prefix: str = ""
    records_per_message: int = 1
    packed: bool = False
    messages_per_append: int = 1_000


class Fed(NamedTuple):
    """What a feed has done so far. ``last_event_ns`` is the latest event time of a hot record, -1 before the first."""

    records: int = 0
    messages: int = 0
    rejected: int = 0
    last_event_ns: int = -1


async def feed_batches(
    batches: Iterable[Batch | Reject],
    log: Log,
    rules: FeedRules,
    *,
    on_reject: Callable[[Reject], None] | None = None,
    on_progress: Callable[[Fed], None] | None = None,
    pace: Pace | None = None,
) -> Fed:
    """Put a source on the input topics until it ends; an endless one until the task is cancelled.

    The source is read in a thread: files decode for tens of milliseconds at a time. Each append is awaited, so a slow
    log slows the feed and nothing piles up.

    Raises:
        LogError: the log refuses the records.
    """
    source = iter(batches)
    fed, tempo = Fed(), _Tempo(rules.speed, pace or Pace(), live=rules.closing_ms is None)
    while (item := await asyncio.to_thread(next, source, None)) is not None:
        if isinstance(item, Reject):
            fed = fed._replace(rejected=fed.rejected + 1)
            if on_reject is not None:
                on_reject(item)
            continue
        for piece in _pieces(item, tempo.piece_ns):
            await tempo.reach(latest_event_ns(piece, -1))
            fed = await _put(piece, log, rules, fed)
            if on_progress is not None:
                on_progress(fed)
    if rules.closing_ms is not None and fed.last_event_ns >= 0:
        closing = closing_clock(fed.last_event_ns, rules.closing_ms)
        await tempo.reach(latest_event_ns(closing, -1))
        fed = await _put(closing, log, rules, fed)
    return fed


def latest_event_ns(batch: Batch, before_ns: int) -> int:
    """The later of ``before_ns`` and the last event time among the hot records of ``batch``."""
    times = batch.events["ts_event_ns"][batch.events["kind"] != REFERENCE]
    return max(before_ns, int(times.max())) if len(times) else before_ns


def closing_clock(last_event_ns: int, after_ms: int) -> Batch:
    """The clock for every underlying that ends a source ``after_ms`` after its last hot record."""
    events = empty_events(1)
    events["kind"] = CLOCK
    events["ts_event_ns"] = last_event_ns + after_ms * _NS_PER_MS
    events["underlying"] = 0
    return Batch(events, [EVERY_UNDERLYING], [], np.zeros((0, 2)))


class _Tempo:
    """Lets event time pass ``speed`` times as fast as the wall clock, from the first hot record on.

    That of a live source was due when the source was first asked, that of any other is when it is there.
    """

    def __init__(self, speed: float | None, pace: Pace, *, live: bool) -> None:
        self._speed = speed or None
        self._pace = pace
        self._asked_s = pace.now_s() if live else None
        self._started: tuple[int, float] | None = None

    @property
    def piece_ns(self) -> int | None:
        """How much event time is sent at once; None for no limit."""
        return None if self._speed is None else max(1, round(_PIECE_S * self._speed * _NS_PER_S))

    async def reach(self, event_ns: int) -> None:
        """Wait until the event time has come. Whoever has fallen behind does not wait."""
        if event_ns < 0 or self._speed is None:
            await asyncio.sleep(0)
            return
        now_s = self._pace.now_s()
        if self._started is None:
            self._started = (event_ns, now_s if self._asked_s is None else self._asked_s)
        first_ns, started_s = self._started
        ahead_s = (event_ns - first_ns) / _NS_PER_S / self._speed - (now_s - started_s)
        if ahead_s > 0.0:
            await self._pace.sleep(ahead_s)


def _pieces(batch: Batch, piece_ns: int | None) -> Iterator[Batch]:
    """Cut a batch into slices that are sent at once.

    Reference records never share a slice with hot ones: they go to another topic, and are safe there before the first
    record that needs them is sent.
    """
    events = batch.events
    reference = events["kind"] == REFERENCE
    cut = reference[1:] != reference[:-1]
    if piece_ns is not None:
        slot = np.maximum.accumulate(np.where(reference, 0, events["ts_event_ns"])) // piece_ns
        cut = cut | (slot[1:] != slot[:-1])
    bounds = [0, *(np.flatnonzero(cut) + 1).tolist(), len(events)]
    for first, last in pairwise(bounds):
        for start in range(first, last, _PIECE_RECORDS_MAX):
            yield batch._replace(events=events[start : min(start + _PIECE_RECORDS_MAX, last)])


async def _put(piece: Batch, log: Log, rules: FeedRules, fed: Fed) -> Fed:
    encode = encode_packed if rules.packed else encode_batch
    messages = encode(piece, records_per_message=rules.records_per_message)
    sent = 0
    while bundle := list(islice(messages, rules.messages_per_append)):
        await log.append(await _addressed(bundle, log, rules.topic_prefix))
        sent += len(bundle)
    return fed._replace(
        records=fed.records + len(piece.events),
        messages=fed.messages + sent,
        last_event_ns=latest_event_ns(piece, fed.last_event_ns),
    )


async def _addressed(messages: Sequence[WireMessage], log: Log, prefix: str) -> list[OutRecord]:
    """The same messages for the log; one for every underlying goes to every partition."""
    records: list[OutRecord] = []
    for message in messages:
        topic = prefix + message.topic
        if message.key == EVERY_UNDERLYING.encode():
            count = await log.partitions(topic)
            records += [OutRecord(topic, message.key, message.value, message.headers, place) for place in range(count)]
        else:
            records.append(OutRecord(topic, message.key, message.value, message.headers))
    return records
