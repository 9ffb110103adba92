"""Any alert can be computed anew from the log, bit by bit, and any state can be seen as it was."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
from click.testing import Result
from typer.testing import CliRunner

from dhpe.__main__ import cli
from dhpe.edge.api import build_api
from dhpe.edge.explain import Busy, Explainer, Explanation
from dhpe.edge.journal import Positions
from dhpe.edge.log import Log, LogError, LogRecord, OutRecord, RecordsLost
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.sqlite_retention import Keep, Retention, trim
from dhpe.edge.state_store import StateStore
from dhpe.edge.time_machine import TimeMachine
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.view import View, ViewLimits
from dhpe.outputs import Alert, Pressure
from dhpe.questions import moment
from dhpe.settings import Settings
from dhpe.simulate import CYCLE
from log_contract import read_all
from web.service import PlainHealth
from worker_room import drained, market, messages, put, sqlite_log, working

SETTINGS = Settings(step_records_max=500, drain_timeout_s=30.0, snapshot_interval_s=0.2)
NAMES = TopicNames.of(SETTINGS)
FORGED = ("f" * 32, "0" * 32)
CRASH = messages(
    market(650, ("SIMA",), option_quotes_per_s=60.0, phases=(CYCLE[0]._replace(duration_s=22.0), *CYCLE[1:]))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the log of a crash lies, once it has been lived through."""
    return tmp_path_factory.mktemp("explain")


@pytest.fixture
async def log(folder: Path) -> AsyncIterator[SqliteLog]:
    """An embedded log after a crash, worked through in three runs with kept states between."""
    log = sqlite_log(folder, SETTINGS)
    await log.start()
    if (await log.span((NAMES.alerts, 0))).end == 0:
        third = len(CRASH) // 3
        for start in range(0, len(CRASH), third):
            await put(log, CRASH[start : start + third], NAMES)
            async with working(log, SETTINGS) as workers:
                await drained(workers, log, NAMES)
    yield log
    await log.stop()


async def alerts_of(log: Log) -> list[LogRecord]:
    """The alerts of the crash, oldest first, without those that a test has forged."""
    found = [record for record in await read_all(log, NAMES.alerts, 0) if id_of(record) not in FORGED]
    assert len(found) > 3, "the crash gave too few alerts to ask about"
    return found


def id_of(record: LogRecord) -> str:
    """Of an alert's record."""
    return msgspec.json.decode(record.value or b"", type=Alert).id


async def explained(log: Log, alert_id: str, settings: Settings = SETTINGS) -> Explanation:
    """The answer for an alert that is there."""
    answer = await Explainer(log, settings, Metrics()).explain(alert_id)
    assert answer is not None
    return answer


async def test_every_alert_of_a_crash_comes_out_of_the_log_bit_for_bit(log: SqliteLog) -> None:
    """From a kept state before it and the records up to its offsets, after restarts between."""
    for record in await alerts_of(log):
        answer = await explained(log, id_of(record))
        assert answer.bit_equal is True, answer.reason
        assert answer.recomputed == answer.published == msgspec.json.decode(record.value or b"", type=Alert)
        assert [(one.name, one.published) for one in answer.evidence] == list(answer.published.evidence.items())
        assert all(one.published == one.recomputed for one in answer.evidence)
    assert answer.origin is not None
    assert answer.origin.kept_state
    assert answer.records_replayed < len(CRASH) // 2


async def test_an_alert_that_the_log_does_not_give_is_not_bit_equal(log: SqliteLog) -> None:
    """Forged: another number in its evidence, or an id of its own."""
    true = (await alerts_of(log))[0]
    alert = msgspec.json.decode(true.value or b"", type=Alert)
    name = next(iter(alert.evidence))
    for forged_id, evidence in zip(FORGED, (alert.evidence, {**alert.evidence, name: 1e9}), strict=True):
        forged = msgspec.structs.replace(alert, id=forged_id, evidence=evidence)
        headers = tuple((key, forged_id.encode() if key == "ce_id" else value) for key, value in true.headers)
        await log.append([OutRecord(NAMES.alerts, true.key, msgspec.json.encode(forged), headers)])
        answer = await explained(log, forged_id)
        assert answer.bit_equal is False
        assert answer.recomputed is None


async def test_another_program_or_other_parameters_cannot_compare_bits(log: SqliteLog) -> None:
    """Null, with both fingerprints in the reason."""
    settings = SETTINGS.model_copy(update={"dealer_share": 0.5})
    answer = await explained(log, id_of((await alerts_of(log))[0]), settings)
    assert answer.bit_equal is None
    assert answer.published.engine_version in answer.reason
    assert answer.engine_version in answer.reason
    assert answer.engine_version != answer.published.engine_version


async def test_without_a_kept_state_the_whole_log_is_applied(log: SqliteLog) -> None:
    """A state of another engine version is none; the beginning of the log is as good."""
    record = (await alerts_of(log))[1]
    names = TopicNames.of(SETTINGS)
    bare = sqlite_log(Path(log.path).parent / "bare", SETTINGS)
    (Path(log.path).parent / "bare").mkdir(exist_ok=True)
    await bare.start()
    try:
        await put(bare, CRASH, names)
        rarely = SETTINGS.model_copy(update={"snapshot_interval_s": 3600.0})
        async with working(bare, rarely) as workers:
            await drained(workers, bare, names)
        answer = await explained(bare, id_of(record))
        assert answer.bit_equal is True, answer.reason
    finally:
        await bare.stop()


async def test_no_such_alert_is_none(log: SqliteLog) -> None:
    """Not an error: the question was good."""
    assert await Explainer(log, SETTINGS, Metrics()).explain("no such id") is None


async def test_one_question_at_a_time(log: SqliteLog) -> None:
    """A second one is told to come back."""
    explainer = Explainer(log, SETTINGS, Metrics())
    async with explainer._one:
        with pytest.raises(Busy, match="ask again"):
            await explainer.explain("whatever")


async def test_a_question_that_takes_too_long_ends(log: SqliteLog) -> None:
    """And names the setting."""
    hurried = SETTINGS.model_copy(update={"explain_timeout_s": 1e-6})
    with pytest.raises(LogError, match="DHPE_EXPLAIN_TIMEOUT_S"):
        await Explainer(log, hurried, Metrics()).explain(id_of((await alerts_of(log))[0]))


async def test_a_published_state_is_the_state_after_its_offsets(log: SqliteLog) -> None:
    """As the log has it, field by field; and at its event time, when nothing came between."""
    machine = TimeMachine(log, SETTINGS, Metrics(), "SIMA", 1)
    published = [
        msgspec.json.decode(record.value or b"", type=Pressure) for record in await read_all(log, NAMES.pressure, 0)
    ]
    for pressure in published[5 :: len(published) // 6]:
        offsets = pressure.offsets
        assert await machine.after(Positions(offsets.chain + 1, offsets.ticks + 1)) == pressure
    middle = published[len(published) // 2]
    then = await machine.at_time(middle.ts_event_ns)
    assert then.ts_event_ns == middle.ts_event_ns
    assert then.offsets.ticks >= middle.offsets.ticks
    assert then == await machine.after(Positions(then.offsets.chain + 1, then.offsets.ticks + 1))


@pytest.mark.parametrize(("underlying", "target"), [("SIMX", Positions(10, 10)), ("SIMA", Positions(10, 10**9))])
async def test_what_the_log_does_not_hold_is_told(log: SqliteLog, underlying: str, target: Positions) -> None:
    """An underlying that nobody named, and offsets that are still to come."""
    with pytest.raises(LogError, match=r"is not known at|ends at"):
        await TimeMachine(log, SETTINGS, Metrics(), underlying, 1).after(target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1750000000000000001", 1_750_000_000_000_000_001),
        ("2025-06-15T15:06:40Z", 1_750_000_000_000_000_000),
        ("2025-06-15T17:06:40.000000001+02:00", 1_750_000_000_000_000_001),
        ("2025-06-15 15:06:40", 1_750_000_000_000_000_000),
        ("chain=12,ticks=-1", Positions(13, 0)),
    ],
)
def test_a_moment_is_an_instant_or_the_offsets_of_a_record(text: str, expected: int | Positions) -> None:
    """Each as users have it at hand."""
    assert moment(text) == expected


def test_a_moment_that_is_none_is_told_in_one_sentence() -> None:
    """With examples."""
    with pytest.raises(ValueError, match=r"'yesterday' is no moment: .*chain=1265"):
        moment("yesterday")


async def test_the_commands_and_the_api_answer_the_same(log: SqliteLog, folder: Path) -> None:
    """`dhpe explain` in a process of its own and in a terminal, `GET /v1/explain/{id}`, `dhpe replay --from-kafka`."""
    alert_id = id_of((await alerts_of(log))[0])
    settings = {
        "DHPE_EMBEDDED_LOG_PATH": str(folder / "log.sqlite"),
        "DHPE_SNAPSHOT_INTERVAL_S": "0.2",
        "DHPE_HTTP_PORT": "0",
    }

    async def dhpe(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=settings)

    command = [sys.executable, "-m", "dhpe", "explain", alert_id, "--json"]
    process = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)  # noqa: ASYNC221
    assert process.returncode == 0, process.stderr
    body = json.loads(process.stdout)
    assert body["bit_equal"] is True
    assert "bit-equal: the log gives the same bytes" in (await dhpe("explain", alert_id)).stdout
    unknown = await dhpe("explain", "nothing")
    assert (unknown.exit_code, unknown.stderr) == (1, "dhpe: no alert in the log has the id 'nothing'\n")
    offsets = body["published"]["offsets"]
    at = f"chain={offsets['chain']},ticks={offsets['ticks']}"
    then = await dhpe("replay", "--from-kafka", "--underlying", "SIMA", "--at", at)
    assert then.exit_code == 0, then.output
    assert json.loads(then.stdout)["offsets"] == offsets
    assert (await dhpe("replay", "--from-kafka", "--underlying", "SIMA")).exit_code == 2
    explain = Explainer(log, SETTINGS, Metrics()).explain
    metrics = Metrics()
    view = View(metrics, ViewLimits.of(SETTINGS))
    transport = httpx.ASGITransport(build_api(view, PlainHealth(), SETTINGS, metrics, explain))
    async with httpx.AsyncClient(transport=transport, base_url="http://dhpe") as client:
        answer = await client.get(f"/v1/explain/{alert_id}")
        assert answer.status_code == 200
        assert {name: answer.json()[name] for name in ("id", "bit_equal", "published")} == {
            name: body[name] for name in ("id", "bit_equal", "published")
        }
        assert (await client.get("/v1/explain/nothing")).status_code == 404


@pytest.fixture
async def trimmed(log: SqliteLog, tmp_path: Path) -> AsyncIterator[tuple[SqliteLog, Positions]]:
    """A copy of it without the inputs and the journal before a kept state, which is between the alerts; and where."""
    alerts = await alerts_of(log)
    middle = alerts[len(alerts) // 2]
    before = msgspec.json.decode(middle.value or b"", type=Alert).offsets
    store = StateStore(log, NAMES, 0, SETTINGS.message_bytes_max)
    kept = [found.manifest async for found in store.manifests()]
    state = next(one for one in kept if one is not None and one.ticks <= before.ticks)
    await log.run(lambda connection: connection.execute("VACUUM INTO ?", (str(tmp_path / "log.sqlite"),)))
    copy = sqlite_log(tmp_path, SETTINGS)
    await copy.start()
    released = {NAMES.chain: state.chain, NAMES.ticks: state.ticks, NAMES.journal: state.journal}
    retention = Retention({topic: Keep(0.0, replayed=True) for topic in released}, 1 << 40)
    while (await copy.run(lambda c: trim(c, retention, 0, released, lambda _: None))).worked:
        pass
    yield copy, state.positions
    await copy.stop()


async def test_what_lies_before_a_log_that_was_trimmed_is_null_with_the_reason(
    trimmed: tuple[SqliteLog, Positions],
) -> None:
    """And what lies behind comes out as from the whole log."""
    log, begin = trimmed
    assert begin.ticks <= (await log.span((NAMES.ticks, 0))).begin + 1
    verdicts = []
    for record in await alerts_of(log):
        answer = await explained(log, id_of(record))
        verdicts.append((answer.published.offsets.ticks >= begin.ticks, answer.bit_equal))
        if answer.bit_equal is None:
            assert answer.reason.startswith("the log no longer reaches back: partition 0 begins at chain ")
            assert (answer.recomputed, answer.origin, answer.records_replayed) == (None, None, 0)
            assert all(one.recomputed is None for one in answer.evidence)
    assert set(verdicts) == {(True, True), (False, None)}


async def test_the_time_machine_says_where_a_trimmed_log_ends(
    log: SqliteLog, trimmed: tuple[SqliteLog, Positions]
) -> None:
    """By offsets and by time, in one line on the terminal too; a moment that is still there is seen as it was."""
    copy, begin = trimmed
    whole, short = (TimeMachine(one, SETTINGS, Metrics(), "SIMA", 1) for one in (log, copy))
    published = [msgspec.json.decode(r.value or b"", type=Pressure) for r in await read_all(copy, NAMES.pressure, 0)]
    early = published[len(published) // 20]
    assert early.offsets.ticks < begin.ticks
    target = Positions(early.offsets.chain + 1, early.offsets.ticks + 1)
    with pytest.raises(RecordsLost, match="the log no longer reaches back: partition 0 begins at"):
        await short.after(target)
    with pytest.raises(RecordsLost, match=r"the log no longer reaches back: topic ticks.* nothing of 'SIMA' at or be"):
        await short.at_time(early.ts_event_ns)
    for late in (one for one in (published[-20], published[-1]) if one.offsets.ticks >= begin.ticks):
        assert await short.at_time(late.ts_event_ns) == await whole.at_time(late.ts_event_ns)
    at = f"chain={early.offsets.chain},ticks={early.offsets.ticks}"
    arguments = ["replay", "--from-kafka", "--underlying", "SIMA", "--at", at]
    settings = {"DHPE_EMBEDDED_LOG_PATH": str(copy.path), "DHPE_LOG_LEVEL": "error"}
    said = await asyncio.to_thread(CliRunner().invoke, cli, arguments, env=settings)
    assert said.exit_code == 1
    assert said.stderr.startswith("dhpe: the log no longer reaches back: ")
    assert said.stderr.count("\n") == 1
