"""`make bench`: what this machine does with the main line, as the table of the README.

Each row is the median of three runs of the plain command in a process of its own, after one that is not counted; the
memory is the most that any of them held. The load of the machine is printed too: on a busy one the numbers say little.
Rows whose real data is not here are left out. With --json the same numbers for programs.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parents[2]
DATA = PROJECT.parent / "shared" / "data"
DHPE = str(Path(sys.executable).parent / "dhpe")
RUNS = 3
DEMO_S = 20

INPUTS = {
    "GOOG, one half day of option and stock quotes and trades": "lean_goog_20151224",
    "SPX and SPXW, one chain of about 30,000 contracts": "spx_chain/2026-08-20.csv.gz",
    "BTCUSDT, 345 s of quotes, trades and depth": "binance_btcusdt_perp",
}


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: str
    command: str


def replays(folder: Path) -> Iterator[Row]:
    """Replay each real input, from opened files to written results."""
    for what, name in INPUTS.items():
        if not (DATA / name).exists():
            continue
        summaries = []
        for _ in range(RUNS + 1):
            command = [DHPE, "replay", str(DATA / name), "--output", str(folder / "out")]
            subprocess.run(command, check=True, capture_output=True)
            summaries.append(json.loads((folder / "out" / "summary.json").read_bytes()))
        middle = sorted(summaries[1:], key=lambda summary: summary["seconds"])[RUNS // 2]
        measured = (
            f"{middle['records']:,} records in {middle['seconds']:.2f} s, {middle['records_per_s']:,.0f} records/s"
        )
        yield Row(f"replay: {what}", measured, f"dhpe replay {name.partition('/')[0]}")


def demo(folder: Path) -> Row:
    """Start the demo: time until the first amplification, and the most memory that it held."""
    firsts_s, memory_mb = [], 0.0
    for _ in range(RUNS):
        started = time.perf_counter()
        command = [DHPE, "demo", "--http-port", "0", "--duration", str(DEMO_S)]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            next(line for line in process.stdout if "first amplification" in line)
            firsts_s.append(time.perf_counter() - started)
            process.stdout.read()
            _, _, usage = os.wait4(process.pid, 0)
            process.returncode = 0
            memory_mb = max(memory_mb, usage.ru_maxrss / 1024)
    return Row(
        "demo: first amplification",
        f"{statistics.median(firsts_s):.1f} s after the command, {memory_mb:.0f} MB",
        "dhpe demo",
    )


def main() -> None:
    """Measure, then print."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [*replays(Path(folder)), demo(Path(folder))]
    if "--json" in sys.argv[1:]:
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}\n")
    print("| what | measured | with |\n|---|---|---|")
    for row in rows:
        print(f"| {row.what} | {row.measured} | `{row.command}` |")


if __name__ == "__main__":
    main()
