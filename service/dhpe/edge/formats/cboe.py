"""Option chains of Cboe's delayed quotes as CSV: one file is one instant of thousands of contracts.

What is chosen where the file leaves it open:

- The instant. The quotes of a chain fetched in the evening are those at which its options stopped trading, so the
  records carry the end of trading of ``session_date`` (16:15 New York, half days 13:15), or the time of the payload
  where that was earlier; ``--as-of`` overrides. Series that have settled by then (same-day expiries of an evening chain)
  are dead: rejected line by line as ``expired_contract``, and nothing of theirs is read.
- The spot, which becomes an ``index_value`` named as its underlying: ``--spot``, else ``current_price`` of the session in
  an ``underlying.csv`` beside the chain.
- AM or PM is told by the root of the series: SPX in the morning, SPXW in the afternoon of the same third Friday.
- Open interest is of the close before the session. Implied vols and greeks of the file are on another clock and are left.
  Volume and last price are no trades: their time and order are unknown.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reference, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.files import InputError, opened
from dhpe.edge.formats.index_options import osi_symbol, settlement_of
from dhpe.edge.sessions import settlement_ns, trading_close_ns

COMPANION: Final = "underlying.csv"
HEADER: Final = ("session_date", "ticker", "expiry", "right", "strike", "option")
MULTIPLIER: Final = 100.0
CALENDAR: Final = "XCBO"
RECORDS_PER_LINE: Final = 3

_QUOTE: Final = ("bid", "bid_size", "ask", "ask_size")
_NUMBERS: Final = ("strike", "open_interest", *_QUOTE)
_OPTION: Final = re.compile(r"(?P<root>[A-Z.]{1,6})(?P<expiry>\d{6})(?P<right>[CP])(?P<strike>\d{8})")
_NS_PER_S: Final = 1_000_000_000


class _Spot(NamedTuple):
    """What the file beside the chain tells of one session."""

    price: float
    payload_ns: int | None


class _Row(NamedTuple):
    """A line of the chain that is a living contract."""

    line: int
    contract: Contract
    open_interest: float
    quote: tuple[float, ...]


class _Chain(NamedTuple):
    file: str
    underlying: str
    session: str
    as_of_ns: int
    spot: float


def read(
    paths: Sequence[Path], *, spot: float | None = None, as_of_ns: int | None = None
) -> Iterator[Batch | Reject]:
    """The chains of ``paths`` in the order of their instants: contracts, open interest, spot, quotes.

    Raises:
        InputError: a file cannot be read, is no chain, or its spot or instant is not to be found.
    """
    chains = sorted(((_chain_of(path, spot, as_of_ns), path) for path in paths), key=lambda pair: pair[0].as_of_ns)
    for chain, path in chains:
        yield from _read(chain, path)


def _chain_of(path: Path, spot: float | None, as_of_ns: int | None) -> _Chain:
    first = next(_lines(path), None)
    if first is None:
        raise InputError(f"{path}: the chain has no contract")
    session, ticker = first[1]["session_date"], first[1]["ticker"]
    beside = _beside(path, session, ticker)
    if spot is None and beside is None:
        raise InputError(f"{path}: the spot of {session} is unknown; give --spot, or put {COMPANION} beside the file")
    if as_of_ns is None:
        try:
            as_of_ns = trading_close_ns(session, CALENDAR)
        except ValueError as error:
            raise InputError(f"{path}: the instant of the chain is unknown: {error}; give --as-of") from error
        if beside is not None and beside.payload_ns is not None:
            as_of_ns = min(as_of_ns, beside.payload_ns)
    price = spot if spot is not None else beside.price if beside is not None else float("nan")
    return _Chain(str(path), ticker.removeprefix("_"), session, as_of_ns, price)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a chain with their numbers."""
    with opened(path) as stream:
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", newline=""), restval="")
        try:
            missing = {*HEADER, *_NUMBERS} - set(reader.fieldnames or ())
            if missing:
                raise InputError(f"{path}: is no Cboe chain: there is no column {', '.join(sorted(missing))}")
            for row in reader:
                yield reader.line_num, row
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
    settles = cache(settlement_ns)
    for line, fields in _lines(path):
        row = _row(line, fields, chain, settles)
        if isinstance(row, Reject):
            yield row
        else:
            rows.append(row)
    for batch in (_reference(chain, rows), _quotes(chain, rows)):
        checked = door.check(batch, None, 0)
        yield from checked.rejects
        yield checked.batch


def _row(line: int, fields: dict[str, str], chain: _Chain, settles: Callable[[str, str, str], int]) -> _Row | Reject:
    def reject(reason: str, detail: str) -> Reject:
        return Reject("", -1, line, chain.file, reason, detail)

    option, expiry = fields["option"], fields["expiry"]
    match = _OPTION.fullmatch(option)
    if match is None:
        return reject("bad_symbol", f"option is {option[:32]!r}: it is root, YYMMDD, C or P, and strike in thousandths")
    if match["expiry"] != expiry[2:].replace("-", "") or match["right"] != fields["right"]:
        return reject("bad_symbol", f"{option} does not expire on {expiry} as {fields['right']}")
    if fields["session_date"] != chain.session or fields["ticker"].removeprefix("_") != chain.underlying:
        return reject("other_chain", f"the file is the chain of {chain.underlying} on {chain.session}")
    try:
        strike, open_interest, *quote = (float(fields[name]) for name in _NUMBERS)
        settles_ns = settles(expiry, settlement_of(match["root"]), CALENDAR)
    except ValueError as error:
        return reject("wrong_shape", str(error))
    if settles_ns <= chain.as_of_ns:
        return reject("expired_contract", f"{option} had settled before the instant of the chain")
    right = 1 if match["right"] == "C" else -1
    american = not fields["ticker"].startswith("_") or match["root"] == "OEX"
    symbol = osi_symbol(match["root"], expiry, right, int(match["strike"]))
    return _Row(
        line, Contract(symbol, right, strike, MULTIPLIER, american, settles_ns), open_interest, tuple(quote)
    )


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
