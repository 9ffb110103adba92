"""Part of `make bench`: the line through a real broker, beside a bare transactional echo on the same broker.

Latency: a trade every 30 ms, each of which is answered; from handing it to the producer until a reader of committed
records has the answer. The echo is a process too, that copies what it reads in one transaction of one producer: what
any exactly-once consumer pays. The two take turns. Scale: one worker, then two, on two partitions full of records.

    python tests/benchmarks/kafka_line.py [--seconds 20] [--records 200000] [--json]
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from dhpe.edge.kafka_clients import stop_client
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings

sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "kafka")]

from faults.cluster import Cluster
from faults.crew import Crew
from faults.feeder import START_NS, Feeder, market
from faults.monitor import Monitor

NAME = b"SIM"
GAP_S = 0.03
ROUNDS = 2
WARM = 50
"""First answers that are not counted."""
READY_TIMEOUT_S = 120.0
LINGER_S = 1.0


class Answers(NamedTuple):
    """Seconds from the producer's send to the reader."""

    waits_s: list[float]

    def at(self, share: float) -> float:
        """A quantile in ms."""
        return 1000.0 * sorted(self.waits_s)[min(len(self.waits_s) - 1, int(share * len(self.waits_s)))]


def settings_for(address: str, partitions: int) -> Settings:
    """Topics and a group of their own; every tick is answered."""
    name = f"bench{uuid.uuid4().hex[:6]}"
    return Settings(
        kafka_bootstrap_servers=address,
        topic_prefix=f"{name}.",
        kafka_group=name,
        topic_partitions=partitions,
        pressure_interval_ms=0,
        kafka_compression="none",
    )


async def echo(settings: Settings) -> None:
    """Copy ticks to pressure, exactly once, until the process is killed."""
    names = TopicNames.of(settings)
    group = f"{settings.kafka_group}-echo"
    consumer = AIOKafkaConsumer(
        names.ticks,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=group,
        isolation_level="read_committed",
        enable_auto_commit=False,
        auto_offset_reset="latest",
        fetch_max_wait_ms=20,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, transactional_id=group, acks="all", linger_ms=0
    )
    await consumer.start()
    await producer.start()
    while True:
        for place, records in (await consumer.getmany(timeout_ms=20)).items():
            await producer.begin_transaction()
            sent = [await producer.send(names.pressure, record.value, record.key, 0) for record in records]
            await asyncio.gather(*sent)
            offsets = {TopicPartition(place.topic, place.partition): records[-1].offset + 1}
            await producer.send_offsets_to_transaction(offsets, group)
            await producer.commit_transaction()


async def answered(settings: Settings, seconds: float, start_ns: int) -> Answers:
    """Send trades and wait for the answers to them, known by their event time."""
    names = TopicNames.of(settings)
    place = TopicPartition(names.pressure, 0)
    reader = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, isolation_level="read_committed", fetch_max_wait_ms=20
    )
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, acks="all", linger_ms=0)
    await reader.start()
    await producer.start()
    reader.assign([place])
    await reader.seek_to_end(place)
    await reader.position(place)
    sent_s: dict[int, float] = {}
    waits_s: dict[int, float] = {}

    async def read() -> None:
        while True:
            for record in (await reader.getmany(timeout_ms=20)).get(place, []):
                event_ns = int(json.loads(record.value)["ts_event_ns"])
                if event_ns in sent_s:
                    waits_s.setdefault(event_ns, time.perf_counter() - sent_s[event_ns])

    reading = asyncio.create_task(read())
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    event_ns = start_ns
    end_s = None
    while end_s is None or time.monotonic() < end_s:
        event_ns += round(GAP_S * 1e9)
        trade = {"kind": "trade", "underlying": "SIM", "ts_event_ns": event_ns, "price": 5000.0, "size": 1.0}
        sent_s[event_ns] = time.perf_counter()
        await producer.send(names.ticks, json.dumps(trade).encode(), NAME, partition=0)
        await asyncio.sleep(GAP_S)
        if end_s is None and len(waits_s) >= WARM:
            end_s = time.monotonic() + seconds
            sent_s.clear()
            waits_s.clear()
        assert time.monotonic() < deadline_s + seconds, "no answers came"
    await asyncio.sleep(LINGER_S)
    reading.cancel()
    await stop_client(producer)
    await stop_client(reader)
    assert len(waits_s) == len(sent_s), "an answer is missing"
    return Answers(list(waits_s.values()))


async def latency(cluster: Cluster, folder: Path, seconds: float) -> dict[str, Answers]:
    """DHPE and the echo in turns."""
    waits: dict[str, list[float]] = {"dhpe": [], "echo": []}
    for number in range(ROUNDS):
        settings = settings_for(cluster.address, 1)
        await create_topics(settings)
        start_ns = START_NS + number * 10**15
        async with Crew(settings, folder) as crew:
            crew.hire("w0")
            waits["dhpe"] += (await answered(settings, seconds, start_ns)).waits_s
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--echo", settings.model_dump_json(exclude_unset=True)
        )
        try:
            waits["echo"] += (await answered(settings, seconds, start_ns + 10**14)).waits_s
        finally:
            process.kill()
            await process.wait()
    return {name: Answers(some) for name, some in waits.items()}


async def rate(cluster: Cluster, folder: Path, records: int, workers: int) -> float:
    """Records a second of ``workers`` on two full partitions, from a tenth to nine tenths of the way."""
    settings = settings_for(cluster.address, 2).model_copy(update={"pressure_interval_ms": 100})
    await create_topics(settings)
    load = market(records, 2, underlyings=("SIMA", "SIMC"))  # one on each
    feeder = Feeder(settings, load, 10.0 * records)
    feeder.limit = 2.0
    await feeder.run()
    monitor = Monitor(settings, feeder)
    watching = asyncio.create_task(monitor.run())
    async with Crew(settings, folder) as crew:
        for number in range(workers):
            crew.hire(f"w{workers}{number}")
        marks: dict[float, float] = {}
        async with asyncio.timeout(READY_TIMEOUT_S * 5):
            while 0.9 not in marks:
                for share in (0.1, 0.9):
                    if monitor.share() >= share:
                        marks.setdefault(share, time.monotonic())
                await asyncio.sleep(0.01)
    watching.cancel()
    return 0.8 * load.records / (marks[0.9] - marks[0.1])


async def measure(seconds: float, records: int) -> dict[str, Any]:
    """Everything, on one broker."""
    with tempfile.TemporaryDirectory(prefix="dhpe-bench-") as name:
        cluster = Cluster(Path(name))
        await cluster.open()
        try:
            waits = await latency(cluster, Path(name), seconds)
            rates = [await rate(cluster, Path(name), records, workers) for workers in (1, 2)]
        finally:
            cluster.close()
    ours, theirs = waits["dhpe"], waits["echo"]
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "answers": len(ours.waits_s),
        "dhpe_p50_ms": round(ours.at(0.5), 1),
        "dhpe_p99_ms": round(ours.at(0.99), 1),
        "echo_p50_ms": round(theirs.at(0.5), 1),
        "echo_p99_ms": round(theirs.at(0.99), 1),
        "p99_ratio": round(ours.at(0.99) / theirs.at(0.99), 2),
        "one_worker_records_per_s": round(rates[0]),
        "two_workers_records_per_s": round(rates[1]),
        "two_workers_ratio": round(rates[1] / rates[0], 2),
    }


def main() -> None:
    """Measure, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--echo", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        asyncio.run(echo(Settings(**json.loads(arguments.echo))))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # brokers and workers are ended by whoever ends us
    figures = asyncio.run(measure(arguments.seconds, arguments.records))
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print("| what | measured |\n|---|--:|")
    for name, value in figures.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
