"""A simulated market on a log, the worker on it, and what it wrote: shared by the worker's tests."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from dhpe.columns import Batch, empty_batch
from dhpe.edge.encode import WireMessage, encode_batch, encode_output
from dhpe.edge.log import Log, LogRecord, OutRecord, partition_of
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.workers import Workers
from dhpe.engine import Engine
from dhpe.settings import Settings
from dhpe.simulate import SimulationSettings, simulate
from log_contract import read_all

START_NS = 1_750_000_000_000_000_000
SEED = 20_240_805
UNDERLYINGS = ("SIMA", "SIMC")  # on different ones of two partitions, and of three

Line = tuple[str, bytes, dict[str, Any], tuple[tuple[str, bytes], ...]]
"""An output as it is compared: topic, key, value without its offsets, ce_* headers."""


def market(chunks: int, underlyings: tuple[str, ...] = UNDERLYINGS, **given: Any) -> list[Batch]:
    """The first ``chunks`` batches of a seeded market, 100 ms each."""
    settings = SimulationSettings(seed=SEED, underlyings=underlyings, **given)
    return list(islice(simulate(settings, START_NS), chunks))


def messages(batches: Iterable[Batch], records_per_message: int = 1) -> list[WireMessage]:
    """What a feed would write of them."""
    return [message for batch in batches for message in encode_batch(batch, records_per_message=records_per_message)]


async def put(log: Log, wire: Iterable[WireMessage], names: TopicNames) -> None:
    """Append ``wire`` to the inputs; a record for every underlying goes to every partition."""
    topic_of = {"chain": names.chain, "ticks": names.ticks}
    records = []
    count = await log.partitions(names.ticks)
    for message in wire:
        places = range(count) if message.key == b"*" else [partition_of(message.key, count)]
        records += [OutRecord(topic_of[message.topic], message.key, message.value, (), place) for place in places]
    for start in range(0, len(records), 2_000):
        await log.append(records[start : start + 2_000])


def line(topic: str, key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]]) -> Line:
    """One output, comparable between a log and a direct run."""
    body = msgspec.json.decode(value)
    del body["offsets"]
    return topic, key, body, tuple(header for header in headers if header[0].startswith("ce_"))


def by_underlying(lines: Iterable[Line]) -> dict[tuple[str, bytes], list[Line]]:
    """Lines in their order, per topic and underlying: across underlyings there is none."""
    sorted_out: defaultdict[tuple[str, bytes], list[Line]] = defaultdict(list)
    for one in lines:
        sorted_out[one[0], one[1]].append(one)
    return dict(sorted_out)


def expected(batches: Iterable[Batch], settings: Settings) -> dict[tuple[str, bytes], list[Line]]:
    """The engine's own outputs on the same records, without any log."""
    engine = Engine(settings.parameters())
    outputs = [output for batch in batches for output in engine.step(empty_batch(), batch).outputs]
    return by_underlying(line(*encode_output(output)) for output in outputs)


async def written(log: Log, names: TopicNames) -> dict[tuple[str, bytes], list[Line]]:
    """All outputs in the log, as a reader of committed records sees them."""
    lines = []
    for plain, topic in (("pressure", names.pressure), ("alerts", names.alerts)):
        for partition in range(await log.partitions(topic)):
            for record in await read_all(log, topic, partition):
                assert record.key is not None
                assert record.value is not None
                lines.append(line(plain, record.key, record.value, record.headers))
    return by_underlying(lines)


async def dead(log: Log, topic: str) -> list[LogRecord]:
    """All dead letters of one topic."""
    return [r for partition in range(await log.partitions(topic)) for r in await read_all(log, topic, partition)]


@asynccontextmanager
async def working(log: Log, settings: Settings, metrics: Metrics | None = None) -> AsyncIterator[Workers]:
    """The workers at work; drained at the end, and their failure raised."""
    workers = Workers(log, settings, metrics or Metrics())
    task = asyncio.create_task(workers.run())
    try:
        yield workers
    finally:
        workers.stop()
        await task


async def drained(workers: Workers, log: Log, names: TopicNames) -> None:
    """Wait until every input record is applied and committed."""
    ends = {}
    for topic in (names.chain, names.ticks):
        for partition in range(await log.partitions(topic)):
            ends[topic, partition] = (await log.span((topic, partition))).end

    def done() -> bool:
        for (topic, partition), end in ends.items():
            worker = workers.worker(partition)
            if worker is None or worker.applied(topic) < end:
                return False
        return workers.ready()[0]

    await until(done)


async def forget_states(log: SqliteLog, *, newer_than: int = -1) -> None:
    """Delete the kept states whose manifest comes after this offset: a restart has to do without them."""
    question = "DELETE FROM records WHERE topic = 'manifest' AND offset > ?"
    await log.write(lambda connection: connection.execute(question, (newer_than,)))


async def until(condition: Callable[[], bool], timeout_s: float = 90.0) -> None:
    """Wait until ``condition`` holds; what it asks has no event of its own."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


def sqlite_log(folder: Path, settings: Settings, partitions: int = 1) -> SqliteLog:
    """The embedded log with all topics."""
    return SqliteLog(folder / "log.sqlite", dict.fromkeys(TopicNames.of(settings), partitions))
