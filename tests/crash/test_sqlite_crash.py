"""The embedded log survives whatever happens to its processes and its disk: nothing lost, doubled or corrupt.

A process that feeds the log and works on it is killed at random instants. After each kill the file must open whole,
and hold exactly the outputs that an uninterrupted engine gives for the committed positions. ``make crash`` kills 200
times; DHPE_TEST_KILLS and DHPE_TEST_SEED say how often and when.
"""

import asyncio
import os
import random
import signal
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

import msgspec
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
from dhpe.edge.state_store import Manifest

KILLS = int(os.environ.get("DHPE_TEST_KILLS", "15"))
SEED = int(os.environ.get("DHPE_TEST_SEED", "20240805"))
LIFE_MAX_S = 0.4
DELETIONS_MAX = 12


class Kept(NamedTuple):
    """What a file holds, read by SQLite alone."""

    sound: bool
    begin: int
    inputs: list[bytes]
    outputs: list[Said]
    committed: int
    restarts: bool
    """Whether all is there that a restart needs: the whole log, or a whole state and what follows it."""

    @property
    def end(self) -> int:
        """Behind the last input."""
        return self.begin + len(self.inputs)


def kept(path: Path) -> Kept:
    """Open the file as the next process would, and read all of it."""
    with closing(sqlite3.connect(path)) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return Kept(sound, 0, [], [], 0, restarts=True)
        rows = "SELECT offset, value FROM records WHERE topic = ? ORDER BY offset"
        inputs = connection.execute(rows, (NAMES.ticks,)).fetchall()
        outputs = [
            Said(int(value[value.rindex(b'"ticks":') + 8 :].split(b"}")[0]), topic, value)
            for topic in (NAMES.pressure, NAMES.alerts)
            for _, value in connection.execute(rows, (topic,))
        ]
        chunks = {offset for offset, _ in connection.execute(rows, (NAMES.state,))}
        states = [msgspec.json.decode(value, type=Manifest) for _, value in connection.execute(rows, (NAMES.manifest,))]
        found = connection.execute("SELECT next FROM offsets WHERE topic = ?", (NAMES.ticks,)).fetchone()
    begin, committed = inputs[0][0] if inputs else 0, found[0] if found else 0
    assert [offset for offset, _ in inputs] == list(range(begin, begin + len(inputs)))
    restarts = begin == 0 or any(
        begin <= state.ticks <= committed and chunks >= {chunk.offset for chunk in state.chunks} for state in states
    )
    return Kept(sound, begin, [value for _, value in inputs], outputs, committed, restarts)


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
        self.kills = self.in_deletions = self.after_deletions = 0
        self.lost = self.doubled = self.corrupt = self.inputs_lost = self.states_lost = 0

    def count(self, found: Kept, promised: int) -> None:
        """Compare what a file holds with what it must."""
        self.kills += 1
        self.after_deletions += found.begin > 0
        self.corrupt += not found.sound
        self.states_lost += not found.restarts
        wanted, had = Counter(expected(found.committed)), Counter(found.outputs)
        self.lost += (wanted - had).total()
        self.doubled += (had - wanted).total()
        self.inputs_lost += max(0, promised - found.end)
        assert found.inputs == [one.value for one in WIRE[found.begin : found.end]]
        if wanted == had:
            assert found.outputs == expected(found.committed)

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.in_deletions} of them inside a deletion, {self.after_deletions} after one: "
            f"outputs lost {self.lost}, doubled {self.doubled}; inputs lost {self.inputs_lost}; "
            f"states lost {self.states_lost}; files corrupt {self.corrupt}"
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
        deletions = instants.randrange(1, DELETIONS_MAX) if figures.kills % 2 else 0
        process = processes.Process(target=run, args=(path, safe, deletions))
        process.start()
        while safe.value < 0:
            assert process.exitcode is None
            time.sleep(0.001)
        process.join(60 if deletions else instants.uniform(0.0, LIFE_MAX_S))
        ended = process.exitcode
        process.kill()
        process.join()
        found = kept(path)
        assert ended in {0, None, -signal.SIGKILL}
        figures.in_deletions += ended == -signal.SIGKILL
        if ended == 0:
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
    assert found.inputs == [one.value for one in WIRE[found.begin :]]
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}; {len(positions)} different positions, seed {SEED}\n")
    assert (figures.lost, figures.doubled, figures.inputs_lost, figures.states_lost, figures.corrupt) == (0,) * 5
    assert figures.in_deletions > KILLS // 5
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
    found = kept(path)
    assert (found.sound, found.end, found.committed, found.restarts) == (True, middle, middle, True)
    assert found.outputs == expected(middle)
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
