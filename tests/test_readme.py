"""The README keeps its word: every command in it is run, and every answer that it prints has that shape."""

import json
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dhpe.edge.encode import encode_batch
from dhpe.outputs import Pressure
from dhpe.simulate import SimulationSettings, simulate

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
DHPE = Path(sys.executable).parent / "dhpe"
DEMO_S = 12.0
DEADLINE_S = 240.0

ELSEWHERE = {
    "make broker": "tests/kafka/test_readme_producer.py",
    "export DHPE_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9092": "tests/kafka/test_readme_producer.py",
    ".venv/bin/dhpe topics": "tests/kafka/test_readme_producer.py",
    ".venv/bin/dhpe run": "tests/kafka/test_readme_producer.py",
    ".venv/bin/dhpe explain ALERT_ID": "tests/edge/test_explain.py",
    ".venv/bin/dhpe replay --from-kafka --underlying SPX --at 2026-11-20T15:30:00Z": "tests/edge/test_explain.py",
    "curl -s http://127.0.0.1:8080/v1/SIM/field": "tests/edge/test_app_fields.py",
}
"""Commands that need a broker or a log with a past, and where they are run."""


def blocks(language: str) -> list[str]:
    """The fenced blocks of the README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    """Every line that the README tells its reader to type, without its comment."""
    lines = [line.partition(" #")[0].strip() for block in blocks("console") for line in block.splitlines()]
    return [line for line in lines if line]


class Demo(NamedTuple):
    """A running demo: where it answers, and what it has printed so far."""

    process: "subprocess.Popen[str]"
    address: str
    printed: list[str]
    first_amplification_s: float


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make demo` starts, on a free port and for a short while."""
    started = time.monotonic()
    with subprocess.Popen(
        [DHPE, "demo", "--duration", str(DEMO_S), "--http-port", "0"],
        cwd=tmp_path_factory.mktemp("demo"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "first amplification" in line:
                break
        text = "".join(printed)
        found = re.search(r"http://127\.0\.0\.1:\d+", text)
        assert found, text
        yield Demo(process, found[0], printed, time.monotonic() - started)
        process.kill()


def shape(value: Any) -> Any:
    """The names of a JSON document, all the way down."""
    return {name: shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


def ask(address: str) -> Any:
    """The JSON that is answered there."""
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - our own address
        return json.load(answer)


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    """A command that nobody runs is a command that does not work."""
    here = {"make demo", "make test", ".venv/bin/dhpe replay day.jsonl --output out"}
    curl = {command for command in commands() if command.startswith("curl ")} - set(ELSEWHERE)
    assert curl
    assert set(commands()) == here | curl | set(ELSEWHERE)
    assert all((PROJECT / place).exists() for place in ELSEWHERE.values())


def test_make_demo_starts_the_demo_that_is_tested_here() -> None:
    """The recipe ends with the plain command."""
    recipe = subprocess.run(["make", "-n", "demo"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert recipe.splitlines()[-1] == ".venv/bin/dhpe demo"


def test_make_test_runs_the_checks_and_these_tests() -> None:
    """The recipe runs all that `make check` runs, then pytest."""
    recipe = subprocess.run(["make", "-n", "test"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    lines = recipe.splitlines()
    assert lines[-1] == ".venv/bin/pytest"
    assert {".venv/bin/ruff check .", ".venv/bin/mypy", ".venv/bin/lint-imports"} <= set(lines)


def test_the_curl_command_is_answered_with_the_names_that_the_readme_prints(demo: Demo) -> None:
    """The printed answer is a real one: same names, and a number in the headline."""
    (command,) = [
        shlex.split(command) for command in commands() if command.startswith("curl ") and command not in ELSEWHERE
    ]
    answer = ask(command[-1].replace("http://127.0.0.1:8080", demo.address))
    (printed,) = [json.loads(block) for block in blocks("json")]
    assert shape(answer) == shape(printed)
    assert isinstance(printed["amplification"], float)
    assert isinstance(answer["amplification"], float)
    assert 0 < answer["amplification"] < 10


def test_the_addresses_of_the_readme_answer(demo: Demo) -> None:
    """The page and the documentation of the API."""
    for path in ("/", "/docs"):
        with urllib.request.urlopen(demo.address + path, timeout=10) as page:  # noqa: S310 - our own address
            assert page.status == 200
            assert "text/html" in page.headers["content-type"]


def test_the_demo_ends_by_itself_with_a_summary(demo: Demo) -> None:
    """`--duration` ends it with exit 0, and the last line counts what was shown."""
    assert demo.process.stdout is not None
    last = [*demo.printed, *demo.process.stdout.read().splitlines(keepends=True)][-1]
    assert demo.process.wait(DEADLINE_S) == 0
    assert re.search(r"[\d,]+ records in [\d.]+ s, \d+ alerts?", last), last


def test_the_replay_of_a_file_writes_its_results(tmp_path: Path) -> None:
    """`day.jsonl` is what a feed would send, one record a line."""
    market = simulate(SimulationSettings(), start_ns=1_790_000_000_000_000_000)
    messages = [message for _ in range(20) for message in encode_batch(next(market))]
    (tmp_path / "day.jsonl").write_bytes(b"".join(message.value + b"\n" for message in messages))
    (command,) = [shlex.split(one) for one in commands() if " replay " in one and one not in ELSEWHERE]
    done = subprocess.run([DHPE, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_bytes())["records"] == len(messages)
    assert (tmp_path / "out" / "pressure.jsonl").stat().st_size > 0


def test_every_name_in_the_table_of_units_is_published() -> None:
    """The table speaks of the fields as they stand on the wire, and of GEX, VEX and CEX once each."""
    names = re.findall(r"^\| `(\w+)` \|", README, flags=re.MULTILINE)
    published = set(Pressure.__struct_fields__)
    assert len(names) >= 12
    assert [name for name in names if name not in published] == []
    assert [README.count(word) for word in ("GEX", "VEX", "CEX")] == [1, 1, 1]


def test_every_file_that_the_readme_points_at_is_there() -> None:
    """Links and the picture."""
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert "docs/picture.png" in targets
    assert [target for target in targets if not (PROJECT / target).exists()] == []
