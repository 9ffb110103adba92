"""`make soak`: a worker on a live simulated market for an hour; memory and latency have to stay flat.

    python -m faults.soak [--minutes 60] [--output soak]

Writes samples.csv and figure.svg into the folder. Memory is the resident set of `dhpe run`; latency is from the event's
own time to the append of the committed output that it caused. Fails if, after the first sixth of the time, memory has
grown by more than 1 %.
"""

import argparse
import asyncio
import csv
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from dhpe.edge.kafka_clients import stop_client
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from faults.cluster import Cluster
from faults.crew import Crew

SAMPLE_S: Final = 5.0
GROWTH_MAX: Final = 0.01
WARM_SHARE: Final = 1.0 / 6.0
"""Of an hour, ten minutes: until every window of the model is full and the allocator has what it needs."""
WIDTH, HEIGHT, MARGIN = 900, 220, 50


class Sample(NamedTuple):
    """A moment of the run."""

    seconds: float
    memory_mb: float
    outputs: int
    latency_p50_ms: float
    latency_p99_ms: float


def growth(samples: Sequence[Sample]) -> float:
    """By what share memory has grown since the warm part, between medians of a sixth of the rest each."""
    rest = [one.memory_mb for one in samples[int(len(samples) * WARM_SHARE) :]]
    part = max(1, len(rest) // 6)
    return statistics.median(rest[-part:]) / statistics.median(rest[:part]) - 1.0


async def soak(minutes: float, folder: Path) -> list[Sample]:
    """One broker, one worker, the simulated market at the speed of life."""
    cluster = Cluster(folder)
    await cluster.open()
    settings = Settings(
        kafka_bootstrap_servers=cluster.address, topic_prefix="soak.", kafka_group="soak", topic_partitions=1
    )
    names = TopicNames.of(settings)
    environment = os.environ | {f"DHPE_{k.upper()}": str(v) for k, v in settings.model_dump(exclude_unset=True).items()}
    try:
        await create_topics(settings)
        async with Crew(settings, folder) as crew:
            crew.hire("w0")
            while not crew.joined():  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.1)
            feed = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "dhpe", "feed", "simulate", env=environment, stdout=asyncio.subprocess.DEVNULL
            )
            try:
                return await _sampled(settings, names.pressure, crew, 60.0 * minutes)
            finally:
                feed.kill()
                await feed.wait()
    finally:
        cluster.close()


async def _sampled(settings: Settings, topic: str, crew: Crew, seconds: float) -> list[Sample]:
    place = TopicPartition(topic, 0)
    reader = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers, isolation_level="read_committed", auto_offset_reset="none"
    )
    await reader.start()
    reader.assign([place])
    reader.seek(place, 0)
    samples: list[Sample] = []
    waits_ms: list[float] = []
    started_s = time.monotonic()
    try:
        while (now_s := time.monotonic() - started_s) < seconds:
            records = (await reader.getmany(timeout_ms=200)).get(place, [])
            waits_ms += [record.timestamp - json.loads(record.value)["ts_event_ns"] / 1e6 for record in records]
            if now_s >= SAMPLE_S * (len(samples) + 1) and len(waits_ms) > 1:
                cuts = statistics.quantiles(waits_ms, n=100)
                samples.append(Sample(round(now_s, 1), _resident_mb(crew.pid("w0")), len(waits_ms), cuts[49], cuts[98]))
                waits_ms.clear()
    finally:
        await stop_client(reader)
    assert not crew.exits, f"a worker ended by itself: {crew.exits}"
    return samples


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def figure(samples: Sequence[Sample]) -> str:
    """Three curves over the time, each from 0 to its own largest value."""
    panels = []
    for number, (title, values) in enumerate(
        (
            ("resident memory, MB", [one.memory_mb for one in samples]),
            ("latency p50, ms", [one.latency_p50_ms for one in samples]),
            ("latency p99, ms", [one.latency_p99_ms for one in samples]),
        )
    ):
        top, end_s = number * HEIGHT, samples[-1].seconds
        largest = max(values)
        points = " ".join(
            f"{MARGIN + (WIDTH - 2 * MARGIN) * one.seconds / end_s:.1f},"
            f"{top + HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / largest:.1f}"
            for one, value in zip(samples, values, strict=True)
        )
        base = top + HEIGHT - MARGIN
        panels.append(
            f'<text x="{MARGIN}" y="{top + 30}">{title}: 0 to {largest:.1f} over {end_s / 60:.0f} minutes</text>'
            f'<path d="M{MARGIN},{base}H{WIDTH - MARGIN}" stroke="#999"/>'
            f'<polyline points="{points}" fill="none" stroke="#0b66c3" stroke-width="1.5"/>'
        )
    size = f'width="{WIDTH}" height="{3 * HEIGHT}"'
    style = 'font-family="sans-serif" font-size="14"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(panels)}</svg>\n'


def main() -> int:
    """Run, write, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--output", type=Path, default=Path("soak"))
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # broker and worker are ended by whoever ends us
    with tempfile.TemporaryDirectory(prefix="dhpe-soak-") as folder:
        samples = asyncio.run(soak(arguments.minutes, Path(folder)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (arguments.output / "samples.csv").open("w", newline="") as file:
        csv.writer(file).writerows([Sample._fields, *samples])
    (arguments.output / "figure.svg").write_text(figure(samples))
    grown = growth(samples)
    sys.stdout.write(
        f"{samples[-1].seconds / 60:.0f} minutes, {sum(one.outputs for one in samples)} outputs, "
        f"memory {samples[-1].memory_mb:.0f} MB, grown by {grown:+.2%} after the first sixth; "
        f"latency p50 {statistics.median(one.latency_p50_ms for one in samples):.0f} ms, "
        f"p99 {statistics.median(one.latency_p99_ms for one in samples):.0f} ms; {arguments.output}/figure.svg\n"
    )
    return 0 if grown <= GROWTH_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
