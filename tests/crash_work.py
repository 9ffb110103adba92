"""What the killed processes do: feed a log and work on it. Importing this warms the kernels, so a fork begins at once.

Everything stands on ``ticks``, one message after the other, and the outputs carry the positions they were made at:
what an uninterrupted engine says of the first n messages is then known to the last byte. Of the inputs the log keeps
only what a restart needs: a state is kept after each step that has the time, and what comes before it is deleted.
"""

import asyncio
import concurrent.futures.thread
import logging
import os
import resource
import signal
from collections.abc import Iterator
from ctypes import c_int
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from dhpe.columns import empty_batch
from dhpe.edge import sqlite_retention
from dhpe.edge.decode import decode
from dhpe.edge.encode import encode_output
from dhpe.edge.log import LogError, LogUnavailable, OutRecord
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.sqlite_retention import Keep, Retention
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.workers import Workers
from dhpe.engine import Engine
from dhpe.settings import Settings
from worker_room import drained, market, messages, until

assert concurrent.futures.thread  # once it is nobody, a process may be unable to read its own library
SETTINGS: Final = Settings(
    step_records_max=5, gamma_weight=-1.0, kyle_lambda=2e-11, drain_timeout_s=30.0, snapshot_interval_s=0.001
)
NAMES: Final = TopicNames.of(SETTINGS)
FED_AT_ONCE: Final = 3
FORGETFUL: Final = Retention({topic: Keep(0.0, replayed=True) for topic in NAMES[:2]}, file_bytes_max=1 << 40)


class Said(NamedTuple):
    """One output: after which message, in which topic, and its bytes."""

    position: int
    topic: str
    value: bytes


WIRE: Final = [
    OutRecord(NAMES.ticks, message.key, message.value, (), 0) for message in messages(market(30, ("SIMA",)), 5)
]


def reference() -> Iterator[Said]:
    """What an engine says that nobody interrupts."""
    engine = Engine(SETTINGS.parameters())
    for position, record in enumerate(WIRE):
        batch = decode([(position, record.key, record.value, None, None)], "ticks").batch
        for output in engine.step(empty_batch(), batch).outputs:
            topic, _, value, _ = encode_output(output)
            yield Said(position, topic, value)


REFERENCE: Final = list(reference())


def _begin() -> None:
    """Say little and delete at once; only in a process of its own, which no other test shares."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sqlite_retention.TRIM_SHARE_MAX, sqlite_retention.TRIM_PAUSE_S = 1.0, 0.0  # type: ignore[misc]


def open_log(path: Path) -> SqliteLog:
    """The embedded log with all its topics, which forgets its inputs as soon as it may."""
    return SqliteLog(path, dict.fromkeys(NAMES, 1), retention=FORGETFUL)


async def feed(log: SqliteLog, safe: "Synchronized[c_int] | None" = None) -> None:
    """Write what is not yet in the log; ``safe`` tells how many messages an append has promised to keep."""
    done = (await log.span((NAMES.ticks, 0))).end
    while done < len(WIRE):
        await log.append(WIRE[done : done + FED_AT_ONCE])
        done = min(done + FED_AT_ONCE, len(WIRE))
        if safe is not None:
            safe.value = done  # type: ignore[assignment]
        await asyncio.sleep(0)


async def feed_and_work(path: Path, safe: "Synchronized[c_int] | None" = None) -> None:
    """Both at once, until all is committed."""
    log = open_log(path)
    await log.start()
    workers = Workers(log, SETTINGS, Metrics())
    work = asyncio.create_task(workers.run())
    await feed(log, safe)
    finish = asyncio.create_task(drained(workers, log, NAMES))
    await asyncio.wait([work, finish], return_when=asyncio.FIRST_COMPLETED)
    workers.stop()
    finish.cancel()
    await work
    await log.stop()


def run(path: Path, safe: "Synchronized[c_int] | None" = None, deletions: int = 0) -> None:
    """The process that is killed, or that finishes what the killed ones have begun.

    Where ``deletions`` are given, it is killed inside that one of them, with the records gone and nothing committed.
    """
    _begin()
    if deletions > 0:
        _die_in_a_deletion(deletions)
    if safe is not None:
        safe.value = 0  # type: ignore[assignment]
    asyncio.run(feed_and_work(path, safe))


def _die_in_a_deletion(number: int) -> None:
    behead, begun = sqlite_retention._behead, count(1)

    def dying(*arguments: Any) -> None:
        behead(*arguments)
        if next(begun) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlite_retention._behead = dying


def run_until_overtaken(path: Path, tell: Connection) -> None:
    """Work until another process takes the file over, and tell what is then said."""
    _begin()

    async def work() -> None:
        log = open_log(path)
        await log.start()
        await log.append(WIRE[: len(WIRE) // 2])
        workers = Workers(log, SETTINGS, Metrics())
        task = asyncio.create_task(workers.run())
        await drained(workers, log, NAMES)
        tell.send("at work")
        await task

    try:
        asyncio.run(work())
    except LogError as error:
        tell.send(str(error))


def run_on_a_full_disk(path: Path, tell: Connection) -> None:
    """Work while no file of ours may grow, with input that another process goes on writing; then with room again."""
    _begin()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    asyncio.run(_work_without_room(path, tell))


async def _work_without_room(path: Path, tell: Connection) -> None:
    log = open_log(path)
    await log.start()
    metrics = Metrics()
    workers = Workers(log, SETTINGS, metrics)
    task = asyncio.create_task(workers.run())
    await drained(workers, log, NAMES)
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        await log.append(WIRE[:1])
    except LogUnavailable as error:
        tell.send(str(error))
    await until(lambda: b"dhpe_transaction_aborts_total 0.0" not in metrics.render())
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await drained(workers, log, NAMES)
    workers.stop()
    await task
    await log.stop()


def as_nobody(path: Path, tell: Connection) -> None:
    """Open the log without the rights of root, who may write anywhere."""
    _begin()
    if os.geteuid() == 0:
        os.setuid(65_534)
    try:
        asyncio.run(open_log(path).start())
    except LogUnavailable as error:
        tell.send(str(error))
