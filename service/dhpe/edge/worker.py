"""The work on one partition: take over, restore, then batch in, step, one commit; again and again.

A worker object outlives a rebalance: when its partition comes back and nobody has committed meanwhile, its state is
still good. After an error in a commit the same outputs are committed again, or are found to be in the log already:
the committed offsets tell which.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, Literal, NamedTuple

import structlog

from dhpe.edge.fields import Fields
from dhpe.edge.journal import JournalEntry, Positions, encode_entry
from dhpe.edge.log import (
    CommitFailed,
    Fenced,
    Log,
    LogRecord,
    LogUnavailable,
    OutRecord,
    PartitionLog,
    RecordsLost,
    Span,
)
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past
from dhpe.edge.snapshots import Snapshots
from dhpe.edge.steps import Outcome, Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings, variable

PAUSE_S: Final = 0.2
PAUSE_MAX_S: Final = 5.0
ORIGIN: Final = Positions(0, 0)

Phase = Literal["waiting", "restoring", "live"]


class Step(NamedTuple):
    """An applied step that is not known to be committed."""

    outcome: Outcome
    records: list[OutRecord]
    positions: Positions
    newest_append_ms: int


class PartitionWorker:
    """One partition number, owned through ``log.own``."""

    def __init__(
        self, log: Log, settings: Settings, metrics: Metrics, partition: int, partitions: int, fields: Fields
    ) -> None:
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._names = TopicNames.of(settings)
        self._partitions = partitions
        self._fields = fields
        self._owned: PartitionLog = log.own(partition)
        self._past = Past(log, settings, metrics, partition, partitions, self._progress)
        self._snapshots = Snapshots(log, settings, metrics, partition, partitions, self._owned.release)
        self._stepper: Stepper | None = None
        self._applied = ORIGIN
        self._pending: Step | None = None
        self._loss_untold = False
        self._newest_append_ms: int | None = None
        self._stopping = False
        self._stepping = False
        self._task: asyncio.Task[None] | None = None
        self._log_line = structlog.get_logger("dhpe.worker").bind(partition=partition)
        self.partition = partition
        self.phase: Phase = "waiting"
        self.progressed_s = time.monotonic()

    # what the supervisor asks

    def start(self) -> asyncio.Task[None]:
        """Begin, or begin again after ``stop``."""
        self._stopping = False
        self.progressed_s = time.monotonic()
        self._task = asyncio.create_task(self.run(), name=f"partition {self.partition}")
        return self._task

    async def stop(self, timeout_s: float) -> None:
        """Let the step under way finish, its commit included, for at most ``timeout_s``; then stop."""
        self._stopping = True
        task, self._task = self._task, None
        if task is None:
            return
        if not self._stepping:
            task.cancel()  # it waits for records or the log: nothing is half done
        _, late = await asyncio.wait([task], timeout=timeout_s)
        for one in late:
            one.cancel()
            await asyncio.wait([one], timeout=timeout_s)

    async def finish(self, timeout_s: float) -> None:
        """After ``stop``, for good: keep the last committed state, if that takes no longer than ``timeout_s``."""
        await self._snapshots.finish(self._stepper if self._pending is None else None, self._applied, timeout_s)

    def abandon(self) -> None:
        """After ``stop``, for good, and because of a fault: leave what is under way."""
        self._snapshots.abandon()

    def applied(self, topic: str) -> int:
        """The committed position in an input topic: everything before it is in the outputs."""
        return self._applied.chain if topic == self._names.chain else self._applied.ticks

    def lag(self) -> tuple[int, float]:
        """How far behind the inputs' ends: records, and seconds since the newest applied record was appended."""
        if self.phase != "live":
            return 0, 0.0
        records = self._owned.lag(self._names.chain) + self._owned.lag(self._names.ticks)
        if records == 0 or self._newest_append_ms is None:
            return records, 0.0
        return records, max(0.0, time.time() - self._newest_append_ms / 1000.0)

    # the work

    async def run(self) -> None:
        """Work until ``stop``, or until the partition is another's.

        Raises:
            LogError: it cannot go on: records are lost, or another process has the log.
        """
        pause_s = PAUSE_S
        try:
            while not self._stopping:
                try:
                    await self._take_over()
                    pause_s = PAUSE_S
                    await self._work()
                except (Fenced, CommitFailed, LogUnavailable) as error:
                    self._note(error)
                    if not await self._owned.assigned():
                        return
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_MAX_S)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            self.phase = "waiting"
            if self._stepping:  # cancelled inside a step: nobody knows what the state is
                self._stepper = self._pending = None
                self._stepping = False
            await self._owned.close()

    def _note(self, error: Exception) -> None:
        self.phase = "waiting"
        self._log_line.warning("starts again", reason=str(error))
        if isinstance(error, Fenced):
            self._metrics.fenced()
        elif isinstance(error, CommitFailed):
            self._metrics.transaction_aborted()
        else:
            self._progress()  # who asks a log that is away again and again is not stuck, and keeps its state

    async def _take_over(self) -> None:
        """Fence, read the committed offsets, and bring the state to them."""
        self.phase = "restoring"
        committed = await self._owned.fence()
        start = await self._start_of(committed)
        if self._stepper is not None and self._pending is not None and start == self._pending.positions:
            self._done(self._pending)  # the commit whose answer was lost is in the log
        elif self._stepper is None or start != self._applied:
            self._stepper = self._pending = None
            self._stepper = await self._restore(start)
            self._applied = start
        await self._snapshots.owned(self._applied)
        await self._owned.seek({self._names.chain: self._applied.chain, self._names.ticks: self._applied.ticks})
        if self._pending is not None:
            await self._commit(self._pending)
            await self._owned.seek({self._names.chain: self._applied.chain, self._names.ticks: self._applied.ticks})

    async def _start_of(self, committed: dict[str, int]) -> Positions:
        """Where this owner begins."""
        spans = [await self._log.span((topic, self.partition)) for topic in (self._names.chain, self._names.ticks)]
        chain, ticks = (
            self._checked(topic, committed, span)
            for topic, span in zip((self._names.chain, self._names.ticks), spans, strict=True)
        )
        return Positions(chain, ticks)

    def _checked(self, topic: str, offsets: dict[str, int], span: Span) -> int:
        if not offsets:
            return span.begin  # a new group begins with the oldest record that there is
        committed = offsets.get(topic)
        if committed is not None and span.begin <= committed <= span.end:
            return committed
        if committed is None:  # every commit has both topics; Kafka forgets the offset with the topic
            missing = "its committed offset is gone and the other input's is not: it was made anew"
        elif committed < span.begin:
            missing = f"offsets {committed} to {span.begin - 1} were deleted before they were read"
        else:
            missing = f"offset {committed} was committed but the topic ends at {span.end}: it was made anew"
        if self._settings.on_data_loss == "stop":
            raise RecordsLost(
                f"topic {topic}, partition {self.partition}: {missing}; "
                f"to go on from offset {span.begin} with outputs marked degraded, "
                f"set {variable('on_data_loss')}=earliest"
            )
        self._log_line.error("goes on after a loss of records", topic=topic, missing=missing)
        self._loss_untold = True
        return span.begin

    async def _restore(self, start: Positions) -> Stepper:
        started_s = time.monotonic()
        reached = await self._past.state_at(start, gap_accepted=self._loss_untold, later_start=True)
        self._snapshots.restored(reached)
        reached.stepper.degraded = reached.stepper.degraded or self._loss_untold
        seconds = time.monotonic() - started_s
        self._metrics.restored(self.partition, seconds)
        source = "a kept state" if reached.from_state else "the log alone"
        replayed = (start.chain - reached.base.chain) + (start.ticks - reached.base.ticks)
        self._log_line.info(
            "restored", **start._asdict(), source=source, replayed_offsets=replayed, seconds=round(seconds, 3)
        )
        return reached.stepper

    async def _work(self) -> None:
        place = (self._names.chain, self.partition)
        end = (await self._log.span(place)).end
        while not self._stopping and self._owned.position(self._names.chain) < end:
            # contracts first: a tick that knows none would be refused
            await self._step((self._names.chain,))
        self.phase = "live"
        while not self._stopping:
            await self._step((self._names.chain, self._names.ticks))
            if self._stepper is not None:
                self._fields.look(self._stepper)

    async def _step(self, topics: Sequence[str]) -> None:
        settings = self._settings
        records = await self._owned.fetch(topics, settings.step_records_max, settings.step_wait_ms / 1000.0)
        stepper = self._stepper
        assert stepper is not None  # noqa: S101 - _take_over has made one
        self._stepping = True
        if records:
            await self._apply(stepper, records)
        elif self._owned.lag(self._names.chain) + self._owned.lag(self._names.ticks) == 0 or self.phase != "live":
            self._progress()
        if self._snapshots.due(self._applied):  # also where nothing came: what a burst left is not replayed for ever
            await self._snapshots.keep(stepper, self._applied)
        self._stepping = False

    async def _apply(self, stepper: Stepper, records: Sequence[LogRecord]) -> None:
        chain = [record for record in records if record.topic == self._names.chain]
        ticks = [record for record in records if record.topic == self._names.ticks]
        outcome = await asyncio.to_thread(stepper.apply, chain, ticks)
        positions = Positions(self._owned.position(self._names.chain), self._owned.position(self._names.ticks))
        outputs = [*outcome.records, *self._journal(stepper, positions, applied=bool(chain))]
        self._pending = Step(outcome, outputs, positions, max(record.append_time_ms for record in records))
        await self._commit(self._pending)

    def _journal(self, stepper: Stepper, positions: Positions, *, applied: bool) -> list[OutRecord]:
        changed = stepper.recorded_version != stepper.engine_version
        if not applied and not self._loss_untold and not changed:
            return []
        entry = JournalEntry(
            chain_from=self._applied.chain,
            chain_to=positions.chain,
            ticks_at=self._applied.ticks,
            settings=stepper.parameters.digest(),
            lost=self._loss_untold,
            engine_version=stepper.engine_version if changed else None,
            parameters=asdict(stepper.parameters) if changed else None,
        )
        return [OutRecord(self._names.journal, None, encode_entry(entry))]

    async def _commit(self, step: Step) -> None:
        offsets = {self._names.chain: step.positions.chain, self._names.ticks: step.positions.ticks}
        started_s = time.monotonic()
        try:
            await self._owned.commit(step.records, offsets)
        except (Fenced, CommitFailed):
            self._stepping = False  # the state is whole, and the step waits in _pending
            raise
        self._metrics.transaction_done(time.monotonic() - started_s)
        self._done(step)

    def _done(self, step: Step) -> None:
        self._applied = step.positions
        self._pending = None
        self._loss_untold = False
        if self._stepper is not None:
            self._stepper.recorded_version = self._stepper.engine_version
        self._newest_append_ms = step.newest_append_ms
        self._progress()
        outcome = step.outcome
        self._metrics.step_done(outcome.chain_applied, outcome.ticks_applied, outcome.seconds)
        self._metrics.rejected(outcome.rejected)
        self._metrics.flagged(outcome.flags)
        self._metrics.published(outcome.outputs)
        age_s = max(0.0, time.time() - step.newest_append_ms / 1000.0)
        for label, topic in (("chain", self._names.chain), ("ticks", self._names.ticks)):
            self._metrics.lag(label, self.partition, self._owned.lag(topic), age_s)

    def _progress(self) -> None:
        self.progressed_s = time.monotonic()
