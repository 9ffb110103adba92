"""The one door: what is possible in a market, asked once of every record of every format, then trusted.

Decoders and formats make columns; here the rows that cannot be true are taken out, each with a reason and a sentence
that names the field and its value. The first fault of a row, in the order of the rules below, is the one reported.
The door keeps no state: whether a contract is known or a record is a duplicate is the engine's question.

What passes although it looks odd, because it happens in life and the engine flags it: a bid or ask of 0 (nobody
there), locked and crossed quotes, any spread, an option trade at 0 (a cabinet trade), an empty depth record, time
going back. Minus zero leaves as zero, or equal records would have different bits.

Limits: event time in 2000 to 2100 (a time in s, ms or µs falls before it) and, where the log has append times, at most
``future_limit_ms`` ahead; prices below ``PRICE_LIMIT``, sizes below ``SIZE_LIMIT``, neither between 0 and
``SMALLEST``, and sizes not one of the integer maxima that feeds send for "none"; |rate| < 1.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, DealerPosition, OpenInterest, Rates, Reference, Reject
from dhpe.edge.messages import (
    PRICE_LIMIT,
    SIZE_LIMIT,
    SMALLEST,
    TIME_FIRST_NS,
    TIME_LAST_NS,
)
from dhpe.edge.possible_facts import POSITIVE_PRICE, SENTINELS, SIZE, fault_of, other_unit

NO_APPEND_TIME: Final = -1
"""In place of a message's append time, for logs and files that have none: the future is not checked."""
LEVELS_MAX: Final = 10_000
"""Of one depth record, both sides together."""

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Checked(NamedTuple):
    """The rows that may pass, and why the others may not, in the order of the rows."""

    batch: Batch
    rejects: list[Reject]


class Rule(NamedTuple):
    """``impossible`` is true where a value of one of the ``fields`` cannot be; NaN is absent, not 0."""

    reason: str
    sentence: str
    fields: tuple[str, ...]
    impossible: Callable[[Column], Mask]


def _within(values: Column, limit: float, *, or_zero: bool = False) -> Mask:
    within: Mask = ((values >= SMALLEST) & (values < limit)) | ((values == 0.0) & or_zero)
    return within


def _not_price(values: Column) -> Mask:
    return ~_within(values, PRICE_LIMIT, or_zero=True)


def _not_positive_price(values: Column) -> Mask:
    return ~_within(values, PRICE_LIMIT)


def _not_size(values: Column) -> Mask:
    return ~_within(values, SIZE_LIMIT, or_zero=True) | np.isin(values, SENTINELS)


def _not_trade_size(values: Column) -> Mask:
    return ~_within(values, SIZE_LIMIT) | np.isin(values, SENTINELS)


def _not_value(values: Column) -> Mask:
    return ~_within(np.abs(values), PRICE_LIMIT, or_zero=True)


def _unless_absent(impossible: Callable[[Column], Mask]) -> Callable[[Column], Mask]:
    return lambda values: impossible(values) & ~np.isnan(values)


_PRICE = f"a price is 0, or at least {SMALLEST:g} and below {PRICE_LIMIT:g}"
_TRADE_SIZE = f"a traded size is at least {SMALLEST:g}, below {SIZE_LIMIT:g} and no integer maximum"
_QUOTE_RULES = (
    Rule("bad_price", _PRICE, ("bid", "ask"), _not_price),
    Rule("bad_size", SIZE, ("bid_size", "ask_size"), _not_size),
)

RULES: Final[dict[int, tuple[Rule, ...]]] = {
    columns.OPTION_QUOTE: _QUOTE_RULES,
    columns.OPTION_TRADE: (
        Rule("bad_price", _PRICE, ("price",), _not_price),
        Rule("bad_size", _TRADE_SIZE, ("size",), _not_trade_size),
        Rule("bad_price", _PRICE, ("bid", "ask", "venue_bid", "venue_ask"), _unless_absent(_not_price)),
        Rule(
            "bad_size",
            SIZE,
            ("bid_size", "ask_size", "venue_bid_size", "venue_ask_size"),
            _unless_absent(_not_size),
        ),
    ),
    columns.TRADE: (
        Rule("bad_price", POSITIVE_PRICE, ("price",), _not_positive_price),
        Rule("bad_size", _TRADE_SIZE, ("size",), _not_trade_size),
    ),
    columns.QUOTE: _QUOTE_RULES,
    columns.INDEX_VALUE: (
        Rule("bad_value", f"an index value is finite and its size below {PRICE_LIMIT:g}", ("price",), _not_value),
    ),
}
_NAMED: Final = (columns.OPTION_QUOTE, columns.OPTION_TRADE, columns.INDEX_VALUE)
_TRADES: Final = (columns.OPTION_TRADE, columns.TRADE)
_SIGNED_COLUMNS: Final = tuple(name for name in columns.EVENT.names or () if columns.EVENT[name] == np.float64)


class _Faults:
    """The first fault of each row."""

    def __init__(self) -> None:
        self.of_row: dict[int, tuple[str, str]] = {}

    def mark(self, rows: Iterable[int], reason: str, detail: Callable[[int], str]) -> None:
        for row in rows:
            if row not in self.of_row:
                self.of_row[row] = (reason, detail(row))


def check(
    batch: Batch, append_time_ms: int | NDArray[np.int64] | None, future_limit_ms: int, topic: str = ""
) -> Checked:
    """Take out the rows that cannot be true.

    ``append_time_ms`` is that of the log, one for all rows or one for each (``NO_APPEND_TIME`` for none), or None for
    files. ``topic`` only labels the rejects. The given batch is left as it is; ``names`` and ``reference`` of the
    answer may hold entries that only rejected rows meant.
    """
    events = batch.events.copy()
    for name in _SIGNED_COLUMNS:
        events[name] += 0.0
    tidy = batch._replace(
        events=events,
        levels=batch.levels + 0.0,
        reference=[_without_minus_zero(fact) for fact in batch.reference],
    )
    faults = _Faults()
    _check_time(events, append_time_ms, future_limit_ms, faults)
    _check_names(tidy, faults)
    for kind in np.unique(events["kind"]).tolist():
        rows = np.flatnonzero(events["kind"] == kind)
        _check_kind(tidy, kind, rows, faults)
    if not faults.of_row:
        return Checked(tidy, [])
    passed = np.ones(len(events), np.bool_)
    passed[list(faults.of_row)] = False
    rejects = [_reject(tidy, row, topic, *faults.of_row[row]) for row in sorted(faults.of_row)]
    return Checked(tidy._replace(events=events[passed]), rejects)


def _without_minus_zero(fact: Reference) -> Reference:
    match fact:
        case Rates():
            return fact._replace(
                rate=fact.rate + 0.0, dividend_yield=fact.dividend_yield + 0.0, forward=fact.forward + 0.0
            )
        case OpenInterest():
            return fact._replace(open_interest=fact.open_interest + 0.0)
        case DealerPosition():
            return fact._replace(position=fact.position + 0.0)
        case _:
            return fact


def _reject(batch: Batch, row: int, topic: str, reason: str, detail: str) -> Reject:
    event = batch.events[row]
    file = batch.names[event["file"]] if event["file"] >= 0 else ""
    return Reject(topic, int(event["offset"]), int(event["index"]), file, reason, detail)


def _rows(mask: Mask) -> list[int]:
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


def _check_time(
    events: NDArray[np.void], append_time_ms: int | NDArray[np.int64] | None, future_limit_ms: int, faults: _Faults
) -> None:
    time_ns = np.ascontiguousarray(events["ts_event_ns"])
    faults.mark(
        _rows((time_ns < TIME_FIRST_NS) | (time_ns >= TIME_LAST_NS)),
        "bad_time",
        lambda row: f"ts_event_ns is {time_ns[row]}{other_unit(int(time_ns[row]))}: it is nanoseconds, 2000 to 2100",
    )
    if append_time_ms is None:
        return
    appended = np.broadcast_to(np.asarray(append_time_ms, np.int64), time_ns.shape)
    # Compared in ms, rounded up: an append time in ns could overflow when a broken clock wrote it.
    ahead = (appended != NO_APPEND_TIME) & (-(-time_ns // 1_000_000) - future_limit_ms > appended)
    faults.mark(
        _rows(ahead),
        "future_time",
        lambda row: (
            f"ts_event_ns is {time_ns[row]}, more than {future_limit_ms} ms after its append time {appended[row]} ms"
        ),
    )


def _check_names(batch: Batch, faults: _Faults) -> None:
    events, count = batch.events, len(batch.names)
    underlying = events["underlying"]
    faults.mark(
        _rows((underlying < 0) | (underlying >= count)),
        "missing_underlying",
        lambda _: "the record names no underlying",
    )
    if columns.EVERY_UNDERLYING in batch.names:
        everyone = np.flatnonzero(np.array(batch.names, dtype=object) == columns.EVERY_UNDERLYING)
        faults.mark(
            _rows(np.isin(underlying, everyone) & (events["kind"] != columns.CLOCK)),
            "reserved_underlying",
            lambda _: "the underlying '*' means all of the partition; only a clock may carry it",
        )
    missing = np.isin(events["kind"], _NAMED) & ((events["name"] < 0) | (events["name"] >= count))
    faults.mark(_rows(missing), "missing_symbol", lambda _: "the record names no option series or index")


def _check_kind(batch: Batch, kind: int, rows: NDArray[np.intp], faults: _Faults) -> None:
    if kind == columns.REFERENCE:
        _check_reference(batch, rows, faults)
    elif kind == columns.DEPTH:
        _check_depth(batch, rows, faults)
    elif kind not in range(columns.REFERENCE):
        faults.mark(rows.tolist(), "unknown_kind", lambda _: f"there is no record kind {kind}")
    events = batch.events[rows]
    for rule in RULES.get(kind, ()):
        for field in rule.fields:
            values = np.ascontiguousarray(events[field])
            _mark_values(faults, rows, rule, field, values)
    if kind in _TRADES:
        wrong = rows[(events["side"] < columns.SELL) | (events["side"] > columns.BUY)].tolist()
        faults.mark(wrong, "bad_side", lambda _: "the aggressor is buy, sell or unknown")
    if kind == columns.OPTION_TRADE:
        half = ((events["flags"] & columns.CARRIES_QUOTE) != 0) & (np.isnan(events["bid"]) | np.isnan(events["ask"]))
        faults.mark(
            rows[half].tolist(), "half_quote", lambda _: "the quote before a trade has a bid and an ask, or none"
        )
    if kind == columns.INDEX_VALUE:
        spot = (events["name"] == events["underlying"]) & ~(events["price"] > 0.0)
        faults.mark(rows[spot].tolist(), "bad_value", lambda _: "an index named as its underlying is the spot: above 0")


def _mark_values(faults: _Faults, rows: NDArray[np.intp], rule: Rule, field: str, values: Column) -> None:
    wrong = np.flatnonzero(rule.impossible(values))
    value_of_row = dict(zip(rows[wrong].tolist(), values[wrong].tolist(), strict=True))
    faults.mark(value_of_row, rule.reason, lambda row: f"{field} is {value_of_row[row]!r}: {rule.sentence}")


def _check_depth(batch: Batch, rows: NDArray[np.intp], faults: _Faults) -> None:
    events, levels = batch.events[rows], batch.levels
    start = events["levels_start"].astype(np.int64)
    bids, asks = events["bid_levels"].astype(np.int64), events["ask_levels"].astype(np.int64)
    outside = (start < 0) | (bids < 0) | (asks < 0) | (start + bids + asks > len(levels))
    faults.mark(rows[outside].tolist(), "bad_depth", lambda _: "the levels of the record are not in the batch")
    many = ~outside & (bids + asks > LEVELS_MAX)
    faults.mark(rows[many].tolist(), "too_many_levels", lambda _: f"a depth record has at most {LEVELS_MAX} levels")
    impossible = _not_positive_price(levels[:, 0]) | _not_size(levels[:, 1])
    seen = np.concatenate(([0], np.cumsum(impossible)))
    whole = np.where(outside, 0, start + bids + asks)
    bad = seen[whole] - seen[np.where(outside, 0, start)] > 0
    faults.mark(
        rows[bad].tolist(), "bad_level", lambda _: f"of a level, {POSITIVE_PRICE}, and {SIZE} (0 removes the level)"
    )


def _check_reference(batch: Batch, rows: NDArray[np.intp], faults: _Faults) -> None:
    events, count = batch.events, len(batch.reference)
    for row in rows.tolist():
        place = int(events["reference"][row])
        if not 0 <= place < count:
            faults.of_row.setdefault(row, ("bad_reference", "the fact of the record is not in the batch"))
            continue
        fault = fault_of(batch.reference[place], int(events["ts_event_ns"][row]))
        if fault is not None:
            faults.of_row.setdefault(row, fault)
