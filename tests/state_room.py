"""Kept states, seen from the log: what every log has in common."""

import time

import structlog

from dhpe.edge.journal import Positions
from dhpe.edge.log import Log
from dhpe.edge.snapshots import Snapshots
from dhpe.edge.state_store import Manifest, StateStore
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.worker import PartitionWorker
from dhpe.edge.workers import Workers
from dhpe.settings import Settings
from worker_room import drained, expected, market, messages, put, until, working, written

SHORT_S = 1.0
"""Between two states of a partition: long enough for one step, short enough to be waited for."""


async def kept(log: Log, settings: Settings) -> list[Manifest]:
    """All states of partition 0 that the log names, the newest first."""
    store = StateStore(log, TopicNames.of(settings), 0, settings.message_bytes_max)
    return [found.manifest async for found in store.manifests() if found.manifest is not None]


def worker_of(workers: Workers) -> PartitionWorker:
    """The only one."""
    worker = workers.worker(0)
    assert worker is not None
    return worker


def snapshots_of(workers: Workers) -> Snapshots:
    """What decides when a state is kept."""
    return worker_of(workers)._snapshots


def applied(workers: Workers) -> Positions:
    """The committed positions of the only worker."""
    return worker_of(workers)._applied


async def came_round_when_due(workers: Workers) -> None:
    """Wait until the time for the next state has come, and the worker has looked at its inputs after that."""
    due_s = snapshots_of(workers)._due_s
    await until(lambda: time.monotonic() > due_s)
    now_s = time.monotonic()
    await until(lambda: worker_of(workers).progressed_s > now_s)


async def what_a_burst_left_is_kept_once(log: Log, settings: Settings) -> None:
    """A step, then nothing more: its state is kept when its time has come, and not again while nothing changes."""
    names = TopicNames.of(settings)
    given = settings.model_copy(update={"snapshot_interval_s": SHORT_S, "step_records_max": 100_000})
    first, *burst = market(3)
    async with working(log, given) as workers:
        for batches in ([first], burst):  # the second comes between two states, and the kernels are loaded by then
            await put(log, messages(batches), names)
            await drained(workers, log, names)
            await until(lambda: snapshots_of(workers)._kept == applied(workers), 20.0)
        for _ in range(2):
            await came_round_when_due(workers)
        positions = applied(workers)
    found = [manifest.positions for manifest in await kept(log, settings)]
    assert found[0] == positions
    assert len(found) == len(set(found)) > 1


async def a_planned_stop_leaves_nothing_to_replay(log: Log, settings: Settings) -> None:
    """Stopped in the middle of its work: the state stands where the commits do, and the next start takes it."""
    names = TopicNames.of(settings)
    given = settings.model_copy(update={"step_records_max": 100, "snapshot_interval_s": 3600.0})
    batches = market(40)
    await put(log, messages(batches), names)
    end = (await log.span((names.ticks, 0))).end
    with structlog.testing.capture_logs() as lines:
        async with working(log, given) as workers:
            await until(lambda: workers.worker(0) is not None and applied(workers).ticks > end // 4)
            worker = worker_of(workers)
        newest = (await kept(log, settings))[0]
        assert newest.positions == worker._applied
        assert newest.ticks < end
        async with working(log, given) as workers:
            await drained(workers, log, names)
    first, second = [line for line in lines if line["event"] == "restored"]
    assert first["source"] == "the log alone"
    assert (second["source"], second["replayed_offsets"]) == ("a kept state", 0)
    assert (second["chain"], second["ticks"]) == newest.positions
    assert await written(log, names) == expected(batches, settings)
