"""Files through the same engine as live, without a log: what ``dhpe replay`` does.

The records come by event time, reference data before the ticks that need it, and end with a clock one
``pressure_interval_ms`` after the last one, so that the last state is revalued and published. The answer stands in a
folder: ``pressure.jsonl`` and ``alerts.jsonl`` as on the topics, ``trades.jsonl`` (side, rule and probability of each
trade), ``rejected.jsonl`` (reason, file and line) and ``summary.json``; with ``--fields`` also ``fields.jsonl``, the
field of each underlying at the end of the input, by name. The same input gives the same bytes, the
timing fields of the summary aside, with whatever ``speed`` and however it is cut into batches.

``records_per_s`` of the summary is all of it: opening, unpacking, parsing, the engine, and writing the files. It
leaves out what a process does once: importing, and compiling or loading the kernels, which happens before the clock
starts. ``engine_records_per_s`` is the engine alone.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dhpe.columns import REFERENCE, Batch, Reject, empty_batch
from dhpe.edge import formats
from dhpe.edge.encode import encode_field, encode_output
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.edge.formats import ChainFacts, InputError, Plan
from dhpe.engine import Engine, StepResult
from dhpe.field import copy_of, field_of
from dhpe.field_outputs import FieldLimits
from dhpe.parameters import Parameters
from dhpe.settings import Settings
from dhpe.warm import compile_kernels, warm

FILES: Final = ("pressure.jsonl", "alerts.jsonl", "trades.jsonl", "rejected.jsonl")
FIELDS: Final = "fields.jsonl"
SUMMARY: Final = "summary.json"

_NS_PER_S: Final = 1_000_000_000
_PIECE_S: Final = 0.1  # of wall time: what a paced replay steps at once
_JSON: Final = msgspec.json.Encoder()


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay has done. ``records`` counts all that stood in the inputs, ``rejected`` those not applied.

    The last four fields are of the wall clock and differ from run to run.
    """

    inputs: list[str]
    formats: list[str]
    underlyings: list[str]
    records: int
    rejected: int
    rejected_by_reason: dict[str, int]
    flags: dict[str, int]
    pressures: int
    alerts: int
    trades: int
    first_event_ns: int | None
    last_event_ns: int | None
    engine_version: str
    seconds: float
    records_per_s: float | None
    engine_seconds: float
    engine_records_per_s: float | None


class Pace(NamedTuple):
    """The wall clock as a replay sees it, so that a test can bring its own; ``speed`` None does not wait."""

    speed: float | None = None
    now_s: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


class _Rejected(msgspec.Struct, frozen=True):
    """A line of ``rejected.jsonl``."""

    reason: str
    file: str
    line: int
    detail: str


class _Answers:
    """The files of the answer, and how much went into each."""

    def __init__(self, files: dict[str, BinaryIO]) -> None:
        self._files = files
        self.lines: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()

    def write(self, result: StepResult) -> None:
        """What a step has said."""
        for output in result.outputs:
            message = encode_output(output)
            self._line(f"{message.topic}.jsonl", message.value)
        for label in result.labels:
            self._line("trades.jsonl", _JSON.encode(label))
        for reject in result.rejects:
            self.reject(reject)
        self.flags.update(result.flags)

    def reject(self, reject: Reject) -> None:
        """A record that was not applied."""
        self.reasons[reject.reason] += 1
        line = _Rejected(reject.reason, reject.file, reject.index, reject.detail)
        self._line("rejected.jsonl", _JSON.encode(line))

    def _line(self, name: str, value: bytes) -> None:
        self.lines[name] += 1
        self._files[name].write(value + b"\n")


def replay(
    chosen: Plan,
    output: Path,
    parameters: Parameters,
    *,
    pace: Pace | None = None,
    on_progress: Callable[[int], None] | None = None,
    fields: FieldLimits | None = None,
) -> Summary:
    """Send the inputs of a plan through a new engine and write the answer into ``output``, with ``fields`` those too.

    Raises:
        InputError: an input or the folder cannot be used, in one line.
    """
    compile_kernels()
    warm(parameters)
    engine = Engine(parameters)
    run = _Run(engine, pace or Pace())
    with ExitStack() as stack:
        answers = _Answers({name: stack.enter_context(_created(output / name)) for name in FILES})
        for item in formats.read(chosen):
            if isinstance(item, Reject):
                answers.reject(item)
                run.unread += 1
                continue
            for result in run.steps(item):
                answers.write(result)
            if on_progress is not None:
                on_progress(run.records)
        if run.last_ns >= 0:
            answers.write(run.close(parameters.pressure_interval_ms))
        if fields is not None:
            file = stack.enter_context(_created(output / FIELDS))
            file.writelines(_fields(engine, fields))
    seconds = time.perf_counter() - run.started_s
    summary = Summary(
        inputs=[file for _, files in chosen.parts for file in files],
        formats=chosen.formats,
        underlyings=sorted(engine.underlyings),
        records=run.records,
        rejected=answers.lines["rejected.jsonl"],
        rejected_by_reason=dict(sorted(answers.reasons.items())),
        flags=dict(sorted(answers.flags.items())),
        pressures=answers.lines["pressure.jsonl"],
        alerts=answers.lines["alerts.jsonl"],
        trades=answers.lines["trades.jsonl"],
        first_event_ns=run.first_ns if run.first_ns >= 0 else None,
        last_event_ns=run.last_ns if run.last_ns >= 0 else None,
        engine_version=engine.engine_version,
        seconds=round(seconds, 3),
        records_per_s=_rate(run.records, seconds),
        engine_seconds=round(run.engine_s, 3),
        engine_records_per_s=_rate(run.applied, run.engine_s),
    )
    (output / SUMMARY).write_bytes(msgspec.json.format(_JSON.encode(summary), indent=2) + b"\n")
    return summary


def _fields(engine: Engine, limits: FieldLimits) -> Iterator[bytes]:
    for _, underlying in sorted(engine.underlyings.items()):
        copy = copy_of(underlying, engine.offsets, engine.engine_version)
        yield encode_field(field_of(copy, limits)) + b"\n"


def _rate(records: int, seconds: float) -> float | None:
    return round(records / seconds, 1) if seconds > 0.0 else None


def _created(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}; name another --output") from error


class _Run:
    """The engine with the wall clock around it."""

    def __init__(self, engine: Engine, pace: Pace) -> None:
        self._engine = engine
        self._pace = pace
        self._paced_from: tuple[int, float] | None = None
        self.started_s = time.perf_counter()
        self.engine_s = 0.0
        self.applied = 0
        self.unread = 0
        self.first_ns = -1
        self.last_ns = -1

    @property
    def records(self) -> int:
        """All records of the inputs so far, the unreadable ones included."""
        return self.applied + self.unread

    def steps(self, batch: Batch) -> Iterator[StepResult]:
        """Apply a batch: each run of reference records as of the chain, the hot records after it as of the ticks."""
        for chain, ticks in _pieces(batch, self._pace.speed):
            event_ns = latest_event_ns(ticks, -1)
            self._reach(event_ns)
            yield self._step(chain, ticks)
            self.applied += len(chain.events) + len(ticks.events)
            if event_ns >= 0:
                earliest_ns = int(ticks.events["ts_event_ns"].min())
                self.first_ns = earliest_ns if self.first_ns < 0 else min(self.first_ns, earliest_ns)
            self.last_ns = max(self.last_ns, event_ns)

    def close(self, after_ms: int) -> StepResult:
        """The clock that ends a replay of files."""
        clock = closing_clock(self.last_ns, after_ms)
        clock.events["offset"] = self.applied
        return self._step(empty_batch(), clock)

    def _step(self, chain: Batch, ticks: Batch) -> StepResult:
        before_s = time.perf_counter()
        result = self._engine.step(chain, ticks)
        self.engine_s += time.perf_counter() - before_s
        return result

    def _reach(self, event_ns: int) -> None:
        """Let the event time pass ``speed`` times as fast as the wall clock, from the first hot record on."""
        speed = self._pace.speed
        if not speed or event_ns < 0:
            return
        now_s = self._pace.now_s()
        if self._paced_from is None:
            self._paced_from = (event_ns, now_s)
        first_ns, started_s = self._paced_from
        ahead_s = (event_ns - first_ns) / _NS_PER_S / speed - (now_s - started_s)
        if ahead_s > 0.0:
            self._pace.sleep(ahead_s)


def _pieces(batch: Batch, speed: float | None) -> Iterator[tuple[Batch, Batch]]:
    """Cut into pairs of reference records and the hot records after them; a paced replay into shorter ones."""
    events = batch.events
    reference = events["kind"] == REFERENCE
    cut = reference[1:] & ~reference[:-1]
    if speed:
        slot = np.maximum.accumulate(events["ts_event_ns"]) // max(1, round(_PIECE_S * speed * _NS_PER_S))
        cut |= (slot[1:] != slot[:-1]) & ~reference[1:]
    bounds = [0, *(np.flatnonzero(cut) + 1).tolist(), len(events)]
    for first, last in pairwise(bounds):
        middle = first + int(np.count_nonzero(reference[first:last]))
        yield batch._replace(events=events[first:middle]), batch._replace(events=events[middle:last])


class _RateColumn(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} records/s")


def main(  # noqa: PLR0913 - an argument is an option of the command
    inputs: Sequence[str],
    output: Path,
    *,
    settings: Settings,
    format: str | None = None,  # noqa: A002 - as the option is called
    speed: float | None = None,
    spot: float | None = None,
    as_of: str | None = None,
    underlying: str | None = None,
    fields: bool = False,
) -> Summary:
    """``dhpe replay``: a progress bar on a terminal's standard error, and the summary in a few words at the end.

    Raises:
        InputError: an input, the folder or ``as_of`` cannot be used, in one line.
    """
    chosen = formats.plan(inputs, format_name=format, told=ChainFacts(spot, _instant_ns(as_of), underlying))
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        shown = bar.add_task("replay", total=formats.expected_records(chosen) if console.is_terminal else None)
        summary = replay(
            chosen,
            output,
            settings.parameters(),
            pace=Pace(speed),
            on_progress=lambda records: bar.update(shown, completed=records),
            fields=settings.field_limits() if fields else None,
        )
        bar.update(shown, total=summary.records, completed=summary.records)
    Console(highlight=False, soft_wrap=True).print(
        f"{', '.join(summary.underlyings) or 'nothing'}: {summary.records:,} records, {summary.rejected:,} rejected, "
        f"{summary.pressures:,} states, {summary.alerts:,} alerts, {summary.trades:,} trades "
        f"in {summary.seconds:.2f} s ({summary.records_per_s or 0.0:,.0f} records/s); see {output}",
        markup=False,
    )
    return summary


def _instant_ns(text: str | None) -> int | None:
    """An instant as ISO 8601; without an offset it is UTC."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--as-of {text!r}: is no instant; write it as 2026-08-18T20:15:00Z") from error
    return int(instant.replace(tzinfo=instant.tzinfo or UTC).timestamp()) * _NS_PER_S
