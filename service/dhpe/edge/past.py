"""The state of a partition as it was at any positions that the log still reaches: for a restart, and for questions.

The newest kept state at or before the positions is taken, and the rest of the log is applied to it in the journal's
order. A state that cannot be used is passed over for the next older one; without any, the log is applied from its
beginning. Each of these is said once and counted.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

import structlog

from dhpe.edge.journal import Positions
from dhpe.edge.log import Log, LogError, RecordsLost, Span
from dhpe.edge.metrics import Metrics
from dhpe.edge.rebuild import Applied, Rebuild, unheard
from dhpe.edge.state_store import Manifest, StateStore
from dhpe.edge.steps import Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from dhpe.snapshot_bytes import StateRefused

LOST: Final = "the log no longer has the records that follow it"


class Reached(NamedTuple):
    """A state, and what it was made from: the positions of the kept state, or of the log's beginning.

    ``journal`` is an offset from which on the journal has all that follows ``base``.
    """

    stepper: Stepper
    base: Positions
    from_state: bool
    journal: int


class Past:
    """Makes states of one partition anew. ``progressed`` is called after every batch."""

    def __init__(
        self,
        log: Log,
        settings: Settings,
        metrics: Metrics,
        partition: int,
        partitions: int,
        progressed: Callable[[], None],
    ) -> None:
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._names = TopicNames.of(settings)
        self._partition = partition
        self._partitions = partitions
        self._store = StateStore(log, self._names, partition, settings.message_bytes_max)
        self._rebuild = Rebuild(log, self._names, partition, settings.step_records_max, progressed)
        self._log_line = structlog.get_logger("dhpe.past").bind(partition=partition)

    async def state_at(
        self,
        target: Positions,
        *,
        base_max: Positions | None = None,
        applied: Applied = unheard,
        gap_accepted: bool = False,
        later_start: bool = False,
    ) -> Reached:
        """The state after all records before ``target``, and none from there on.

        The steps from the kept state on are told to ``applied``, with all that they say. The kept state stands at or
        before ``base_max``, for whoever wants to hear of records before ``target``. Where ``gap_accepted``, it may
        stand before records that the log has lost, and goes on behind them: better than to know no contract. Where
        ``later_start``, a log that no longer has its beginning is applied from what it has, if no state is left.

        Raises:
            RecordsLost: the log no longer reaches back so far, or records were deleted meanwhile.
            LogUnavailable: the log does not answer.
            LogError: the log was made for another number of partitions.
        """
        begin = Positions(*[span.begin for span in await self._spans()])
        reached_back = Positions(0, 0) if gap_accepted else begin
        kept = await self._thawed(reached_back, base_max or target)
        if kept is not None:
            stepper, manifest = kept
            start = Positions(max(manifest.chain, begin.chain), max(manifest.ticks, begin.ticks))
            if start != target:
                await self._rebuild.run(stepper, start, target, manifest.journal, applied)
            return Reached(stepper, manifest.positions, from_state=True, journal=manifest.journal)
        if begin != (0, 0) and not later_start:
            raise RecordsLost(
                f"partition {self._partition} begins at chain {begin.chain}, ticks {begin.ticks}, and no kept state "
                f"that can be used is left at or before chain {target.chain}, ticks {target.ticks}"
            )
        if begin not in {(0, 0), target}:
            self._log_line.warning("the log does not reach back to its beginning", **begin._asdict())
        stepper = self._stepper()
        await self._rebuild.run(stepper, begin, target, applied=applied)
        return Reached(stepper, begin, from_state=False, journal=0)

    def _stepper(self) -> Stepper:
        return Stepper(self._settings, self._names, self._partition, self._partitions)

    async def _spans(self) -> list[Span]:
        return [await self._log.span((topic, self._partition)) for topic in (self._names.chain, self._names.ticks)]

    async def _thawed(self, oldest: Positions, newest: Positions) -> tuple[Stepper, Manifest] | None:
        """The newest kept state that can be used."""
        ours = self._stepper().engine_version
        said = set()
        async for offset, manifest in self._store.manifests():
            if manifest is not None:
                self._check_partitions(manifest)
                if manifest.chain > newest.chain or manifest.ticks > newest.ticks:
                    continue
            try:
                return await self._thaw(manifest, ours, oldest)
            except StateRefused as refusal:
                reason = str(refusal)
                self._metrics.state_refused()
                if reason not in said:
                    self._log_line.warning("a kept state is passed over", manifest=offset, reason=reason)
                said.add(reason)
                if reason == LOST:
                    break  # older ones are no better
        return None

    async def _thaw(self, manifest: Manifest | None, ours: str, oldest: Positions) -> tuple[Stepper, Manifest]:
        if manifest is None:
            raise StateRefused("its manifest cannot be read")
        if manifest.engine_version != ours:
            raise StateRefused(f"it is of another engine version, {manifest.engine_version}")
        if manifest.chain < oldest.chain or manifest.ticks < oldest.ticks:
            raise StateRefused(LOST)
        stepper = self._stepper()
        await asyncio.to_thread(stepper.thaw, await self._store.load(manifest))
        stepper.recorded_version = manifest.engine_version
        return stepper, manifest

    def _check_partitions(self, manifest: Manifest) -> None:
        if manifest.partitions != self._partitions:
            raise LogError(
                f"the log was written with {manifest.partitions} partitions, now there are {self._partitions}: "
                "the number is fixed when the topics are made, because it decides where an underlying's records are"
            )
