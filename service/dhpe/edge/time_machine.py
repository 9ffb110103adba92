"""The state of an underlying as it was: at an instant of event time, or after given offsets."""

from typing import Final

import msgspec
import numpy as np

from dhpe.columns import EVERY_UNDERLYING
from dhpe.edge.decode import content_type_of, decode
from dhpe.edge.journal import Positions, decode_entry
from dhpe.edge.log import Log, LogError, LogRecord, Place, RecordsLost, partition_of
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past
from dhpe.edge.salvage import Limits
from dhpe.edge.state_store import StateStore
from dhpe.edge.topic_names import TopicNames
from dhpe.outputs import Pressure
from dhpe.settings import Settings

RECORDS_MAX: Final = 5_000
WAIT_S: Final = 0.2
NO_LONGER: Final = "the log no longer reaches back"


class _Told(msgspec.Struct):
    """What a kept pressure tells of its time."""

    ts_event_ns: int


_TOLD: Final = msgspec.json.Decoder(_Told)


class TimeMachine:
    """Reads one underlying's partition of the log, beside the workers; owns nothing."""

    def __init__(self, log: Log, settings: Settings, metrics: Metrics, underlying: str, partitions: int) -> None:
        self._log = log
        self._settings = settings
        self._names = TopicNames.of(settings)
        self._underlying = underlying
        self._grid_ns = settings.pressure_interval_ms * 1_000_000
        self._limits = Limits(settings.future_limit_ms, settings.message_bytes_max, settings.message_records_max)
        self._partition = partition_of(underlying.encode(), partitions)
        self._past = Past(log, settings, metrics, self._partition, partitions, lambda: None)
        self._store = StateStore(log, self._names, self._partition, settings.message_bytes_max)

    async def at_time(self, ts_ns: int) -> Pressure:
        """The state after all records before the first that is later than ``ts_ns`` (event time, UTC ns).

        Raises:
            LogError: the log does not reach back so far, or knows no such underlying.
        """
        ticks = await self._first_tick_after(ts_ns)
        return await self.after(Positions(await self._chain_before(ticks), ticks))

    async def after(self, target: Positions) -> Pressure:
        """The state after all records before ``target``.

        Raises:
            LogError: the log does not reach back so far, has not come so far, or knows no such underlying.
        """
        for topic, wanted in ((self._names.chain, target.chain), (self._names.ticks, target.ticks)):
            span = await self._log.span((topic, self._partition))
            if wanted > span.end:
                raise LogError(f"topic {topic}, partition {self._partition}: ends at {span.end}, before {wanted}")
        try:
            reached = await self._past.state_at(target)
        except RecordsLost as error:
            raise RecordsLost(f"{NO_LONGER}: {error}") from error
        pressure = reached.stepper.pressure(self._underlying)
        if pressure is None:
            raise LogError(
                f"{self._underlying!r} is not known at chain {target.chain}, ticks {target.ticks} of partition "
                f"{self._partition}"
            )
        return pressure

    async def _first_tick_after(self, ts_ns: int) -> int:
        """The offset of the first tick of the underlying that is later; the end of the log where there is none.

        Raises:
            RecordsLost: that may be one which the log no longer has.
        """
        place = (self._names.ticks, self._partition)
        begin, end = await self._log.span(place)
        known = await self._known_before(ts_ns)
        sure = known >= begin
        reader = await self._log.reader({place: max(begin, known)})
        later = None
        try:
            while later is None and reader.position(place) < end:
                records = await reader.fetch(RECORDS_MAX, WAIT_S)
                later, one_before = self._later(records, ts_ns)
                sure = sure or one_before
        finally:
            await reader.close()
        if not sure:
            raise RecordsLost(
                f"{NO_LONGER}: topic ticks, partition {self._partition} begins at {begin}, and has nothing of "
                f"{self._underlying!r} at or before that time"
            )
        return end if later is None else later

    def _later(self, records: list[LogRecord], ts_ns: int) -> tuple[int | None, bool]:
        """The offset of the first of our ticks that is later, if there is one, and whether others come before it."""
        messages = [(r.offset, r.key, r.value, content_type_of(r.headers), r.append_time_ms) for r in records]
        batch, _ = decode(messages, "ticks", self._limits)
        ours = [code for code, name in enumerate(batch.names) if name in (self._underlying, EVERY_UNDERLYING)]
        events = batch.events[np.isin(batch.events["underlying"], ours)]
        (later,) = np.nonzero(events["ts_event_ns"] > ts_ns)
        if len(later) == 0:
            return None, len(events) > 0
        return int(events["offset"][later[0]]), bool(later[0] > 0)

    async def _known_before(self, ts_ns: int) -> int:
        """Where the newest kept state stands that holds nothing of the underlying later than ``ts_ns``."""
        async for found in self._store.manifests():
            manifest = found.manifest
            if manifest is None or manifest.pressures is None or self._underlying not in manifest.pressures:
                continue
            # The state itself may be later than its last word, by less than the grid of publication.
            if _TOLD.decode(manifest.pressures[self._underlying]).ts_event_ns + self._grid_ns <= ts_ns:
                return manifest.ticks
        return 0

    async def _chain_before(self, ticks: int) -> int:
        """The next chain offset when the tick before ``ticks`` was applied, as the journal tells."""
        place: Place = (self._names.journal, self._partition)
        begin, end = await self._log.span(place)
        reader = await self._log.reader({place: begin})
        chain = (await self._log.span((self._names.chain, self._partition))).begin
        try:
            while reader.position(place) < end:
                for record in await reader.fetch(RECORDS_MAX, WAIT_S):
                    entry = decode_entry(record.value or b"")
                    if entry.ticks_at >= ticks:
                        return entry.chain_from
                    chain = entry.chain_to
        finally:
            await reader.close()
        return chain
