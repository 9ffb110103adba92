"""The table of a run: fault, times, records, lost, doubled, different, recovery; as text and as JSON."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from faults.runner import Judged

Kept = dict[str, Any]
"""A round's end as it stands in a JSON file."""


def kept(one: Judged) -> Kept:
    """What the table needs of a round."""
    return {
        "round": one.round.name,
        "brokers": one.round.nodes,
        "workers": one.round.workers,
        "records": one.records,
        "seconds": round(one.seconds),
        "outputs": one.verdict.outputs,
        "alerts": one.verdict.alerts,
        "dead_letters": one.verdict.dead_letters,
        "poisoned": one.poisoned,
        "lost": one.verdict.lost + one.missing,
        "doubled": one.verdict.doubled,
        "different": one.verdict.different + one.touched_neighbours,
        "hanging_transactions": one.hanging,
        "offsets_gone_back": len(one.backward),
        "ended_by_themselves": [f"{one.round.name}: {gone.worker} {gone.code}" for gone in one.exits],
        "injected": [
            {
                "fault": injected.fault.name,
                "at": injected.share,
                "recovery_s": round(injected.recovery_s, 2),
                "standstill_s": round(injected.standstill_s, 2),
            }
            for injected in one.injected
        ],
    }


def rows(rounds: Sequence[Kept]) -> list[dict[str, Any]]:
    """One row a fault. Records, lost, doubled and different are those of the rounds in which it was injected."""
    injected: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    struck: defaultdict[str, list[Kept]] = defaultdict(list)
    for one in rounds:
        for fault in one["injected"]:
            injected[fault["fault"]].append(fault)
            if one not in struck[fault["fault"]]:
                struck[fault["fault"]].append(one)
    return [
        {
            "fault": name,
            "times": len(some),
            **{column: sum(one[column] for one in struck[name]) for column in ("records", *BROKEN)},
            "recovery_median_s": round(statistics.median(one["recovery_s"] for one in some), 1),
            "recovery_max_s": round(max(one["recovery_s"] for one in some), 1),
            "standstill_max_s": round(max(one["standstill_s"] for one in some), 1),
        }
        for name, some in injected.items()
    ]


BROKEN = ("lost", "doubled", "different")
SUMS = (
    "records", "outputs", "alerts", "dead_letters", *BROKEN, "hanging_transactions", "offsets_gone_back",
    "ended_by_themselves", "seconds",
)  # fmt: skip


def totals(rounds: Sequence[Kept]) -> dict[str, Any]:
    """The run as a whole."""
    sums = {name: [one[name] for one in rounds] for name in SUMS}
    return {"rounds": len(rounds), "faults": sum(len(one["injected"]) for one in rounds)} | {
        name: sum(values, [] if name == "ended_by_themselves" else 0)  # type: ignore[arg-type]
        for name, values in sums.items()
    }


def text(rounds: Sequence[Kept]) -> str:
    """Both as Markdown."""
    head = "| fault | times | records | lost | doubled | different | recovery s | longest | longest standstill s |"
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(_cell(value) for value in row.values()) + " |" for row in rows(rounds)]
    lines += ["", *(f"{name}: {_cell(value)}" for name, value in totals(rounds).items())]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)
