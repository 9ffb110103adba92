"""Option chains of Cboe's delayed quotes as CSV: one file is one instant of thousands of contracts.

What is chosen where the file leaves it open:

- The instant. The quotes of a chain fetched in the evening are those at which its options stopped trading, so the
  records carry the end of trading of ``session_date`` (16:15 New York, half days 13:15), or the time of the payload
  where that was earlier; ``--as-of`` overrides. Series that have settled by then (same-day expiries of an evening
  chain) are dead: rejected line by line as ``expired_contract``, and nothing of theirs is read.
- The spot, which becomes an ``index_value`` named as its underlying: ``--spot``, else ``current_price`` of the session
  in an ``underlying.csv`` beside the chain.
- AM or PM is told by the root of the series: SPX in the morning, SPXW in the afternoon of the same third Friday.
- Open interest is of the close before the session. Implied vols and greeks of the file are on another clock and are
  left. Volume and last price are no trades: their time and order are unknown.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reference, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.files import InputError, opened
from dhpe.edge.formats.index_options import AMERICAN_ROOTS, osi_symbol, settlement_of
from dhpe.edge.sessions import settlement_ns, trading_close_ns

COMPANION: Final = "underlying.csv"
HEADER: Final = ("session_date", "ticker", "expiry", "right", "strike", "option")
MULTIPLIER: Final = 100.0
CALENDAR: Final = "XCBO"
RECORDS_PER_LINE: Final = 3

_QUOTE: Final = ("bid", "bid_size", "ask", "ask_size")
_SERIES: Final = len("YYMMDDC00000000")  # what stands behind the root of a symbol
_NS_PER_S: Final = 1_000_000_000


class ChainFacts(NamedTuple):
    """What the user tells: ``spot`` and ``as_of_ns`` beat the file, ``underlying`` names a chain without a ticker."""

    spot: float | None = None
    as_of_ns: int | None = None
    underlying: str | None = None


NOTHING_TOLD: Final = ChainFacts()


class _Spot(NamedTuple):
    """What the file beside the chain tells of one session."""

    price: float
    payload_ns: int | None


class _Line(NamedTuple):
    """The texts of a line that this reader uses, by the names of their columns."""

    session_date: str
    ticker: str
    expiry: str
    right: str
    strike: str
    option: str
    open_interest: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str


class _Row(NamedTuple):
    """A line of the chain that is a living contract."""

    line: int
    contract: Contract
    open_interest: float
    quote: tuple[float, float, float, float]


class _Fault(NamedTuple):
    reason: str
    detail: str


class _Chain(NamedTuple):
    file: str
    ticker: str
    underlying: str
    session: str
    as_of_ns: int
    spot: float


def read(paths: Sequence[Path], told: ChainFacts = NOTHING_TOLD) -> Iterator[Batch | Reject]:
    """The chains of ``paths`` in the order of their instants: contracts, open interest, spot, quotes.

    Raises:
        InputError: a file cannot be read, is no chain, or its spot or instant is not to be found.
    """
    chains = sorted(((_chain_of(path, told), path) for path in paths), key=lambda pair: pair[0].as_of_ns)
    for chain, path in chains:
        yield from _read(chain, path)


def _chain_of(path: Path, told: ChainFacts) -> _Chain:
    first = next((fields for _, fields in _lines(path) if fields is not None), None)
    if first is None:
        raise InputError(f"{path}: the chain has no contract")
    session, ticker = first.session_date, first.ticker
    underlying = ticker.removeprefix("_") or told.underlying
    if not underlying:
        raise InputError(f"{path}: the chain does not name its underlying; give --underlying")
    beside = _beside(path, session, ticker)
    spot = told.spot if beside is None or told.spot is not None else beside.price
    if spot is None:
        raise InputError(f"{path}: the spot of {session} is unknown; give --spot, or put {COMPANION} beside the file")
    as_of_ns = told.as_of_ns
    if as_of_ns is None:
        try:
            as_of_ns = trading_close_ns(session, CALENDAR)
        except ValueError as error:
            raise InputError(f"{path}: the instant of the chain is unknown: {error}; give --as-of") from error
        if beside is not None and beside.payload_ns is not None:
            as_of_ns = min(as_of_ns, beside.payload_ns)
    return _Chain(str(path), ticker, underlying, session, as_of_ns, spot)


def _lines(path: Path) -> Iterator[tuple[int, _Line | None]]:
    """The lines of a chain with their numbers; None for one that ends too early."""
    with opened(path) as stream:
        reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
        try:
            names = next(reader, [])
            missing = [name for name in _Line._fields if name not in names]
            if missing:
                raise InputError(f"{path}: is no Cboe chain: there is no column {', '.join(missing)}")
            places = [names.index(name) for name in _Line._fields]
            chosen, last = itemgetter(*places), max(places)
            for texts in reader:
                if texts:
                    yield reader.line_num, _Line._make(chosen(texts)) if len(texts) > last else None
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}: line {reader.line_num}: is no CSV: {error}") from error


def _beside(path: Path, session: str, ticker: str) -> _Spot | None:
    companion = path.with_name(COMPANION)
    if not companion.is_file():
        return None
    with companion.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, restval=""):
            if row.get("session_date") == session and row.get("ticker") == ticker:
                try:
                    return _Spot(float(row.get("current_price", "")), _payload_ns(row.get("payload_timestamp", "")))
                except ValueError as error:
                    raise InputError(f"{companion}: the line of {session} cannot be read: {error}") from error
    return None


def _payload_ns(text: str) -> int | None:
    """The time of the payload, which Cboe writes in UTC without saying so."""
    if not text:
        return None
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * _NS_PER_S


def _read(chain: _Chain, path: Path) -> Iterator[Batch | Reject]:
    rows: list[_Row] = []
    settles = cache(_settles_ns)
    for line, fields in _lines(path):
        row = _fault(fields, chain) or _row(line, cast("_Line", fields), chain, settles)
        if isinstance(row, _Row):
            rows.append(row)
        else:
            yield Reject("", -1, line, chain.file, *row)
    for batch in (_reference(chain, rows), _quotes(chain, rows)):
        checked = door.check(batch, None, 0)
        yield from checked.rejects
        yield checked.batch


def _fault(fields: _Line | None, chain: _Chain) -> _Fault | None:
    """Why a line is none of this chain, or contradicts itself."""
    if fields is None:
        return _Fault("wrong_shape", "the line ends before its last column")
    if fields.session_date != chain.session or fields.ticker != chain.ticker:
        return _Fault("other_chain", f"the file is the chain of {chain.underlying} on {chain.session}")
    option, expiry = fields.option, fields.expiry
    right = option[-9:-8]
    if len(option) <= _SERIES or not option[-8:].isdecimal() or right not in ("C", "P"):
        return _Fault("bad_symbol", f"option is {option[:32]!r}: it is root, YYMMDD, C or P, strike in thousandths")
    if option[-_SERIES:-9] != expiry[2:].replace("-", "") or right != fields.right:
        return _Fault("bad_symbol", f"{option[:32]} does not expire on {expiry[:32]!r} as {fields.right[:32]!r}")
    return None


def _row(line: int, fields: _Line, chain: _Chain, settles: Callable[[str, str], int]) -> _Row | _Fault:
    option, root = fields.option, fields.option[:-_SERIES]
    try:
        strike, open_interest = float(fields.strike), float(fields.open_interest)
        quote = (float(fields.bid), float(fields.bid_size), float(fields.ask), float(fields.ask_size))
        settles_ns = settles(fields.expiry, root)
    except ValueError as error:
        return _Fault("wrong_shape", str(error))
    if settles_ns <= chain.as_of_ns:
        return _Fault("expired_contract", f"{option} had settled before the instant of the chain")
    right = 1 if fields.right == "C" else -1
    american = not chain.ticker.startswith("_") or root in AMERICAN_ROOTS
    symbol = osi_symbol(root, fields.expiry, right, int(option[-8:]))
    return _Row(line, Contract(symbol, right, strike, MULTIPLIER, american, settles_ns), open_interest, quote)


def _settles_ns(expiry: str, root: str) -> int:
    return settlement_ns(expiry, settlement_of(root), CALENDAR)


def _blank(chain: _Chain, names: list[str], facts: list[Reference], count: int) -> Batch:
    events = empty_events(count)
    events["ts_event_ns"] = chain.as_of_ns
    events["file"] = 0
    events["underlying"] = 1
    return Batch(events, [chain.file, chain.underlying, *names], facts, np.zeros((0, 2)))


def _reference(chain: _Chain, rows: list[_Row]) -> Batch:
    facts: list[Reference] = [row.contract for row in rows]
    facts += (OpenInterest(row.contract.symbol, chain.session, row.open_interest) for row in rows)
    batch = _blank(chain, [], facts, len(facts))
    batch.events["kind"] = columns.REFERENCE
    batch.events["reference"] = np.arange(len(facts))
    batch.events["index"] = np.tile(np.fromiter((row.line for row in rows), np.int32, len(rows)), 2)
    return batch


def _quotes(chain: _Chain, rows: list[_Row]) -> Batch:
    """The spot, then the quote of each contract."""
    batch = _blank(chain, [row.contract.symbol for row in rows], [], 1 + len(rows))
    spot, quotes = batch.events[0], batch.events[1:]
    spot["kind"] = columns.INDEX_VALUE
    spot["name"] = 1
    spot["price"] = chain.spot
    quotes["kind"] = columns.OPTION_QUOTE
    quotes["name"] = np.arange(2, 2 + len(rows))
    quotes["index"] = np.fromiter((row.line for row in rows), np.int32, len(rows))
    numbers = np.array([row.quote for row in rows], np.float64).reshape(-1, len(_QUOTE))
    for place, field in enumerate(_QUOTE):
        quotes[field] = numbers[:, place]
    return batch
