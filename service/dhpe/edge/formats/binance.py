"""Binance streams as they were recorded: a receipt time in ns and the raw JSON of a message, one a line.

- Event time is the exchange's ``T`` in milliseconds, never the receipt: in receipt order a trade can stand before the
  quote that it hit. Records leave in stable exchange-time order: those of one millisecond as they were received.
- ``m`` says that the buyer was the maker, so an aggressor sold: the true side of each trade.
- A trade is a print against the order book only where ``X`` is MARKET; insurance fund and liquidation transfers are
  rejected as ``not_market_print``.
- A line without a stream is the order book as it was asked for by REST: a depth snapshot of the file's one symbol.
- Prices and sizes come as text and become the nearest float.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch, Instrument, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.files import opened
from dhpe.edge.formats.merge import in_time_order

SLACK_NS: Final = 5_000_000_000
"""How long a record waits for earlier ones; in a real recording the streams are up to 110 ms out of order."""
CHUNK_BYTES: Final = 8 * 1024 * 1024
LINE: Final = re.compile(rb"\d{16,20} \{")

_RECEIPT: Final = re.compile(rb"^\d+ ")
_NS_PER_MS: Final = 1_000_000

Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // _NS_PER_MS)]
Levels = list[tuple[float, float]]
MARKET: Final = "MARKET"


class _Event(msgspec.Struct, tag_field="e", gc=False):
    s: Symbol
    T: Milliseconds


class _BookTicker(_Event, tag="bookTicker", gc=False):
    b: float
    B: float
    a: float
    A: float


class _Trade(_Event, tag="trade", gc=False):
    p: float
    q: float
    m: bool
    X: str = MARKET


class _DepthUpdate(_Event, tag="depthUpdate", gc=False):
    b: Levels
    a: Levels
    snapshot: bool = False


class _Message(msgspec.Struct, gc=False):
    """A message of a stream has ``data``; the REST snapshot has ``bids`` and ``asks``."""

    data: _BookTicker | _Trade | _DepthUpdate | None = None
    T: Milliseconds = 0
    bids: Levels | None = None
    asks: Levels | None = None


_DECODER: Final = msgspec.json.Decoder(_Message, strict=False)


_KINDS: Final[dict[type, int]] = {_BookTicker: columns.QUOTE, _Trade: columns.TRADE, _DepthUpdate: columns.DEPTH}
_COLUMNS: Final[dict[type, tuple[tuple[str, str], ...]]] = {
    _BookTicker: (("bid", "b"), ("bid_size", "B"), ("ask", "a"), ("ask_size", "A")),
    _Trade: (("price", "p"), ("size", "q")),
    _DepthUpdate: (),
}


class _Lines(NamedTuple):
    """What stands on which lines of a file: an event, or the fault (reason, detail) of the line."""

    events: list[Any]
    numbers: list[int]
    faults: list[tuple[int, str, str]]


def read(path: Path) -> Iterator[Batch | Reject]:
    """The records of a recording by exchange time; before them, the instrument of each symbol.

    Raises:
        InputError: the file cannot be read.
    """
    yield from in_time_order(_chunks(path), SLACK_NS)


def _chunks(path: Path) -> Iterator[Batch | Reject]:
    symbols: dict[str, int] = {}
    first = 1
    with opened(path) as stream:
        while lines := stream.readlines(CHUNK_BYTES):
            decoded = _decode(lines, first)
            first += len(lines)
            known = len(symbols)
            _name(decoded, symbols)
            yield from (Reject("", -1, number, str(path), reason, said) for number, reason, said in decoded.faults)
            if not decoded.events:
                continue
            time_ns = int(decoded.events[0].T) * _NS_PER_MS
            names = [str(path), *symbols]
            if len(symbols) > known:
                yield _instruments(names, known, time_ns)
            checked = door.check(_batch(decoded, names, symbols), None, 0)
            yield from checked.rejects
            yield checked.batch


def _decode(lines: Sequence[bytes], first: int) -> _Lines:
    """The events of ``lines``, numbered from ``first``: all at once, or one by one where one of them has a fault."""
    try:
        messages = _DECODER.decode_lines(b"".join([line.partition(b" ")[2] for line in lines]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        messages = []
    if len(messages) == len(lines):
        return _Lines([m.data or m for m in messages], list(range(first, first + len(lines))), [])
    decoded = _Lines([], [], [])
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            message = _DECODER.decode(_RECEIPT.sub(b"", line))
        except msgspec.ValidationError as error:
            decoded.faults.append((number, "wrong_shape", str(error)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            decoded.faults.append((number, "undecodable", f"after the receipt time stands no JSON: {error}"))
        else:
            decoded.events.append(message.data or message)
            decoded.numbers.append(number)
    return decoded


def _name(decoded: _Lines, symbols: dict[str, int]) -> None:
    """List the symbols; give the REST snapshots theirs, and take out what is no event of the market."""
    for symbol in dict.fromkeys(event.s for event in decoded.events if type(event) is not _Message):
        symbols.setdefault(symbol, len(symbols) + 1)
    strange = [place for place, event in enumerate(decoded.events) if type(event) is _Message or _is_transfer(event)]
    for place in reversed(strange):
        event = decoded.events[place]
        if type(event) is _Trade:
            fault = ("not_market_print", f"X is {event.X[:32]!r}: a print against the order book is MARKET")
        elif event.bids is None or event.asks is None:
            fault = ("wrong_shape", "the line is no event of a stream and no order book")
        elif len(symbols) != 1:
            fault = ("missing_symbol", f"an order book without a symbol, in a file of {len(symbols)} symbols so far")
        else:
            decoded.events[place] = _DepthUpdate(next(iter(symbols)), event.T, event.bids, event.asks, snapshot=True)
            continue
        decoded.faults.append((decoded.numbers[place], *fault))
        del decoded.events[place], decoded.numbers[place]
    decoded.faults.sort()


def _is_transfer(event: Any) -> bool:
    return type(event) is _Trade and event.X != MARKET


def _instruments(names: list[str], known: int, time_ns: int) -> Batch:
    """The instrument of each symbol beyond the first ``known``: its own spot, sized in units of the base currency."""
    new = names[1 + known :]
    events = empty_events(len(new))
    events["kind"] = columns.REFERENCE
    events["ts_event_ns"] = time_ns
    events["file"] = 0
    events["underlying"] = np.arange(1 + known, len(names))
    events["reference"] = np.arange(len(new))
    return Batch(events, names, [Instrument(symbol, "spot", 1.0, inverse=False) for symbol in new], np.zeros((0, 2)))


def _batch(decoded: _Lines, names: list[str], symbols: dict[str, int]) -> Batch:
    events = empty_events(len(decoded.events))
    kind = np.fromiter(map(_KINDS.__getitem__, map(type, decoded.events)), np.int8, len(events))
    events["kind"] = kind
    events["file"] = 0
    events["index"] = decoded.numbers
    events["ts_event_ns"] = _column(decoded.events, "T", np.int64) * _NS_PER_MS
    events["underlying"] = [symbols[event.s] for event in decoded.events]
    events["name"] = events["underlying"]
    levels = np.zeros((0, 2))
    for record, kind_code in _KINDS.items():
        rows = np.flatnonzero(kind == kind_code)
        group = [decoded.events[row] for row in rows.tolist()]
        for column, field in _COLUMNS[record]:
            events[column][rows] = _column(group, field, np.float64)
        if record is _Trade:
            events["side"][rows] = np.where(_column(group, "m", np.bool_), columns.SELL, columns.BUY)
        elif record is _DepthUpdate and group:
            levels = _depth(events, rows, group)
    return Batch(events, names, [], levels)


def _column(events: list[Any], field: str, dtype: type) -> NDArray[Any]:
    return np.fromiter(map(attrgetter(field), events), dtype, len(events))


def _depth(events: NDArray[np.void], rows: NDArray[np.intp], group: list[Any]) -> NDArray[np.float64]:
    bids = np.fromiter((len(depth.b) for depth in group), np.int32, len(group))
    asks = np.fromiter((len(depth.a) for depth in group), np.int32, len(group))
    ends = np.cumsum(bids + asks)
    events["bid_levels"][rows] = bids
    events["ask_levels"][rows] = asks
    events["levels_start"][rows] = ends - bids - asks
    events["flags"][rows] = _column(group, "snapshot", np.uint16) * np.uint16(columns.SNAPSHOT)
    levels = chain.from_iterable(chain(depth.b, depth.a) for depth in group)
    return np.fromiter(chain.from_iterable(levels), np.float64, 2 * int(ends[-1])).reshape(-1, 2)
