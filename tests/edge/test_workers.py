"""What ends the work, what keeps it from being ready, and what the operator is told."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import structlog

from dhpe.edge.log import LogError, LogRecord, LogUnavailable, OnPartitions, OutRecord, PartitionLog, RecordsLost
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.workers import NoProgress, Workers
from dhpe.settings import Settings
from worker_room import drained, expected, forget_states, market, messages, put, sqlite_log, until, working, written

SETTINGS = Settings(step_records_max=500, drain_timeout_s=30.0)
NAMES = TopicNames.of(SETTINGS)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty embedded log."""
    log = sqlite_log(tmp_path, SETTINGS)
    await log.start()
    yield log
    await log.stop()


def forget_ticks_before(path: Path, offset: int) -> None:
    """What retention does."""
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM records WHERE topic = 'ticks' AND offset < ?", (offset,))
    connection.commit()
    connection.close()


async def worked_then_lost(log: SqliteLog) -> None:
    """A worker applies some input and ends; then more comes than is kept."""
    await put(log, messages(market(3, ("SIMA",))), NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    end = (await log.span((NAMES.ticks, 0))).end
    await put(log, messages(market(6, ("SIMA",))[3:]), NAMES)
    forget_ticks_before(log.path, end + 5)


async def test_lost_records_end_the_work_with_their_range(log: SqliteLog) -> None:
    """A committed offset that the log no longer holds is never skipped silently."""
    await worked_then_lost(log)
    with pytest.raises(RecordsLost, match=r"topic ticks, partition 0: offsets \d+ to \d+ were deleted") as failure:
        async with working(log, SETTINGS) as workers:
            await until(lambda: workers._fault is not None)
    assert "DHPE_ON_DATA_LOSS=earliest" in str(failure.value)


@pytest.mark.parametrize("forgets", [True, False])
async def test_an_accepted_loss_marks_every_later_output_also_after_a_restart(log: SqliteLog, forgets: bool) -> None:
    """With ``on_data_loss`` earliest the work goes on, degraded, and the journal remembers it."""
    await worked_then_lost(log)
    if forgets:
        await forget_states(log)
    before = len((await written(log, NAMES))["pressure", b"SIMA"])
    sources: list[str] = []
    accepting = Settings(on_data_loss="earliest", drain_timeout_s=30.0)
    for chunks in (slice(0, 0), slice(6, 9)):
        await put(log, messages(market(9, ("SIMA",))[chunks]), NAMES)
        with structlog.testing.capture_logs() as lines:
            async with working(log, accepting) as workers:
                await drained(workers, log, NAMES)
        sources += [line["source"] for line in lines if line["event"] == "restored"]
        if forgets:
            await forget_states(log)
    outputs = [one[2] for one in (await written(log, NAMES))["pressure", b"SIMA"]]
    assert len(outputs) > before
    for number, output in enumerate(outputs):
        assert ("data_loss" in output["quality"]["reasons"]) == (number >= before)
    assert sources == ["the log alone" if forgets else "a kept state"] * 2


async def test_a_topic_that_was_made_anew_ends_the_work(log: SqliteLog) -> None:
    """A committed offset behind the end of the topic means that it is not the topic that was read."""
    owned = log.own(0)
    await owned.fence()
    await owned.commit([], {NAMES.ticks: 10})
    with pytest.raises(RecordsLost, match="it was made anew"):
        async with working(log, SETTINGS) as workers:
            await until(lambda: workers._fault is not None)


class DeafPartition:
    """A consumer that is stuck: records wait, and none comes (aiokafka issues 847, 703, 625)."""

    def __init__(self, real: PartitionLog) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def fetch(self, topics: Sequence[str], records_max: int, wait_s: float) -> list[LogRecord]:
        """Nothing, ever."""
        del topics, records_max
        await asyncio.sleep(wait_s)
        return []

    def lag(self, topic: str) -> int:
        """Something, always."""
        del topic
        return 5


class DeafLog(SqliteLog):
    """The embedded log with such partitions."""

    def own(self, partition: int) -> PartitionLog:  # type: ignore[override]
        """The real partition, deaf."""
        return DeafPartition(super().own(partition))  # type: ignore[return-value]


async def test_a_lag_without_progress_ends_the_work(tmp_path: Path) -> None:
    """The watchdog names the partition, the time and its setting, so that an orchestrator starts afresh."""
    log = DeafLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 1))
    await log.start()
    with pytest.raises(NoProgress, match=r"partition 0 has made no progress .* \(DHPE_PROGRESS_TIMEOUT_S\)"):
        await Workers(log, Settings(progress_timeout_s=0.3), Metrics()).run()
    await log.stop()


class FaultyLog(SqliteLog):
    """A group whose callback failed: the library only logs it."""

    fault: str | None = None

    async def join(self, topics: Sequence[str], assigned: OnPartitions, revoked: OnPartitions) -> None:
        """Join, and fail a moment later."""
        await super().join(topics, assigned, revoked)
        self.fault = "a change of the assigned partitions failed: RuntimeError()"

    def membership_fault(self) -> str | None:
        """What was swallowed."""
        return self.fault


async def test_a_fault_of_the_group_ends_the_work(tmp_path: Path) -> None:
    """A swallowed exception is found and raised."""
    log = FaultyLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 1))
    await log.start()
    with pytest.raises(LogError, match="assigned partitions failed"):
        await Workers(log, SETTINGS, Metrics()).run()
    await log.stop()


async def test_topics_of_different_partition_counts_are_refused(tmp_path: Path) -> None:
    """Partition n of the inputs writes to partition n of the outputs, so the counts are equal or nothing starts."""
    log = SqliteLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 2) | {NAMES.journal: 1})
    await log.start()
    with pytest.raises(LogError, match="differ in their partition counts"):
        await Workers(log, SETTINGS, Metrics()).run()
    await log.stop()


async def test_stopping_commits_the_step_under_way(log: SqliteLog) -> None:
    """A drain in the middle of the input leaves whole steps, and the next worker goes on from there."""
    batches = market(12)
    await put(log, messages(batches), NAMES)
    async with working(log, SETTINGS) as workers:
        await until(lambda: (worker := workers.worker(0)) is not None and worker.applied(NAMES.ticks) > 0)
    committed = await log.own(0).fence()
    end = (await log.span((NAMES.ticks, 0))).end
    assert 0 < committed[NAMES.ticks] < end
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    assert await written(log, NAMES) == expected(batches, SETTINGS)


async def test_readiness_follows_assignment_restore_and_lag(log: SqliteLog) -> None:
    """Not ready before the assignment; ready at the end of the input; not ready again once stopping."""
    workers = Workers(log, SETTINGS, Metrics())
    assert workers.ready() == (False, "No partitions are assigned yet")
    task = asyncio.create_task(workers.run())
    await until(lambda: workers.ready()[0])
    worker = workers.worker(0)
    assert worker is not None
    worker._newest_append_ms = round((time.time() - 3_600) * 1_000)
    worker._owned._ends[NAMES.ticks] = 7  # type: ignore[attr-defined]
    ready, reason = workers.ready()
    assert not ready
    assert reason == "Partition 0 is 3600 s and 7 records behind its input"
    assert workers.alive()
    workers.stop()
    assert workers.ready() == (False, "The service is stopping")
    await task


async def test_a_partition_that_comes_back_keeps_its_state(log: SqliteLog) -> None:
    """After a rebalance that returns the partition nothing is rebuilt, and nothing is lost or repeated."""
    batches = market(10)
    wire = messages(batches)
    await put(log, wire[: len(wire) // 2], NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
        worker = workers.worker(0)
        assert worker is not None
        stepper = worker._stepper
        await workers._revoked(frozenset({0}))
        assert workers.worker(0) is None
        await log.append([OutRecord(NAMES.ticks, m.key, m.value) for m in wire[len(wire) // 2 :]])
        await workers._assigned(frozenset({0}))
        assert workers.worker(0) is worker
        await drained(workers, log, NAMES)
        assert worker._stepper is stepper
    assert await written(log, NAMES) == expected(batches, SETTINGS)


class AwayPartition(DeafPartition):
    """A log that refuses three owners in a row, longer than the patience with a stuck one, then answers again."""

    def __init__(self, real: PartitionLog) -> None:
        super().__init__(real)
        self.refusals = 0

    async def fence(self) -> dict[str, int]:
        """Refuse, or do it."""
        if self.refusals > 0:
            self.refusals -= 1
            raise LogUnavailable("nobody answers")
        return await self._real.fence()

    async def fetch(self, topics: Sequence[str], records_max: int, wait_s: float) -> list[LogRecord]:
        """As it is, or away."""
        if self.refusals > 0:
            raise LogUnavailable("nobody answers")
        return await self._real.fetch(topics, records_max, wait_s)

    def lag(self, topic: str) -> int:
        """As it is."""
        return self._real.lag(topic)


async def test_a_log_that_is_away_is_waited_for_with_the_state_kept(tmp_path: Path) -> None:
    """An outage ends no process, for a new one could do no more; afterwards the work goes on without a restore."""
    settings = Settings(progress_timeout_s=2.5, drain_timeout_s=30.0)
    log = sqlite_log(tmp_path, settings)
    await log.start()
    away = AwayPartition(log.own(0))
    log.own = lambda _: away  # type: ignore[assignment,method-assign,return-value]
    batches = market(6, ("SIMA",))
    metrics = Metrics()
    async with working(log, settings, metrics) as workers:
        await put(log, messages(batches[:3]), NAMES)
        await drained(workers, log, NAMES)
        worker = workers.worker(0)
        assert worker is not None
        state = worker._stepper
        away.refusals = 3
        await until(lambda: away.refusals == 0)
        await put(log, messages(batches[3:]), NAMES)
        await drained(workers, log, NAMES)
        assert worker._stepper is state
    assert await written(log, NAMES) == expected(batches, settings)
    await log.stop()
