"""Deribit option trades as a CSV: quoted fields, newest first, pages that overlap.

- A trade is ``q`` coins at ``p`` coins each (``t`` is exchange ms); ``direction`` is the taker's, the true side.
- ``trade_id`` numbers the trades of the exchange: repeated ones are for whoever applies the records to drop, by
  (source, sequence).
- A series settles at 08:00 UTC of the day in its name, ``BTC-7JAN22-40000-P``; one coin a contract.
- ``index_price`` stood when the trade was made: it is the spot, before each trade on which it differs.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dhpe import columns
from dhpe.columns import Batch, Contract, Reject, empty_events
from dhpe.edge import door
from dhpe.edge.formats.deribit_names import SOURCE, option
from dhpe.edge.formats.files import InputError, opened
from dhpe.edge.messages import INT64_MAX

HEADER: Final = ("q", "p", "s", "t")

_NEEDED: Final = ("q", "p", "t", "trade_id", "instrument_name", "index_price", "direction")
_SIDES: Final = {"buy": columns.BUY, "sell": columns.SELL}
_NS_PER_MS: Final = 1_000_000


class _Row(NamedTuple):
    """A line of the file. Ordered by time, then by the exchange's number."""

    time_ms: int
    trade_id: int
    line: int
    symbol: str
    price: float
    size: float
    side: int
    index_price: float


def read(path: Path) -> Iterator[Batch | Reject]:
    """The contracts, then the trades by exchange time, each after the spot that it saw.

    Raises:
        InputError: the file cannot be read, or has no such columns.
    """
    with opened(path) as stream:
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
        rows: list[_Row] = []
        contracts: dict[str, Contract] = {}
        try:
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}:1: missing column {', '.join(missing)}; this is no CSV of Deribit trades")
            for cells in reader:
                fault = _read_row(cells, reader.line_num, rows, contracts)
                if fault is not None:
                    yield Reject("", -1, reader.line_num, str(path), "wrong_shape", fault)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path}:{reader.line_num}: {error}") from error
    if rows:
        checked = door.check(_batch(sorted(rows), contracts, str(path)), None, 0)
        yield from checked.rejects
        yield checked.batch


def _read_row(cells: dict[str, Any], line: int, rows: list[_Row], contracts: dict[str, Contract]) -> str | None:
    """Keep the trade of a line; a sentence where there is none."""
    try:
        symbol = cells["instrument_name"]
        row = _Row(
            int(cells["t"]), int(cells["trade_id"]), line, symbol,
            float(cells["p"]), float(cells["q"]), _SIDES[cells["direction"]], float(cells["index_price"]),
        )  # fmt: skip
        if not (0 <= row.trade_id <= INT64_MAX and abs(row.time_ms) <= INT64_MAX // _NS_PER_MS):
            return "the line holds no option trade: trade_id or t is no 64-bit number"
        if symbol not in contracts:
            contracts[symbol] = option(symbol)
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        return f"the line holds no option trade: {error}"
    rows.append(row)
    return None


def _batch(rows: list[_Row], contracts: dict[str, Contract], file: str) -> Batch:
    names = [file, SOURCE, *dict.fromkeys(symbol.partition("-")[0] for symbol in contracts), *contracts]
    place = {name: number for number, name in enumerate(names)}
    count = len(contracts)
    events = empty_events(count + 2 * len(rows))
    events["file"], events["source"] = 0, 1
    events["kind"][:count] = columns.REFERENCE
    events["ts_event_ns"][:count] = rows[0].time_ms * _NS_PER_MS
    events["underlying"][:count] = [place[symbol.partition("-")[0]] for symbol in contracts]
    events["reference"][:count] = np.arange(count)
    spots, trades = events[count::2], events[count + 1 :: 2]
    for half in (spots, trades):
        half["ts_event_ns"] = [row.time_ms * _NS_PER_MS for row in rows]
        half["underlying"] = [place[row.symbol.partition("-")[0]] for row in rows]
        half["index"] = [row.line for row in rows]
    spots["kind"] = columns.INDEX_VALUE
    spots["name"] = spots["underlying"]
    spots["price"] = [row.index_price for row in rows]
    trades["kind"] = columns.OPTION_TRADE
    trades["name"] = [place[row.symbol] for row in rows]
    trades["price"] = [row.price for row in rows]
    trades["size"] = [row.size for row in rows]
    trades["side"] = [row.side for row in rows]
    trades["sequence"] = [row.trade_id for row in rows]
    kept = np.ones(len(events), np.bool_)
    kept[count + 2 :: 2] = (np.diff(spots["price"]) != 0.0) | (np.diff(spots["underlying"]) != 0)
    return Batch(events[kept], names, list(contracts.values()), np.zeros((0, 2)))
