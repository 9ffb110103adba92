"""The README's feed works as it stands: it is run against the real broker, and the engine answers with its number."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DHPE = Path(sys.executable).parent / "dhpe"
DEADLINE_S = 240.0
"""The first start after a change of a kernel compiles them all."""
LINES_MAX = 20

pytestmark = pytest.mark.kafka


@pytest.fixture
def producer(project: Path, tmp_path: Path, bootstrap_servers: str) -> Path:
    """The README's program in a file, with the address of this test's broker as its only change."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.DOTALL | re.MULTILINE)
    assert len([line for line in block.splitlines() if line.strip()]) <= LINES_MAX
    assert "127.0.0.1:9092" in block
    program = tmp_path / "producer.py"
    program.write_text(block.replace("127.0.0.1:9092", bootstrap_servers), encoding="utf-8")
    return program


@pytest.fixture
def start(tmp_path: Path, bootstrap_servers: str) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a program in the reader's place, with the broker named in the environment; ends it with the test."""
    environment = os.environ | {
        "DHPE_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "DHPE_KAFKA_GROUP": f"readme-{os.getpid()}",
    }
    started = []

    def start_one(*arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            list(map(str, arguments)),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def amplification(address: str) -> float | None:
    """The number of ACME, or None where there is none yet."""
    try:
        with urllib.request.urlopen(f"{address}/v1/ACME/amplification", timeout=5) as answer:  # noqa: S310 - our own
            number: float | None = json.load(answer)["amplification"]
    except urllib.error.URLError as error:  # not yet listening, not yet ready, not yet known
        if isinstance(error, urllib.error.HTTPError) and error.code not in {404, 503}:
            raise
        return None
    return number


@pytest.mark.timeout(600)
def test_the_readmes_feed_gets_its_amplification(producer: Path, start: Callable[..., "subprocess.Popen[str]"]) -> None:
    """`dhpe topics`, `dhpe run`, the twenty lines of Python, and a number that is not null."""
    topics = start(DHPE, "topics")
    printed, _ = topics.communicate(timeout=DEADLINE_S)
    assert topics.returncode == 0, printed
    engine = start(DHPE, "run", "--http-port", "0")
    assert engine.stdout is not None
    address = next(found[0] for line in engine.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
    feed = start(sys.executable, producer)
    deadline = time.monotonic() + DEADLINE_S
    while (number := amplification(address)) is None:
        assert feed.poll() is None, feed.communicate()[0]
        assert engine.poll() is None, engine.communicate()[0]
        assert time.monotonic() < deadline, "no amplification in time"
        time.sleep(0.2)
    assert 0.5 < number < 2.0
