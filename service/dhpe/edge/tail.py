"""The view's eyes: reads the output topics of all partitions, whoever writes them."""

import asyncio
from typing import Final

import structlog

from dhpe.edge.log import Log, LogRecord, LogUnavailable, Place, RecordsLost
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.view import View
from dhpe.settings import Settings

RECORDS_MAX: Final = 5_000
WAIT_S: Final = 0.05
PAUSE_S: Final = 1.0


class Tail:
    """Gives the records of ``pressure``, ``alerts`` and ``field`` to the view, from the oldest on."""

    def __init__(self, log: Log, settings: Settings, view: View) -> None:
        self._log = log
        self._names = TopicNames.of(settings)
        self._view = view
        self._positions: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self.caught_up = False

    async def run(self) -> None:
        """Read until cancelled; a log that does not answer is asked again."""
        while True:
            try:
                await self._read()
            except RecordsLost:
                self._positions.clear()  # retention was faster: what it has left is still the latest
            except LogUnavailable as error:
                structlog.get_logger("dhpe.tail").warning("starts again", reason=str(error))
            await asyncio.sleep(PAUSE_S)

    async def _read(self) -> None:
        for topic in (self._names.pressure, self._names.alerts, self._names.field):
            for partition in range(await self._log.partitions(topic)):
                span = await self._log.span((topic, partition))
                self._positions.setdefault((topic, partition), span.begin)
                self._ends[topic, partition] = span.end
        reader = await self._log.reader(self._positions)
        try:
            while True:
                self.caught_up = self.caught_up or all(
                    reader.position(place) >= end for place, end in self._ends.items()
                )
                records = await reader.fetch(RECORDS_MAX, WAIT_S)
                for record in records if self.caught_up else self._newest(records):
                    self._view.apply(record.topic, record.key, record.value, record.headers, record.append_time_ms)
                self._positions = {place: reader.position(place) for place in self._positions}
        finally:
            await reader.close()

    def _newest(self, records: list[LogRecord]) -> list[LogRecord]:
        """All alerts, and of what a later record with the same key replaces the last: the past is not decoded."""
        last = {(record.topic, record.partition, record.key): record.offset for record in records}
        alerts = self._names.alerts
        return [r for r in records if r.topic == alerts or last[r.topic, r.partition, r.key] == r.offset]
