"""The embedded log: one SQLite file, for the demo and for a machine without Kafka.

Records, committed offsets and outputs go into one SQL transaction (WAL, ``synchronous=FULL``, ``BEGIN IMMEDIATE``).
An owner is an epoch number in a row of its partition; every commit checks it inside its transaction, so an owner
who was overtaken writes nothing. Other processes may append and read at the same time.
"""

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from dhpe.edge.log import (
    CommitFailed,
    Fenced,
    LogError,
    LogRecord,
    LogUnavailable,
    OnPartitions,
    OutRecord,
    Place,
    Span,
    partition_of,
)
from dhpe.edge.sqlite_retention import Retention, Trimmed, take_turns, trim
from dhpe.edge.sqlite_tables import (
    SCHEMA,
    SCHEMA_VERSION,
    in_transaction,
    insert,
    select,
    shorten,
    size_bytes,
    span,
)
from dhpe.settings import variable

T = TypeVar("T")

POLL_S: Final = 0.02
"""How long records of another process can stay unseen; our own appends wake the readers at once."""

_REMEDIES: Final = {
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_IOERR": "make room on the disk, or look what is wrong with it",
    "SQLITE_READONLY": "it needs a folder that this user may write",
    "SQLITE_CANTOPEN": "it needs a folder that this user may write",
    "SQLITE_BUSY": "another process holds it",
    "SQLITE_NOTADB": "it is no embedded log",
    "SQLITE_CORRUPT": "the file is damaged: the work can only begin anew, with another file",
}
"""What to do about SQLite's faults, by the beginning of their names."""


class SqliteLog:
    """``Log`` on one file. ``topics`` are made with their partition counts where they are missing.

    ``bytes_max`` bounds each partition of a topic: what is appended takes the place of the oldest records. What else
    is old goes by ``retention``, while an owner works on its partition; without one it stays.
    """

    def __init__(
        self,
        path: Path,
        topics: Mapping[str, int],
        fetch_bytes_max: int = 8 << 20,
        bytes_max: Mapping[str, int] | None = None,
        retention: Retention | None = None,
    ) -> None:
        self.path = path
        self.retention = retention
        self._topics = dict(topics)
        self._bytes_max = dict(bytes_max or {})
        self._sizes: dict[Place, int] = {}
        self._fetch_bytes_max = fetch_bytes_max
        self._connections: list[tuple[sqlite3.Connection, threading.Lock]] = []
        self._grown: set[asyncio.Event] = set()
        self._joined: tuple[OnPartitions, frozenset[int]] | None = None

    async def start(self) -> None:
        """Open the file, made anew where there is none."""
        await asyncio.to_thread(self._open)

    async def stop(self) -> None:
        """Revoke our partitions and close the file."""
        if self._joined is not None:
            revoked, numbers = self._joined
            self._joined = None
            await revoked(numbers)
        connections, self._connections = self._connections, []
        for connection, lock in connections:
            await asyncio.to_thread(_close, connection, lock)

    async def partitions(self, topic: str) -> int:
        """The number of partitions of ``topic``."""
        if topic not in self._topics:
            raise LogError(f"{self.path}: the embedded log has no topic {topic!r}; it has {', '.join(self._topics)}")
        return self._topics[topic]

    async def span(self, place: Place) -> Span:
        """What ``place`` holds now."""
        return await self.read(lambda connection: span(connection, place))

    async def append(self, records: Sequence[OutRecord]) -> list[int]:
        """Write ``records`` in one transaction, which also deletes what goes beyond the bytes kept of a topic."""
        placed = [
            record
            if record.partition is not None
            else record._replace(partition=partition_of(record.key or b"", await self.partitions(record.topic)))
            for record in records
        ]

        added = Counter[Place]()
        for record in placed:
            if record.topic in self._bytes_max:
                added[record.topic, record.partition or 0] += len(record.value or b"")
        for place in added.keys() - self._sizes.keys():
            self._sizes[place] = await self.read(partial(size_bytes, place=place))

        def change(connection: sqlite3.Connection) -> list[int]:
            offsets = insert(connection, placed)
            for place, more in added.items():
                excess = self._sizes[place] + more - self._bytes_max[place[0]]
                self._sizes[place] += more - shorten(connection, place, excess)
            return offsets

        try:
            return await self.write(change)
        except LogUnavailable:
            for place in added:
                self._sizes.pop(place, None)  # nobody knows how far it came
            raise

    async def reader(self, positions: Mapping[Place, int]) -> "SqliteReader":
        """Read from these positions on."""
        return SqliteReader(self, positions)

    async def join(self, topics: Sequence[str], assigned: OnPartitions, revoked: OnPartitions) -> None:
        """Every partition is ours: whoever else works on this file is fenced."""
        numbers = frozenset(range(await self.partitions(topics[0])))
        self._joined = (revoked, numbers)
        await assigned(numbers)

    def membership_fault(self) -> str | None:
        """There is no group that could go wrong."""
        return None

    def own(self, partition: int) -> "SqlitePartition":
        """The owner's side of ``partition``."""
        return SqlitePartition(self, partition)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on the reading connection, off the loop."""
        return await asyncio.to_thread(self._run, 1, query)

    async def write(self, change: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``change`` in one immediate transaction, off the loop, then wake the readers."""
        changed = await self.run(lambda connection: in_transaction(connection, change))
        for event in self._grown:
            event.set()
        return changed

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which makes its own transactions, on the writing connection, off the loop; wake nobody."""
        return await asyncio.to_thread(self._run, 0, work)

    async def fetch(self, positions: dict[Place, int], records_max: int, wait_s: float) -> list[LogRecord]:
        """Read at most ``records_max`` records of the places, in their order, and move ``positions`` on."""
        deadline = time.monotonic() + wait_s
        grown = asyncio.Event()
        self._grown.add(grown)
        try:
            while True:
                grown.clear()
                records = await self.read(lambda c: select(c, positions, records_max, self._fetch_bytes_max))
                left_s = deadline - time.monotonic()
                if records or left_s <= 0:
                    break
                try:
                    await asyncio.wait_for(grown.wait(), min(left_s, POLL_S))
                except TimeoutError:
                    continue
        finally:
            self._grown.discard(grown)
        for record in records:
            positions[record.topic, record.partition] = record.offset + 1
        return records

    def _open(self) -> None:
        try:
            for _ in range(2):  # one writes, one reads
                connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None, check_same_thread=False)
                self._connections.append((connection, threading.Lock()))
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heard before the file's first page alone
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            in_transaction(self._connections[0][0], self._prepare)
        except sqlite3.Error as error:
            self._fail(error)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
        elif found != SCHEMA_VERSION:
            raise LogError(f"{self.path}: is version {found} of the embedded log, this program writes {SCHEMA_VERSION}")
        stored = dict(connection.execute("SELECT topic, partitions FROM topics"))
        for topic, count in self._topics.items():
            if stored.setdefault(topic, count) != count:
                raise LogError(f"{self.path}: {topic} has {stored[topic]} partitions, not {count}: fixed when made")
        connection.executemany("INSERT OR IGNORE INTO topics VALUES (?, ?)", stored.items())

    def _run(self, which: int, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._connections:
            raise LogUnavailable(f"{self.path}: the embedded log is closed")
        connection, lock = self._connections[which]
        try:
            with lock:
                return work(connection)
        except sqlite3.Error as error:
            self._fail(error)

    def _fail(self, error: sqlite3.Error) -> NoReturn:
        raise LogUnavailable(
            f"{self.path}: {error}; {_remedy(error)}{variable('embedded_log_path')} names the file of the embedded log"
        ) from error


class SqliteReader:
    """``Reader`` on the embedded log."""

    def __init__(self, log: SqliteLog, positions: Mapping[Place, int]) -> None:
        self._log = log
        self._positions = dict(positions)

    async def fetch(self, records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for records."""
        return await self._log.fetch(self._positions, records_max, wait_s)

    def position(self, place: Place) -> int:
        """The offset that ``place`` is read from next."""
        return self._positions[place]

    async def close(self) -> None:
        """Nothing is held."""


class SqlitePartition:
    """``PartitionLog`` on the embedded log."""

    def __init__(self, log: SqliteLog, partition: int) -> None:
        self._log = log
        self._number = partition
        self._epoch = 0
        self._positions: dict[Place, int] = {}
        self._ends: dict[str, int] = {}
        self._released: dict[str, int] = {}
        self._trimming: asyncio.Task[None] | None = None

    @property
    def partition(self) -> int:
        """The number."""
        return self._number

    async def fence(self) -> dict[str, int]:
        """Take the next epoch, then read the committed offsets."""

        def take(connection: sqlite3.Connection) -> tuple[int, dict[str, int]]:
            (epoch,) = connection.execute(
                "INSERT INTO owners VALUES (?, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
                (self._number,),
            ).fetchone()
            rows = connection.execute("SELECT topic, next FROM offsets WHERE partition = ?", (self._number,))
            return epoch, dict(rows)

        await self.close()
        self._released = {}  # this start may need more than the last one had left behind
        self._epoch, committed = await self._log.write(take)
        if self._log.retention is not None:
            self._trimming = asyncio.create_task(self._trim(self._log.retention), name=f"retention {self._number}")
        return committed

    async def assigned(self) -> bool:
        """True while no other process has taken a newer epoch; raises LogError once one has."""
        if await self._log.read(self._newest_epoch) != self._epoch:
            raise LogError(
                f"{self._log.path}: another dhpe has taken over this embedded log; "
                f"stop one of the two, or give it a file of its own by {variable('embedded_log_path')}"
            )
        return True

    async def seek(self, positions: Mapping[str, int]) -> None:
        """Read the input topics from these offsets on."""
        self._positions = {(topic, self._number): offset for topic, offset in positions.items()}

    async def fetch(self, topics: Sequence[str], records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for input records of ``topics``."""
        positions = {(topic, self._number): self._positions[topic, self._number] for topic in topics}
        records = await self._log.fetch(positions, records_max, wait_s)
        self._positions |= positions
        for topic in topics:
            self._ends[topic] = (await self._log.span((topic, self._number))).end
        return records

    def position(self, topic: str) -> int:
        """The offset that ``topic`` is fetched from next."""
        return self._positions[topic, self._number]

    def lag(self, topic: str) -> int:
        """Offsets between the position and the end at the last fetch."""
        return max(0, self._ends.get(topic, 0) - self.position(topic))

    async def commit(self, outputs: Sequence[OutRecord], offsets: Mapping[str, int]) -> None:
        """Write outputs and offsets in one SQL transaction that checks our epoch."""
        placed = [record._replace(partition=self._number) for record in outputs]

        def change(connection: sqlite3.Connection) -> None:
            self._check_epoch(connection)
            insert(connection, placed)
            connection.executemany(
                "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
                [(topic, self._number, offset) for topic, offset in offsets.items()],
            )

        try:
            await self._log.write(change)
        except LogUnavailable as error:
            raise CommitFailed(str(error)) from error

    def release(self, offsets: Mapping[str, int]) -> None:
        """Retention may take what lies before these offsets."""
        self._released = dict(offsets)

    async def close(self) -> None:
        """End the retention; the epoch stays until the next owner takes one."""
        trimming, self._trimming = self._trimming, None
        if trimming is not None:
            trimming.cancel()
            await asyncio.wait([trimming])

    async def _trim(self, retention: Retention) -> None:
        def turn(connection: sqlite3.Connection) -> Trimmed:
            return trim(connection, retention, self._number, self._released, self._check_epoch)

        await take_turns(lambda: self._log.run(turn), self._log.path)

    def _check_epoch(self, connection: sqlite3.Connection) -> None:
        if self._newest_epoch(connection) != self._epoch:
            raise Fenced(f"{self._log.path}: partition {self._number} has a newer owner")

    def _newest_epoch(self, connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT epoch FROM owners WHERE partition = ?", (self._number,)).fetchone()
        return int(row[0]) if row else 0


def _remedy(error: sqlite3.Error) -> str:
    fault = getattr(error, "sqlite_errorname", "")
    for beginning, remedy in _REMEDIES.items():
        if fault.startswith(beginning):
            return f"{remedy}; "
    return ""


def _close(connection: sqlite3.Connection, lock: threading.Lock) -> None:
    with lock:
        connection.close()
