"""The embedded log keeps the promises of the seam, and those of a file."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dhpe.edge.log import LogError, LogUnavailable, OutRecord, RecordsLost
from dhpe.edge.sqlite import SqliteLog
from log_contract import LogContract, LogRoom, read_all, values

TOPICS = {"chain": 2, "ticks": 2, "pressure": 2}


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[LogRoom]:
    """A fresh file; every log opened on it is stopped at the end."""
    opened: list[SqliteLog] = []

    async def open_log() -> SqliteLog:
        log = SqliteLog(tmp_path / "log.sqlite", TOPICS)
        await log.start()
        opened.append(log)
        return log

    yield LogRoom(open_log, "chain", "ticks", "pressure")
    for log in opened:
        await log.stop()


class TestSqliteLog(LogContract):
    """All promises of the seam."""


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    """The file alone carries records, offsets and topics."""
    path = tmp_path / "log.sqlite"
    log = SqliteLog(path, TOPICS)
    await log.start()
    await log.append([OutRecord("ticks", b"k", b"v", (), 0)])
    owned = log.own(0)
    await owned.fence()
    await owned.commit([OutRecord("pressure", b"k", b"p")], {"ticks": 1})
    await log.stop()
    again = SqliteLog(path, TOPICS)
    await again.start()
    assert values(await read_all(again, "ticks", 0)) == [b"v"]
    assert values(await read_all(again, "pressure", 0)) == [b"p"]
    assert await again.own(0).fence() == {"ticks": 1}
    await again.stop()


async def test_an_owner_who_was_overtaken_learns_who_took_the_file(tmp_path: Path) -> None:
    """There is no group that could give the partition back, so the worker is told to stop."""
    log = SqliteLog(tmp_path / "log.sqlite", TOPICS)
    await log.start()
    old, new = log.own(0), log.own(0)
    await old.fence()
    assert await old.assigned()
    await new.fence()
    with pytest.raises(LogError, match="another dhpe has taken over"):
        await old.assigned()
    await log.stop()


async def test_another_partition_count_is_refused(tmp_path: Path) -> None:
    """The count is fixed when the topic is made: keys would move to other partitions."""
    path = tmp_path / "log.sqlite"
    log = SqliteLog(path, TOPICS)
    await log.start()
    await log.stop()
    other = SqliteLog(path, TOPICS | {"ticks": 3})
    with pytest.raises(LogError, match="ticks has 2 partitions, not 3"):
        await other.start()
    await other.stop()


@pytest.mark.parametrize("content", [b"this is not a database, and long enough to be seen as one" * 40, None])
async def test_a_file_that_is_no_log_is_named_with_its_setting(tmp_path: Path, content: bytes | None) -> None:
    """A text file, or a folder that is not there: one line with the path and the variable."""
    path = tmp_path / "log.sqlite" if content else tmp_path / "missing" / "log.sqlite"
    if content:
        path.write_bytes(content)
    log = SqliteLog(path, TOPICS)
    with pytest.raises(LogUnavailable, match="DHPE_EMBEDDED_LOG_PATH") as failure:
        await log.start()
    assert str(path) in str(failure.value)
    await log.stop()


async def test_missing_records_are_not_skipped_silently(tmp_path: Path) -> None:
    """A position before the first kept record is an error that names the missing range."""
    path = tmp_path / "log.sqlite"
    log = SqliteLog(path, TOPICS)
    await log.start()
    await log.append([OutRecord("ticks", b"k", b"%d" % n, (), 0) for n in range(5)])
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM records WHERE offset < 3")
    connection.commit()
    connection.close()
    reader = await log.reader({("ticks", 0): 1})
    with pytest.raises(RecordsLost, match="offsets 1 to 2"):
        await reader.fetch(10, 0.1)
    assert tuple(await log.span(("ticks", 0))) == (3, 5)
    await log.stop()


async def test_a_topic_with_a_bound_keeps_the_newest_that_fit_and_at_least_one(tmp_path: Path) -> None:
    """Also after reopening, when what is there must be counted anew."""
    path = tmp_path / "log.sqlite"
    for first in (0, 40):
        log = SqliteLog(path, TOPICS, bytes_max={"ticks": 95})
        await log.start()
        for n in range(first, first + 40):
            await log.append([OutRecord("ticks", b"k", b"%010d" % n, (), n % 2) for _ in range(2)])
            held = values(await read_all(log, "ticks", n % 2))
            assert held == [b"%010d" % m for m in range(n % 2, n + 1, 2) for _ in range(2)][-9:]
        if first:
            await log.append([OutRecord("ticks", b"k", bytes(200), (), 0)])
            assert values(await read_all(log, "ticks", 0)) == [bytes(200)]
            assert log._sizes == {("ticks", 0): 200, ("ticks", 1): 90}
            await log.append([OutRecord("ticks", b"k", b"", (), 0)] * 2)
            assert values(await read_all(log, "ticks", 0)) == [b"", b""]
        await log.stop()
