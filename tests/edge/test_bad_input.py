"""Every case of the bad-input table on the embedded log, through the real worker.

The process goes on and commits past it; the neighbours' alerts and pressure are byte for byte those of a run without
it; the right counters move and no other; each refused message is one dead letter; no number of the state becomes NaN.
"""

import asyncio
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bad_input import CONTRACTS_MAX, ITEMS, RECORDS_MAX, UNDERLYING, Case, Put, market, put, record
from bad_input_cases import CASES, ON_KAFKA_ALONE
from dhpe.edge.dead_letters import EXCERPT_BYTES
from dhpe.edge.log import LogRecord, OutRecord
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.workers import Workers
from dhpe.engine import Engine
from dhpe.settings import Settings
from finite_state import nans, numbers
from log_contract import read_all
from worker_room import UNDERLYINGS, dead, drained, messages, sqlite_log, working
from worker_room import market as simulated

# Dealers short of what the simulated ones are long of: the neighbours' gain passes 1 and they have alerts.
SETTINGS = Settings(
    gamma_weight=-1.0,
    kyle_lambda=2e-11,
    message_records_max=RECORDS_MAX,
    contracts_max=CONTRACTS_MAX,
    drain_timeout_s=30.0,
)
NAMES = TopicNames.of(SETTINGS)
CHUNKS = 14


class Seen(NamedTuple):
    """What one run leaves."""

    neighbours: dict[tuple[str, bytes], list[tuple[bytes, Any]]]
    rejected: dict[str, float]
    flagged: dict[str, float]
    letters: list[LogRecord]
    last: dict[str, dict[str, Any]]
    inputs: dict[tuple[str, int], LogRecord]
    nans: list[str]


def counters(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    """A counter by its label, as Prometheus reads it."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        sample.labels[label]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"{name}_total"
    }


async def append(log: SqliteLog, puts: list[Put] | tuple[Put, ...]) -> None:
    """Write messages to the inputs."""
    topics = {"chain": NAMES.chain, "ticks": NAMES.ticks}
    await log.append([OutRecord(topics[one.topic], one.key, one.value, one.headers, 0) for one in puts])


@cache
def neighbours() -> list[Put]:
    """The messages of the two underlyings beside the bad one."""
    return [Put(one.value, one.key, one.topic) for one in messages(simulated(CHUNKS), 100)]


async def run(folder: Path, case: Case | None) -> Seen:
    """The neighbours' market, with the case in its middle."""
    log = sqlite_log(folder, SETTINGS)
    await log.start()
    wire = neighbours()
    metrics = Metrics()
    await append(log, [*wire[: len(wire) // 2], *market()])
    async with working(log, SETTINGS, metrics) as workers:
        for stage in case.stages if case else ():
            await drained(workers, log, NAMES)
            await append(log, stage)
        await drained(workers, log, NAMES)
        engine = engine_of(workers)
        await append(log, [*wire[len(wire) // 2 :], closing(engine)])
        await drained(workers, log, NAMES)
        broken = nans(engine)
    seen = await what_is_written(log, metrics, broken)
    await log.stop()
    return seen


def closing(engine: Engine) -> Put:
    """A clock a little after the last record of the bad underlying, so that its last state is published."""
    now_ns = int(engine.underlyings[UNDERLYING].market["ts_ns"])
    return put(record("clock", ts_event_ns=now_ns + 200_000_000))[0]


def engine_of(workers: Workers) -> Engine:
    """The engine of the only partition."""
    worker = workers.worker(0)
    assert worker is not None
    assert worker._stepper is not None
    return worker._stepper._engine


async def what_is_written(log: SqliteLog, metrics: Metrics, broken: list[str]) -> Seen:
    """The outputs of the neighbours as bytes, without the positions that the case itself moves."""
    neighbours: dict[tuple[str, bytes], list[tuple[bytes, Any]]] = {}
    last = {}
    for topic in (NAMES.pressure, NAMES.alerts):
        for said in await read_all(log, topic, 0):
            assert said.key is not None
            assert said.value is not None
            body = msgspec.json.decode(said.value)
            del body["offsets"]
            if topic == NAMES.pressure:
                last[body["underlying"]] = body
            if body["underlying"] in UNDERLYINGS:
                marks = tuple(header for header in said.headers if header[0].startswith("ce_"))
                neighbours.setdefault((topic, said.key), []).append((msgspec.json.encode(body), marks))
    inputs = {(topic, r.offset): r for topic in (NAMES.chain, NAMES.ticks) for r in await read_all(log, topic, 0)}
    letters = await dead(log, NAMES.chain_dead) + await dead(log, NAMES.ticks_dead)
    rejected, flagged = counters(metrics, "dhpe_rejected", "reason"), counters(metrics, "dhpe_flagged", "flag")
    return Seen(neighbours, rejected, flagged, letters, last, inputs, broken)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The same run without any bad input."""
    seen = asyncio.run(run(tmp_path_factory.mktemp("undisturbed"), None))
    assert {key for topic, key in seen.neighbours if topic == NAMES.alerts} == {name.encode() for name in UNDERLYINGS}
    assert (seen.rejected, seen.letters, seen.nans) == ({}, [], [])
    return seen


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.item}: {case.name}")
async def test_bad_input_touches_nothing_but_itself(tmp_path: Path, undisturbed: Seen, case: Case) -> None:
    """The five checks of the head of this file, for one row of the table."""
    seen = await run(tmp_path, case)
    assert seen.neighbours == undisturbed.neighbours
    assert moved(seen.rejected, undisturbed.rejected) == case.rejected
    assert moved(seen.flagged, undisturbed.flagged) == case.flagged
    check_letters(seen, case)
    assert seen.nans == []
    assert all(math.isfinite(number) for number in numbers(seen.last[UNDERLYING]))
    if case.quality is not None:
        quality = seen.last[UNDERLYING]["quality"]
        assert case.quality in quality["reasons"]
        assert quality["status"] == ("stale" if case.quality.startswith("spot") else "degraded")
    else:
        assert "sequence_gap" not in seen.last[UNDERLYING]["quality"]["reasons"]


def moved(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """By how much counters differ, where they do."""
    return {name: value - before.get(name, 0.0) for name, value in now.items() if value != before.get(name, 0.0)}


def check_letters(seen: Seen, case: Case) -> None:
    """One letter a refused message, with its bytes (or, of a large one, its beginning), its place and its reason."""
    assert tuple(dict(letter.headers)["reason"].decode() for letter in seen.letters) == case.dead
    places = [(dict(one.headers)["topic"].decode(), int(dict(one.headers)["offset"])) for one in seen.letters]
    assert len(set(places)) == len(places)
    for letter, place in zip(seen.letters, places, strict=True):
        source = seen.inputs[place]
        assert letter.key == source.key
        if source.value is not None and len(source.value) > SETTINGS.message_bytes_max:
            assert letter.value == source.value[:EXCERPT_BYTES]
        else:
            assert letter.value == (source.value if source.key is not None else source.value or b"")


def test_the_table_holds_every_item_of_the_list() -> None:
    """Nothing was forgotten, and nothing stands under an item that is not there."""
    assert {case.item for case in CASES} == set(ITEMS) - set(ON_KAFKA_ALONE)
    assert len(ITEMS) == len(set(ITEMS)) == 47
