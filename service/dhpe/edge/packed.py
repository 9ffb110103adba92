"""Packed columns: many hot records of one kind in a message, as fixed rows that are read without being parsed.

A message has the content type ``application/vnd.dhpe.columns`` and its kind in the header ``dhpe_kind``. Its value is,
one after the other and little-endian: a head of four u4 (version, records, levels, bytes of the names), the rows of the
kind (``dhpe.edge.layouts``), of depth its levels as pairs of price and size (the bids, then the asks of each row), and
the names as a JSON array of strings. A row means a name by its place in that array, -1 for none.

A message whose parts do not add up is refused as a whole. After that each row stands for itself, as each record of a
JSON array does: what cannot be in it refuses that row, with its place as index.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, empty_events
from dhpe.edge.layouts import CODES, FLAGS, LEVEL, LEVEL_COUNTS, PACKED, PackedLayout
from dhpe.edge.messages import NAME_LENGTH_MAX
from dhpe.edge.salvage import COLUMNS_CONTENT_TYPE, Fault, Limits, count_fault

KIND_HEADER: Final = "dhpe_kind"
VERSION: Final = 1
HEAD: Final = ("version", "records", "levels", "names_bytes")
_HEAD: Final = struct.Struct("<4I")
_NAMES: Final = msgspec.json.Decoder(list[str])
_ENCODER: Final = msgspec.json.Encoder()
_NONE: Final = -1
_NO_NAME: Final = -2


class Part(NamedTuple):
    """A message whose parts add up: its place among the messages, and what it holds."""

    place: int
    kind: str
    records: int
    rows: bytes
    levels: bytes
    names: list[str]


class Unpacked(NamedTuple):
    """Rows of events with the place of their message, and what cannot be in some of them."""

    events: NDArray[np.void]
    places: NDArray[np.int64]
    levels: NDArray[np.float64]
    faults: dict[int, Fault]


def part_of(place: int, value: bytes, kind: str | None, limits: Limits) -> Part | Fault:
    """The parts of a message, or why it is refused as a whole."""
    layout = PACKED.get(kind or "")
    if kind is None or layout is None:
        named = "is missing" if kind is None else f"is {kind[:100]!r}"
        return Fault("unknown_kind", f"the header {KIND_HEADER} {named}: known are {', '.join(PACKED)}")
    if len(value) > limits.bytes_max:
        return Fault("too_large", f"the message has {len(value)} bytes: at most {limits.bytes_max} are read")
    if not value:
        return Fault("empty", "the message is empty")
    if len(value) < _HEAD.size:
        return Fault("wrong_size", f"the message has {len(value)} bytes: its head alone has {_HEAD.size}")
    version, records, levels, names_bytes = _HEAD.unpack_from(value)
    if version != VERSION:
        return Fault("unknown_version", f"the layout is version {version}: read is {VERSION}")
    rows_end = _HEAD.size + records * layout.row.itemsize
    levels_end = rows_end + levels * LEVEL.itemsize
    if levels_end + names_bytes != len(value):
        told = f"{records} rows, {levels} levels and {names_bytes} bytes of names"
        return Fault("wrong_size", f"the message has {len(value)} bytes: with {told} {levels_end + names_bytes}")
    fault = count_fault(records, limits.records_max)
    if fault is not None:
        return fault
    try:
        names = _NAMES.decode(value[levels_end:])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Fault("undecodable", f"the names are not a JSON array of strings: {error}")
    part = Part(place, kind, records, value[_HEAD.size : rows_end], value[rows_end:levels_end], names)
    return _level_fault(part, layout, levels) or part


def _level_fault(part: Part, layout: PackedLayout, levels: int) -> Fault | None:
    counted = 0
    if layout.kind == columns.DEPTH:
        rows = np.frombuffer(part.rows, layout.row)
        sides = [rows[side].astype(np.int64) for side in LEVEL_COUNTS]
        if any((side < 0).any() for side in sides):
            return Fault("wrong_shape", "a row has a negative count of levels")
        counted = sum(int(side.sum()) for side in sides)
    if counted != levels:
        return Fault("wrong_size", f"the message has {levels} levels: its rows tell of {counted}")
    return None


def unpack(parts: Sequence[Part], name_of: Callable[[str], int], levels_before: int) -> Unpacked:
    """The rows of all parts, kind by kind; within a kind in the order of the parts.

    ``name_of`` gives a name its place in the batch, whose levels begin with ``levels_before`` of others.
    """
    by_kind: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        by_kind[part.kind].append(part)
    levels = np.frombuffer(b"".join(part.levels for part in parts), "<f8").reshape(-1, 2).copy()
    levels[np.isnan(levels)] = np.nan
    kinds = [_unpack_kind(PACKED[kind], group, name_of) for kind, group in by_kind.items()]
    faults: dict[int, Fault] = {}
    before = 0
    for one in kinds:
        faults |= {before + row: fault for row, fault in one.faults.items()}
        before += len(one.events)
    events = kinds[0].events if len(kinds) == 1 else np.concatenate([one.events for one in kinds])
    events["levels_start"][events["kind"] == columns.DEPTH] += levels_before
    return Unpacked(events, np.concatenate([one.places for one in kinds]), levels, faults)


def _unpack_kind(layout: PackedLayout, parts: list[Part], name_of: Callable[[str], int]) -> Unpacked:
    rows = np.frombuffer(b"".join(part.rows for part in parts), layout.row)
    counts = np.array([part.records for part in parts])
    message = np.repeat(np.arange(len(parts)), counts)
    events = empty_events(len(rows))
    events["kind"] = layout.kind
    events["index"] = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    faults: dict[int, Fault] = {}
    for field, column in layout.columns.items():
        if column not in CODES:
            events[column] = rows[field]
            if columns.EVENT[column] == np.float64:
                # One NaN for absent, as from JSON: whatever bits a producer's NaN has would stand in the state.
                events[column][np.isnan(rows[field])] = np.nan
        if column in ("sequence", "cancels"):
            _mark(faults, rows[field] < _NONE, f"{field} is negative: it is -1 for none, or a number")
    _set_flags(events, rows, layout, faults)
    _set_codes(events, rows, layout, parts, message, name_of, faults)
    if layout.kind == columns.DEPTH:
        each = events["bid_levels"] + events["ask_levels"]
        events["levels_start"] = np.cumsum(each) - each
    return Unpacked(events, np.array([part.place for part in parts])[message], np.zeros((0, 2)), faults)


def _mark(faults: dict[int, Fault], wrong: NDArray[np.bool_], sentence: str) -> None:
    for row in np.flatnonzero(wrong).tolist():
        faults.setdefault(row, Fault("wrong_shape", sentence))


def _set_flags(
    events: NDArray[np.void], rows: NDArray[np.void], layout: PackedLayout, faults: dict[int, Fault]
) -> None:
    if layout.kind in FLAGS:
        field, flag = FLAGS[layout.kind]
        events["flags"] = (rows[field] == 1) * np.uint16(flag)
        _mark(faults, rows[field] > 1, f"{field} is 0 or 1")


def _set_codes(
    events: NDArray[np.void],
    rows: NDArray[np.void],
    layout: PackedLayout,
    parts: list[Part],
    message: NDArray[np.intp],
    name_of: Callable[[str], int],
    faults: dict[int, Fault],
) -> None:
    """Exchange the places in each message's names for those in the batch's; only names that a row means are taken."""
    sizes = np.array([len(part.names) for part in parts])
    starts = (np.cumsum(sizes) - sizes)[message]
    everything = [name for part in parts for name in part.names]
    place_of = {field: rows[field].astype(np.int64) for field, column in layout.columns.items() if column in CODES}
    known = {field: (place >= 0) & (place < sizes[message]) for field, place in place_of.items()}
    meant = np.zeros(len(everything), np.bool_)
    for field, place in place_of.items():
        _mark(faults, ~known[field] & (place != _NONE), f"{field} is the place of no name of the message")
        meant[(starts + place)[known[field]]] = True
    codes = np.full(len(everything) + 1, _NONE, np.int32)  # the last stands for none
    lengths = np.fromiter(map(len, everything), np.int64, len(everything))
    codes[:-1][meant] = _NO_NAME
    at = np.flatnonzero(meant & (lengths >= 1) & (lengths <= NAME_LENGTH_MAX))
    codes[at] = np.fromiter(map(name_of, map(everything.__getitem__, at.tolist())), np.int32, len(at))
    for field, place in place_of.items():
        events[layout.columns[field]] = codes[np.where(known[field], starts + place, -1)]
        _mark(
            faults,
            events[layout.columns[field]] == _NO_NAME,
            f"{field} is a name of 1 to {NAME_LENGTH_MAX} characters",
        )


def pack(batch: Batch, places: Sequence[int]) -> bytes:
    """The value of a message that holds these rows of ``batch``, all of one hot kind."""
    events = batch.events[places]
    layout = PACKED[columns.HOT_KINDS[events["kind"][0]]]
    rows = np.zeros(len(events), layout.row)
    for field, column in layout.columns.items():
        rows[field] = events[column]
    if layout.kind in FLAGS:
        field, flag = FLAGS[layout.kind]
        rows[field] = (events["flags"] & flag) != 0
    coded = [field for field, column in layout.columns.items() if column in CODES]
    codes, inverse = np.unique(np.stack([rows[field] for field in coded]), return_inverse=True)
    names = [batch.names[code] for code in codes.tolist() if code != _NONE]
    for field, place in zip(coded, inverse.reshape(len(coded), -1) - (len(codes) - len(names)), strict=True):
        rows[field] = place
    levels = b""
    if layout.kind == columns.DEPTH:
        each = events["bid_levels"] + events["ask_levels"]
        starts = zip(events["levels_start"].tolist(), each.tolist(), strict=True)
        levels = b"".join(batch.levels[start : start + many].astype("<f8").tobytes() for start, many in starts)
    named = _ENCODER.encode(names)
    head = _HEAD.pack(VERSION, len(rows), len(levels) // LEVEL.itemsize, len(named))
    return b"".join((head, rows.tobytes(), levels, named))


def headers(kind: str) -> tuple[tuple[str, bytes], ...]:
    """The headers of a message of this kind."""
    return ("content-type", COLUMNS_CONTENT_TYPE.encode()), (KIND_HEADER, kind.encode())
