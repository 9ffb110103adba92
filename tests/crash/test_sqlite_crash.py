"""The embedded log survives whatever happens to its processes and its disk: nothing lost, doubled or corrupt.

A process that feeds the log and works on it is killed at random instants. After each kill the file must open whole,
and hold exactly the outputs that an uninterrupted engine gives for the committed positions. ``make crash`` kills 200
times; DHPE_TEST_KILLS and DHPE_TEST_SEED say how often and when.
"""

import asyncio
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import NamedTuple

import pytest

from crash_work import (
    NAMES,
    REFERENCE,
    WIRE,
    Said,
    as_nobody,
    open_log,
    run,
    run_on_a_full_disk,
    run_until_overtaken,
)

KILLS = int(os.environ.get("DHPE_TEST_KILLS", "15"))
SEED = int(os.environ.get("DHPE_TEST_SEED", "20240805"))
LIFE_MAX_S = 0.4


class Kept(NamedTuple):
    """What a file holds, read by SQLite alone."""

    sound: bool
    inputs: list[bytes]
    outputs: list[Said]
    committed: int


def kept(path: Path) -> Kept:
    """Open the file as the next process would, and read all of it."""
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return Kept(sound, [], [], 0)
        rows = "SELECT value, headers FROM records WHERE topic = ? ORDER BY offset"
        inputs = [value for value, _ in connection.execute(rows, (NAMES.ticks,))]
        outputs = [
            Said(int(value[value.rindex(b'"ticks":') + 8 :].split(b"}")[0]), topic, value)
            for topic in (NAMES.pressure, NAMES.alerts)
            for value, _ in connection.execute(rows, (topic,))
        ]
        found = connection.execute("SELECT next FROM offsets WHERE topic = ?", (NAMES.ticks,)).fetchone()
    return Kept(sound, inputs, outputs, found[0] if found else 0)


def expected(committed: int) -> list[Said]:
    """What must have been said of the first ``committed`` messages, pressure before alerts as ``kept`` reads them."""
    said = [one for one in REFERENCE if one.position < committed]
    return [one for topic in (NAMES.pressure, NAMES.alerts) for one in said if one.topic == topic]


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Processes that begin with everything imported and warm."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["crash_work"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the server does not hear of ours otherwise
        yield context


class Figures:
    """What 200 kills have done, counted."""

    def __init__(self) -> None:
        self.kills = self.lost = self.doubled = self.corrupt = self.inputs_lost = 0

    def count(self, found: Kept, promised: int) -> None:
        """Compare what a file holds with what it must."""
        self.kills += 1
        self.corrupt += not found.sound
        wanted, had = Counter(expected(found.committed)), Counter(found.outputs)
        self.lost += (wanted - had).total()
        self.doubled += (had - wanted).total()
        self.inputs_lost += max(0, promised - len(found.inputs))
        assert found.inputs == [one.value for one in WIRE[: len(found.inputs)]]
        if wanted == had:
            assert found.outputs == expected(found.committed)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: outputs lost {self.lost}, doubled {self.doubled}; inputs lost {self.inputs_lost}; "
            f"files corrupt {self.corrupt}"
        )


@pytest.mark.timeout(1800)
def test_kills_at_random_instants_lose_and_double_nothing(
    tmp_path: Path, processes: ForkServerContext, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures of all kills; at the end of each file the outputs are those of an engine that nobody killed."""
    instants, figures = random.Random(SEED), Figures()
    positions: set[int] = set()
    folder = 0
    while figures.kills < KILLS:
        path = tmp_path / f"{folder}.sqlite"
        safe = processes.Value("i", -1)
        process = processes.Process(target=run, args=(path, safe))
        process.start()
        while safe.value < 0:
            assert process.exitcode is None
            time.sleep(0.001)
        process.join(instants.uniform(0.0, LIFE_MAX_S))
        finished = process.exitcode is not None
        process.kill()
        process.join()
        found = kept(path)
        if finished:
            assert process.exitcode == 0
            assert found.outputs == expected(len(WIRE))
            folder += 1
            continue
        figures.count(found, safe.value)
        positions.add(found.committed)
    while (found := kept(path)).committed < len(WIRE):
        process = processes.Process(target=run, args=(path,))
        process.start()
        process.join()
        assert process.exitcode == 0
    assert found.outputs == expected(len(WIRE))
    assert found.inputs == [one.value for one in WIRE]
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}; {len(positions)} different positions, seed {SEED}\n")
    assert (figures.lost, figures.doubled, figures.inputs_lost, figures.corrupt) == (0, 0, 0, 0)
    assert len(positions) > KILLS // 10


def test_a_second_process_takes_over_and_the_first_one_says_so(tmp_path: Path, processes: ForkServerContext) -> None:
    """Two processes on one file: the older is fenced and ends with a sentence, and no output is doubled."""
    path = tmp_path / "log.sqlite"
    here, there = processes.Pipe()
    first = processes.Process(target=run_until_overtaken, args=(path, there))
    first.start()
    assert told(here) == "at work"
    second = processes.Process(target=run, args=(path,))
    second.start()
    assert "another dhpe has taken over this embedded log" in told(here)
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert kept(path).outputs == expected(len(WIRE))


def test_a_full_disk_stops_the_work_and_room_lets_it_go_on(tmp_path: Path, processes: ForkServerContext) -> None:
    """No file may grow: one sentence says what and where; nothing is torn, and with room again all is said once."""
    path = tmp_path / "log.sqlite"

    async def append(first: int, last: int) -> None:
        log = open_log(path)
        await log.start()
        await log.append(WIRE[first:last])
        await log.stop()

    middle = len(WIRE) // 2
    asyncio.run(append(0, middle))
    here, there = processes.Pipe()
    process = processes.Process(target=run_on_a_full_disk, args=(path, there))
    process.start()
    sentence = told(here)
    assert str(path) in sentence
    assert "make room on the disk" in sentence
    assert kept(path) == Kept(True, [one.value for one in WIRE[:middle]], expected(middle), middle)
    asyncio.run(append(middle, len(WIRE)))
    process.join(60)
    assert process.exitcode == 0
    assert kept(path).outputs == expected(len(WIRE))


def told(connection: Connection) -> str:
    """The next thing that a process tells."""
    assert connection.poll(60)
    return str(connection.recv())


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written_is_told_with_the_remedy(processes: ForkServerContext, exists: bool) -> None:
    """What, where, and how to mend it; in one line; with a log in it and without one."""
    with tempfile.TemporaryDirectory() as name:  # not below pytest's folder, which nobody else may enter
        folder = Path(name)
        path = folder / "log.sqlite"
        if exists:
            log = open_log(path)
            asyncio.run(log.start())
            asyncio.run(log.stop())
            path.chmod(0o444)
        folder.chmod(0o555)
        here, there = processes.Pipe()
        process = processes.Process(target=as_nobody, args=(path, there))
        process.start()
        sentence = told(here)
        process.join(60)
        assert "\n" not in sentence
        assert sentence.startswith(f"{path}: ")
        assert "a folder that this user may write" in sentence
        assert "DHPE_EMBEDDED_LOG_PATH" in sentence
        folder.chmod(0o755)
