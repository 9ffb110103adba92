"""What goes from the embedded log, and when: so that it does not fill the disk of who runs it for a month.

Records go by age, as Kafka's topics lose them, and the oldest go earlier where the file would grow beyond its bytes.
Of what a restart reads (inputs, journal), only that goes which the owner has released. A transaction takes a bounded
number of records from the head of one topic and looks at nothing else, so a commit never waits long for it; the pages
it frees are filled by the next records, and given back to the disk where they are many.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

import structlog

from dhpe.edge.log import Fenced, LogUnavailable, Place
from dhpe.edge.sqlite_tables import in_transaction, span
from dhpe.edge.topic_names import TopicNames, ages_s
from dhpe.settings import Settings, variable

TRIM_RECORDS: Final = 1_000
TRIM_BYTES: Final = 1 << 20
"""At most so much goes in one transaction, or little more."""
TRIM_SHARE_MAX: Final = 0.2
"""Of the time: for the rest of it the file is free for commits."""
TRIM_PAUSE_S: Final = 1.0
"""Where nothing was old enough."""
FREE_BYTES_MIN: Final = 16 << 20
FREE_SHARE: Final = 0.125
"""Free pages are given back where they are more than both: fewer will be filled soon."""
VACUUM_PAGES: Final = 500
"""Given back in one transaction."""


class Keep(NamedTuple):
    """How long the records of a topic stay.

    ``replayed`` marks what a restart reads: nothing goes that is not released. ``spared`` is not deleted for want of
    room, only by its age.
    """

    age_s: float
    replayed: bool = False
    spared: bool = False


class Retention(NamedTuple):
    """How long the records of each topic stay, and the bytes of the file beyond which the oldest go earlier."""

    topics: Mapping[str, Keep]
    file_bytes_max: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What ``settings`` say."""
        names = TopicNames.of(settings)
        replayed = {names.chain, names.ticks, names.journal}
        topics = {
            topic: Keep(age_s, replayed=topic in replayed, spared=topic == names.alerts)
            for topic, age_s in ages_s(settings).items()
        }
        return cls(topics, settings.embedded_log_bytes_max)


class Trimmed(NamedTuple):
    """Whether anything could go, and whether the file held more than it should."""

    worked: bool
    crowded: bool


class _Head(NamedTuple):
    """The oldest record of a topic, and the offset from which on its records stay."""

    append_time_ms: int
    end: int


async def take_turns(turn: Callable[[], Awaitable[Trimmed]], path: Path) -> None:
    """Take a ``turn`` again and again, at once where the last one found something, until a newer owner is there."""
    told = False
    while True:
        started_s = time.monotonic()
        try:
            worked, crowded = await turn()
        except Fenced:
            return
        except LogUnavailable:
            worked = crowded = False  # whoever writes to the log tells it
        if crowded and not worked and not told:
            structlog.get_logger("dhpe.retention").warning(
                "the embedded log is larger than it should be, and all that is left must stay: records that were not "
                "applied or that a restart needs, kept states, alerts",
                path=str(path),
                setting=variable("embedded_log_bytes_max"),
            )
        told = crowded and (told or not worked)
        spent_s = time.monotonic() - started_s
        await asyncio.sleep(spent_s * (1.0 / TRIM_SHARE_MAX - 1.0) if worked else TRIM_PAUSE_S)


def trim(
    connection: sqlite3.Connection,
    retention: Retention,
    partition: int,
    released: Mapping[str, int],
    check: Callable[[sqlite3.Connection], None],
) -> Trimmed:
    """Take one turn: delete some of the oldest records of ``partition`` that may go, or give free pages back.

    No restart needs what lies before the offsets ``released``. The newest record of each topic stays, whatever its
    age. ``check`` raises inside the transaction where the turn is not ours.
    """

    def change(connection: sqlite3.Connection) -> Trimmed:
        check(connection)
        return _delete(connection, retention, partition, released)

    trimmed = in_transaction(connection, change)
    return trimmed if trimmed.worked else trimmed._replace(worked=_free_pages(connection))


def _delete(
    connection: sqlite3.Connection, retention: Retention, partition: int, released: Mapping[str, int]
) -> Trimmed:
    now_ms = time.time() * 1000.0
    crowded = _used_bytes(connection) > retention.file_bytes_max
    due: dict[str, _Head] = {}
    for topic, keep in retention.topics.items():
        end = span(connection, (topic, partition)).end - 1
        if keep.replayed:
            end = min(end, released.get(topic, 0))
        head = _head(connection, (topic, partition), end)
        if head is None:
            continue
        if head.append_time_ms < now_ms - 1000.0 * keep.age_s or (crowded and not keep.spared):
            due[topic] = head
    if not due:
        return Trimmed(worked=False, crowded=crowded)
    topic = min(due, key=lambda name: due[name].append_time_ms)
    keep = retention.topics[topic]
    before_ms = float("inf") if crowded and not keep.spared else now_ms - 1000.0 * keep.age_s
    _behead(connection, (topic, partition), due[topic].end, before_ms)
    return Trimmed(worked=True, crowded=crowded)


def _free_pages(connection: sqlite3.Connection) -> bool:
    """Give some free pages back to the disk, where there are too many. A file of an older program keeps them all."""
    free, pages = _pragma(connection, "freelist_count"), _pragma(connection, "page_count")
    if free * _pragma(connection, "page_size") < FREE_BYTES_MIN or free < FREE_SHARE * pages:
        return False
    connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")  # execute would free one page only
    return _pragma(connection, "page_count") < pages


def _head(connection: sqlite3.Connection, place: Place, end: int) -> _Head | None:
    row = connection.execute(
        "SELECT append_time_ms FROM records WHERE topic = ? AND partition = ? AND offset < ? ORDER BY offset LIMIT 1",
        (*place, end),
    ).fetchone()
    return None if row is None else _Head(row[0], end)


def _behead(connection: sqlite3.Connection, place: Place, end: int, before_ms: float) -> None:
    """Delete the oldest records before ``end`` that are older than ``before_ms``, as many as one transaction may."""
    rows = connection.execute(
        "SELECT offset, append_time_ms, LENGTH(value) FROM records "
        "WHERE topic = ? AND partition = ? AND offset < ? ORDER BY offset LIMIT ?",
        (*place, end, TRIM_RECORDS),
    )
    last, size = -1, 0
    for offset, append_time_ms, value_bytes in rows:
        if append_time_ms >= before_ms or size >= TRIM_BYTES:
            break
        last, size = offset, size + (value_bytes or 0)
    rows.close()
    connection.execute("DELETE FROM records WHERE topic = ? AND partition = ? AND offset <= ?", (*place, last))


def _used_bytes(connection: sqlite3.Connection) -> int:
    return (_pragma(connection, "page_count") - _pragma(connection, "freelist_count")) * _pragma(
        connection, "page_size"
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
