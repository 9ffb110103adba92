"""The whole line on a real Kafka: files to topics to `dhpe run`, killed in the middle, equal to `dhpe replay`."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from dhpe.columns import Batch
from dhpe.edge.encode import encode_output
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.outputs import Alert, Pressure
from dhpe.settings import Settings
from dhpe.simulate import CYCLE
from worker_room import Line, by_underlying, dead, line, market, messages, written

pytestmark = pytest.mark.kafka

RECORDS = 50_000
UNDERLYINGS = ("SIMA", "SIMC")
PARTITIONS = 3
MakeSettings = Callable[..., Settings]
Outputs = dict[tuple[str, bytes], list[Line]]


def dhpe(settings: Settings, *arguments: object, **more: str) -> "subprocess.Popen[str]":
    """The command in a process of its own, with these settings in its environment."""
    chosen = settings.model_dump(exclude_unset=True)
    environment = os.environ | {f"DHPE_{name.upper()}": str(value) for name, value in chosen.items()} | more
    return subprocess.Popen(
        [sys.executable, "-m", "dhpe", *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(process: "subprocess.Popen[str]", timeout_s: float = 120.0) -> str:
    """Wait for a command that ends by itself, successfully."""
    output, _ = process.communicate(timeout=timeout_s)
    assert process.returncode == 0, output
    return output


@contextmanager
def running(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    """`dhpe run`; still alive at the end, it is killed."""
    process = dhpe(settings, "run", DHPE_HTTP_PORT="0", DHPE_STEP_RECORDS_MAX="300", DHPE_LOG_LEVEL="warning")
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50,000 mixed records of a simulated market that crashes: a jsonl file, reference data first."""
    file = tmp_path_factory.mktemp("day") / "day.jsonl"
    calm = CYCLE[0]._replace(duration_s=22.0)
    batches: list[Batch] = market(500, UNDERLYINGS, phases=(calm, *CYCLE[1:]))
    wire = [message for batch in batches for message in messages([batch])]
    chain = [message.value for message in wire if message.topic == "chain"]
    ticks = [message.value for message in wire if message.topic == "ticks"]
    assert len(wire) >= RECORDS
    file.write_bytes(b"\n".join([*chain, *ticks[: RECORDS - len(chain)]]) + b"\n")
    return file


@pytest.fixture(scope="module")
def replayed(day: Path, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What `dhpe replay` says of that file."""
    folder = tmp_path_factory.mktemp("replay")
    finish(dhpe(Settings(), "replay", day, "--output", folder))
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    assert (summary["records"], summary["rejected"]) == (RECORDS, 0)
    lines = []
    for name, kind in (("pressure", Pressure), ("alerts", Alert)):
        for value in (folder / f"{name}.jsonl").read_bytes().splitlines():
            output = msgspec.json.decode(value, type=kind)
            lines.append(line(name, output.underlying.encode(), value, encode_output(output).headers))
    return by_underlying(lines)


async def applied_share(settings: Settings, consumer: AIOKafkaConsumer) -> float:
    """Which part of the ticks the worker's committed offsets have passed."""
    topic = TopicNames.of(settings).ticks
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    ends = await consumer.end_offsets(places)
    committed = [await consumer.committed(place) or 0 for place in places]
    return sum(committed) / sum(ends.values())


async def until_share(settings: Settings, share: float, process: "subprocess.Popen[str]") -> float:
    """Wait until that part of the input is committed, or say what the process said when it ended."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, group_id=settings.kafka_group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        async with asyncio.timeout(120):
            while (now := await applied_share(settings, consumer)) < share:
                assert process.poll() is None, process.communicate()[0]
                await asyncio.sleep(0.01)
            return now
    finally:
        await consumer.stop()


@pytest.mark.parametrize("records_per_message", [1, 20], ids=["single", "arrays"])
async def test_killed_in_the_middle_it_says_what_a_replay_says(
    make_settings: MakeSettings, day: Path, replayed: Outputs, records_per_message: int
) -> None:
    """After kill -9 in the middle of 50,000 records and a new start, what was committed equals the replay."""
    settings = make_settings(topic_partitions=PARTITIONS)
    await create_topics(settings)
    feeding = dhpe(settings, "feed", day, "--records-per-message", records_per_message)
    said = await asyncio.to_thread(finish, feeding)
    assert said.startswith(f"{RECORDS + 1} records")  # and the closing clock
    with running(settings) as process:
        share = await until_share(settings, 0.2, process)
        process.kill()
        assert share < 0.95
    with running(settings) as process:
        await until_share(settings, 1.0, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
    names = TopicNames.of(settings)
    log = KafkaLog(settings)
    await log.start()
    outputs = await written(log, names)
    assert set(outputs) == set(replayed)
    for key, lines in replayed.items():
        assert outputs[key] == lines
    assert {key[1] for key in outputs if key[0] == "alerts"} >= {b"SIMA"}
    assert await dead(log, names.ticks_dead) == await dead(log, names.chain_dead) == []
    await log.stop()
