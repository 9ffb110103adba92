"""`make chaos`: every fault, many times, over millions of records; prints the table and fails if it is not clean.

    python -m faults.chaos [--records 420000] [--only ROUND…] [--json FILE]
    python -m faults.chaos --list           every injection with its instant
    python -m faults.chaos --report FILE…   the table of runs that were written with --json

Records are those of one round. Rounds of three brokers have a cluster of their own; the others share one broker.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from faults import report
from faults.cluster import Cluster
from faults.feeder import market
from faults.rounds import CHAOS
from faults.runner import PARTITIONS, Judged, run_round
from faults.table import Round

RECORDS = 420_000


async def run(rounds: Sequence[Round], records: int, folder: Path, judged: Callable[[Judged], None]) -> list[str]:
    """Run all rounds, one after the other; return the names of those that were not clean, or could not be ended."""
    load = market(records, PARTITIONS)
    dirty: list[str] = []
    for nodes in sorted({one.nodes for one in rounds}):
        cluster = Cluster(folder / f"nodes-{nodes}", nodes)
        await cluster.open()
        try:
            for one in rounds:
                if one.nodes == nodes:
                    try:
                        end = await run_round(one, load, folder / one.name, cluster.address, cluster)
                    except (AssertionError, TimeoutError) as error:
                        _say(f"{one.name}: NOT ENDED: {error}")
                        dirty.append(one.name)
                    else:
                        judged(end)
                        dirty += [] if end.clean else [one.name]
        finally:
            cluster.close()
    return dirty


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--report", nargs="*", type=Path)
    arguments = parser.parse_args()
    rounds = [one for one in CHAOS if arguments.only is None or one.name in arguments.only]
    if arguments.list:
        for one in rounds:
            for at, fault in one.schedule():
                _say(f"{one.name} {at:.0%} {fault.name}")
        return 0
    if arguments.report:
        files = [json.loads(file.read_text()) for file in arguments.report]
        _say(report.text([one for file in files for one in file["rounds"]]))
        return 0
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    ended: list[report.Kept] = []

    def note(one: Judged) -> None:
        ended.append(report.kept(one))
        word = "clean" if one.clean else f"NOT CLEAN {one.verdict}, offsets went back: {one.backward}"
        _say(
            f"{one.round.name}: {word}, {len(one.injected)} faults, {one.seconds:.0f} s, load {os.getloadavg()[0]:.1f}"
        )
        if arguments.json:
            answer = {"machine": machine, "faults": report.rows(ended), "totals": report.totals(ended), "rounds": ended}
            arguments.json.write_text(json.dumps(answer, indent=2) + "\n")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # brokers and workers are ended by whoever ends us
    folder = Path(tempfile.mkdtemp(prefix="dhpe-chaos-"))
    dirty = asyncio.run(run(rounds, arguments.records, folder, note))
    _say(f"\n{machine}, load {os.getloadavg()[0]:.1f}\n\n{report.text(ended)}")
    if dirty:
        _say(f"\nNOT CLEAN: {', '.join(dirty)}; what workers and brokers said is kept in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
