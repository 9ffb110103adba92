"""The seam between the worker and the log that keeps its records: Kafka, or one SQLite file.

A log holds topics of numbered partitions of records with rising offsets. One owner at a time works on a
partition: it fences whoever worked there before, reads the committed input offsets, and from then on writes its
outputs and its next input offsets in one atomic commit, which fails as soon as a newer owner has fenced it. A
committed offset, like every position here, is that of the next record to read.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

Headers = tuple[tuple[str, bytes], ...]
Place = tuple[str, int]
"""A topic and the number of one of its partitions."""


class LogRecord(NamedTuple):
    """A record as it stands in the log. ``append_time_ms`` is the log's own clock, never the event's time."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    append_time_ms: int


class OutRecord(NamedTuple):
    """A record to be written. Where ``partition`` is None, the key decides (see ``partition_of``)."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


class Span(NamedTuple):
    """What a partition holds for a reader of committed records: offsets ``begin`` to before ``end``."""

    begin: int
    end: int


class LogError(Exception):
    """The log cannot do what was asked. The message is one line: what, where, and how to mend it."""


class LogUnavailable(LogError):  # noqa: N818 - a state of the surroundings, not a mistake
    """The log does not answer, or refuses us."""


class CommitFailed(LogError):  # noqa: N818 - as above
    """A commit gave an error, so whether it holds is unknown: fence again, then read the committed offsets."""


class Fenced(LogError):  # noqa: N818 - as above
    """A newer owner works on this partition; nothing of the refused commit is in the log."""


class RecordsLost(LogError):  # noqa: N818 - as above
    """Records that were still to be read are gone: deleted by retention, or the topic was made anew."""


class Reader(Protocol):
    """Reads places of the log from given offsets on, outside any group and without owning them."""

    async def fetch(self, records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for records and return at most ``records_max``, in order within each place.

        Raises:
            RecordsLost: a position lies before the place's begin.
            LogUnavailable: the log does not answer.
        """

    def position(self, place: Place) -> int:
        """The offset that ``place`` is read from next; it passes positions that hold no visible record."""

    async def close(self) -> None:
        """Give the resources back; twice is harmless."""


class PartitionLog(Protocol):
    """One partition number, seen by the worker that owns it."""

    @property
    def partition(self) -> int:
        """The number."""

    async def fence(self) -> dict[str, int]:
        """Shut out all earlier owners, then return the committed offset of each input topic that has one.

        Raises:
            Fenced: a newer owner has come in the meantime.
            LogUnavailable: the log does not answer.
        """

    async def assigned(self) -> bool:
        """Say whether the partition is still ours to work on, after a ``Fenced`` or ``CommitFailed``.

        Raises:
            LogError: it is not, and nobody will give it back to us.
        """

    async def seek(self, positions: Mapping[str, int]) -> None:
        """Read the input topics from these offsets on."""

    async def fetch(self, topics: Sequence[str], records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for input records of ``topics``; in order within each topic.

        Raises:
            RecordsLost: a position is outside what the log holds.
            LogUnavailable: the log does not answer.
        """

    def position(self, topic: str) -> int:
        """The offset that ``topic`` is fetched from next."""

    def lag(self, topic: str) -> int:
        """Number of offsets between the position and the last known end of ``topic``."""

    async def commit(self, outputs: Sequence[OutRecord], offsets: Mapping[str, int]) -> None:
        """Write ``outputs`` to this same partition number and store the input ``offsets``: both or nothing.

        Raises:
            Fenced: a newer owner has taken the partition.
            CommitFailed: anything else went wrong.
        """

    def release(self, offsets: Mapping[str, int]) -> None:
        """Say that no restart needs what lies before these offsets of inputs and journal; until ``fence`` is called.

        A log that deletes by age alone, as Kafka does, does not ask.
        """

    async def close(self) -> None:
        """Give the resources back; twice is harmless."""


OnPartitions = Callable[[frozenset[int]], Awaitable[None]]


class Log(Protocol):
    """A log of topics. See the head of this file."""

    async def start(self) -> None:
        """Connect or open.

        Raises:
            LogUnavailable: there is nothing to connect to; the message names the address and the setting.
        """

    async def stop(self) -> None:
        """Leave the group, if joined, and give the resources back; twice is harmless."""

    async def partitions(self, topic: str) -> int:
        """The number of partitions of ``topic``.

        Raises:
            LogError: there is no such topic.
        """

    async def span(self, place: Place) -> Span:
        """What ``place`` holds now."""

    async def append(self, records: Sequence[OutRecord]) -> list[int]:
        """Write ``records``, keeping their order within each partition; return their offsets when they are safe.

        An offset is negative where the log has the record and did not say where.
        """

    async def reader(self, positions: Mapping[Place, int]) -> Reader:
        """Read from these positions on."""

    async def join(self, topics: Sequence[str], assigned: OnPartitions, revoked: OnPartitions) -> None:
        """Take part in the work on the input ``topics``.

        ``assigned`` is called with the partition numbers that are now ours, ``revoked``, before the others get
        them, with those that were; the group waits for ``revoked``, so it must be quick.
        """

    def membership_fault(self) -> str | None:
        """Say what went wrong beside our own calls (in the group, in a callback), or None."""

    def own(self, partition: int) -> PartitionLog:
        """The owner's side of ``partition``; nothing happens before ``fence``."""


_MURMUR_SEED: Final = 0x9747B28C
_MURMUR_FACTOR: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Hash ``data`` to 32 bits as the Java client of Kafka does (A. Appleby's MurmurHash2 with Kafka's seed)."""
    whole = len(data) & ~3
    state = _MURMUR_SEED ^ len(data)
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MURMUR_FACTOR & _WORD
        word = (word ^ word >> 24) * _MURMUR_FACTOR & _WORD
        state = state * _MURMUR_FACTOR & _WORD ^ word
    if whole < len(data):
        state = (state ^ int.from_bytes(data[whole:], "little")) * _MURMUR_FACTOR & _WORD
    state = (state ^ state >> 13) * _MURMUR_FACTOR & _WORD
    return state ^ state >> 15


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that every Kafka client gives to ``key`` among ``partitions``."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
