"""A restart: the state is made anew from the log, in the order that the journal tells, and says nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable

from dhpe.edge.journal import JournalEntry, Leg, Positions, decode_entry, legs
from dhpe.edge.log import Log, LogRecord, Place, Reader
from dhpe.edge.steps import Outcome, Stepper
from dhpe.edge.topic_names import TopicNames

WAIT_S = 0.2
Applied = Callable[[Outcome], None]


def unheard(_: Outcome) -> None:
    """Throw away what a step says."""


class Rebuild:
    """Reads one partition's inputs and journal again. ``progressed`` is called after every batch."""

    def __init__(
        self, log: Log, names: TopicNames, partition: int, records_max: int, progressed: Callable[[], None]
    ) -> None:
        self._log = log
        self._names = names
        self._partition = partition
        self._records_max = records_max
        self._progressed = progressed

    async def run(
        self, stepper: Stepper, begin: Positions, target: Positions, journal: int = 0, applied: Applied = unheard
    ) -> None:
        """Bring ``stepper`` from ``begin`` to ``target``; what the steps say goes to ``applied``, and nowhere else.

        The journal is read from the offset ``journal`` on, or from its first that is left.

        Raises:
            RecordsLost: records between the two were deleted meanwhile.
            LogUnavailable: the log does not answer.
        """
        chain = _Source(self._log, self._place(self._names.chain), begin.chain)
        ticks = _Source(self._log, self._place(self._names.ticks), begin.ticks)
        try:
            async for leg in legs(self._journal(stepper, journal), begin, target):
                await self._apply(stepper, leg, chain if leg.of_chain else ticks, applied)
        finally:
            await chain.close()
            await ticks.close()

    async def _apply(self, stepper: Stepper, leg: Leg, source: "_Source", applied: Applied) -> None:
        while source.position < leg.end:
            records = await source.take(leg.end, self._records_max)
            if records:
                chain, ticks = (records, []) if leg.of_chain else ([], records)
                applied(await asyncio.to_thread(stepper.apply, chain, ticks))
            self._progressed()

    async def _journal(self, stepper: Stepper, start: int) -> AsyncIterator[JournalEntry]:
        place = self._place(self._names.journal)
        begin, end = await self._log.span(place)
        reader = await self._log.reader({place: max(begin, start)})
        try:
            while reader.position(place) < end:
                for record in await reader.fetch(self._records_max, WAIT_S):
                    entry = decode_entry(record.value or b"")
                    stepper.degraded = stepper.degraded or entry.lost
                    stepper.recorded_version = entry.engine_version or stepper.recorded_version
                    yield entry
        finally:
            await reader.close()

    def _place(self, topic: str) -> Place:
        return (topic, self._partition)


class _Source:
    """One input topic, read in stretches: what was fetched beyond a stretch waits for the next.

    Its reader is made for the first of them: most restarts replay no chain.
    """

    def __init__(self, log: Log, place: Place, begin: int) -> None:
        self._log = log
        self._place = place
        self._begin = begin
        self._reader: Reader | None = None
        self._waiting: list[LogRecord] = []

    @property
    def position(self) -> int:
        """Everything before this offset was taken."""
        if self._waiting:
            return self._waiting[0].offset
        return self._begin if self._reader is None else self._reader.position(self._place)

    async def take(self, end: int, records_max: int) -> list[LogRecord]:
        """The next records before ``end``; none where the log has only markers there."""
        if self._reader is None:
            self._reader = await self._log.reader({self._place: self._begin})
        if not self._waiting:
            self._waiting = await self._reader.fetch(records_max, WAIT_S)
        taken = [record for record in self._waiting if record.offset < end]
        self._waiting = self._waiting[len(taken) :]
        return taken

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
