"""Databento's binary encoding (.dbn, .dbn.zst), read by its own library: OPRA options and the shares beneath them.

- Contracts come from ``definition`` records, and before any from the file's own list of symbols, where they are the
  21 characters of the Options Symbology Initiative. The expiration of a definition is midnight, so the settlement is
  taken from the session table; roots that end in a digit have an adjusted deliverable, which only a definition tells.
- Any other symbol is an underlying, and its trades and quotes are those of the underlying itself.
- ``trades``, ``tbbo``, ``tcbbo`` and the prints of ``mbp-1`` and ``cmbp-1`` are trades, with the aggressor where the
  exchange tells it. The best quote beside a print stood before it: consolidated it is the market's, else the venue's.
- ``cmbp-1``, ``cbbo``, ``bbo`` and the rest of ``mbp-1`` are quotes. In OPRA's ``mbp-1`` the venues' own quotes are
  left; the consolidated publisher is read. A sampled quote is known at the end of its interval, ``ts_recv``.
- ``statistics`` give open interest: of the close before the exchange date on which it was sent. Others are left.
- Sequence numbers are the packet's, not the record's, so nothing is a duplicate by them.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import cache
from io import SEEK_END, BufferedReader
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from zoneinfo import ZoneInfo

import databento_dbn as databento
import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reference, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.files import InputError, unreadable
from dhpe.edge.formats.index_options import AMERICAN_ROOTS, ROOTS, settlement_of
from dhpe.edge.sessions import settlement_ns

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
MAGIC: Final = (b"DBN", ZSTD_MAGIC)
CHUNK_BYTES: Final = 1024 * 1024
MULTIPLIER: Final = 100.0

_PLAIN: Final = cast("databento.Compression", databento.Compression.NONE)  # its stub says str
_ZSTD: Final = cast("databento.Compression", databento.Compression.ZSTD)
_SKIPPABLE_FRAME: Final = 0x184D2A50
_RUN_LENGTH_BLOCK: Final = 1
_OSI: Final = re.compile(r"([A-Z0-9.]+) *(\d\d)(\d\d)(\d\d)([CP])(\d{8})")
_OSI_LENGTH: Final = 21
_OPRA: Final = "OPRA.PILLAR"
_OPRA_CONSOLIDATED: Final = 30
_NEW_YORK: Final = ZoneInfo("America/New_York")
_NS_PER_S: Final = 1_000_000_000
_NS_PER_DAY: Final = 86_400 * _NS_PER_S
_EPOCH: Final = date(1970, 1, 1).toordinal()
_SCALE: Final = float(databento.FIXED_PRICE_SCALE)
_UNSET_MULTIPLIER: Final = 2**31 - 1
_RIGHTS: Final = {"C": 1, "P": -1}

_PRINTS: Final = (databento.TradeMsg,)
_BOOKS: Final = (databento.MBP1Msg, databento.CMBP1Msg)
_SAMPLES: Final = (databento.BBOMsg, databento.CBBOMsg)
_CONSOLIDATED: Final = (databento.CMBP1Msg, databento.CBBOMsg)
_LAYOUTS: Final[dict[type, np.dtype[np.void]]] = {
    kind: np.dtype(kind._dtypes)  # noqa: SLF001 - what the library offers to numpy
    for kind in (*_PRINTS, *_BOOKS, *_SAMPLES)
}
_DELETED: Final = databento.StatUpdateAction.DELETE
_SILENT: Final = (databento.SystemMsg, databento.StatusMsg)
"""Heartbeats and trading status: nothing for the engine."""


class _Series(NamedTuple):
    """What an option symbol says of itself."""

    root: str
    underlying: str
    contract: Contract


class _File:
    """What a file has told so far: its symbols by instrument and day, and the options among them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dataset = ""
        self.days: dict[int, list[tuple[int, int, str]]] = {}
        self.names: dict[str, int] = {str(path): 0}
        self.underlying_of: dict[str, str] = {}
        self.read = 0

    def code(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))

    def symbol(self, instrument: int, day: int) -> str | None:
        return next((name for first, end, name in self.days.get(instrument, ()) if first <= day < end), None)

    def reject(self, number: int, reason: str, detail: str) -> Reject:
        return Reject("", -1, number, str(self.path), reason, detail)


def read(path: Path) -> Iterator[Batch | Reject]:
    """The records of a file in its own order; ``index`` counts them from 1.

    Raises:
        InputError: the file cannot be read, or is no DBN.
    """
    file = _File(path)
    for records in _decoded(path):
        for record in (r for r in records if isinstance(r, databento.Metadata)):
            yield from _opened(file, record)
        yield from _chunk(file, [r for r in records if not isinstance(r, databento.Metadata)])


def _decoded(path: Path) -> Iterator[list[Any]]:
    broken = InputError(f"{path}: breaks off in the middle; fetch the file again")
    try:
        with path.open("rb") as stream:
            packed = stream.peek(len(ZSTD_MAGIC)).startswith(ZSTD_MAGIC)
            if packed and not _is_whole(stream):
                raise broken
            decoder = databento.DBNDecoder(compression=_ZSTD if packed else _PLAIN)
            while chunk := stream.read(CHUNK_BYTES):
                decoder.write(chunk)
                yield decoder.decode()
            rest = decoder.buffer()
    except OSError as error:
        raise unreadable(path, error) from error
    except databento.DBNError as error:
        raise InputError(f"{path}: is no DBN: {error}; fetch the file again") from error
    if rest:
        raise broken


def _is_whole(stream: BufferedReader) -> bool:
    """Whether every frame has its last block and its checksum: the decoder takes a file cut between blocks for whole.

    RFC 8878, section 3.1. The stream is left at its beginning.
    """
    size = stream.seek(0, SEEK_END)
    at = stream.seek(0)
    while at < size:
        stream.seek(at)
        magic, told = struct.unpack("<II", stream.read(8).ljust(8, b"\0"))
        if magic & 0xFFFFFFF0 == _SKIPPABLE_FRAME:
            at += 8 + told
            continue
        descriptor = told & 0xFF
        alone = descriptor >> 5 & 1
        content = (alone, 2, 4, 8)[descriptor >> 6]
        at += 5 + (1 - alone) + (0, 1, 2, 4)[descriptor & 3] + content
        last = 0
        while not last:
            stream.seek(at)
            header = stream.read(3)
            if len(header) < 3:
                return False
            block = int.from_bytes(header, "little")
            last = block & 1
            at += 3 + (1 if block >> 1 & 3 == _RUN_LENGTH_BLOCK else block >> 3)
        at += 4 * (descriptor >> 2 & 1)
    stream.seek(0)
    return at == size


def _opened(file: _File, metadata: Any) -> Iterator[Batch]:
    """Take in the symbols of the file, and give the contracts that they name by themselves."""
    file.dataset = metadata.dataset
    symbols = sorted(metadata.mappings)  # the library gives them in another order each time
    for symbol in symbols:
        for interval in metadata.mappings[symbol]:
            first, end = (interval[name].toordinal() - _EPOCH for name in ("start_date", "end_date"))
            file.days.setdefault(int(interval["symbol"] or -1), []).append((first, end, symbol))
    series = [series for symbol in symbols if (series := _series(symbol)) and not series.root[-1].isdigit()]
    yield from _referred(file, [(one.underlying, one.contract, int(metadata.start), 0) for one in series])


@cache
def _series(symbol: str) -> _Series | None:
    """An OSI symbol taken apart; None for any other."""
    found = _OSI.fullmatch(symbol) if len(symbol) == _OSI_LENGTH else None
    if found is None:
        return None
    root, year, month, day, right, strike = found.groups()
    american = root not in ROOTS or root in AMERICAN_ROOTS
    try:
        settles_ns = settlement_ns(f"20{year}-{month}-{day}", settlement_of(root), "XCBO" if root in ROOTS else "XNYS")
    except ValueError:
        return None
    contract = Contract(symbol, _RIGHTS[right], int(strike) / 1_000, MULTIPLIER, american, settles_ns)
    return _Series(root, ROOTS[root].underlying if root in ROOTS else root, contract)


def _referred(file: _File, facts: Iterable[tuple[str, Reference, int, int]]) -> Iterator[Batch]:
    """Reference records: underlying, fact, event time, number of the record."""
    listed = list(facts)
    if not listed:
        return
    events = empty_events(len(listed))
    events["kind"] = columns.REFERENCE
    events["file"] = 0
    events["reference"] = np.arange(len(listed))
    for event, (underlying, fact, ts_event_ns, number) in zip(events, listed, strict=True):
        if isinstance(fact, Contract):
            file.underlying_of[fact.symbol] = underlying
        event["underlying"] = file.code(underlying)
        event["ts_event_ns"] = ts_event_ns
        event["index"] = number
    yield Batch(events, list(file.names), [fact for _, fact, _, _ in listed], np.zeros((0, 2)))


def _chunk(file: _File, records: list[Any]) -> Iterator[Batch | Reject]:
    hot: dict[type, list[int]] = {}
    facts: list[tuple[str, Reference, int, int]] = []
    first = file.read + 1
    file.read += len(records)
    for place, record in enumerate(records):
        kind = type(record)
        if kind in _LAYOUTS:
            hot.setdefault(kind, []).append(place)
        elif kind not in _SILENT:
            told = _told(file, record, first + place)
            if isinstance(told, Reject):
                yield told
            elif told is not None:
                facts.append(told)
    for batch in (*_referred(file, facts), *_market(file, records, hot, first)):
        checked = door.check(batch, None, 0)
        yield from checked.rejects
        yield checked.batch


def _told(file: _File, record: Any, number: int) -> tuple[str, Reference, int, int] | Reject | None:
    """The fact of a definition or of a day's open interest; None for what is left."""
    if isinstance(record, databento.SymbolMappingMsg):
        file.days.setdefault(record.instrument_id, []).insert(0, (0, 2**31, record.stype_out_symbol))
        return None
    day = int(record.ts_event // _NS_PER_DAY)
    if isinstance(record, databento.InstrumentDefMsg):
        file.days.setdefault(record.instrument_id, []).append((day, day + 1, record.raw_symbol))
        if str(record.instrument_class) not in _RIGHTS:
            return None
        series = _series(record.raw_symbol)
        if series is None:
            detail = f"{record.raw_symbol[:32]!r} is an option whose symbol is not that of the OSI"
            return file.reject(number, "bad_symbol", detail)
        multiplier = record.contract_multiplier
        contract = series.contract._replace(
            strike=record.strike_price / _SCALE,
            multiplier=MULTIPLIER if multiplier == _UNSET_MULTIPLIER else float(multiplier),
        )
        underlying = series.underlying if series.root in ROOTS else record.underlying or series.underlying
        return underlying, contract, int(record.ts_event), number
    if isinstance(record, databento.StatMsg):
        if record.stat_type != databento.StatType.OPEN_INTEREST or record.update_action == _DELETED:
            return None
        symbol = file.symbol(record.instrument_id, day)
        if symbol is None:
            return file.reject(number, "unknown_instrument", f"instrument {record.instrument_id} has no symbol")
        sent = datetime.fromtimestamp(record.ts_event / _NS_PER_S, UTC).astimezone(_NEW_YORK).date()
        fact = OpenInterest(symbol, sent.isoformat(), float(record.quantity))
        return file.underlying_of.get(symbol, symbol), fact, int(record.ts_event), number
    return file.reject(number, "unread_record", f"{type(record).__name__} tells nothing that is read here")


def _market(file: _File, records: list[Any], hot: dict[type, list[int]], first: int) -> Iterator[Batch]:
    """Trades and quotes of the chunk in the order of the file."""
    if not hot:
        return
    parts = [_columns(file, kind, [records[place] for place in places], places) for kind, places in hot.items()]
    events = np.concatenate(parts)
    events = events[np.argsort(events["index"], kind="stable")]
    events["index"] += first
    yield Batch(events, list(file.names), [], np.zeros((0, 2)))


def _columns(file: _File, kind: type, records: list[Any], places: list[int]) -> NDArray[np.void]:
    layout = _LAYOUTS[kind]
    rows = np.frombuffer(b"".join(bytes(record)[: layout.itemsize] for record in records), layout)
    events = empty_events(len(rows))
    events["file"] = 0
    events["index"] = places
    events["ts_event_ns"] = rows["ts_recv" if kind in _SAMPLES else "ts_event"].astype(np.int64)
    option = _name(file, events, rows["instrument_id"])
    printed = np.ones(len(rows), bool)
    if kind not in _PRINTS:
        printed = rows["action"] == b"T" if kind in _BOOKS else np.zeros(len(rows), bool)
    events["kind"] = np.where(
        printed,
        np.where(option, columns.OPTION_TRADE, columns.TRADE),
        np.where(option, columns.OPTION_QUOTE, columns.QUOTE),
    )
    events["price"][printed] = _price(rows["price"][printed], np.nan)
    events["size"][printed] = rows["size"][printed]
    side = rows["side"][printed]
    events["side"][printed] = np.where(side == b"B", columns.BUY, np.where(side == b"A", columns.SELL, 0))
    publisher = rows["publisher_id"]
    for venue in np.unique(publisher[printed & (publisher != _OPRA_CONSOLIDATED)]).tolist():
        events["source"][printed & (publisher == venue)] = file.code(f"publisher {venue}")
    if kind in _PRINTS:
        return events
    own = np.full(len(rows), file.dataset == _OPRA and kind not in _CONSOLIDATED)
    own &= rows["publisher_id"] != _OPRA_CONSOLIDATED
    _quote(events, rows, "", ~own & ~(printed & ~option))
    _quote(events, rows, "venue_", own & printed & option)
    events["flags"][printed & option & ~own] |= columns.CARRIES_QUOTE
    kept: NDArray[np.void] = events[printed | ~own]
    return kept


def _name(file: _File, events: NDArray[np.void], instruments: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Name underlying and symbol of each row; true where it is an option. What has no symbol stays nameless."""
    day = events["ts_event_ns"] // _NS_PER_DAY
    pairs, inverse = np.unique(np.stack((instruments.astype(np.int64), day)), axis=1, return_inverse=True)
    option = np.zeros(pairs.shape[1], bool)
    underlyings = np.full(pairs.shape[1], -1)
    names = np.full(pairs.shape[1], -1)
    for place, (instrument, on_day) in enumerate(pairs.T.tolist()):
        symbol = file.symbol(instrument, on_day) or f"instrument {instrument}"
        series = _series(symbol)
        option[place] = series is not None or symbol in file.underlying_of
        underlying = file.underlying_of.get(symbol) or (series.underlying if series else symbol)
        underlyings[place] = file.code(underlying)
        if option[place]:
            names[place] = file.code(symbol)
    events["underlying"] = underlyings[inverse]
    events["name"] = names[inverse]
    return option[inverse]


def _quote(events: NDArray[np.void], rows: NDArray[np.void], prefix: str, chosen: NDArray[np.bool_]) -> None:
    for side in ("bid", "ask"):
        events[f"{prefix}{side}"][chosen] = _price(rows[f"{side}_px_00"][chosen], 0.0)
        events[f"{prefix}{side}_size"][chosen] = rows[f"{side}_sz_00"][chosen]


def _price(fixed: NDArray[np.int64], undefined: float) -> NDArray[np.float64]:
    """Billionths as prices; ``undefined`` where there is none: nobody bids."""
    return np.where(fixed == databento.UNDEF_PRICE, undefined, fixed / _SCALE)
