"""`make bench`: from a record produced to an output that a reader of committed records sees, beside a bare echo.

The echo is the least that exactly once can be: one transactional producer, one record in, one out, its offset sent,
commit. Both run in processes of their own on the same broker, in turns, so that the machine's other work falls on
both. An output of the worker is the pressure after every tick; an alert would stand in the same transaction. The
machine's cores are shared with the broker.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from dhpe.edge.encode import encode_batch
from dhpe.edge.kafka_clients import connection, make_producer
from dhpe.edge.log import partition_of
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from dhpe.simulate import SimulationSettings, simulate

PROJECT = Path(__file__).resolve().parents[2]
BROKER = PROJECT / "deploy" / "broker" / "broker.sh"
BLOCKS = 4
SAMPLES_OF_BLOCK = 250
WARM = 30
START_TIMEOUT_S = 300  # the first record may wait until kernels are compiled
GAPS_S = (0.0, 0.03)
UNDERLYING = "SIMA"
PAIR = ("SIMA", "SIMC")  # each on one of two partitions


class Row(NamedTuple):
    """One measurement; ``ratio`` is ours over theirs."""

    what: str
    ours: str
    theirs: str
    ratio: float


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """A broker of its own, or the one that the environment names."""
    given = os.environ.get("DHPE_TEST_BOOTSTRAP_SERVERS")
    if given:
        yield given
        return
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, controller = (probe.getsockname()[1] for probe in probes)
    for probe in probes:
        probe.close()
    environment = os.environ | {"DHPE_BROKER_CONTROLLER_PORT": str(controller)}
    with (
        (folder / "broker.log").open("wb") as log,
        subprocess.Popen([BROKER, str(port), folder / "data"], stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def running(settings: Settings, *command: str) -> Iterator[None]:
    """A process with these settings."""
    chosen = {f"DHPE_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_unset=True).items()}
    with subprocess.Popen([sys.executable, *command], env=os.environ | chosen, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


async def echo(settings: Settings) -> None:
    """One record in, one out, in one transaction, for ever."""
    names = TopicNames.of(settings)
    consumer = AIOKafkaConsumer(
        names.ticks,
        **connection(settings),
        group_id=settings.kafka_group,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = make_producer(settings, f"echo-{settings.kafka_group}")
    await consumer.start()
    await producer.start()
    while True:
        record = await consumer.getone()
        async with producer.transaction():
            await producer.send_and_wait(names.pressure, record.value, key=record.key, partition=record.partition)
            place = TopicPartition(record.topic, record.partition)
            await producer.send_offsets_to_transaction({place: record.offset + 1}, settings.kafka_group)


@asynccontextmanager
async def line(settings: Settings) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    """Who produces, and who reads what is committed."""
    names = TopicNames.of(settings)
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True)
    reader = AIOKafkaConsumer(**connection(settings), isolation_level="read_committed", auto_offset_reset="earliest")
    await producer.start()
    await reader.start()
    reader.assign([TopicPartition(names.pressure, place_of(settings))])
    try:
        yield producer, reader
    finally:
        await reader.stop()
        await producer.stop()


def place_of(settings: Settings) -> int:
    """The partition of the underlying that is measured."""
    return partition_of(UNDERLYING.encode(), settings.topic_partitions)


def quote(number: int, underlying: str = UNDERLYING) -> bytes:
    """A quote of the underlying, now."""
    bid = 5_000.0 + 0.25 * (number % 8)
    return msgspec.json.encode(
        {
            "kind": "quote",
            "underlying": underlying,
            "ts_event_ns": time.time_ns(),
            "bid": bid,
            "bid_size": 10,
            "ask": bid + 0.25,
            "ask_size": 10,
        }
    )


def tick_of(output: bytes) -> int:
    """The offset of the tick at which an output was computed."""
    offset: int = msgspec.json.decode(output)["offsets"]["ticks"]
    return offset


async def latencies_ms(settings: Settings, samples: int, gap_s: float, *, of_worker: bool) -> list[float]:
    """Produce, wait for the committed output of exactly that record, pause; ``samples`` times."""
    names = TopicNames.of(settings)
    measured = []
    async with line(settings) as (producer, reader):
        for number in range(samples):
            value = quote(number)
            started = time.perf_counter()
            sent = await producer.send_and_wait(
                names.ticks, value, key=UNDERLYING.encode(), partition=place_of(settings)
            )
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    record = await reader.getone()
                    if not of_worker and record.value == value:
                        break
                    if of_worker and record.key == UNDERLYING.encode() and tick_of(record.value) >= sent.offset:
                        break
            measured.append(1_000.0 * (time.perf_counter() - started))
            await asyncio.sleep(gap_s)
    return measured[WARM:]


async def put_chain(settings: Settings, chunks: int, underlyings: tuple[str, ...]) -> int:
    """The first ``chunks`` tenths of a second of the simulated market; how many records that is."""
    names = TopicNames.of(settings)
    source = simulate(SimulationSettings(underlyings=underlyings), time.time_ns() - 100_000_000 * chunks)
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    futures = []
    for batch in islice(source, chunks):
        for message in encode_batch(batch, records_per_message=1):
            topic = names.chain if message.topic == "chain" else names.ticks
            places = (
                range(settings.topic_partitions) if message.key == b"*" else [underlyings.index(message.key.decode())]
            )
            futures += [await producer.send(topic, message.value, key=message.key, partition=one) for one in places]
    await asyncio.gather(*futures)
    await producer.stop()
    return len(futures)


def settings_of(address: str, name: str, **given: object) -> Settings:
    """Topics and group of one part of the benchmark."""
    return Settings(
        kafka_bootstrap_servers=address,
        topic_prefix=f"{name}.",
        kafka_group=name,
        kafka_connect_timeout_s=60.0,
        http_port=0,
        log_level="warning",
        **given,  # type: ignore[arg-type]
    )


async def compare_latency(address: str) -> AsyncIterator[Row]:
    """Echo and worker in turns, back to back and with pauses."""
    bare = settings_of(address, "echo", topic_partitions=1)
    ours = settings_of(address, "worker", topic_partitions=1, pressure_interval_ms=0)
    for settings in (bare, ours):
        await create_topics(settings)
    await put_chain(ours, 20, (UNDERLYING,))
    with running(bare, __file__, "--echo"), running(ours, "-m", "dhpe", "run"):
        for gap_s in GAPS_S:
            measured: dict[str, list[float]] = {"echo": [], "worker": []}
            for _ in range(BLOCKS):
                measured["echo"] += await latencies_ms(bare, SAMPLES_OF_BLOCK + WARM, gap_s, of_worker=False)
                measured["worker"] += await latencies_ms(ours, SAMPLES_OF_BLOCK + WARM, gap_s, of_worker=True)
            for share in (50, 99):
                mine, theirs = (percentile(measured[name], share) for name in ("worker", "echo"))
                when = "back to back" if not gap_s else f"{1_000 * gap_s:.0f} ms apart"
                yield Row(
                    f"produce to committed output, {when}, p{share}",
                    f"{mine:.1f} ms",
                    f"{theirs:.1f} ms",
                    mine / theirs,
                )


def percentile(values: list[float], share: int) -> float:
    """The value that ``share`` percent do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def main() -> None:
    """Measure, then print."""
    if "--echo" in sys.argv[1:]:
        with suppress(KeyboardInterrupt):
            asyncio.run(echo(Settings.load()))
        return
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as address:

        async def all_rows() -> list[Row]:
            return [row async for row in compare_latency(address)]

        rows = asyncio.run(all_rows())
    if "--json" in sys.argv[1:]:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    print(f"{os.cpu_count()} cores with the broker on them, load {os.getloadavg()[0]:.1f}\n")
    print("| what | ours | beside it | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.ours} | {row.theirs} | {row.ratio:.2f} |")


if __name__ == "__main__":
    main()
