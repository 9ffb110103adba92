"""Fields beside the main line: one at a time, none queued, never in the way of the alerts."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dhpe.columns import empty_batch
from dhpe.edge import fields as room
from dhpe.edge.encode import encode_field
from dhpe.edge.fields import Fields
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.steps import Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.field import FieldCopy, copy_of, field_of
from dhpe.field_outputs import Field, FieldLimits
from dhpe.settings import Settings
from log_contract import read_all
from worker_room import drained, expected, market, messages, put, sqlite_log, until, working, written

SETTINGS = Settings(field_interval_s=0.001, field_core_share_max=1.0, drain_timeout_s=30.0)
NAMES = TopicNames.of(SETTINGS)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty embedded log."""
    log = sqlite_log(tmp_path, SETTINGS)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def fields(log: SqliteLog) -> AsyncIterator[Fields]:
    """What the workers of a process share."""
    made = Fields(log, SETTINGS, Metrics())
    yield made
    await made.close()


def counted(fields: Fields, result: str) -> float:
    """How many fields have ended so."""
    return fields._metrics.registry.get_sample_value("dhpe_fields_total", {"result": result}) or 0.0


def a_stepper(chunks: int = 3) -> Stepper:
    """A stepper whose engine holds two underlyings."""
    stepper = Stepper(SETTINGS, NAMES, 0, 1)
    for batch in market(chunks):
        stepper.engine.step(empty_batch(), batch)
    return stepper


async def records(log: SqliteLog) -> list[Field]:
    """What stands in the topic."""
    return [msgspec.json.decode(record.value or b"", type=Field) for record in await read_all(log, NAMES.field, 0)]


async def newest(log: SqliteLog) -> dict[str, Field]:
    """The last one of each underlying."""
    return {found.underlying: found for found in await records(log)}


async def test_a_worker_writes_the_field_of_each_underlying_beside_its_outputs(log: SqliteLog) -> None:
    """The last one is that of the end of the input, recomputable from its offsets; the outputs are the engine's."""
    batches, stepper = market(6), a_stepper(6)
    last = {name: int(one.market["ts_ns"]) for name, one in stepper.engine.underlyings.items()}
    await put(log, messages(batches, records_per_message=100), NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
        async with asyncio.timeout(60):
            while {name: found.ts_event_ns for name, found in (await newest(log)).items()} != last:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert await written(log, NAMES) == expected(batches, SETTINGS)
    for found in (await newest(log)).values():
        copy = copy_of(stepper.engine.underlyings[found.underlying], found.offsets, found.engine_version)
        assert encode_field(field_of(copy, SETTINGS.field_limits())) == encode_field(found)


async def test_while_one_is_under_way_none_is_begun_and_then_the_one_that_waited_longest(
    log: SqliteLog, fields: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow computation skips what moves meanwhile; the thread has one job at a time."""
    begun: list[str] = []
    go_on = threading.Semaphore(0)

    def slow(copy: FieldCopy, limits: FieldLimits) -> Field:
        begun.append(copy.underlying)
        go_on.acquire()
        return field_of(copy, limits)

    monkeypatch.setattr(room, "field_of", slow)
    stepper = a_stepper()
    fields.look(stepper)
    await until(lambda: len(begun) == 1)
    for _ in range(20):
        fields.look(stepper)
    go_on.release()
    await until(lambda: counted(fields, "written") == 1)
    assert len(begun) == 1
    fields.look(stepper)
    await until(lambda: len(begun) == 2)
    go_on.release()
    await until(lambda: counted(fields, "written") == 2)
    assert set(begun) == {"SIMA", "SIMC"}
    fields._next_s = 0.0
    fields.look(stepper)
    assert fields._task is not None
    assert fields._task.done(), "neither has moved since"
    assert {found.underlying for found in await records(log)} == {"SIMA", "SIMC"}


async def test_the_thread_rests_until_it_has_had_its_share_of_a_core(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two seconds of work a share of a quarter rests for six."""
    clock = SimpleNamespace(now_s=100.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(room, "time", clock)
    fields = Fields(log, SETTINGS.model_copy(update={"field_core_share_max": 0.25}), Metrics())

    def two_seconds(copy: FieldCopy, limits: FieldLimits) -> Field:
        clock.now_s += 2.0
        return field_of(copy, limits)

    monkeypatch.setattr(room, "field_of", two_seconds)
    stepper = a_stepper()
    fields.look(stepper)
    await until(lambda: counted(fields, "written") == 1)
    for clock.now_s, begins in ((107.9, False), (108.1, True)):
        fields.look(stepper)
        assert fields._task is not None
        assert fields._task.done() != begins
    await fields.close()


@pytest.mark.parametrize(
    ("change", "result"),
    [({"FIELD_BYTES_MAX": 1000}, "too_large"), ({"field_of": None}, "failed")],
    ids=["too large", "failed"],
)
async def test_a_field_that_cannot_be_written_is_counted_and_the_work_goes_on(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], result: str
) -> None:
    """Too large for a broker, or a mistake of ours: the outputs are all there."""
    for name, value in change.items():
        monkeypatch.setattr(room, name, value)
    batches = market(4, ("SIMA",))
    await put(log, messages(batches, records_per_message=100), NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
        await until(lambda: counted(workers._fields, result) >= 1)
    assert await records(log) == []
    assert await written(log, NAMES) == expected(batches, SETTINGS)


async def test_an_interval_of_0_makes_none(log: SqliteLog) -> None:
    """The switch for those who do not read them."""
    fields = Fields(log, Settings(field_interval_s=0), Metrics())
    fields.look(a_stepper())
    assert fields._task is None
    await fields.close()
