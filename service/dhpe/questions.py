"""What is asked of the log's past: why an alert was published, and what the state was."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from dhpe.app import build_log
from dhpe.edge.encode import rfc3339
from dhpe.edge.explain import Evidence, Explainer, Explanation
from dhpe.edge.journal import Positions
from dhpe.edge.log import Log
from dhpe.edge.log_lines import configure
from dhpe.edge.metrics import Metrics
from dhpe.edge.time_machine import TimeMachine
from dhpe.edge.topic_names import TopicNames
from dhpe.outputs import Pressure
from dhpe.settings import Settings
from dhpe.warm import compile_kernels

A = TypeVar("A")

_OFFSETS: Final = re.compile(r"chain=(-?\d+),ticks=(-?\d+)")
_FRACTION: Final = re.compile(r"\.(\d{1,9})")
_NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def explain(settings: Settings, alert_id: str) -> Explanation | None:
    """Compute an alert anew from the log; None where the log has no such alert.

    Raises:
        LogError: the log does not answer, or it took too long.
    """
    return _asked(settings, lambda log: Explainer(log, settings, Metrics()).explain(alert_id))


def state_at(settings: Settings, underlying: str, at: int | Positions) -> Pressure:
    """The state of an underlying at an instant (event time, UTC ns) or after offsets (the next ones).

    Raises:
        LogError: the log does not answer, or does not reach so far.
    """

    async def asked(log: Log) -> Pressure:
        partitions = await log.partitions(TopicNames.of(settings).ticks)
        machine = TimeMachine(log, settings, Metrics(), underlying, partitions)
        return await (machine.after(at) if isinstance(at, Positions) else machine.at_time(at))

    return _asked(settings, asked)


def moment(text: str) -> int | Positions:
    """An ISO instant, nanoseconds since 1970, or the ``offsets`` of a published record as ``chain=N,ticks=N``.

    Raises:
        ValueError: it is none of them, in one sentence.
    """
    offsets = _OFFSETS.fullmatch(text)
    if offsets:
        chain, ticks = map(int, offsets.groups())
        return Positions(chain + 1, ticks + 1)
    if text.isdecimal():
        return int(text)
    fraction = _FRACTION.search(text)
    try:
        instant = datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError:
        raise ValueError(
            f"{text!r} is no moment: give an instant such as 2026-11-20T15:30:00Z, nanoseconds since 1970, or offsets "
            "such as chain=1265,ticks=48589"
        ) from None
    whole_s = (instant.replace(tzinfo=instant.tzinfo or UTC) - _EPOCH) // timedelta(seconds=1)
    return whole_s * _NS_PER_S + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)


def _asked(settings: Settings, question: Callable[[Log], Awaitable[A]]) -> A:
    configure(settings)
    compile_kernels()

    async def asked() -> A:
        log = build_log(settings)
        await log.start()
        try:
            return await question(log)
        finally:
            await log.stop()

    return asyncio.run(asked())


def as_text(explanation: Explanation) -> str:
    """The explanation for a terminal."""
    alert = explanation.published
    verdict = {True: "bit-equal", False: "NOT bit-equal", None: "cannot be compared"}[explanation.bit_equal]
    lines = [
        f"{alert.rule} of {alert.underlying} at {rfc3339(alert.ts_event_ns)}: {alert.reason}",
        f"{verdict}: {explanation.reason}",
    ]
    if explanation.origin is not None:
        what = "a kept state" if explanation.origin.kept_state else "the beginning of the log"
        lines.append(f"computed from {what} and the {explanation.records_replayed} offsets after it")
    lines.append("")
    rows = [("evidence", "published", "recomputed", "threshold"), *map(_row, explanation.evidence)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines += [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    return "\n".join(lines)


def _row(evidence: Evidence) -> tuple[str, str, str, str]:
    numbers = (evidence.published, evidence.recomputed, evidence.threshold)
    published, recomputed, threshold = ("" if number is None else repr(number) for number in numbers)
    return evidence.name, published, recomputed, threshold
