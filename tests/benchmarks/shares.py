"""`make bench`: what a second worker adds, and what a flood on one underlying takes from its neighbours.

Throughput: a backlog on two partitions that appears at one instant (it is one committed transaction), worked off by
one worker and by two. Fairness: the latency of a quiet underlying, one record at a time, alone and while another is
flooded: on another partition of the same worker, and on its own partition, where what came before is applied before.
The ratio is the quiet one's latency with the flood over that without it.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from transactions import PAIR, broker, latencies_ms, percentile, put_chain, quote, running, settings_of

from dhpe.edge.encode import encode_batch
from dhpe.edge.kafka_clients import connection
from dhpe.edge.log import partition_of
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from dhpe.simulate import SimulationSettings, simulate

BACKLOG = 60_000
SAMPLES = 200
GAP_S = 0.12  # beyond the interval of publication, so that every record is answered
FLOOD_PER_S = 4_000
FLOOD_STEP = 200
SETTLE_S = 10.0
TOGETHER = "SIMB"  # on the partition of the first of the pair
RUN = ("-m", "dhpe", "run")


class Row(NamedTuple):
    """One measurement with its ratio."""

    what: str
    measured: str
    beside: str
    ratio: float


def ticks(underlyings: tuple[str, ...], number: int) -> list[tuple[bytes, bytes]]:
    """So many tick messages of a market that stands just before now: key and value."""
    source = simulate(SimulationSettings(underlyings=underlyings), time.time_ns() - 3_600_000_000_000)
    wire = (message for batch in source for message in encode_batch(batch, records_per_message=1))
    chosen = ((m.key, m.value) for m in wire if m.topic == "ticks" and m.key != b"*")
    return list(islice(chosen, number))


async def until_committed(settings: Settings) -> None:
    """Wait until the group's offsets have passed all ticks."""
    names = TopicNames.of(settings)
    places = [TopicPartition(names.ticks, number) for number in range(settings.topic_partitions)]
    asking = AIOKafkaConsumer(
        **connection(settings),
        group_id=settings.kafka_group,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await asking.start()
    try:
        async with asyncio.timeout(300):
            while True:
                ends = await asking.end_offsets(places)
                passed = [await asking.committed(place) for place in places]
                if all((done or 0) >= ends[place] for place, done in zip(places, passed, strict=True)):
                    return
                await asyncio.sleep(0.05)
    finally:
        await asking.stop()


async def throughput(address: str, workers: int) -> float:
    """Records per second from the instant at which the backlog is there."""
    settings = settings_of(address, f"share{workers}", topic_partitions=2)
    names = TopicNames.of(settings)
    await create_topics(settings)
    await put_chain(settings, 20, PAIR)
    producer = AIOKafkaProducer(
        **connection(settings), transactional_id=f"backlog{workers}", transaction_timeout_ms=300_000, linger_ms=20
    )
    await producer.start()
    with ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(running(settings, *RUN))
        await until_committed(settings)
        await producer.begin_transaction()
        wire = ticks(PAIR, BACKLOG)
        futures = [
            await producer.send(names.ticks, value, key=key, partition=partition_of(key, 2)) for key, value in wire
        ]
        await asyncio.gather(*futures)
        await asyncio.sleep(SETTLE_S)  # a second worker has joined by now, and both are at rest
        started = time.perf_counter()
        await producer.commit_transaction()
        await until_committed(settings)
        seconds = time.perf_counter() - started
    await producer.stop()
    return BACKLOG / seconds


async def flood(settings: Settings, underlying: str) -> None:
    """FLOOD_PER_S quotes of ``underlying`` a second, for ever."""
    names = TopicNames.of(settings)
    producer = AIOKafkaProducer(**connection(settings), acks="all", enable_idempotence=True, linger_ms=5)
    await producer.start()
    partition = partition_of(underlying.encode(), settings.topic_partitions)
    due = time.monotonic()
    for number in count():
        value = quote(number, underlying)
        await producer.send(names.ticks, value, key=underlying.encode(), partition=partition)
        if number % FLOOD_STEP == 0:
            due += FLOOD_STEP / FLOOD_PER_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def fairness(address: str) -> AsyncIterator[Row]:
    """A quiet underlying on partition 0, alone and beside a flood."""
    quiet, other = PAIR
    for where, flooding in (("another partition", other), ("its own partition", TOGETHER)):
        settings = settings_of(address, f"flood-{flooding}", topic_partitions=2)
        await create_topics(settings)
        await put_chain(settings, 20, (quiet, flooding))
        with running(settings, *RUN):
            await until_committed(settings)
            alone = await latencies_ms(settings, SAMPLES, GAP_S, of_worker=True)
            with running(settings, __file__, "--flood", flooding):
                await asyncio.sleep(SETTLE_S)
                beside = await latencies_ms(settings, SAMPLES, GAP_S, of_worker=True)
        for share in (50, 99):
            without, with_flood = percentile(alone, share), percentile(beside, share)
            what = f"{quiet} beside {FLOOD_PER_S:,} quotes/s on {where}, p{share}"
            yield Row(what, f"{with_flood:.1f} ms", f"{without:.1f} ms", with_flood / without)


async def measure(address: str) -> list[Row]:
    """All rows."""
    rates = [await throughput(address, workers) for workers in (1, 2)]
    what = "two workers on two partitions beside one"
    rows = [Row(what, f"{rates[1]:,.0f} records/s", f"{rates[0]:,.0f} records/s", rates[1] / rates[0])]
    return rows + [row async for row in fairness(address)]


def main() -> None:
    """Measure, then print."""
    if "--flood" in sys.argv[1:]:
        asyncio.run(flood(Settings.load(), sys.argv[-1]))
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as address:
        rows = asyncio.run(measure(address))
    if "--json" in sys.argv[1:]:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    print(f"{os.cpu_count()} cores with the broker on them, load {os.getloadavg()[0]:.1f}\n")
    print("| what | measured | beside | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | {row.beside} | {row.ratio:.2f} |")


if __name__ == "__main__":
    main()
