"""A real process on the embedded log, killed in the middle of its work."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from worker_room import expected, market, messages, put, sqlite_log, until, written

CHUNKS = 100
GIVEN = {"step_records_max": 20, "snapshot_records_max": 300}


@contextmanager
def started(log_path: Path, lines: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """``dhpe run`` on this log; what it tells the operator goes to ``lines``."""
    own = {"EMBEDDED_LOG_PATH": str(log_path), "HTTP_PORT": "0", "LOG_FORMAT": "json", "LOG_LEVEL": "debug"}
    own |= {name.upper(): str(value) for name, value in GIVEN.items()}
    environment = os.environ | {f"DHPE_{name}": value for name, value in own.items()}
    command = [sys.executable, "-m", "dhpe", "run"]
    with lines.open("wb") as told, subprocess.Popen(command, env=environment, stdout=told, stderr=told) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(log_path: Path, question: str) -> int:
    """A number from the log, asked beside whoever works on it."""
    with closing(sqlite3.connect(f"file:{log_path}?mode=ro", uri=True)) as connection:
        ((answer,),) = connection.execute(question)
        return int(answer or 0)


async def test_killed_in_the_middle_it_says_everything_once(tmp_path: Path) -> None:
    """Kill -9 between two commits: the next process takes a kept state and goes on; SIGTERM leaves the last state."""
    settings = Settings(**GIVEN)  # type: ignore[arg-type]
    names = TopicNames.of(settings)
    batches = market(CHUNKS, ("SIMA",))
    wire = messages(batches)
    log = sqlite_log(tmp_path, settings)
    await log.start()
    await put(log, wire, names)
    ticks = (await log.span((names.ticks, 0))).end
    committed = "SELECT MAX(next) FROM offsets WHERE topic = 'ticks'"

    with started(log.path, tmp_path / "first"):
        await until(lambda: asked(log.path, committed) >= ticks // 2)
    at_the_kill = asked(log.path, committed)
    assert ticks // 2 <= at_the_kill < ticks

    with started(log.path, tmp_path / "second") as second:
        await until(lambda: asked(log.path, committed) == ticks)
        second.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(second.wait, 60) == 0

    lines = [msgspec.json.decode(line) for line in (tmp_path / "second").read_bytes().splitlines() if line[:1] == b"{"]
    (restored,) = [line for line in lines if line["event"] == "restored"]
    assert (restored["source"], restored["ticks"]) == ("a kept state", at_the_kill)
    assert restored["replayed_offsets"] <= GIVEN["snapshot_records_max"] + 2 * GIVEN["step_records_max"]
    kept = [line for line in lines if line["event"] == "kept a state"]
    assert kept[-1]["ticks"] == ticks
    assert await written(log, names) == expected(batches, settings)
    await log.stop()
