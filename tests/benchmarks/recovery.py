"""`make bench`: from kill -9 of a worker that holds a real SPX chain to the next committed output; the restore in it.

A worker of a group with static membership is killed and started again at once, as by an orchestrator, while quotes of
the index come twenty times a second. The recovery ends when a reader of committed records is given an output of a quote
that was produced after the kill. The machine's cores are shared with the broker.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from transactions import PROJECT, broker, line, quote, settings_of, tick_of

from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings

CHAIN = PROJECT.parent / "shared" / "data" / "spx_chain" / "2026-08-20.csv.gz"
NEXT_OPEN_NS = 1_787_319_000_000_000_000  # 2026-08-21 13:30 UTC
UNDERLYING = "SPX"
KILLS = 5
GAP_S = 0.05
WORK_S = 8.0
"""Between a recovery and the next kill: a few kept states."""
TIMEOUT_S = 300.0


class Recovery(NamedTuple):
    """After one kill."""

    seconds: float
    restore_s: float
    contracts: int


@contextmanager
def worker(settings: Settings, lines: Path) -> Iterator[None]:
    """`dhpe run`; killed at the end of the block."""
    chosen = {f"DHPE_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_unset=True).items()}
    with (
        lines.open("ab") as output,
        subprocess.Popen(
            [sys.executable, "-m", "dhpe", "run"], env=os.environ | chosen, stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield
        finally:
            process.kill()


def restores_s(lines: Path) -> list[float]:
    """What the worker said of its restores."""
    said = [json.loads(one) for one in lines.read_text().splitlines() if one.startswith("{")]
    return [one["seconds"] for one in said if one["event"] == "restored"]


class Market:
    """Quotes of the index for ever, and the outputs that a reader of committed records is given."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, reader: AIOKafkaConsumer) -> None:
        self._topic = TopicNames.of(settings).ticks
        self._producer = producer
        self._reader = reader
        self.produced = -1

    async def run(self) -> None:
        """Produce."""
        started_ns = time.monotonic_ns()
        for number in count():
            now_ns = NEXT_OPEN_NS + time.monotonic_ns() - started_ns
            value = quote(number, UNDERLYING, now_ns)
            sent = await self._producer.send_and_wait(self._topic, value, key=UNDERLYING.encode(), partition=0)
            self.produced = sent.offset
            await asyncio.sleep(GAP_S)

    async def answered(self) -> int:
        """Wait for the output of a quote that is not produced yet; the contracts that it counts."""
        wanted = self.produced + 1
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                record = await self._reader.getone()
                if record.key == UNDERLYING.encode() and tick_of(record.value) >= wanted:
                    return int(json.loads(record.value)["contracts"])


async def recoveries(address: str, folder: Path) -> list[Recovery]:
    """Kill and start again, ``KILLS`` times."""
    settings = settings_of(address, "recovery", topic_partitions=1, pressure_interval_ms=0)
    await create_topics(settings)
    chosen = {f"DHPE_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_unset=True).items()}
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "dhpe", "feed", str(CHAIN), "--records-per-message", "100"],
        env=os.environ | chosen,
        check=True,
        capture_output=True,
    )
    lines = folder / "worker.log"
    running = settings.model_copy(
        update={
            "kafka_group_instance_id": "w0",
            "snapshot_interval_s": WORK_S / 3.0,
            "log_level": "info",
            "log_format": "json",
        }
    )
    found = []
    async with line(settings) as (producer, reader):
        market = Market(settings, producer, reader)
        producing = asyncio.create_task(market.run())
        killed_s = None
        for _ in range(KILLS + 1):
            with worker(running, lines):
                contracts = await market.answered()
                if killed_s is not None:
                    found.append(Recovery(time.perf_counter() - killed_s, restores_s(lines)[-1], contracts))
                await asyncio.sleep(WORK_S)
                killed_s = time.perf_counter()
        producing.cancel()
        await asyncio.wait([producing])
    return found


def main() -> None:
    """Measure, then print."""
    if not CHAIN.is_file():
        print(f"no recovery: {CHAIN.name} is not here")
        return
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as address:
        found = asyncio.run(recoveries(address, Path(folder)))
    if "--json" in sys.argv[1:]:
        print(json.dumps([one._asdict() for one in found], indent=2))
        return
    print(f"{os.cpu_count()} cores with the broker on them, load {os.getloadavg()[0]:.1f}\n")
    print("| kill -9 to the next committed output | contracts | of it the restore |\n|---|--:|--:|")
    for one in found:
        print(f"| {one.seconds:.1f} s | {one.contracts:,} | {one.restore_s:.2f} s |")


if __name__ == "__main__":
    main()
