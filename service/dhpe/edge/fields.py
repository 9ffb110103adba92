"""The fields of all partitions of a process, computed beside the main line and written to topic ``field``.

A field is for reading: no alert depends on it. So it is copied between two steps, when everything applied is committed,
computed in a thread of its own (the kernels hold no lock), and written outside the transaction. One is under way at a
time, of the underlying that has waited longest; what moves meanwhile is read when its turn comes, so nothing queues.
After each the thread rests until it has had no more than ``field_core_share_max`` of a core. A worker that has lost
its partition may write one more; the new owner's next one replaces it.
"""

import asyncio
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from dhpe.edge.encode import encode_field
from dhpe.edge.log import Log, LogError, OutRecord
from dhpe.edge.metrics import Metrics
from dhpe.edge.steps import Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.engine import Engine
from dhpe.field import FieldCopy, copy_of, field_of
from dhpe.settings import Settings, variable

FIELD_BYTES_MAX: Final = 900_000
"""A larger record is not written: brokers refuse one of 1 MiB."""
LOOK_S: Final = 0.1
"""Where nothing was due, the underlyings are not asked again for so long."""


class Fields:
    """``look`` is called between two steps and costs nothing while a field is under way or none is due."""

    def __init__(self, log: Log, settings: Settings, metrics: Metrics) -> None:
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._topic = TopicNames.of(settings).field
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fields")
        self._task: asyncio.Task[None] | None = None
        self._next_s = 0.0
        self._read: dict[str, tuple[int, float]] = {}  # event time and instant of the last copy, by underlying
        self._log_line = structlog.get_logger("dhpe.fields")

    def look(self, stepper: Stepper) -> None:
        """Begin with the field of an underlying that has moved, if one is due and none under way."""
        now_s = time.monotonic()
        under_way = self._task is not None and not self._task.done()
        if self._settings.field_interval_s == 0 or under_way or now_s < self._next_s:
            return
        engine = stepper.engine
        name = self._due(engine, now_s)
        if name is None:
            self._next_s = now_s + LOOK_S
            return
        underlying = engine.underlyings[name]
        copy = copy_of(underlying, engine.offsets, engine.engine_version, lost=stepper.degraded)
        self._read[name] = (int(copy.market["ts_ns"]), now_s)
        self._task = asyncio.create_task(self._write(copy), name=f"field of {name}")

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _due(self, engine: Engine, now_s: float) -> str | None:
        """Of the underlyings that have moved and waited for the interval, the one that has waited longest."""
        longest, found = self._settings.field_interval_s, None
        for name, underlying in engine.underlyings.items():
            ts_ns, read_s = self._read.get(name, (0, float("-inf")))
            if int(underlying.market["ts_ns"]) != ts_ns and now_s - read_s >= longest:
                longest, found = now_s - read_s, name
        return found

    async def _write(self, copy: FieldCopy) -> None:
        started_s = time.monotonic()
        result, seconds = "failed", 0.0
        try:
            loop = asyncio.get_running_loop()
            value = await loop.run_in_executor(self._thread, self._computed, copy)
            seconds = time.monotonic() - started_s
            result = "not_written"
            if len(value) > FIELD_BYTES_MAX:
                result = "too_large"
                remedy = f"lower {variable('field_strikes_max')} or {variable('field_points_max')}"
                self._log_line.warning("field is too large", underlying=copy.underlying, bytes=len(value), do=remedy)
            else:
                await self._log.append([OutRecord(self._topic, copy.underlying.encode(), value)])
                result = "written"
        except LogError as error:
            self._log_line.warning("field is not written", underlying=copy.underlying, reason=str(error))
        except Exception:  # noqa: BLE001 - a reading that fails must not take the alerts with it
            # As text: with its frames the renderer would print the whole chain.
            self._log_line.error("field failed", underlying=copy.underlying, trace=traceback.format_exc())
        self._metrics.field_done(result, seconds)
        self._next_s = time.monotonic() + seconds * (1.0 / self._settings.field_core_share_max - 1.0)

    def _computed(self, copy: FieldCopy) -> bytes:
        return encode_field(field_of(copy, self._settings.field_limits()))
