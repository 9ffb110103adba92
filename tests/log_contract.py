"""What every log promises to the worker: the same tests run on SQLite and on a real Kafka."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from dhpe.edge.log import Fenced, Log, LogRecord, OutRecord, PartitionLog, Reader, partition_of


class LogRoom(NamedTuple):
    """One fresh set of topics with two partitions each; ``open_log`` gives another connection to it."""

    open_log: Callable[[], Awaitable[Log]]
    chain: str
    ticks: str
    pressure: str


async def read_all(log: Log, topic: str, partition: int) -> list[LogRecord]:
    """Everything visible in one partition."""
    place = (topic, partition)
    begin, end = await log.span(place)
    reader = await log.reader({place: begin})
    records: list[LogRecord] = []
    while reader.position(place) < end:
        records += await reader.fetch(1000, 0.2)
    await reader.close()
    return records


async def read_count(source: Reader, count: int) -> list[LogRecord]:
    """Fetch until ``count`` records are there."""
    records: list[LogRecord] = []
    async with asyncio.timeout(20):
        while len(records) < count:
            records += await source.fetch(1000, 0.5)
    return records


async def fetch_count(owned: PartitionLog, topics: list[str], count: int) -> list[LogRecord]:
    """Fetch an owner's input until ``count`` records are there."""
    records: list[LogRecord] = []
    async with asyncio.timeout(20):
        while len(records) < count:
            records += await owned.fetch(topics, 1000, 0.5)
    return records


async def joined(log: Log, room: LogRoom) -> None:
    """Join the group and wait until both partitions are ours."""
    done = asyncio.Event()

    async def assigned(numbers: frozenset[int]) -> None:
        if numbers == {0, 1}:
            done.set()

    async def revoked(numbers: frozenset[int]) -> None:
        del numbers

    await log.join([room.chain, room.ticks], assigned, revoked)
    async with asyncio.timeout(20):
        await done.wait()


def values(records: list[LogRecord]) -> list[bytes | None]:
    """Only what was written."""
    return [record.value for record in records]


class LogContract:
    """Inherited by the tests of each implementation, which provide the fixture ``room``."""

    async def test_records_come_back_as_written_and_in_order(self, room: LogRoom) -> None:
        """Key, value, headers and order are kept; offsets rise; the append time is the log's own clock."""
        log = await room.open_log()
        headers = (("content-type", b"application/json"), ("empty", b""))
        before_ms = time.time_ns() // 1_000_000 - 1
        await log.append([OutRecord(room.ticks, b"SPX", b"%d" % n, headers, 0) for n in range(50)])
        await log.append([OutRecord(room.ticks, None, b"no key", (), 0), OutRecord(room.ticks, b"k", None, (), 0)])
        records = await read_all(log, room.ticks, 0)
        assert values(records) == [b"%d" % n for n in range(50)] + [b"no key", None]
        assert [record.offset for record in records] == list(range(52))
        assert {record.headers for record in records[:50]} == {headers}
        assert [record.key for record in records[49:]] == [b"SPX", None, b"k"]
        assert all(before_ms <= record.append_time_ms <= time.time_ns() // 1_000_000 + 1 for record in records)

    async def test_the_key_decides_the_partition_as_on_every_kafka_client(self, room: LogRoom) -> None:
        """Records without a given partition stand where murmur2 of their key puts them."""
        log = await room.open_log()
        keys = [b"U%d" % n for n in range(20)]
        await log.append([OutRecord(room.ticks, key, key) for key in keys])
        for partition in (0, 1):
            expected = [key for key in keys if partition_of(key, 2) == partition]
            assert expected
            assert values(await read_all(log, room.ticks, partition)) == expected

    async def test_topics_have_their_partitions_and_spans(self, room: LogRoom) -> None:
        """An empty place spans nothing; a filled one from its first to after its last record."""
        log = await room.open_log()
        assert await log.partitions(room.chain) == 2
        assert tuple(await log.span((room.chain, 1))) == (0, 0)
        await log.append([OutRecord(room.chain, b"k", b"v", (), 1)] * 3)
        assert tuple(await log.span((room.chain, 1))) == (0, 3)

    async def test_outputs_and_offsets_are_committed_together(self, room: LogRoom) -> None:
        """After a commit the outputs stand in the owner's own partition and the next owner reads its offsets."""
        log = await room.open_log()
        first = log.own(1)
        assert await first.fence() == {}
        await first.commit([OutRecord(room.pressure, b"SPX", b"a", (("h", b"1"),))], {room.chain: 3, room.ticks: 7})
        await first.commit([OutRecord(room.pressure, b"SPX", b"b")], {room.ticks: 9})
        await first.commit([], {room.ticks: 10})
        await first.close()
        assert values(await read_all(log, room.pressure, 1)) == [b"a", b"b"]
        assert await read_all(log, room.pressure, 0) == []
        second = (await room.open_log()).own(1)
        assert await second.fence() == {room.chain: 3, room.ticks: 10}
        await second.close()

    async def test_many_commits_keep_their_order(self, room: LogRoom) -> None:
        """Commit after commit, every output is there once and in order, and the last offsets hold."""
        log = await room.open_log()
        owned = log.own(0)
        await owned.fence()
        for n in range(30):
            await owned.commit([OutRecord(room.pressure, b"k", b"%d" % n)] * 2, {room.ticks: n + 1})
        assert values(await read_all(log, room.pressure, 0)) == [b"%d" % (n // 2) for n in range(60)]
        assert await owned.fence() == {room.ticks: 30}
        await owned.close()

    async def test_a_fenced_owner_writes_nothing(self, room: LogRoom) -> None:
        """Once a newer owner has fenced, the old one's commit fails and leaves neither outputs nor offsets."""
        old_log, new_log = await room.open_log(), await room.open_log()
        zombie, owner = old_log.own(0), new_log.own(0)
        await zombie.fence()
        await zombie.commit([OutRecord(room.pressure, b"k", b"old")], {room.ticks: 1})
        assert await owner.fence() == {room.ticks: 1}
        with pytest.raises(Fenced):
            await zombie.commit([OutRecord(room.pressure, b"k", b"zombie")], {room.ticks: 99})
        await owner.commit([OutRecord(room.pressure, b"k", b"new")], {room.ticks: 2})
        assert values(await read_all(new_log, room.pressure, 0)) == [b"old", b"new"]
        assert await owner.fence() == {room.ticks: 2}
        await zombie.close()
        await owner.close()

    async def test_a_reader_reads_a_bounded_number_from_where_it_is_told(self, room: LogRoom) -> None:
        """``records_max`` holds, and the position moves past what was returned and no further."""
        log = await room.open_log()
        await log.append([OutRecord(room.ticks, b"k", b"%d" % n, (), 0) for n in range(100)])
        reader = await log.reader({(room.ticks, 0): 40})
        records: list[LogRecord] = []
        while len(records) < 25:
            some = await reader.fetch(25 - len(records), 1.0)
            assert len(some) <= 25 - len(records)
            records += some
        assert [record.offset for record in records] == list(range(40, 65))
        assert reader.position((room.ticks, 0)) == 65
        await reader.close()

    async def test_a_reader_of_several_places_gets_all_of_them(self, room: LogRoom) -> None:
        """A reader that waits sees what another connection appends later, on each of its places."""
        log, feed = await room.open_log(), await room.open_log()
        reader = await log.reader({(room.pressure, 0): 0, (room.pressure, 1): 0})
        assert await reader.fetch(10, 0.01) == []
        await feed.append(
            [OutRecord(room.pressure, b"k", b"zero", (), 0), OutRecord(room.pressure, b"k", b"one", (), 1)]
        )
        found = await read_count(reader, 2)
        assert {(record.partition, record.value) for record in found} == {(0, b"zero"), (1, b"one")}
        await reader.close()

    async def test_an_owner_fetches_its_inputs_from_where_it_seeks(self, room: LogRoom) -> None:
        """Only the topics asked for are fetched; another seek reads again; the lag is what is still to come."""
        log = await room.open_log()
        await log.append([OutRecord(room.ticks, b"k", b"t%d" % n, (), 0) for n in range(10)])
        await log.append([OutRecord(room.chain, b"k", b"c%d" % n, (), 0) for n in range(3)])
        await joined(log, room)
        owned = log.own(0)
        await owned.fence()
        await owned.seek({room.chain: 0, room.ticks: 4})
        assert values(await fetch_count(owned, [room.chain], 3)) == [b"c0", b"c1", b"c2"]
        assert values(await fetch_count(owned, [room.chain, room.ticks], 6)) == [b"t%d" % n for n in range(4, 10)]
        assert (owned.position(room.chain), owned.position(room.ticks)) == (3, 10)
        assert (owned.lag(room.chain), owned.lag(room.ticks)) == (0, 0)
        await owned.seek({room.chain: 2, room.ticks: 9})
        assert sorted(values(await fetch_count(owned, [room.chain, room.ticks], 2))) == [b"c2", b"t9"]  # type: ignore[type-var]
        await owned.close()

    async def test_stopping_gives_the_partitions_back(self, room: LogRoom) -> None:
        """``revoked`` is called with what was assigned before the log closes."""
        log = await room.open_log()
        seen: list[tuple[str, frozenset[int]]] = []
        done = asyncio.Event()

        async def assigned(numbers: frozenset[int]) -> None:
            seen.append(("assigned", numbers))
            done.set()

        async def revoked(numbers: frozenset[int]) -> None:
            if numbers:
                seen.append(("revoked", numbers))

        await log.join([room.chain, room.ticks], assigned, revoked)
        async with asyncio.timeout(20):
            await done.wait()
        await log.stop()
        assert seen == [("assigned", frozenset({0, 1})), ("revoked", frozenset({0, 1}))]
        assert log.membership_fault() is None
