"""Bytes of the wire to columns, through the one door: a JSON record or an array of them in a message, or packed rows.

Nothing a message may hold raises: what cannot be read, and what cannot be true, comes back as a ``Reject`` with the
position of its message and, of an array, the index of the record (-1: the whole message). Good records of an array
with bad ones are kept. A decoder keeps no state between calls.

The cost of a good JSON record is one msgspec decode into a struct of the tagged union and one ``np.fromiter`` item for
each of its fields; only reference records and faults are handled one by one. Packed columns are copied.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain, count
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, Reference, Reject, empty_events
from dhpe.edge import door, packed
from dhpe.edge import messages as wire
from dhpe.edge.layouts import LAYOUTS, Layout
from dhpe.edge.salvage import (
    COLUMNS_CONTENT_TYPE,
    CONTENT_TYPE,
    DEFAULT_LIMITS,
    DETAIL_LENGTH_MAX,
    WHOLE_MESSAGE,
    Fault,
    Limits,
    count_fault,
    media_type_of,
    refusal,
    salvage,
    told,
)
from dhpe.edge.sessions import settlement_ns

Message = tuple[int, bytes | None, bytes | None, str | None, int | None]
"""offset, key, value, content type (None: JSON; see ``content_type_of``), append time in ms (None: there is none)."""


class Decoded(NamedTuple):
    """The good records of some messages, and why the others are not among them, by offset and index."""

    batch: Batch
    rejects: list[Reject]


class _Gathered(NamedTuple):
    """Decoded records with the place of their message and their index in it, and the messages of packed columns."""

    records: list[Any]
    places: list[int]
    indices: list[int]
    parts: list[packed.Part]


_KIND_OF_TYPE: Final = dict.fromkeys(wire.KIND_OF_TYPE, columns.REFERENCE) | {
    record: layout.kind for record, layout in LAYOUTS.items()
}
_SIDES: Final = {None: 0, "buy": columns.BUY, "sell": columns.SELL}
_KIND_PARAMETER: Final = f"; {packed.KIND_HEADER}="
_PLAIN: Final = frozenset({None, CONTENT_TYPE})
_Names = defaultdict[str | None, int]
_MESSAGE: Final = msgspec.json.Decoder(wire.Record | list[wire.Record])


def decode(messages: Sequence[Message], topic: str, limits: Limits = DEFAULT_LIMITS) -> Decoded:
    """The records of ``messages`` of one topic as a batch that has passed the door, in the order of the messages."""
    rejects: list[Reject] = []
    gathered = _gather(messages, topic, limits, rejects)
    if not gathered.records and not gathered.parts:
        return Decoded(columns.empty_batch(), rejects)
    batch, places, faults = _to_columns(gathered, messages)
    if faults:
        rejects += (
            Reject(topic, int(batch.events["offset"][row]), int(batch.events["index"][row]), "", *fault)
            for row, fault in faults.items()
        )
        passed = np.ones(len(batch.events), np.bool_)
        passed[list(faults)] = False
        batch, places = batch._replace(events=batch.events[passed]), places[passed]
    checked = door.check(batch, _append_times(messages)[places], limits.future_limit_ms, topic)
    rejects += checked.rejects
    rejects.sort(key=lambda reject: (reject.offset, reject.index))
    return Decoded(checked.batch, rejects)


def content_type_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The content type that a message's headers name, None where they name none. Any bytes are accepted.

    Packed columns carry the kind of their rows in a header of its own; here it follows their type as a parameter.
    """
    told: dict[str, str] = {}
    for name, value in headers:
        if value is not None:
            told.setdefault(name.lower(), value.decode("latin-1"))
    content_type, kind = told.get("content-type"), told.get(packed.KIND_HEADER)
    if kind is not None and media_type_of(content_type) == COLUMNS_CONTENT_TYPE:
        return f"{content_type}{_KIND_PARAMETER}{kind}"
    return content_type


@lru_cache(maxsize=64)
def _kind_of(content_type: str) -> str | None:
    _, told, kind = content_type.rpartition(_KIND_PARAMETER)
    return kind if told else None


def _append_times(messages: Sequence[Message]) -> NDArray[np.int64]:
    times = (door.NO_APPEND_TIME if message[4] is None else message[4] for message in messages)
    return np.fromiter(times, np.int64, len(messages))


def _gather(messages: Sequence[Message], topic: str, limits: Limits, rejects: list[Reject]) -> _Gathered:
    gathered = _Gathered([], [], [], [])
    records, places, indices, parts = gathered
    parse = _MESSAGE.decode
    for place, (offset, _, value, content_type, _) in enumerate(messages):
        if value is None or content_type not in _PLAIN or len(value) > limits.bytes_max or not value.isascii():
            if value is not None and media_type_of(content_type) == COLUMNS_CONTENT_TYPE:
                part = packed.part_of(place, value, _kind_of(content_type or ""), limits)
                if isinstance(part, packed.Part):
                    parts.append(part)
                    continue
                fault: Fault | None = part
            else:
                fault = refusal(value, content_type, limits.bytes_max)
            if fault is not None:
                rejects.append(Reject(topic, offset, WHOLE_MESSAGE, "", *fault))
                continue
        try:
            record = parse(value or b"")
        except (msgspec.DecodeError, RecursionError):
            faults = []
            for index, found in salvage(value or b"", limits.records_max):
                if isinstance(found, Fault):
                    faults.append((index, found))
                else:
                    records.append(found)
                    places.append(place)
                    indices.append(index)
            rejects += told(faults, topic, offset)
            continue
        if type(record) is list:
            fault = count_fault(len(record), limits.records_max)
            if fault is not None:
                rejects.append(Reject(topic, offset, WHOLE_MESSAGE, "", *fault))
                continue
            records += record
            places += [place] * len(record)
            indices += range(len(record))
        else:
            records.append(record)
            places.append(place)
            indices.append(0)
    return gathered


def _to_columns(gathered: _Gathered, messages: Sequence[Message]) -> tuple[Batch, NDArray[np.int64], dict[int, Fault]]:
    """All records as rows, the place of each one's message, and the faults of rows that must not reach the door."""
    names: _Names = defaultdict(count().__next__)
    names[None] = -1
    faults: dict[int, Fault] = {}
    batch = _of_json(gathered, names, faults)
    places = np.array(gathered.places, np.int64)
    if gathered.parts:
        batch, places = _with_packed(
            batch, places, packed.unpack(gathered.parts, names.__getitem__, len(batch.levels)), faults
        )
    events = batch.events
    events["offset"] = np.fromiter((message[0] for message in messages), np.int64, len(messages))[places]
    carries = (events["kind"] == columns.OPTION_TRADE) & ~(np.isnan(events["bid"]) & np.isnan(events["ask"]))
    events["flags"] |= carries * np.uint16(columns.CARRIES_QUOTE)
    _check_keys(events, places, messages, names, faults)
    return batch._replace(names=[name for name in names if name is not None]), places, faults


def _with_packed(
    batch: Batch, places: NDArray[np.int64], rows: packed.Unpacked, faults: dict[int, Fault]
) -> tuple[Batch, NDArray[np.int64]]:
    """Packed rows put among those of JSON, in the order of their messages; the faults go with their rows."""
    faults |= {len(places) + row: fault for row, fault in rows.faults.items()}
    events = np.concatenate((batch.events, rows.events)) if len(places) else rows.events
    places = np.concatenate((places, rows.places))
    levels = np.concatenate((batch.levels, rows.levels))
    if (places[1:] < places[:-1]).any():
        order = np.argsort(places, kind="stable")
        events, places = events[order], places[order]
        at = np.argsort(order)
        moved = {int(at[row]): fault for row, fault in faults.items()}
        faults.clear()
        faults |= moved
    return batch._replace(events=events, levels=levels), places


def _of_json(gathered: _Gathered, names: _Names, faults: dict[int, Fault]) -> Batch:
    """The decoded records as rows, without their positions and names."""
    records = gathered.records
    size = len(records)
    name_of = names.__getitem__
    reference: list[Reference] = []
    events = empty_events(size)
    events["index"] = gathered.indices
    events["kind"] = np.fromiter(map(_KIND_OF_TYPE.__getitem__, map(type, records)), np.int8, size)
    events["ts_event_ns"] = np.fromiter(map(attrgetter("ts_event_ns"), records), np.int64, size)
    sequences = map(attrgetter("sequence"), records)
    events["sequence"] = np.fromiter((-1 if number is None else number for number in sequences), np.int64, size)
    events["underlying"] = np.fromiter(map(name_of, map(attrgetter("underlying"), records)), np.int32, size)
    events["source"] = np.fromiter(map(name_of, map(attrgetter("source"), records)), np.int32, size)
    levels = np.zeros((0, 2))
    for record_type, layout in LAYOUTS.items():
        rows = np.flatnonzero(events["kind"] == layout.kind)
        if not len(rows):
            continue
        group = records if len(rows) == size else [records[row] for row in rows.tolist()]
        _fill_hot(events, rows, group, layout, name_of)
        if record_type is wire.Depth:
            levels = _fill_depth(events, rows, group)
    _fill_reference(events, records, reference, faults)
    return Batch(events, [], reference, levels)


def _check_keys(
    events: NDArray[np.void],
    places: NDArray[np.int64],
    messages: Sequence[Message],
    names: _Names,
    faults: dict[int, Fault],
) -> None:
    """A message's key, where it has one, is the underlying of each of its records, or partitions mean nothing."""
    keys = [message[1] for message in messages]
    # Bytes that are not UTF-8 become surrogates, which no decoded name holds.
    id_of_key = {key: -2 if key is None else names.get(key.decode(errors="surrogateescape"), -1) for key in set(keys)}
    key = np.fromiter(map(id_of_key.__getitem__, keys), np.int64, len(keys))[places]
    for row in np.flatnonzero((key != -2) & (key != events["underlying"])).tolist():
        fault = Fault("key_mismatch", f"the key {keys[places[row]]!r:.100} is not the record's underlying")
        faults.setdefault(row, fault)


def _fill_hot(
    events: NDArray[np.void], rows: NDArray[np.intp], group: list[Any], layout: Layout, name_of: Callable[[Any], int]
) -> None:
    size = len(group)
    if layout.name is not None:
        events["name"][rows] = np.fromiter(map(name_of, map(attrgetter(layout.name), group)), np.int32, size)
    for column, field in layout.numbers:
        # None becomes NaN here: absent.
        events[column][rows] = np.fromiter(map(attrgetter(field), group), np.float64, size)
    if layout.kind in (columns.OPTION_TRADE, columns.TRADE):
        sides = map(_SIDES.__getitem__, map(attrgetter("side"), group))
        events["side"][rows] = np.fromiter(sides, np.int8, size)
    if layout.kind == columns.OPTION_TRADE:
        flags = np.fromiter(map(attrgetter("multi_leg"), group), np.uint16, size) * np.uint16(columns.MULTI_LEG)
        cancels = map(attrgetter("cancels"), group)
        events["cancels"][rows] = np.fromiter((-1 if number is None else number for number in cancels), np.int64, size)
        events["flags"][rows] = flags


def _fill_depth(events: NDArray[np.void], rows: NDArray[np.intp], group: list[Any]) -> NDArray[np.float64]:
    size = len(group)
    bids = np.fromiter((len(depth.bids) for depth in group), np.int32, size)
    asks = np.fromiter((len(depth.asks) for depth in group), np.int32, size)
    ends = np.cumsum(bids + asks)
    events["bid_levels"][rows] = bids
    events["ask_levels"][rows] = asks
    events["levels_start"][rows] = ends - bids - asks
    snapshots = np.fromiter(map(attrgetter("snapshot"), group), np.uint16, size)
    events["flags"][rows] = snapshots * np.uint16(columns.SNAPSHOT)
    levels = chain.from_iterable(chain(depth.bids, depth.asks) for depth in group)
    return np.fromiter(chain.from_iterable(levels), np.float64, 2 * int(ends[-1])).reshape(-1, 2)


def _fill_reference(
    events: NDArray[np.void], records: list[Any], reference: list[Reference], faults: dict[int, Fault]
) -> None:
    settles = cache(settlement_ns)
    for row in np.flatnonzero(events["kind"] == columns.REFERENCE).tolist():
        fact = _fact(records[row], settles)
        if isinstance(fact, Fault):
            faults.setdefault(row, fact)
        else:
            events["reference"][row] = len(reference)
            reference.append(fact)


def _fact(record: wire.Record, settles: Callable[[str, str, str], int]) -> Reference | Fault:
    match record:
        case wire.Contract():
            return _contract(record, settles)
        case wire.Instrument():
            return columns.Instrument(record.instrument, record.role, record.multiplier, record.inverse)
        case wire.OpenInterest():
            return columns.OpenInterest(record.symbol, record.trading_date, record.open_interest)
        case wire.Rates():
            return columns.Rates(
                _or_nan(record.rate),
                _or_nan(record.dividend_yield),
                record.settles_ns or 0,
                _or_nan(record.forward),
                _or_nan(record.discount),
            )
        case wire.DealerPosition():
            return columns.DealerPosition(record.symbol, record.position)
        case wire.Adjustment():
            names = ((one.symbol, one.new_symbol or one.symbol) for one in record.series)
            terms = ((_or_nan(one.strike), _or_nan(one.multiplier), one.contracts) for one in record.series)
            series = (columns.AdjustedSeries(*name, *term) for name, term in zip(names, terms, strict=True))
            return columns.Adjustment(record.shares, tuple(series))
        case _:
            raise AssertionError(type(record))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _contract(record: wire.Contract, settles: Callable[[str, str, str], int]) -> columns.Contract | Fault:
    instant = record.settles_ns
    if instant is None:
        if record.expiration is None or record.settlement is None or record.calendar is None:
            return Fault("no_settlement", "a contract has settles_ns, or expiration, settlement and calendar")
        try:
            instant = settles(record.expiration, record.settlement, record.calendar)
        except ValueError as error:
            return Fault("unknown_session", str(error)[:DETAIL_LENGTH_MAX])
    right = 1 if record.right == "C" else -1
    american = record.exercise == "american"
    return columns.Contract(record.symbol, right, record.strike, record.multiplier, american, instant)
