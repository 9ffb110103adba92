"""`make bench`: a restart with a chain of 24,000 contracts on Kafka.

A restore is timed in this process, kernels warm: a kept state with nothing after it, and one with as many messages
after it as `snapshot_records_max` allows. A recovery is that of a real `dhpe run` with static membership: kill -9,
started again at once, until the output of a record that was sent at the kill is committed. The broker is on the same
cores.
"""

import asyncio
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from transactions import broker, settings_of

from dhpe.edge.journal import Positions
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import OutRecord
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.edge.workers import Workers
from dhpe.settings import Settings

NAME: Final = "INDEX"
SPOT: Final = 5000.0
VOL: Final = 0.2
EXPIRIES: Final = 12
STRIKES: Final = 1_000
OF_MESSAGE: Final = 200
FOLLOWING: Final = 50_000
"""Messages after the kept state: the default of `snapshot_records_max`."""
BETWEEN: Final = 20_000
"""Messages between a start and the next kill: ten seconds of a market with 2,000 a second."""
STEP_NS: Final = 1_000_000
REPETITIONS: Final = 5
RECOVERIES: Final = 3
START_TIMEOUT_S: Final = 120.0
DAY_NS: Final = 86_400 * 1_000_000_000
KEEPS_NOTHING: Final = {"snapshot_interval_s": 3600.0, "snapshot_records_max": 10**9}


class Row(NamedTuple):
    """One measurement."""

    what: str
    median_s: float
    longest_s: float


def of_chain(now_ns: int) -> Iterator[dict[str, Any]]:
    """Contracts, open interest and a quote of each, at one vol."""
    terms = [
        (f"{right}{number}-{strike:g}", right, strike, now_ns + (2 + 9 * number) * DAY_NS)
        for number in range(EXPIRIES)
        for strike in (2_500.0 + 5.0 * place for place in range(STRIKES))
        for right in "CP"
    ]
    for symbol, right, strike, settles_ns in terms:
        base = {"right": right, "strike": strike, "multiplier": 100, "exercise": "european", "settles_ns": settles_ns}
        yield {"kind": "contract", "symbol": symbol} | base
    for symbol, *_ in terms:
        yield {"kind": "open_interest", "symbol": symbol, "trading_date": "2026-01-05", "open_interest": 1_000}
    yield spot_quote(0)
    for symbol, right, strike, settles_ns in terms:
        deviation = VOL * math.sqrt((settles_ns - now_ns) / (365 * DAY_NS))
        d1 = math.log(SPOT / strike) / deviation + 0.5 * deviation
        call = SPOT * _normal(d1) - strike * _normal(d1 - deviation)
        mid = max(call if right == "C" else call - SPOT + strike, 0.01)
        yield {
            "kind": "option_quote",
            "symbol": symbol,
            "bid": 0.99 * mid,
            "bid_size": 5,
            "ask": 1.01 * mid,
            "ask_size": 5,
        }


def spot_quote(number: int) -> dict[str, Any]:
    """The underlying moves by ticks."""
    bid = SPOT + 0.25 * (number // 50 % 8)
    return {"kind": "quote", "bid": bid, "bid_size": 10, "ask": bid + 0.25, "ask_size": 10}


def of_market(messages: int) -> Iterator[dict[str, Any]]:
    """Two thirds quotes of options near the money, one third of the underlying."""
    seeded = random.Random(messages)
    for number in range(messages):
        if number % 3 == 0:
            yield spot_quote(number)
        else:
            strike = SPOT + 5.0 * seeded.randint(-60, 60)
            symbol = f"{seeded.choice('CP')}{seeded.randrange(EXPIRIES)}-{strike:g}"
            bid = abs(SPOT - strike) + seeded.uniform(40.0, 41.0)
            yield {"kind": "option_quote", "symbol": symbol, "bid": bid, "bid_size": 5, "ask": bid + 1.0, "ask_size": 5}


def _normal(deviations: float) -> float:
    return 0.5 * math.erfc(-deviations / math.sqrt(2.0))


async def put(log: KafkaLog, records: Iterator[dict[str, Any]], start_ns: int, of_message: int = 1) -> None:
    """Append the records, each on the topic of its kind, ``of_message`` of them a message."""
    names = TopicNames.of(log.settings)
    out: list[OutRecord] = []
    waiting: list[dict[str, Any]] = []
    topic = names.chain

    def close() -> None:
        if waiting:
            out.append(OutRecord(topic, NAME.encode(), msgspec.json.encode(waiting), (), 0))
            waiting.clear()

    for place, record in enumerate(records):
        own = names.chain if record["kind"] in {"contract", "open_interest"} else names.ticks
        if own != topic or len(waiting) == of_message:
            close()
            topic = own
        waiting.append({"underlying": NAME, "ts_event_ns": start_ns + place * (STEP_NS // of_message)} | record)
    close()
    for start in range(0, len(out), 2_000):
        await log.append(out[start : start + 2_000])


async def ends(log: KafkaLog) -> Positions:
    """Of both inputs."""
    names = TopicNames.of(log.settings)
    return Positions(*[(await log.span((topic, 0))).end for topic in (names.chain, names.ticks)])


async def applied(settings: Settings, end: Positions, *, keeps: bool) -> None:
    """Let a worker in this process apply all before ``end``; one that ``keeps`` no last state is killed."""
    names = TopicNames.of(settings)
    log = KafkaLog(settings)
    await log.start()
    workers = Workers(log, settings, Metrics())
    working = asyncio.create_task(workers.run())
    while (worker := workers.worker(0)) is None or (worker.applied(names.chain), worker.applied(names.ticks)) != end:
        await asyncio.wait([working], timeout=0.05)
    if keeps:
        workers.stop()
    else:
        working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await log.stop()


async def restores(settings: Settings, what: str, target: Positions) -> Row:
    """Make the state at ``target`` anew, each time with a new connection, as a process does that has just started."""
    measured = []
    for _ in range(REPETITIONS):
        log = KafkaLog(settings)
        await log.start()
        started_s = time.perf_counter()
        reached = await Past(log, settings, Metrics(), 0, 1, lambda: None).state_at(target)
        measured.append(time.perf_counter() - started_s)
        assert reached.from_state
        await log.stop()
    return Row(what, statistics.median(measured), max(measured))


@contextmanager
def running(settings: Settings, lines: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`dhpe run`; what it tells goes to ``lines``. It is killed at the end."""
    chosen = {f"DHPE_{name.upper()}": str(value) for name, value in settings.model_dump(exclude_unset=True).items()}
    command = [sys.executable, "-m", "dhpe", "run"]
    with (
        lines.open("wb") as told,
        subprocess.Popen(command, env=os.environ | chosen, stdout=told, stderr=told) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def answered(log: KafkaLog, at: int) -> None:
    """Wait until an output of the tick at this offset, or of a later one, is committed."""
    place = (TopicNames.of(log.settings).pressure, 0)
    reader = await log.reader({place: max(0, (await log.span(place)).end - 5)})
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            while True:
                for record in await reader.fetch(1_000, 0.02):
                    if msgspec.json.decode(record.value or b"")["offsets"]["ticks"] >= at:
                        return
    finally:
        await reader.close()


def restore_s(lines: Path) -> float:
    """What the process has told of its one restore."""
    (line,) = [one for one in lines.read_bytes().splitlines() if b'"event": "restored"' in one]
    return float(msgspec.json.decode(line)["seconds"])


async def recoveries(settings: Settings, log: KafkaLog, start_ns: int, lines: Path) -> AsyncIterator[Row]:
    """Kill -9 of the process, again and again; and what of each recovery was the restore itself."""
    recovered, restored = [], []
    killed_s = 0.0
    for number in range(RECOVERIES + 1):
        with running(settings, lines):
            if number:
                await answered(log, (await ends(log)).ticks - 1)
                recovered.append(time.perf_counter() - killed_s)
                restored.append(restore_s(lines))
            start_ns += (BETWEEN + 2_000) * STEP_NS
            await put(log, of_market(BETWEEN), start_ns)
            await answered(log, (await ends(log)).ticks - 200)
            killed_s = time.perf_counter()
        await put(log, iter([spot_quote(0)]), start_ns + (BETWEEN + 1_000) * STEP_NS)
    yield Row("recovery after kill -9, to the next committed output", statistics.median(recovered), max(recovered))
    yield Row("the restore in it", statistics.median(restored), max(restored))


async def measure(address: str, folder: Path) -> AsyncIterator[Row]:
    """Fill, then restore and recover."""
    name = f"restore{os.getpid()}"
    quiet = settings_of(address, name, topic_partitions=1, field_interval_s=0, **KEEPS_NOTHING)
    await create_topics(quiet)
    log = KafkaLog(quiet)
    await log.start()
    start_ns = time.time_ns() - DAY_NS
    await put(log, of_chain(start_ns), start_ns, OF_MESSAGE)
    kept_at = await ends(log)
    await applied(quiet, kept_at, keeps=True)
    yield await restores(quiet, "restore, nothing after the kept state", kept_at)
    start_ns += 100_000 * STEP_NS
    await put(log, of_market(FOLLOWING), start_ns)
    end = await ends(log)
    await applied(quiet, end, keeps=False)
    yield await restores(quiet, f"restore, {FOLLOWING:,} messages after the kept state", end)
    await applied(quiet, end, keeps=True)
    static = settings_of(address, name, topic_partitions=1, kafka_group_instance_id="w0", log_format="json")
    live = static.model_copy(update={"log_level": "info"})
    async for row in recoveries(live, log, start_ns + (FOLLOWING + 1_000) * STEP_NS, folder / "lines"):
        yield row
    await log.stop()


def main() -> None:
    """Measure, then print."""
    with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as address:

        async def all_rows() -> list[Row]:
            return [row async for row in measure(address, Path(folder))]

        rows = asyncio.run(all_rows())
    if "--json" in sys.argv[1:]:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    print(f"{2 * EXPIRIES * STRIKES:,} contracts, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| what | median s | longest s |\n|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.median_s:.2f} | {row.longest_s:.2f} |")


if __name__ == "__main__":
    main()
