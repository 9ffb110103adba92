"""The table of a run: fault, times, records, lost, doubled, different, recovery; as text and as JSON."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from faults.runner import Injected, Judged


def rows(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """One row a fault. Lost, doubled and different are those of the rounds in which it was injected."""
    injected: defaultdict[str, list[Injected]] = defaultdict(list)
    rounds: defaultdict[str, dict[str, Judged]] = defaultdict(dict)
    for one in judged:
        for fault in one.injected:
            injected[fault.fault.name].append(fault)
            rounds[fault.fault.name][one.round.name] = one
    return [
        {
            "fault": name,
            "times": len(some),
            "records": sum(one.records for one in rounds[name].values()),
            "lost": sum(one.verdict.lost + one.missing for one in rounds[name].values()),
            "doubled": sum(one.verdict.doubled for one in rounds[name].values()),
            "different": sum(one.verdict.different + one.touched_neighbours for one in rounds[name].values()),
            "recovery_median_s": round(statistics.median(one.recovery_s for one in some), 1),
            "recovery_max_s": round(max(one.recovery_s for one in some), 1),
            "standstill_max_s": round(max(one.standstill_s for one in some), 1),
        }
        for name, some in injected.items()
    ]


def totals(judged: Sequence[Judged]) -> dict[str, Any]:
    """The run as a whole."""
    return {
        "faults": sum(len(one.injected) for one in judged),
        "records": sum(one.records for one in judged),
        "outputs": sum(one.verdict.outputs for one in judged),
        "alerts": sum(one.verdict.alerts for one in judged),
        "dead_letters": sum(one.verdict.dead_letters for one in judged),
        "lost": sum(one.verdict.lost + one.missing for one in judged),
        "doubled": sum(one.verdict.doubled for one in judged),
        "different": sum(one.verdict.different + one.touched_neighbours for one in judged),
        "hanging_transactions": sum(one.hanging for one in judged),
        "offsets_gone_back": sum(one.backward for one in judged),
        "ended_by_themselves": [f"{one.round.name}: {gone.worker} {gone.code}" for one in judged for gone in one.exits],
        "seconds": round(sum(one.seconds for one in judged)),
    }


def text(judged: Sequence[Judged]) -> str:
    """Both as a table of Markdown."""
    head = (
        "| fault | times | records | lost | doubled | different | recovery s, median | longest | longest standstill s |"
    )
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows(judged)]
    lines += ["", *(f"{name}: {_cell(value)}" for name, value in totals(judged).items())]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
