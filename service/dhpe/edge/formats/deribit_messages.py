"""Deribit's notifications as they came over the websocket: the raw JSON-RPC message, one a line.

Channels (docs.deribit.com, API v2): ``trades``, ``quote``, ``ticker``, ``book`` and ``deribit_price_index``, at any
interval. What else a socket says (answers, heartbeats, other channels) is no record of the market and is left out.

- Event time is the exchange's ``timestamp`` in milliseconds; records leave in its order, those of one millisecond as
  they came. ``direction`` of a trade is the taker's: the true side.
- ``BTC-27DEC24-60000-C`` costs coins. Its prices leave in dollars, times the index price: for a trade the one that it
  carries, for a quote the last one known. A trade therefore carries the quote that stood strictly before it, at the
  trade's own index price, so that the move of the index between them changes no side. ``BTC_USDC-…`` costs dollars.
- ``trade_id`` counts the trades of an exchange's book; letters before a hyphen name the book: ``ETH-34066`` has the
  source ``deribit-ETH``. A leg of a combo is a package.
- ``amount`` is in coins for options and linear futures, in dollars for inverse ones. A perpetual is the spot, a future
  with an end a hedge.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from dhpe import columns
from dhpe.columns import Batch, Instrument, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.deribit_names import SOURCE, option, underlying_of
from dhpe.edge.formats.files import opened
from dhpe.edge.formats.merge import in_time_order

SLACK_NS: Final = 5_000_000_000
"""How long a record waits for earlier ones: the channels of a socket are not in order among each other."""
CHUNK_BYTES: Final = 8 * 1024 * 1024
MARK: Final = b'"jsonrpc"'
"""What stands in a line of such a recording, and in no record of ours."""

_NS_PER_MS: Final = 1_000_000
_SIDES: Final = {"buy": columns.BUY, "sell": columns.SELL}
_NAN: Final = float("nan")

_LAST_MS: Final = (2**63 - 1) // _NS_PER_MS
Level = tuple[str, float, float]


class _Message(msgspec.Struct, gc=False):
    """Any message of the socket; what ``params`` hold depends on the method."""

    method: str = ""
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Notice(msgspec.Struct, gc=False):
    """The params of the method ``subscription``."""

    channel: str
    data: msgspec.Raw


class _Trade(msgspec.Struct, gc=False):
    instrument_name: str
    timestamp: int
    trade_id: str
    price: float
    amount: float
    direction: str
    index_price: float
    combo_id: str | None = None


class _Quote(msgspec.Struct, gc=False):
    """Of the channels ``quote`` and ``ticker``; null where nobody bids or offers."""

    instrument_name: str
    timestamp: int
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None
    index_price: float | None = None


class _Book(msgspec.Struct, gc=False):
    instrument_name: str
    timestamp: int
    type: str
    bids: list[Level]
    asks: list[Level]


class _Index(msgspec.Struct, gc=False):
    index_name: str
    timestamp: int
    price: float


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_NOTICE: Final = msgspec.json.Decoder(_Notice)
_CHANNELS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "trades": msgspec.json.Decoder(list[_Trade]),
    "quote": msgspec.json.Decoder(_Quote),
    "ticker": msgspec.json.Decoder(_Quote),
    "book": msgspec.json.Decoder(_Book),
    "deribit_price_index": msgspec.json.Decoder(_Index),
}


class _Best(NamedTuple):
    """A best quote in the instrument's own money."""

    time_ms: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float


_NO_QUOTE: Final = _Best(-1, _NAN, _NAN, _NAN, _NAN)


class _NoRecordError(Exception):
    """A notification that is no record: (reason, sentence)."""


def read(path: Path) -> Iterator[Batch | Reject]:
    """The records of a recording by exchange time, contracts and instruments before their first mention.

    Raises:
        InputError: the file cannot be read.
    """
    yield from in_time_order(_chunks(path), SLACK_NS)


def _chunks(path: Path) -> Iterator[Batch | Reject]:
    market = _Market(str(path))
    first = 1
    with opened(path) as stream:
        while lines := stream.readlines(CHUNK_BYTES):
            yield from market.faults(lines, first)
            first += len(lines)
            for batch in market.taken():
                checked = door.check(batch, None, 0)
                yield from checked.rejects
                yield checked.batch


def _time_ns(time_ms: int) -> int:
    if not 0 <= time_ms <= _LAST_MS:
        raise _NoRecordError("bad_time", f"timestamp {time_ms}: it is in ms since 1970")
    return time_ms * _NS_PER_MS


class _Market:
    """What a reader has to remember of the messages before: indices, quotes and what is defined."""

    def __init__(self, file: str) -> None:
        self._names = {file: 0, SOURCE: 1}
        self._index: dict[str, float] = {}
        self._quotes: dict[str, tuple[_Best, _Best]] = {}  # the last, and the last of an earlier time
        self._scale: dict[str, str | None] = {}  # instruments by name: the underlying whose index makes their money
        self._new: list[tuple[int, str, columns.Reference]] = []
        self._rows: list[dict[str, float]] = []
        self._levels: list[tuple[float, float]] = []

    def faults(self, lines: Iterable[bytes], first: int) -> Iterator[Reject]:
        """Take the records out of ``lines``, numbered from ``first``; yields a reject for each that holds none."""
        file = next(iter(self._names))
        for number, line in enumerate(lines, first):
            if not line.strip():
                continue
            try:
                self._take(line, number)
            except msgspec.ValidationError as error:
                yield Reject("", -1, number, file, "wrong_shape", str(error))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield Reject("", -1, number, file, "undecodable", f"the line is no JSON: {error}")
            except _NoRecordError as fault:
                yield Reject("", -1, number, file, *fault.args)

    def taken(self) -> Iterator[Batch]:
        """What was taken since the last time: the facts, then the hot records."""
        names = list(self._names)
        if self._new:
            facts = empty_events(len(self._new))
            facts["kind"], facts["file"], facts["source"] = columns.REFERENCE, 0, 1
            facts["ts_event_ns"] = [time_ns for time_ns, _, _ in self._new]
            facts["underlying"] = [self._names[underlying] for _, underlying, _ in self._new]
            facts["reference"] = np.arange(len(self._new))
            yield Batch(facts, names, [fact for _, _, fact in self._new], np.zeros((0, 2)))
        if self._rows:
            events = empty_events(len(self._rows))
            events["file"], events["source"] = 0, 1
            for place, row in enumerate(self._rows):
                for column, value in row.items():
                    events[column][place] = value
            levels = np.array(self._levels, np.float64).reshape(-1, 2)
            yield Batch(events, names, [], levels)
        self._new, self._rows, self._levels = [], [], []

    def _take(self, line: bytes, number: int) -> None:
        message = _MESSAGE.decode(line)
        if message.method != "subscription":
            return
        notice = _NOTICE.decode(message.params)
        decoder = _CHANNELS.get(notice.channel.partition(".")[0])
        if decoder is None:
            return
        data = decoder.decode(notice.data)
        if isinstance(data, list):
            for trade in data:
                self._take_trade(trade, number)
        elif isinstance(data, _Index):
            self._take_index(underlying_of(data.index_name), data.timestamp, data.price, number)
        elif isinstance(data, _Book):
            self._take_book(data, number)
        else:
            self._take_quote(data, number)

    def _row(self, kind: int, time_ms: int, underlying: str, name: str, number: int) -> dict[str, float]:
        row: dict[str, float] = {
            "kind": kind, "ts_event_ns": _time_ns(time_ms), "index": number,
            "underlying": self._place(underlying), "name": self._place(name),
        }  # fmt: skip
        self._rows.append(row)
        return row

    def _place(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _defined(self, name: str, time_ms: int) -> tuple[str, bool]:
        """The underlying of an instrument and whether it is an option; defines it at its first mention."""
        time_ns = _time_ns(time_ms)
        underlying, _, rest = name.partition("-")
        if name not in self._scale:
            fact: columns.Reference
            if rest == "PERPETUAL" or (rest and "-" not in rest):
                role = "spot" if rest == "PERPETUAL" else "hedge"
                fact = Instrument(name, role, 1.0, inverse="_" not in underlying)
            else:
                try:
                    fact = option(name)
                except (KeyError, ValueError) as error:
                    raise _NoRecordError(
                        "unknown_instrument", f"{name} is no option, future or perpetual: {error}"
                    ) from error
            self._scale[name] = None if isinstance(fact, Instrument) or "_" in underlying else underlying
            self._place(underlying)
            self._new.append((time_ns, underlying, fact))
        return underlying, rest.count("-") == 2

    def _money(self, name: str) -> float:
        """What one unit of an instrument's price is worth in the money of its underlying, as last known."""
        coin = self._scale[name]
        if coin is None:
            return 1.0
        if coin not in self._index:
            raise _NoRecordError("index_unknown", f"{name} costs coins, and no index price of {coin} came before")
        return self._index[coin]

    def _take_index(self, underlying: str, time_ms: int, price: float, number: int) -> None:
        if self._index.get(underlying) != price:
            self._row(columns.INDEX_VALUE, time_ms, underlying, underlying, number)["price"] = price
            self._index[underlying] = price

    def _take_trade(self, trade: _Trade, number: int) -> None:
        name, time_ms = trade.instrument_name, trade.timestamp
        underlying, is_option = self._defined(name, time_ms)
        book, _, digits = trade.trade_id.rpartition("-")
        if trade.direction not in _SIDES or not digits.isdigit() or len(digits) > 18:
            raise _NoRecordError("wrong_shape", f"direction {trade.direction!r}, trade_id {trade.trade_id!r}")
        self._take_index(underlying, time_ms, trade.index_price, number)
        money = self._money(name)
        row = self._row(columns.OPTION_TRADE if is_option else columns.TRADE, time_ms, underlying, name, number)
        row |= {"price": trade.price * money, "size": trade.amount, "side": _SIDES[trade.direction]}
        row |= {"sequence": int(digits), "source": self._place(f"{SOURCE}-{book}" if book else SOURCE)}
        if not is_option:
            return
        last, earlier = self._quotes.get(name, (_NO_QUOTE, _NO_QUOTE))
        best = last if last.time_ms < time_ms else earlier
        flags = columns.MULTI_LEG if trade.combo_id is not None else 0
        if 0 <= best.time_ms < time_ms:
            flags |= columns.CARRIES_QUOTE
            row |= {"bid": best.bid * money, "bid_size": best.bid_size}
            row |= {"ask": best.ask * money, "ask_size": best.ask_size}
        row["flags"] = flags

    def _take_quote(self, quote: _Quote, number: int) -> None:
        name, time_ms = quote.instrument_name, quote.timestamp
        underlying, is_option = self._defined(name, time_ms)
        if quote.index_price is not None:
            self._take_index(underlying, time_ms, quote.index_price, number)
        best = _Best(
            time_ms, quote.best_bid_price or 0.0, quote.best_bid_amount or 0.0,
            quote.best_ask_price or 0.0, quote.best_ask_amount or 0.0,
        )  # fmt: skip
        last, earlier = self._quotes.get(name, (_NO_QUOTE, _NO_QUOTE))
        if time_ms >= last.time_ms:
            self._quotes[name] = (best, last if time_ms > last.time_ms else earlier)
        if is_option and last[1:] == best[1:]:
            return  # a ticker repeats the quote with every change of its other numbers
        money = self._money(name)
        row = self._row(columns.OPTION_QUOTE if is_option else columns.QUOTE, time_ms, underlying, name, number)
        row |= {"bid": best.bid * money, "bid_size": best.bid_size}
        row |= {"ask": best.ask * money, "ask_size": best.ask_size}

    def _take_book(self, book: _Book, number: int) -> None:
        """The order book of a future or perpetual; an option's book has its best prices in ``quote``."""
        underlying, is_option = self._defined(book.instrument_name, book.timestamp)
        if is_option:
            return
        row = self._row(columns.DEPTH, book.timestamp, underlying, book.instrument_name, number)
        row["flags"] = columns.SNAPSHOT if book.type == "snapshot" else 0
        row |= {"levels_start": len(self._levels), "bid_levels": len(book.bids), "ask_levels": len(book.asks)}
        for action, price, amount in (*book.bids, *book.asks):
            self._levels.append((price, 0.0 if action == "delete" else amount))
