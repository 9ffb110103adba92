"""The story: records as columns in, published states and alerts out.

``Engine.step`` is a function of (state, parameters, chain records, tick records). It gives the same outputs however
a log is cut into steps, as long as the order stays; it reads no clock and does no I/O. The same engine runs live, in
a replay, in a backtest and in the tests.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.alerts import Judge
from dhpe.columns import (
    CLOCK,
    DEPTH,
    EVERY_UNDERLYING,
    INDEX_VALUE,
    OPTION_TRADE,
    REFERENCE,
    SNAPSHOT,
    Adjustment,
    Batch,
    Reject,
    venue_codes,
)
from dhpe.duplicates import SURPLUS, Marks, SequenceMemory
from dhpe.fingerprint import engine_version
from dhpe.numerics.repeats import CONFLICTING, GAP, REPEATED
from dhpe.numerics.side_labels import RULE_WORDS
from dhpe.numerics.state import FLAGS, NS_PER_S, SEQUENCE_GAP
from dhpe.numerics.ticks import CLOSE_BAR
from dhpe.outputs import Offsets, Output, Pressure, TradeLabel
from dhpe.parameters import Parameters
from dhpe.pressure import pressure_of
from dhpe.underlying import Underlying, labels_for

CHAIN: Final = "chain"
TICKS: Final = "ticks"
_REFUSALS: Final = {
    REPEATED: ("duplicate", "this source has already sent this sequence"),
    CONFLICTING: ("sequence_conflict", "this source has already sent this sequence with another content"),
    SURPLUS: ("too_many_sources", "the source of the record is one more than a partition may have"),
}
_SIDES: Final = {1: "buy", -1: "sell", 0: None}


class StepResult(NamedTuple):
    """What one step says. Per underlying, outputs and labels stand in the order of the log."""

    outputs: list[Output]
    labels: list[TradeLabel]
    rejects: list[Reject]
    flags: dict[str, int]


class Engine:
    """All underlyings of one partition."""

    def __init__(self, parameters: Parameters, partition: int = 0) -> None:
        self.parameters = parameters
        self.engine_version = engine_version(parameters)
        self._partition = partition
        self._underlyings: dict[str, tuple[Underlying, Judge]] = {}
        self._sequences = SequenceMemory(parameters)
        self._offsets = {CHAIN: -1, TICKS: -1}
        self._flags_before: dict[str, NDArray[np.int64]] = {}
        self._result = StepResult([], [], [], {})

    @property
    def underlyings(self) -> dict[str, Underlying]:
        """The underlyings by name, for whoever wants to read a state."""
        return {name: pair[0] for name, pair in self._underlyings.items()}

    @property
    def offsets(self) -> Offsets:
        """The input positions that are applied."""
        return Offsets(self._partition, **self._offsets)

    def pressure(self, name: str) -> Pressure | None:
        """The state of an underlying as it would be published now; ``None`` for one that no record has named."""
        if name not in self._underlyings:
            return None
        return pressure_of(*self._underlyings[name], self.offsets, self.engine_version)

    def step(self, chain: Batch, ticks: Batch) -> StepResult:
        """Apply ``chain``, then ``ticks``, each in its own order. Any kind of record is allowed in either."""
        self._result = StepResult([], [], [], {})
        self._flags_before.clear()
        self._apply(chain, CHAIN)
        self._apply(ticks, TICKS)
        self._result.flags.update(self._new_flags())
        return self._result

    def _new_flags(self) -> dict[str, int]:
        """What the underlyings of this step have flagged in it; the others are not asked."""
        total = np.zeros(len(FLAGS), np.int64)
        for name, before in self._flags_before.items():
            total += self._underlyings[name][0].market["flags"] - before
        return {name: count for name, count in zip(FLAGS, total.tolist(), strict=True) if count}

    def meet(self, name: str) -> tuple[Underlying, Judge]:
        """The underlying and its judge, made at the first mention of ``name``."""
        if name not in self._underlyings:
            underlying = Underlying(name, self.parameters)
            self._underlyings[name] = (underlying, Judge(underlying, self.engine_version))
        named = self._underlyings[name]
        if name not in self._flags_before:
            self._flags_before[name] = named[0].market["flags"].copy()
        return named

    def _reject(self, batch: Batch, topic: str, event: np.void, reason: str, detail: str) -> None:
        file = batch.names[event["file"]] if event["file"] >= 0 else ""
        self._result.rejects.append(Reject(topic, int(event["offset"]), int(event["index"]), file, reason, detail))

    def _apply(self, batch: Batch, topic: str) -> None:
        events = batch.events
        if len(events) == 0:
            return
        marks = self._sequences.marks(batch)
        kept = self._kept(batch, topic, marks)
        if (events["source"] >= 0).any():
            events = events.copy()
            events["source"] = venue_codes(events, batch.names)
        for start, end in pairwise([0, *self._gaps_and_snapshots(batch, marks), len(events)]):
            if start < end:
                self._note_gap(batch, start, marks)
                self._apply_kept(batch, topic, events[start:end][kept[start:end]])
        self._offsets[topic] = int(events["offset"][-1])

    def _kept(self, batch: Batch, topic: str, marks: Marks | None) -> NDArray[np.bool_]:
        """Which events are applied; the others are refused by their number or for their underlying."""
        events = batch.events
        kept = np.ones(len(events), np.bool_)
        if marks is not None:
            for row in np.flatnonzero(np.isin(marks.codes, list(_REFUSALS))).tolist():
                kept[row] = False
                self._reject(batch, topic, events[row], *_REFUSALS[int(marks.codes[row])])
        if len(self._underlyings) + len(batch.names) <= self.parameters.underlyings_max:
            return kept
        codes, firsts = np.unique(events["underlying"][kept], return_index=True)
        known = self._underlyings.keys() | {EVERY_UNDERLYING}
        new = [code for code in codes[np.argsort(firsts)].tolist() if batch.names[code] not in known]
        surplus = kept & np.isin(events["underlying"], new[self.parameters.underlyings_max - len(self._underlyings) :])
        for event in events[surplus]:
            name = batch.names[event["underlying"]]
            self._reject(batch, topic, event, "too_many_underlyings", f"{name} is one more than a partition may have")
        return kept & ~surplus

    def _gaps_and_snapshots(self, batch: Batch, marks: Marks | None) -> list[int]:
        """Where the knowledge of missing records may change."""
        events = batch.events
        places = set() if marks is None else set(marks.told)
        snapshots = np.flatnonzero((events["kind"] == DEPTH) & (events["flags"] & SNAPSHOT != 0))
        if len(snapshots):
            named = {batch.names[code] for code in np.unique(events["underlying"][snapshots])}
            if places or any(name in self._underlyings and self._underlyings[name][0].gaps for name in named):
                places |= set(snapshots.tolist())
        return sorted(places)

    def _note_gap(self, batch: Batch, place: int, marks: Marks | None) -> None:
        event = batch.events[place]
        name = batch.names[event["underlying"]]
        if marks is not None and place in marks.told:
            source = batch.names[event["source"]] if event["source"] >= 0 else ""
            affected = [self.meet(one)[0] for one in marks.told[place] if one in self._underlyings]
            for underlying in affected:
                underlying.gaps.pop(source, None)
                if marks.codes[place] == GAP:
                    underlying.gaps[source] = max(int(event["ts_event_ns"]), int(underlying.market["ts_ns"]))
                    underlying.market["flags"][SEQUENCE_GAP] += underlying.name == name
        if event["kind"] == DEPTH and event["flags"] & SNAPSHOT and name in self._underlyings:
            self._underlyings[name][0].gaps.clear()

    def _apply_kept(self, batch: Batch, topic: str, events: NDArray[np.void]) -> None:
        for run in _runs(events, batch.names) if len(events) else ():
            first = run[0]
            if first["kind"] == REFERENCE:
                self._apply_reference(batch, topic, run)
            elif first["kind"] == CLOCK and batch.names[first["underlying"]] == EVERY_UNDERLYING:
                for name in list(self._underlyings):
                    self._run(name, batch, topic, run)
            else:
                for code in np.unique(run["underlying"]):
                    self._run(batch.names[code], batch, topic, run[run["underlying"] == code])

    def _apply_reference(self, batch: Batch, topic: str, run: NDArray[np.void]) -> None:
        for event in run:
            underlying, judge = self.meet(batch.names[event["underlying"]])
            fact = batch.reference[event["reference"]]
            refusal = underlying.apply_reference(fact)
            if refusal is not None:
                self._reject(batch, topic, event, *refusal)
            elif isinstance(fact, Adjustment):
                judge.rescale(fact.shares)

    def _run(self, name: str, batch: Batch, topic: str, events: NDArray[np.void]) -> None:
        underlying, judge = self.meet(name)
        rows = _rows(underlying, events, batch.names)
        contracts = underlying.book.state.contracts
        option = events["kind"] <= OPTION_TRADE
        settled = option & (rows >= 0)
        settled[settled] = contracts["settles_ns"][rows[settled]] <= events["ts_event_ns"][settled]
        unknown = (rows < 0) & (events["kind"] != INDEX_VALUE)
        if unknown.any() or settled.any():
            for event in events[unknown]:
                refusal = _unknown(batch.names[event["name"]], option=event["kind"] <= OPTION_TRADE)
                self._reject(batch, topic, event, *refusal)
            for event in events[settled]:
                symbol = batch.names[event["name"]]
                self._reject(batch, topic, event, "expired_contract", f"{symbol} had settled or been replaced")
            good = ~(unknown | settled)
            events, rows = events[good], rows[good]
        labels = labels_for(events)
        for place, due in underlying.run(events, rows, batch.levels, labels):
            offsets = self._offsets_at(topic, int(events["offset"][place]))
            if due == CLOSE_BAR:
                self._result.outputs.extend(judge.close_bar(offsets))
            else:
                self._result.outputs.append(pressure_of(underlying, judge, offsets, self.engine_version))
        self._keep_labels(name, events, labels[: int(underlying.market["labels"])], batch.names)

    def _offsets_at(self, topic: str, offset: int) -> Offsets:
        return Offsets(self._partition, **(self._offsets | {topic: offset}))

    def _keep_labels(self, name: str, events: NDArray[np.void], labels: NDArray[np.void], names: list[str]) -> None:
        for label in labels:
            event = events[label["event"]]
            self._result.labels.append(
                TradeLabel(
                    underlying=name,
                    ts_event_ns=int(event["ts_event_ns"]),
                    symbol=names[event["name"]] if event["kind"] == OPTION_TRADE else None,
                    price=float(event["price"]),
                    size=float(event["size"]),
                    side=_SIDES[int(label["side"])],
                    rule=RULE_WORDS[label["quote_state"]][label["rule"]],
                    probability=float(label["probability"]),
                    quote_age_s=None if label["quote_age_ns"] < 0 else float(label["quote_age_ns"]) / NS_PER_S,
                    lee_ready_side=_SIDES[int(label["lee_ready"])],
                    offset=int(event["offset"]),
                )
            )


def _unknown(name: str, *, option: bool) -> tuple[str, str]:
    if option:
        return "unknown_contract", f"{name} is not defined: send its contract record first"
    return "too_many_instruments", f"{name} is one instrument more than an underlying may have"


def _runs(events: NDArray[np.void], names: list[str]) -> Iterator[NDArray[np.void]]:
    """Cut into runs of reference records, of hot records, and single clocks for everybody."""
    if len(events) == 0:  # all of a batch were repeated
        return
    everybody = names.index(EVERY_UNDERLYING) if EVERY_UNDERLYING in names else -2
    kind = np.where(events["kind"] == REFERENCE, 1, 0)
    clock = (events["kind"] == CLOCK) & (events["underlying"] == everybody)
    kind[clock] = 2
    cut = (kind[1:] != kind[:-1]) | clock[1:]
    yield from np.split(events, np.flatnonzero(cut) + 1)


def _rows(underlying: Underlying, events: NDArray[np.void], names: list[str]) -> NDArray[np.int32]:
    """The contract, instrument or index of each record; -1 where it is unknown."""
    rows = np.zeros(len(events), np.int32)
    kind = events["kind"]
    option = kind <= OPTION_TRADE
    for chosen, row_of in (
        (option, underlying.book.row),
        (kind == INDEX_VALUE, underlying.index_code),
        (~option & (kind != INDEX_VALUE) & (kind != CLOCK), underlying.instrument_row),
    ):
        codes = events["name"][chosen]
        if len(codes) == 0:
            continue
        lookup = np.zeros(len(names) + 1, np.int32)  # the last place stands for -1, no name: the unnamed instrument
        found, firsts = np.unique(codes, return_index=True)
        for code in found[np.argsort(firsts)]:  # as they come: the order of names is an accident of the batch
            lookup[code] = row_of(names[code] if code >= 0 else "")
        rows[chosen] = lookup[codes]
    return rows
