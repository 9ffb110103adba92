"""The embedded log stays bounded: what is old goes, the space comes back, and what a restart needs stays."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from dhpe.app import build_log
from dhpe.edge import sqlite_retention
from dhpe.edge.journal import Positions
from dhpe.edge.log import OutRecord, RecordsLost
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past
from dhpe.edge.sqlite import SqliteLog, SqlitePartition
from dhpe.edge.sqlite_retention import Keep, Retention, trim
from dhpe.edge.sqlite_tables import span
from dhpe.edge.state_store import StateStore
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from log_contract import read_all, values
from worker_room import drained, expected, market, messages, put, until, working, written

TOPICS = {"ticks": 2, "pressure": 2, "alerts": 2}
NEVER_S = 1e9
MANY = 1 << 40
AT_ONCE = {"ticks": Keep(0.0, replayed=True), "pressure": Keep(0.0), "alerts": Keep(NEVER_S, spared=True)}
BY_BYTES = {topic: keep._replace(age_s=NEVER_S) for topic, keep in AT_ONCE.items()}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn follows turn, and a turn is small."""
    monkeypatch.setattr(sqlite_retention, "TRIM_PAUSE_S", 0.001)
    monkeypatch.setattr(sqlite_retention, "TRIM_RECORDS", 7)


@asynccontextmanager
async def opened(path: Path, keeps: dict[str, Keep], file_bytes_max: int = MANY) -> AsyncIterator[SqliteLog]:
    """A log that keeps its topics so."""
    log = SqliteLog(path, TOPICS, retention=Retention(keeps, file_bytes_max))
    await log.start()
    yield log
    await log.stop()


@asynccontextmanager
async def owned(log: SqliteLog) -> AsyncIterator[SqlitePartition]:
    """Partition 0 and its retention."""
    partition = log.own(0)
    await partition.fence()
    yield partition
    await partition.close()


async def fill(log: SqliteLog, topic: str, count: int, value: bytes = b"v", partition: int = 0) -> None:
    """Append as many records."""
    await log.append([OutRecord(topic, b"k", value, (), partition)] * count)


async def becomes(log: SqliteLog, condition: Callable[[sqlite3.Connection], bool]) -> None:
    """Wait until the log is so."""
    async with asyncio.timeout(20):
        while not await log.read(condition):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.005)


async def span_becomes(log: SqliteLog, topic: str, begin: int, end: int) -> None:
    """Wait until partition 0 of the topic holds this."""
    await becomes(log, lambda connection: span(connection, (topic, 0)) == (begin, end))


def test_no_topic_of_the_embedded_log_is_kept_for_ever() -> None:
    """Each has an age or a number of bytes, and inputs and journal wait for whoever replays them."""
    settings = Settings()
    names = TopicNames.of(settings)
    log = build_log(settings)
    assert isinstance(log, SqliteLog)
    assert log.retention is not None
    assert set(log.retention.topics) | set(log._bytes_max) == set(names)
    replayed = {topic for topic, keep in log.retention.topics.items() if keep.replayed}
    assert replayed == {names.chain, names.ticks, names.journal}
    assert log.retention.topics[names.alerts].age_s == settings.alerts_retention_s


async def test_what_is_old_goes_but_nothing_that_a_restart_needs(tmp_path: Path) -> None:
    """Outputs go by age; inputs only as far as they are released; the newest record and other partitions stay."""
    async with opened(tmp_path / "log.sqlite", AT_ONCE) as log:
        for topic in TOPICS:
            await fill(log, topic, 50)
            await fill(log, topic, 5, partition=1)
        async with owned(log) as partition:
            await span_becomes(log, "pressure", 49, 50)
            assert await log.span(("ticks", 0)) == (0, 50)
            partition.release({"ticks": 30})
            await span_becomes(log, "ticks", 30, 50)
            assert values(await read_all(log, "ticks", 0)) == [b"v"] * 20
            partition.release({"ticks": 50})
            await span_becomes(log, "ticks", 49, 50)
        assert await log.span(("alerts", 0)) == (0, 50)
        assert [await log.span((topic, 1)) for topic in TOPICS] == [(0, 5)] * 3
        reader = await log.reader({("ticks", 0): 30})
        with pytest.raises(RecordsLost, match="ticks, partition 0: offsets 30 to 48 are gone"):
            await reader.fetch(10, 0.1)


async def test_what_is_young_stays(tmp_path: Path) -> None:
    """Released or not."""
    keeps = {"ticks": Keep(60.0, replayed=True), "pressure": Keep(0.0)}
    async with opened(tmp_path / "log.sqlite", keeps) as log, owned(log) as partition:
        partition.release({"ticks": 20})
        await fill(log, "ticks", 20)
        long_ago = "UPDATE records SET append_time_ms = append_time_ms - 60001 WHERE topic = 'ticks' AND offset < 11"
        await log.write(lambda connection: connection.execute(long_ago))
        await span_becomes(log, "ticks", 11, 20)
        await fill(log, "pressure", 20)
        await span_becomes(log, "pressure", 19, 20)
        assert await log.span(("ticks", 0)) == (11, 20)


async def test_a_start_takes_back_what_was_released_before(tmp_path: Path) -> None:
    """It may have to begin with an older state than the one that was released for."""
    async with opened(tmp_path / "log.sqlite", AT_ONCE) as log, owned(log) as partition:
        partition.release({"ticks": 100})
        await fill(log, "ticks", 10)
        await span_becomes(log, "ticks", 9, 10)
        await partition.fence()
        await fill(log, "ticks", 10)
        await fill(log, "pressure", 10)
        await span_becomes(log, "pressure", 9, 10)
        assert await log.span(("ticks", 0)) == (9, 20)


async def test_an_owner_who_was_overtaken_deletes_nothing(tmp_path: Path) -> None:
    """The newer one may be another program, which needs the log that the old one can do without."""
    async with opened(tmp_path / "log.sqlite", AT_ONCE) as log, owned(log) as old:
        trimming = old._trimming
        assert trimming is not None
        old.release({"ticks": 100})
        other = SqliteLog(log.path, TOPICS)
        await other.start()
        await other.own(0).fence()
        await fill(other, "ticks", 50)
        await until(trimming.done)
        assert await log.span(("ticks", 0)) == (0, 50)
        await other.stop()


async def test_a_crowded_file_loses_the_oldest_of_all_but_spares_alerts_and_says_when_nothing_may_go(
    tmp_path: Path,
) -> None:
    """Inputs that are not released stay, even beyond the bytes; that is told once."""
    path, bound = tmp_path / "log.sqlite", 300_000
    async with opened(path, BY_BYTES, bound) as log:
        for topic in ("alerts", "ticks", "pressure", "ticks"):
            await fill(log, topic, 200, bytes(500))
            await asyncio.sleep(0.002)  # for another append time
        with structlog.testing.capture_logs() as lines:
            async with owned(log) as partition:
                await span_becomes(log, "pressure", 199, 200)
                await until(lambda: bool(lines))
                assert await log.span(("ticks", 0)) == (0, 400)
                partition.release({"ticks": 400})
                await becomes(log, lambda connection: sqlite_retention._used_bytes(connection) <= bound)
        assert [line["setting"] for line in lines] == ["DHPE_EMBEDDED_LOG_BYTES_MAX"]
        begin, end = await log.span(("ticks", 0))
        assert 0 < begin < 200 < end == 400
        assert await log.span(("alerts", 0)) == (0, 200)


async def test_an_old_alert_takes_no_young_one_with_it(tmp_path: Path) -> None:
    """Even where the file is crowded: alerts go by their age alone."""
    keeps = {"alerts": Keep(60.0, spared=True), "pressure": Keep(NEVER_S)}
    async with opened(tmp_path / "log.sqlite", keeps, file_bytes_max=1) as log:
        await fill(log, "alerts", 6)
        long_ago = "UPDATE records SET append_time_ms = append_time_ms - 60001 WHERE offset < 2"
        await log.write(lambda connection: connection.execute(long_ago))
        await fill(log, "pressure", 50)
        async with owned(log):
            await span_becomes(log, "pressure", 49, 50)
        assert await log.span(("alerts", 0)) == (2, 6)


async def test_the_file_does_not_grow_for_ever_and_gives_back_what_it_does_not_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more than the bound is written, at a steady rate: flat. After a rush the file becomes small again."""
    monkeypatch.setattr(sqlite_retention, "TRIM_RECORDS", 500)
    monkeypatch.setattr(sqlite_retention, "FREE_BYTES_MIN", 1 << 20)
    path, bound, sizes = tmp_path / "log.sqlite", 2 << 20, []
    async with opened(path, BY_BYTES, bound) as log, owned(log) as partition:

        async def write(count: int) -> None:
            for _ in range(count):
                await partition.commit([OutRecord("pressure", b"k", bytes(2_000))] * 5, {"ticks": 0})
                await fill(log, "ticks", 100, bytes(200))

        async def settled() -> int:
            await becomes(log, at_rest)
            await log.run(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
            return path.stat().st_size

        def at_rest(connection: sqlite3.Connection) -> bool:
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            return sqlite_retention._used_bytes(connection) <= bound and free <= 256

        partition.release({"ticks": 10**9})
        for _ in range(50):
            await write(4)
            sizes.append(await settled())
        assert (await log.span(("ticks", 0))).begin > 10_000
        assert max(sizes) < bound + sqlite_retention.FREE_BYTES_MIN
        partition.release({})
        await write(200)
        assert path.stat().st_size > 2 * bound
        partition.release({"ticks": 10**9})
        assert await settled() < bound + sqlite_retention.FREE_BYTES_MIN
    assert (await sound(path)) == "ok"


async def sound(path: Path) -> str:
    """What SQLite itself says of the file."""
    connection = sqlite3.connect(path)
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(answer)


@pytest.mark.parametrize("keeps", [AT_ONCE, BY_BYTES])
async def test_a_turn_costs_the_same_on_a_short_log_and_on_a_long_one(tmp_path: Path, keeps: dict[str, Keep]) -> None:
    """It is counted in steps of SQLite's machine: nothing is read but the head of each topic."""
    steps = []
    retention = Retention(keeps, 1)
    for count in (100, 20_000):
        async with opened(tmp_path / f"{count}.sqlite", keeps) as log:
            for topic in TOPICS:
                await fill(log, topic, count)
            steps.append(await log.run(counted(lambda c: trim(c, retention, 0, {"ticks": 10**9}, lambda _: None))))
            assert (await log.span(("ticks", 0))).begin == sqlite_retention.TRIM_RECORDS
    assert steps[0] == steps[1]
    assert steps[0] > 100


def counted(work: Callable[[sqlite3.Connection], object]) -> Callable[[sqlite3.Connection], int]:
    """Work that says how many steps it took."""

    def counting(connection: sqlite3.Connection) -> int:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        connection.set_progress_handler(step, 1)
        work(connection)
        connection.set_progress_handler(None, 1)
        return steps

    return counting


SETTINGS = Settings(
    step_records_max=200,
    drain_timeout_s=30.0,
    snapshot_interval_s=0.001,
    inputs_retention_s=0.001,
    alerts_retention_s=NEVER_S,
)
NAMES = TopicNames.of(SETTINGS)


def forgetful(folder: Path) -> SqliteLog:
    """A log that keeps outputs, and of the inputs only what a restart needs."""
    keeps = dict(Retention.of(SETTINGS).topics)
    del keeps[NAMES.pressure]
    return SqliteLog(folder / "log.sqlite", dict.fromkeys(NAMES, 1), retention=Retention(keeps, MANY))


async def test_restarts_on_a_log_that_forgets_say_what_one_run_says(tmp_path: Path) -> None:
    """Where the newest kept state is spoilt, the one before serves: its records are still there."""
    batches = market(30)
    wire = messages(batches)
    begins = Positions(0, 0)
    log = forgetful(tmp_path)
    await log.start()

    def begins_now(connection: sqlite3.Connection) -> Positions:
        return Positions(*[span(connection, (topic, 0)).begin for topic in (NAMES.chain, NAMES.ticks)])

    def shortened(connection: sqlite3.Connection) -> bool:
        now = begins_now(connection)
        return now.ticks > begins.ticks and now.chain > 0

    middle = (len(wire) + sum(message.topic == "chain" for message in wire)) // 2
    for piece in (wire[:middle], wire[middle:]):
        await put(log, piece, NAMES)
        async with working(log, SETTINGS) as workers:
            await drained(workers, log, NAMES)
            await becomes(log, shortened)
        begins = await log.read(begins_now)
        found = [one.manifest async for one in StateStore(log, NAMES, 0, SETTINGS.message_bytes_max).manifests()]
        newest, reserve = found[0], found[1]
        assert newest is not None
        assert reserve is not None
        assert begins.chain <= reserve.chain
        assert begins.ticks <= reserve.ticks
        spoil, place = "DELETE FROM records WHERE topic = ? AND offset >= ?", (NAMES.state, newest.chunks[-1].offset)
        await log.write(lambda connection, spoil=spoil, place=place: connection.execute(spoil, place))
        reached = await Past(log, SETTINGS, Metrics(), 0, 1, lambda: None).state_at(newest.positions)
        assert (reached.base, reached.from_state) == (reserve.positions, True)
    assert await written(log, NAMES) == expected(batches, SETTINGS)
    await log.stop()
