"""QuantConnect LEAN folders and zips: minute (or second) bars of an underlying and of its options, and open interest.

What a bar means for an event stream:

- A bar is known at its END, so its closing quote, and its last trade with the bar's volume, are records of that
  instant: the row 34200000 (09:30:00.000 New York) of a minute file is a record of 09:31:00. A trade bar is thereby
  classified against the closing quote of the minute before, the last one that certainly stood before it.
- At one instant the records come in the order trade and quote of the underlying, option trades, option quotes: what
  traded inside the bar did so before its closing quote, and options are valued at the spot of their own minute.
- Prices are integers of 1/10,000. A side without a number is a side on which nobody is: price 0, size 0.
- A contract is whatever any file of the day names, open interest or not; it settles with its exchange session (13:00
  New York on half days). Its bar that ends at that instant is too late: the engine rejects it as expired.
- Open interest is that of the close before the file's date, which is its ``trading_date``. A day's contracts and open
  interest stand before its first tick.

A day is sorted in memory as compact columns; its records leave in batches of ``rows_max``.
"""

import lzma
import re
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reference, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats import delimited
from dhpe.edge.formats.files import InputError, unreadable
from dhpe.edge.formats.index_options import ROOTS, osi_symbol, settlement_of
from dhpe.edge.sessions import midnight_ns, settlement_ns

ROWS_MAX: Final = 50_000
BROKEN_ZIP: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""What the library raises for damaged, encrypted and unknown zips."""
MEMBER_BYTES_MAX: Final = 256 * 1024 * 1024
PRICE_SCALE: Final = 10_000.0
MULTIPLIER: Final = 100.0
CALENDAR: Final = "XNYS"

_BAR_MS: Final = {"minute": 60_000, "second": 1_000}
_NS_PER_MS: Final = 1_000_000
_DAY_MS_MAX: Final = 2 * 86_400_000  # beyond it, a time of day is none
_MEMBER: Final = re.compile(
    r"(?P<day>\d{8})_(?P<ticker>[a-z0-9.]+)_(?P<resolution>minute|second)_(?P<content>quote|trade|openinterest)"
    r"(_(?P<style>american|european)_(?P<right>call|put)_(?P<strike>\d{1,14})_(?P<expiry>\d{8}))?\.csv"
)
_FIELDS: Final = {"trade": 6, "quote": 11, "openinterest": 2}
_ROW_BYTES: Final = {"trade": 35, "quote": 60, "openinterest": 12}  # about, for the estimate of a progress bar
# The order of records of one instant.
_RANKS: Final = (columns.TRADE, columns.QUOTE, columns.OPTION_TRADE, columns.OPTION_QUOTE)


class _Series(NamedTuple):
    """An option series as the name of its file tells it; ``strike`` in 1/10,000, ``expiry`` YYYY-MM-DD."""

    root: str
    style: str
    right: int
    strike: int
    expiry: str


class _Member(NamedTuple):
    """A file in a zip. ``series`` is None for the underlying itself."""

    path: Path
    name: str
    ticker: str
    content: str
    bar_ms: int
    series: _Series | None

    @property
    def label(self) -> str:
        return f"{self.path}/{self.name}"


def is_lean(path: Path) -> bool:
    """Whether a zip holds a file that this reader knows by its name.

    Raises:
        InputError: this is no zip, or cannot be read.
    """
    return any(_MEMBER.fullmatch(name) for name in _names(path))


def expected_records(path: Path) -> int:
    """About how many records ``read`` will find in ``path``, from the sizes that the zips tell."""
    records = 0
    for zipped in sorted(path.rglob("*.zip")) if path.is_dir() else [path]:
        with zipfile.ZipFile(zipped) as archive:
            for member in archive.infolist():
                match = _MEMBER.fullmatch(member.filename)
                records += 0 if match is None else 1 + member.file_size // _ROW_BYTES[match["content"]]
    return records


def read(paths: Sequence[Path], *, rows_max: int = ROWS_MAX) -> Iterator[Batch | Reject]:
    """All records of ``paths`` (zips, or folders that hold them at any depth), by event time.

    Raises:
        InputError: a path cannot be read, or holds no LEAN data.
    """
    days: defaultdict[str, list[_Member]] = defaultdict(list)
    strangers: list[Reject] = []
    for path in paths:
        found = 0
        for zipped in sorted(path.rglob("*.zip")) if path.is_dir() else [path]:
            for name in _names(zipped):
                match = _MEMBER.fullmatch(name)
                if match is None:
                    detail = "not the name of a LEAN file of minute or second bars or of open interest"
                    strangers.append(Reject("", -1, 0, f"{zipped}/{name}", "unknown_member", detail))
                    continue
                found += 1
                days[_date(match["day"])].append(_member(zipped, name, match))
        if not found:
            raise InputError(f"{path}: holds no LEAN file, such as 20151224_goog_minute_quote.csv in a zip")
    yield from strangers
    for day in sorted(days):
        try:
            midnight = midnight_ns(day, CALENDAR)
        except ValueError as error:
            yield from (Reject("", -1, 0, member.label, "unknown_member", str(error)) for member in days[day])
        else:
            yield from _day(day, midnight, days[day], rows_max)


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return sorted(archive.namelist())
    except OSError as error:
        raise unreadable(path, error) from error
    except BROKEN_ZIP as error:
        raise InputError(f"{path}: is no zip: {error}") from error


def _date(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _member(path: Path, name: str, match: re.Match[str]) -> _Member:
    series = None
    if match["style"] is not None:
        right = 1 if match["right"] == "call" else -1
        series = _Series(match["ticker"].upper(), match["style"], right, int(match["strike"]), _date(match["expiry"]))
    return _Member(path, name, match["ticker"].upper(), match["content"], _BAR_MS[match["resolution"]], series)


class _Ticks(NamedTuple):
    """The bars of a day as columns; ``member`` indexes the day's members."""

    ts_event_ns: NDArray[np.int64]
    rank: NDArray[np.int8]
    member: NDArray[np.int32]
    line: NDArray[np.int32]
    values: NDArray[np.float64]  # (n, 4): bid, bid size, ask, ask size; or price, size


class _Names(NamedTuple):
    """The names of a day, and for each member the codes of its underlying, its symbol (-1 none) and its file."""

    names: list[str]
    underlying: NDArray[np.int32]
    symbol: NDArray[np.int32]
    file: NDArray[np.int32]


def _day(day: str, midnight: int, members: list[_Member], rows_max: int) -> Iterator[Batch | Reject]:
    texts, broken = _texts(members)
    yield from broken
    names = _day_names(members)
    chosen = {content: [n for n, member in enumerate(members) if member.content == content] for content in _FIELDS}
    parsed = {content: delimited.parse([texts[n] for n in chosen[content]], _FIELDS[content]) for content in _FIELDS}
    texts.clear()
    for content, rows in parsed.items():
        yield from _wrong_rows(rows, [members[n] for n in chosen[content]], _FIELDS[content])
    prints = _of_members(parsed.pop("openinterest"), chosen["openinterest"])
    yield from _reference(day, midnight, members, names, prints)
    ticks = [
        _ticks(_of_members(rows, chosen[content]), members, midnight, quote=content == "quote")
        for content, rows in parsed.items()
    ]
    together = _Ticks(
        np.concatenate([part.ts_event_ns for part in ticks]),
        np.concatenate([part.rank for part in ticks]),
        np.concatenate([part.member for part in ticks]),
        np.concatenate([part.line for part in ticks]),
        np.concatenate([part.values for part in ticks]),
    )
    order = np.lexsort((together.rank, together.ts_event_ns))
    for start in range(0, len(order), rows_max):
        checked = door.check(_batch(together, order[start : start + rows_max], names), None, 0)
        yield from checked.rejects
        yield checked.batch


def _texts(members: list[_Member]) -> tuple[list[bytes], list[Reject]]:
    """What the members hold, in their order; nothing, with a reject, where one is broken."""
    texts: list[bytes] = []
    broken: list[Reject] = []
    archives: dict[Path, zipfile.ZipFile] = {}
    try:
        for member in members:
            archive = archives.get(member.path) or archives.setdefault(member.path, zipfile.ZipFile(member.path))
            text = b""
            try:
                if archive.getinfo(member.name).file_size > MEMBER_BYTES_MAX:
                    detail = f"the file has more than {MEMBER_BYTES_MAX} bytes"
                    broken.append(Reject("", -1, 0, member.label, "too_large", detail))
                else:
                    text = archive.read(member.name)
            except BROKEN_ZIP as error:
                broken.append(Reject("", -1, 0, member.label, "broken_file", f"the file cannot be unzipped: {error}"))
            texts.append(text)
    finally:
        for archive in archives.values():
            archive.close()
    return texts, broken


def _underlying(member: _Member) -> str:
    return ROOTS[member.ticker].underlying if member.ticker in ROOTS else member.ticker


def _symbol(series: _Series) -> str:
    return osi_symbol(series.root, series.expiry, series.right, series.strike // 10)


def _day_names(members: list[_Member]) -> _Names:
    names: dict[str, int] = {}
    codes = [
        (
            names.setdefault(_underlying(member), len(names)),
            -1 if member.series is None else names.setdefault(_symbol(member.series), len(names)),
            names.setdefault(member.label, len(names)),
        )
        for member in members
    ]
    table = np.array(codes, np.int32).reshape(-1, 3)
    return _Names(list(names), table[:, 0], table[:, 1], table[:, 2])


def _wrong_rows(rows: delimited.Rows, members: list[_Member], fields: int) -> Iterator[Reject]:
    for row in np.flatnonzero(~rows.good).tolist():
        label, line = members[int(rows.text[row])].label, int(rows.line[row])
        yield Reject("", -1, line, label, "wrong_shape", f"a row of this file holds {fields} whole numbers")


def _of_members(rows: delimited.Rows, chosen: list[int]) -> delimited.Rows:
    """The good rows, with the texts numbered as the day's members."""
    good = delimited.of(rows, rows.good)
    return good._replace(text=np.array(chosen, np.int32)[good.text])


def _reference(
    day: str, midnight: int, members: list[_Member], names: _Names, prints: delimited.Rows
) -> Iterator[Batch | Reject]:
    """The day's contracts at its midnight, then its open interest."""
    facts: list[Reference] = []
    places: list[tuple[int, int, int]] = []  # time, member, line
    listed: set[_Series] = set()
    for number, member in enumerate(members):
        if member.series is None or member.series in listed:
            continue
        listed.add(member.series)
        contract = _contract(member.series)
        if isinstance(contract, str):
            yield Reject("", -1, 0, member.label, "bad_contract", contract)
            continue
        facts.append(contract)
        places.append((midnight, number, 0))
    for (time_ms, contracts), number, line in zip(prints.values.tolist(), prints.text, prints.line, strict=True):
        series = members[number].series
        if series is not None:
            open_interest = float("nan") if contracts == delimited.EMPTY else float(contracts)
            facts.append(OpenInterest(_symbol(series), day, open_interest))
            time_ns = midnight + time_ms * _NS_PER_MS if 0 <= time_ms <= _DAY_MS_MAX else 0
            places.append((time_ns, int(number), int(line)))
    events = empty_events(len(facts))
    events["kind"] = columns.REFERENCE
    events["reference"] = np.arange(len(facts))
    times, member_of, line_of = np.array(places, np.int64).reshape(-1, 3).T
    events["ts_event_ns"] = times
    events["index"] = line_of
    events["underlying"] = names.underlying[member_of]
    events["file"] = names.file[member_of]
    checked = door.check(Batch(events, names.names, facts, np.zeros((0, 2))), None, 0)
    yield from checked.rejects
    yield checked.batch


def _contract(series: _Series) -> Contract | str:
    """The facts of a series, or why it has none."""
    if series.strike % 10:
        return f"the strike {series.strike}/10000 has more decimals than a symbol can hold"
    try:
        settles_ns = settlement_ns(series.expiry, settlement_of(series.root), CALENDAR)
    except ValueError as error:
        return str(error)
    american = series.style == "american"
    return Contract(_symbol(series), series.right, series.strike / PRICE_SCALE, MULTIPLIER, american, settles_ns)


def _ticks(rows: delimited.Rows, members: list[_Member], midnight: int, *, quote: bool) -> _Ticks:
    raw = rows.values
    bar_ms = np.array([member.bar_ms for member in members], np.int64)[rows.text]
    option = np.array([member.series is not None for member in members], np.bool_)[rows.text]
    kinds = (columns.QUOTE, columns.OPTION_QUOTE) if quote else (columns.TRADE, columns.OPTION_TRADE)
    rank = np.where(option, _RANKS.index(kinds[1]), _RANKS.index(kinds[0])).astype(np.int8)
    values = np.full((len(raw), 4), np.nan)
    if quote:
        # time, bid open high low close, bid size, ask open high low close, ask size
        values[:] = np.maximum(raw[:, [4, 5, 9, 10]], 0)
        values[:, [0, 2]] /= PRICE_SCALE
    else:
        # time, open high low close, volume; a trade without price or volume is for the door to reject
        values[:, :2] = np.where(raw[:, [4, 5]] == delimited.EMPTY, np.nan, raw[:, [4, 5]])
        values[:, 0] /= PRICE_SCALE
    time_ms = raw[:, 0]
    known = (time_ms >= 0) & (time_ms <= _DAY_MS_MAX)
    ts_event_ns = np.where(known, midnight + (np.where(known, time_ms, 0) + bar_ms) * _NS_PER_MS, 0)
    return _Ticks(ts_event_ns, rank, rows.text, rows.line, values)


def _batch(ticks: _Ticks, order: NDArray[np.intp], names: _Names) -> Batch:
    events = empty_events(len(order))
    kind = np.array(_RANKS, np.int8)[ticks.rank[order]]
    member = ticks.member[order]
    events["ts_event_ns"] = ticks.ts_event_ns[order]
    events["kind"] = kind
    events["index"] = ticks.line[order]
    events["file"] = names.file[member]
    events["underlying"] = names.underlying[member]
    events["name"] = names.symbol[member]
    for kinds, fields in (
        ((columns.OPTION_QUOTE, columns.QUOTE), ("bid", "bid_size", "ask", "ask_size")),
        ((columns.OPTION_TRADE, columns.TRADE), ("price", "size")),
    ):
        rows = np.flatnonzero(np.isin(kind, kinds))
        for place, field in enumerate(fields):
            events[field][rows] = ticks.values[order[rows], place]
    return Batch(events, names.names, [], np.zeros((0, 2)))
