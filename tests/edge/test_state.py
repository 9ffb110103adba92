"""A restart from a kept state: nothing lost, nothing twice, and no bit different from a run without a break."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from dhpe.columns import empty_batch
from dhpe.edge.journal import JournalEntry, Positions, decode_entry
from dhpe.edge.log import LogError, OutRecord
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past, Reached
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.state_store import StateStore
from dhpe.edge.steps import Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.workers import Workers
from dhpe.engine import Engine
from dhpe.settings import Settings
from log_contract import read_all
from same_state import differences
from state_room import a_planned_stop_leaves_nothing_to_replay, kept, what_a_burst_left_is_kept_once
from worker_room import drained, expected, market, messages, put, sqlite_log, working, written

SETTINGS = Settings(step_records_max=400, drain_timeout_s=30.0, snapshot_interval_s=0.001, message_bytes_max=16_384)
RARELY = SETTINGS.model_copy(update={"snapshot_interval_s": 3600.0})
NAMES = TopicNames.of(SETTINGS)
BATCHES = market(40)
WIRE = messages(BATCHES)
HALF = (len(WIRE) + sum(message.topic == "chain" for message in WIRE)) // 2


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty embedded log."""
    log = sqlite_log(tmp_path, SETTINGS)
    await log.start()
    yield log
    await log.stop()


@asynccontextmanager
async def killed(
    log: SqliteLog, settings: Settings = SETTINGS, metrics: Metrics | None = None
) -> AsyncIterator[Workers]:
    """The workers at work, and gone at the end as kill -9 leaves it: nothing is drained, no last state kept."""
    workers = Workers(log, settings, metrics or Metrics())
    task = asyncio.create_task(workers.run())
    try:
        yield workers
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled() or task.exception() is None


@contextmanager
def told() -> Iterator[list[Any]]:
    """What the operator reads meanwhile."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def restored(lines: list[Any]) -> Any:
    """The line of the one restore."""
    (line,) = [line for line in lines if line["event"] == "restored"]
    return line


def refusals(lines: list[Any]) -> list[str]:
    """Why states were passed over."""
    return [line["reason"] for line in lines if line["event"] == "a kept state is passed over"]


async def state_at(log: SqliteLog, target: Positions, settings: Settings = SETTINGS, partitions: int = 1) -> Reached:
    """The partition as it was."""
    return await Past(log, settings, Metrics(), 0, partitions, lambda: None).state_at(target)


def engine_of(workers: Workers) -> Engine:
    """The state of the only partition."""
    worker = workers.worker(0)
    assert worker is not None
    assert worker._stepper is not None
    return worker._stepper._engine


async def half_done(log: SqliteLog, states: int = 2) -> Positions:
    """Apply half of the market in as many runs as states are wanted, each kept at the end of its run."""
    for number in range(states):
        await put(log, WIRE[number * HALF // states : (number + 1) * HALF // states], NAMES)
        async with working(log, RARELY) as workers:
            await drained(workers, log, NAMES)
            applied = workers.worker(0)._applied  # type: ignore[union-attr]
    return applied


async def finished(log: SqliteLog, settings: Settings = SETTINGS) -> Any:
    """Start again, apply the rest, and return the line of the restore after comparing all outputs."""
    with told() as lines:
        async with killed(log, settings) as workers:
            await put(log, WIRE[HALF:], NAMES)
            await drained(workers, log, NAMES)
    assert await written(log, NAMES) == expected(BATCHES, settings)
    return lines


async def test_a_restart_goes_on_from_the_kept_state_bit_for_bit(log: SqliteLog) -> None:
    """Killed again and again, each start takes the newest state; outputs and final state are those of one run."""
    quarter = len(WIRE) // 4
    for start in range(0, len(WIRE), quarter):
        with told() as lines:
            async with killed(log) as workers:
                await put(log, WIRE[start : start + quarter], NAMES)
                await drained(workers, log, NAMES)
                await workers.worker(0)._snapshots._written()  # type: ignore[union-attr]
                found = engine_of(workers)
        assert restored(lines)["source"] == ("a kept state" if start else "the log alone")
    engine = Engine(SETTINGS.parameters())
    for batch in BATCHES:
        engine.step(empty_batch(), batch)
    assert list(differences(engine.underlyings, found.underlyings)) == []
    assert await written(log, NAMES) == expected(BATCHES, SETTINGS)


async def test_the_end_keeps_the_last_state(log: SqliteLog) -> None:
    """After a drain nothing is left to replay."""
    await put(log, WIRE, NAMES)
    async with working(log, RARELY) as workers:
        await drained(workers, log, NAMES)
        applied = workers.worker(0)._applied  # type: ignore[union-attr]
    assert (await kept(log, SETTINGS))[0].positions == applied
    with told() as lines:
        async with working(log, RARELY) as workers:
            await drained(workers, log, NAMES)
    assert restored(lines)["replayed_offsets"] == 0
    assert await written(log, NAMES) == expected(BATCHES, SETTINGS)


async def test_what_a_burst_left_is_kept_though_nothing_follows(log: SqliteLog) -> None:
    """A quiet market must not make a restart replay the noise before it; and one state of a moment is enough."""
    await what_a_burst_left_is_kept_once(log, SETTINGS)


async def test_a_planned_stop_in_the_middle_leaves_nothing_to_replay(log: SqliteLog) -> None:
    """The step under way is committed, its state kept, and the next start begins there."""
    await a_planned_stop_leaves_nothing_to_replay(log, SETTINGS)


async def test_a_state_says_what_it_is(log: SqliteLog) -> None:
    """Positions, journal, fingerprint, partitions and the last output of each underlying stand in the manifest."""
    applied = await half_done(log)
    newest, older = (await kept(log, SETTINGS))[:2]
    assert newest.positions == applied
    assert older.ticks < newest.ticks
    assert newest.engine_version == Engine(SETTINGS.parameters()).engine_version
    assert newest.partitions == 1
    assert newest.size_bytes == sum(chunk.size_bytes for chunk in newest.chunks)
    latest = {
        key.decode(): lines[-1][2] for (topic, key), lines in (await written(log, NAMES)).items() if topic == "pressure"
    }
    assert newest.pressures is not None
    for name, raw in newest.pressures.items():
        body = msgspec.json.decode(raw)
        del body["offsets"]
        assert body == latest[name]


SPOIL = {
    "has another CRC": "UPDATE records SET value = CAST(replace(substr(value, 1, 99), substr(value, 9, 1), 'x') || "
    "substr(value, 100) AS BLOB) WHERE topic = 'state' AND offset = {chunk}",
    "is missing": "DELETE FROM records WHERE topic = 'state' AND offset = {chunk}",
    "its manifest cannot be read": "UPDATE records SET value = substr(value, 1, 200) WHERE topic = 'manifest' "
    "AND offset = (SELECT MAX(offset) FROM records WHERE topic = 'manifest')",
    "its chunks are not in the log": "UPDATE ends SET next = {chunk} WHERE topic = 'state'",
}


@pytest.mark.parametrize("reason", SPOIL)
async def test_a_spoilt_state_gives_way_to_the_one_before(log: SqliteLog, reason: str) -> None:
    """Whatever is wrong with the newest: it is said and counted, the next older one serves, no output differs."""
    await half_done(log)
    newest, older = (await kept(log, SETTINGS))[:2]
    await log.write(lambda connection: connection.execute(SPOIL[reason].format(chunk=newest.chunks[1].offset)))
    lines = await finished(log)
    assert [reason in one for one in refusals(lines)] == [True]
    assert restored(lines)["source"] == "a kept state"
    assert (
        restored(lines)["ticks"] - older.ticks + restored(lines)["chain"] - older.chain
        == restored(lines)["replayed_offsets"]
    )


async def test_without_any_good_state_the_log_is_applied_from_its_beginning(log: SqliteLog) -> None:
    """All chunks gone: the rebuild says so and gives the same outputs."""
    await half_done(log)
    await log.write(lambda connection: connection.execute("DELETE FROM records WHERE topic = 'state'"))
    lines = await finished(log)
    assert set(refusals(lines)) == {"its chunks were deleted by retention"}
    assert restored(lines)["source"] == "the log alone"


async def test_a_state_beyond_the_committed_positions_is_never_used(log: SqliteLog) -> None:
    """What a state knows beyond the commits would be said never, or twice."""
    await half_done(log)
    newest, older = (await kept(log, SETTINGS))[:2]
    reached = await state_at(log, older.positions)
    assert reached.base == older.positions
    between = Positions(newest.chain, newest.ticks - 1)
    with told() as lines:
        reached = await state_at(log, between)
    assert (reached.base, reached.from_state) == (older.positions, True)
    assert refusals(lines) == []


async def test_a_state_is_enough_where_retention_took_the_inputs_before_it(log: SqliteLog) -> None:
    """Contracts and trades that the log has no more live on in the state."""
    await half_done(log)
    older = (await kept(log, SETTINGS))[1]
    for topic, position in (("chain", older.chain), ("ticks", older.ticks), ("journal", older.journal)):
        await log.write(
            lambda connection, place=(topic, position): connection.execute(
                "DELETE FROM records WHERE topic = ? AND offset < ?", place
            )
        )
    newest = (await kept(log, SETTINGS))[0].chunks[1].offset
    await log.write(lambda connection: connection.execute(SPOIL["is missing"].format(chunk=newest)))
    lines = await finished(log)
    assert restored(lines)["source"] == "a kept state"


async def test_other_parameters_rebuild_from_the_log_and_the_journal_tells_from_where(log: SqliteLog) -> None:
    """A state of other parameters is refused; what is said from then on is as if they had always held."""
    applied = await half_done(log)
    said = await written(log, NAMES)
    other = SETTINGS.model_copy(update={"charm_weight": 0.5})
    with told() as lines:
        async with killed(log, other) as workers:
            await put(log, WIRE[HALF:], NAMES)
            await drained(workers, log, NAMES)
    assert all("of another engine version" in reason for reason in refusals(lines))
    assert restored(lines)["source"] == "the log alone"
    under_other = expected(BATCHES, other)
    for place, found in (await written(log, NAMES)).items():
        before = len(said.get(place, []))
        assert found[:before] == said.get(place, [])
        assert found[before:] == under_other[place][before:]
    entries: list[JournalEntry] = [decode_entry(r.value or b"") for r in await read_all(log, NAMES.journal, 0)]
    first, second = [entry for entry in entries if entry.engine_version is not None]
    assert (first.chain_from, first.ticks_at) == (0, 0)
    assert (second.chain_from, second.ticks_at) == applied
    assert second.parameters is not None
    assert second.parameters["charm_weight"] == 0.5
    assert second.settings == other.parameters().digest() != first.settings


async def test_another_number_of_partitions_is_refused(log: SqliteLog) -> None:
    """An underlying's records would be looked for where they are not."""
    applied = await half_done(log)
    with pytest.raises(LogError, match=r"written with 1 partitions, now there are 2"):
        await state_at(log, applied, partitions=2)


async def test_the_embedded_log_keeps_as_many_states_as_it_may(tmp_path: Path) -> None:
    """The oldest chunks make room; the newest state is always whole."""
    log = SqliteLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 1), bytes_max={NAMES.state: 300_000})
    await log.start()
    applied = await half_done(log, states=8)
    kept = await read_all(log, NAMES.state, 0)
    assert kept[0].offset > 0
    assert sum(len(record.value or b"") for record in kept) <= 300_000
    reached = await state_at(log, applied)
    assert (reached.base, reached.from_state) == (applied, True)
    await log.stop()


async def test_a_state_that_does_not_fit_is_none_and_tells_the_setting(tmp_path: Path) -> None:
    """Its first chunks are gone before its last is there: nobody could go on from it, so no input goes either."""
    log = SqliteLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 1), bytes_max={NAMES.state: 20_000})
    await log.start()
    with told() as lines:
        await half_done(log)
    reasons = {line["reason"] for line in lines if line["event"] == "a state was not kept"}
    assert all(one.startswith("topic state, partition 0: a state of") for one in reasons)
    assert all(one.endswith("does not fit; raise DHPE_STATE_BYTES_MAX") for one in reasons)
    assert len(reasons) == 2
    assert await kept(log, SETTINGS) == []
    await log.stop()


async def test_a_state_that_cannot_be_written_stops_nothing(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log refuses the chunks: a count and a line, and the work goes on."""

    async def refused(*_: object) -> int:
        raise LogError("no room")

    monkeypatch.setattr(StateStore, "write", refused)
    metrics = Metrics()
    await put(log, WIRE, NAMES)
    with told() as lines:
        async with killed(log, metrics=metrics) as workers:
            await drained(workers, log, NAMES)
    assert {line["reason"] for line in lines if line["event"] == "a state was not kept"} == {"no room"}
    assert b"dhpe_snapshots_failed_total 0.0" not in metrics.render()
    assert await written(log, NAMES) == expected(BATCHES, SETTINGS)


async def test_any_output_can_be_computed_again_from_the_log(log: SqliteLog) -> None:
    """A state before its message, and the steps up to it: they say the same bytes, wherever in the log it stands."""
    await half_done(log, states=4)
    outputs = [r for topic in (NAMES.pressure, NAMES.alerts) for r in await read_all(log, topic, 0)]
    past = Past(log, SETTINGS, Metrics(), 0, 1, lambda: None)
    bases = set()
    for record in outputs[::7]:
        at = msgspec.json.decode(record.value or b"")["offsets"]
        after = Positions(at["chain"] + 1, at["ticks"] + 1)
        told: list[OutRecord] = []
        reached = await past.state_at(
            after, base_max=Positions(after.chain, at["ticks"]), applied=lambda one, told=told: told.extend(one.records)
        )
        bases.add(reached.base)
        assert (record.key, record.value) in [(one.key, one.value) for one in told]
    assert len(bases) > 1


async def test_no_step_and_no_copy_runs_on_the_event_loop(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group's heartbeats come from the loop: whatever takes long does so in a thread."""
    threads: dict[str, set[int]] = {}
    works = ((Stepper, "apply"), (Stepper, "freeze"), (Stepper, "thaw"), (StateStore, "_packed"))
    for owner, name in works:
        work = getattr(owner, name)

        def watched(*arguments: Any, work: Any = work, name: str = name) -> Any:
            threads.setdefault(name, set()).add(threading.get_ident())
            return work(*arguments)

        monkeypatch.setattr(owner, name, watched)
    await half_done(log)
    assert len(threads) == len(works)
    assert threading.get_ident() not in set().union(*threads.values())
