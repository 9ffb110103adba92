"""`make chaos`: every fault, many times, over millions of records; prints the table and fails if it is not clean.

    python -m faults.chaos [--records 420000] [--only ROUND…] [--json FILE] [--list]

Records are those of one round. Rounds of three nodes have a cluster of their own; the others share one broker.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faults import report
from faults.cluster import Cluster
from faults.feeder import market
from faults.rounds import CHAOS
from faults.runner import PARTITIONS, Judged, run_round
from faults.table import Round

RECORDS = 420_000


async def run(rounds: Sequence[Round], records: int, folder: Path) -> tuple[list[Judged], list[str]]:
    """All rounds, one after the other, and the names of those that could not be ended."""
    load = market(records, PARTITIONS)
    judged: list[Judged] = []
    broken: list[str] = []
    for nodes in sorted({one.nodes for one in rounds}):
        cluster = Cluster(folder / f"nodes-{nodes}", nodes)
        await cluster.open()
        try:
            for one in rounds:
                if one.nodes != nodes:
                    continue
                try:
                    judged.append(await run_round(one, load, folder / one.name, cluster.address, cluster))
                except AssertionError as error:
                    _say(f"{one.name}: NOT ENDED: {error}")
                    broken.append(one.name)
                    continue
                _say(f"{one.name}: {len(judged[-1].injected)} faults, {judged[-1].seconds:.0f} s, {judged[-1].verdict}")
        finally:
            cluster.close()
    return judged, broken


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    rounds = [one for one in CHAOS if arguments.only is None or one.name in arguments.only]
    if arguments.list:
        for one in rounds:
            for at, fault in one.schedule():
                _say(f"{one.name} {at:.0%} {fault.name}")
        return 0
    with tempfile.TemporaryDirectory(prefix="dhpe-chaos-") as folder:
        judged, broken = asyncio.run(run(rounds, arguments.records, Path(folder)))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    _say(f"\n{machine}, load {os.getloadavg()[0]:.1f}\n\n{report.text(judged)}")
    if arguments.json:
        answer = {"machine": machine, "faults": report.rows(judged), "totals": report.totals(judged)}
        arguments.json.write_text(json.dumps(answer, indent=2) + "\n")
    dirty = broken + [one.round.name for one in judged if not one.clean]
    if dirty:
        _say(f"\nNOT CLEAN: {', '.join(dirty)}")
    return 1 if dirty else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
