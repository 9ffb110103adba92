"""All partitions of one process: begun and ended as the group decides, watched, and drained at the end."""

import asyncio
import time
from typing import Final

import structlog

from dhpe.edge.fields import Fields
from dhpe.edge.log import Log, LogError
from dhpe.edge.metrics import Metrics
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.worker import PartitionWorker
from dhpe.settings import Settings, variable

WATCH_S: Final = 0.5
LOOP_STALLED_S: Final = 15.0
"""A loop that has not woken the watch for so long does not make progress."""


class NoProgress(LogError):  # noqa: N818 - told like the log's other states
    """Records wait, and none has been applied for too long."""


class Workers:
    """The partition workers of this process. ``run`` returns after ``stop``, or raises why it cannot go on."""

    def __init__(self, log: Log, settings: Settings, metrics: Metrics) -> None:
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._names = TopicNames.of(settings)
        self._fields = Fields(log, settings, metrics)
        self._partitions = 0
        self._working: dict[int, PartitionWorker] = {}
        self._resting: dict[int, PartitionWorker] = {}
        self._fault: BaseException | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._joined = False
        self._watched_s = time.monotonic()
        self._log_line = structlog.get_logger("dhpe.workers")

    async def run(self) -> None:
        """Join the group and work until ``stop``.

        Raises:
            LogError: the work cannot go on; the process should end with this line.
        """
        inputs = (self._names.chain, self._names.ticks)
        counts = {topic: await self._log.partitions(topic) for topic in (*inputs, *self._outputs())}
        if len(set(counts.values())) > 1:
            raise LogError(f"the topics differ in their partition counts ({counts}): remake them with `dhpe topics`")
        self._partitions = counts[self._names.chain]
        await self._log.join(inputs, self._assigned, self._revoked)
        try:
            while not self._stopping:
                await self._watch()
        finally:
            await self._rest(frozenset(self._working))
            await self._fields.close()
            resting = self._resting.values()
            if self._stopping:
                await asyncio.gather(*(worker.finish(self._settings.drain_timeout_s) for worker in resting))
            else:
                for worker in resting:
                    worker.abandon()
            self._resting.clear()

    def stop(self) -> None:
        """Let the steps under way finish, then let ``run`` return."""
        self._stopping = True
        self._wake.set()

    def worker(self, partition: int) -> PartitionWorker | None:
        """The worker of ``partition``, or None where it is not ours."""
        return self._working.get(partition)

    def alive(self) -> bool:
        """Whether the event loop still comes round."""
        return time.monotonic() - self._watched_s < LOOP_STALLED_S

    def ready(self) -> tuple[bool, str]:
        """Whether every assigned partition is restored and near the end of its inputs; if not, why."""
        if self._stopping:
            return False, "The service is stopping"
        if not self._joined:
            return False, "No partitions are assigned yet"
        for number, worker in sorted(self._working.items()):
            if worker.phase != "live":
                return False, f"Partition {number} is being restored"
            records, seconds = worker.lag()
            if seconds > self._settings.ready_lag_s:
                return False, f"Partition {number} is {seconds:.0f} s and {records} records behind its input"
        return True, ""

    def _outputs(self) -> tuple[str, ...]:
        names = self._names
        return (*names[2:],)

    async def _watch(self) -> None:
        due_s = time.monotonic() + WATCH_S
        try:
            async with asyncio.timeout(WATCH_S):
                await self._wake.wait()
        except TimeoutError:
            self._metrics.loop_lag(max(0.0, time.monotonic() - due_s))
        self._watched_s = time.monotonic()
        fault = self._log.membership_fault()
        if fault is not None:
            raise LogError(fault)
        if self._fault is not None:
            raise self._fault
        for number, worker in self._working.items():
            still_s = self._watched_s - worker.progressed_s
            if still_s > self._settings.progress_timeout_s:
                raise NoProgress(
                    f"partition {number} has made no progress for {still_s:.0f} s while {worker.phase} "
                    f"({variable('progress_timeout_s')}): the process ends so that it is started afresh"
                )

    async def _assigned(self, numbers: frozenset[int]) -> None:
        self._metrics.rebalanced()
        self._log_line.info("assigned", partitions=sorted(numbers))
        for number in sorted(numbers):
            worker = self._resting.get(number) or PartitionWorker(
                self._log, self._settings, self._metrics, number, self._partitions, self._fields
            )
            self._working[number] = worker
            worker.start().add_done_callback(self._ended)
        self._resting.clear()
        self._joined = True

    async def _revoked(self, numbers: frozenset[int]) -> None:
        self._log_line.info("revoked", partitions=sorted(numbers))
        await self._rest(numbers)

    async def _rest(self, numbers: frozenset[int]) -> None:
        leaving = {number: self._working.pop(number) for number in numbers if number in self._working}
        await asyncio.gather(*(worker.stop(self._settings.drain_timeout_s) for worker in leaving.values()))
        self._resting |= leaving
        for number in leaving:
            self._metrics.revoked(number)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            self._fault = self._fault or task.exception()
            self._wake.set()
