"""When the state of a partition is kept: now and then after a commit, and at the end.

Copying stands between two steps and takes milliseconds; packing and writing go on beside the next ones. Only a state
whose commit has returned is copied, so whatever is in the log was true, whoever wrote it.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

import structlog

from dhpe.edge.journal import Positions
from dhpe.edge.log import Log, LogError
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Reached
from dhpe.edge.state_store import Standing, StateStore
from dhpe.edge.steps import Stepper, StepperState
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings


class Snapshots:
    """The keeper of one partition's states. ``release`` is told the offsets before which no restart needs anything."""

    def __init__(
        self,
        log: Log,
        settings: Settings,
        metrics: Metrics,
        partition: int,
        partitions: int,
        release: Callable[[Mapping[str, int]], None],
    ) -> None:
        names = TopicNames.of(settings)
        self._log = log
        self._metrics = metrics
        self._store = StateStore(log, names, partition, settings.message_bytes_max)
        self._names = names
        self._journal_place = (names.journal, partition)
        self._release = release
        self._reserve: dict[str, int] | None = None
        self._interval_s = settings.snapshot_interval_s
        self._records_max = settings.snapshot_records_max
        self._partition = partition
        self._partitions = partitions
        self._kept = self._tried = Positions(0, 0)
        self._journal = self._journal_end = 0
        self._journal_read_at = Positions(0, 0)
        self._due_s = 0.0
        self._writing: asyncio.Task[None] | None = None
        self._log_line = structlog.get_logger("dhpe.snapshots").bind(partition=partition)

    def restored(self, reached: Reached) -> None:
        """Begin with a state made anew."""
        self._kept = self._tried = reached.base
        self._journal = reached.journal
        self._reserve = self._needs(reached.base, reached.journal) if reached.from_state else None
        # Partitions take turns, so that they do not all copy at the same moment.
        self._due_s = time.monotonic() + self._interval_s * (self._partition + 1) / self._partitions

    async def owned(self, applied: Positions) -> None:
        """Begin to work at ``applied``, after a takeover and before the first commit."""
        await self._look_at_the_journal(applied)

    def due(self, applied: Positions) -> bool:
        """Whether the state at ``applied``, just committed, is to be kept."""
        if self._writing is not None or applied == self._kept:
            return False
        records = applied.chain - self._tried.chain + applied.ticks - self._tried.ticks
        return records >= self._records_max or time.monotonic() >= self._due_s

    async def keep(self, stepper: Stepper, applied: Positions) -> None:
        """Copy the state at ``applied``, which is committed, and begin to write it."""
        self._tried, self._due_s = applied, time.monotonic() + self._interval_s
        if applied != self._journal_read_at:  # a commit since then proves that nobody but us had written to it
            self._journal = self._journal_end
        standing = Standing(
            applied, self._journal, self._partitions, stepper.engine_version, stepper.parameters.digest()
        )
        try:
            await self._look_at_the_journal(applied)
            state = await asyncio.to_thread(stepper.freeze)
        except (LogError, TypeError) as error:
            self._failed(error)
            return
        self._writing = asyncio.create_task(self._write(state, standing), name=f"snapshot {self._partition}")

    async def finish(self, stepper: Stepper | None, applied: Positions, timeout_s: float) -> None:
        """Keep the last state, if it is not kept yet and there is time. ``stepper`` is None where it is not whole."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._written()
                if stepper is not None and applied != self._kept:
                    await self.keep(stepper, applied)
                    await self._written()
        except TimeoutError:
            self._failed(TimeoutError(f"there was no time for it within {timeout_s:g} s"))
            self.abandon()

    def abandon(self) -> None:
        """Leave the state that is being written: without its manifest it is none."""
        if self._writing is not None:
            self._writing.cancel()

    async def _look_at_the_journal(self, applied: Positions) -> None:
        self._journal_end = (await self._log.span(self._journal_place)).end
        self._journal_read_at = applied

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self, state: StepperState, standing: Standing) -> None:
        started_s = time.monotonic()
        try:
            size_bytes = await self._store.write(state, standing)
        except LogError as error:
            self._failed(error)
        else:
            self._kept = standing.positions
            if self._reserve is not None:
                self._release(self._reserve)  # should the newest be spoilt, the one before serves
            self._reserve = self._needs(standing.positions, standing.journal)
            self._metrics.snapshot_written(self._partition, size_bytes)
            seconds = round(time.monotonic() - started_s, 3)
            self._log_line.debug("kept a state", **standing.positions._asdict(), size_bytes=size_bytes, seconds=seconds)
        finally:
            self._writing = None

    def _needs(self, positions: Positions, journal: int) -> dict[str, int]:
        """From where on a restart from such a state reads."""
        return {self._names.chain: positions.chain, self._names.ticks: positions.ticks, self._names.journal: journal}

    def _failed(self, error: Exception) -> None:
        self._metrics.snapshot_failed()
        self._log_line.warning("a state was not kept", reason=str(error))
