"""Write docs/books.md: the dealers' three books, with those of a real day and the opening share of real days.

The page's text stands in books_text.md beside this file. The numbers are measured: the engine's books on GOOG,
2015-12-24, against books added up here from the raw files and the trades' labels alone; and the opening share of SPX
from the open interest of three mornings. The market data stands beside the project (../shared/data) and is not ours to
carry; where it is absent nothing is written or checked. With --check the page is only compared.
"""

import csv
import gzip
import math
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from deploy.documents.page import keep

from dhpe.columns import Reject, empty_batch
from dhpe.edge import formats
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.engine import Engine
from dhpe.numerics.state import BOOKS
from dhpe.open_interest import OpenInterest, read_open_interest
from dhpe.outputs import TradeLabel
from dhpe.parameters import Parameters

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "books.md"
TEXT = Path(__file__).with_name("books_text.md")
DATA = PROJECT.parent / "shared" / "data"
PARAMETERS = Parameters()
RIGHTS = {"C": "calls", "P": "puts"}
GRAIN = 2**20
SETTLED = "151224"
_MEMBER = re.compile(r".*_american_(call|put)_(\d+)_(\d{8})\.csv")


class Position(NamedTuple):
    """Dealers' contracts in one series: at the start, and how trades moved the flow and the weighted book."""

    start: Fraction
    flow: Fraction
    weighted: Fraction


class Traded(NamedTuple):
    """Option trades of one right: their number, contracts by the customer's side as the books took it, and the rest."""

    trades: int
    bought: float
    sold: float
    unknown: float
    told_later: float


class Day(NamedTuple):
    """One day: positions by series from the engine and by adding up, contracts told later, and what was traded."""

    engine: dict[str, Position]
    added_up: dict[str, Position]
    told_later: dict[str, float]
    traded: dict[str, Traded]
    raw_volume: dict[str, float]
    rejected: int
    open_interest: OpenInterest


class Opening(NamedTuple):
    """What two prints of SPX say of the day between them."""

    date: str
    series: int
    beyond: int
    volume: float
    change: float
    ratio: float
    standard_error: float
    scatter: float


def raw_rows(folder: Path, content: str) -> Iterator[tuple[str, list[str]]]:
    """(21-character symbol, fields) of each row in the day's zip of one content."""
    with zipfile.ZipFile(folder / f"20151224_{content}_american.zip") as archive:
        for name in archive.namelist():
            match = _MEMBER.fullmatch(name)
            if match is None:
                raise ValueError(f"{name} is not the name of an option's file")
            right, strike, expiry = match.groups()
            symbol = f"GOOG  {expiry[2:]}{right[0].upper()}{int(strike) // 10:08d}"
            for line in archive.read(name).decode().split():
                yield symbol, line.split(",")


def right_of(symbol: str) -> str:
    """C or P."""
    return symbol[12]


def sides_of(labels: Sequence[TradeLabel]) -> list[int]:
    """Each trade's side as the books took it: +1 bought, -1 sold, 0 never told.

    A trade that no rule decided is told by the next different price in its series: sold, if that is higher.
    """
    sides = []
    for place, label in enumerate(labels):
        side = {"buy": 1, "sell": -1, None: 0}[label.side]
        if side == 0 and label.rule.endswith("reverse_tick"):  # after what is odd about its quote
            later = (after for after in labels[place + 1 :] if after.symbol == label.symbol)
            told = next((after.price for after in later if after.price != label.price), label.price)
            side = (told < label.price) - (told > label.price)
        sides.append(side)
    return sides


def add_up(folder: Path, labels: Sequence[TradeLabel]) -> dict[str, Position]:
    """The books in fractions: raw open interest, then minus side times size, and that times 2p - 1, of each label.

    A trade told later weighs nothing in the weighted book here: its label came before its p.
    """
    start: defaultdict[str, Fraction] = defaultdict(Fraction)
    flow: defaultdict[str, Fraction] = defaultdict(Fraction)
    weighted: defaultdict[str, Fraction] = defaultdict(Fraction)
    for symbol, fields in raw_rows(folder, "openinterest"):
        start[symbol] += int(fields[1]) * (1 if right_of(symbol) == "C" else -1)
    for label, side in zip(labels, sides_of(labels), strict=True):
        size, worth = Fraction(label.size), 2 * Fraction(label.probability) - 1
        flow[label.symbol] -= side * size
        weighted[label.symbol] -= side * Fraction(round(worth * size * GRAIN), GRAIN)
    return {symbol: Position(start[symbol], flow[symbol], weighted[symbol]) for symbol in {*start, *flow}}


def measure(folder: Path) -> Day:
    """The day through the engine, and by adding up."""
    engine = Engine(PARAMETERS)
    labels: list[TradeLabel] = []
    rejected, last_ns = 0, -1
    for batch in formats.read(formats.plan([folder])):
        if isinstance(batch, Reject):
            continue
        result = engine.step(empty_batch(), batch)
        labels += [label for label in result.labels if label.symbol is not None]
        rejected += len(result.rejects)
        last_ns = latest_event_ns(batch, last_ns)
    engine.step(empty_batch(), closing_clock(last_ns, PARAMETERS.pressure_interval_ms))
    book = engine.underlyings["GOOG"].book
    positions = {}
    for symbol, row in zip(book.symbols, book.state.contracts, strict=False):
        naive, flow, weighted = (Fraction(held) for held in row["position"].tolist())
        positions[symbol] = Position(naive, flow - naive, weighted - naive)
    later: defaultdict[str, float] = defaultdict(float)
    for label, side in zip(labels, sides_of(labels), strict=True):
        later[label.symbol] += label.size if label.side is None and side != 0 else 0.0
    raw: defaultdict[str, float] = defaultdict(float)
    for symbol, fields in raw_rows(folder, "trade"):
        raw[right_of(symbol)] += float(fields[5])
    interest = read_open_interest(book.state, PARAMETERS)
    return Day(positions, add_up(folder, labels), later, traded(labels), raw, rejected, interest)


def traded(labels: Sequence[TradeLabel]) -> dict[str, Traded]:
    """Contracts by right and side."""
    sums: dict[str, list[float]] = {right: [0, 0, 0, 0, 0] for right in RIGHTS}
    for label, side in zip(labels, sides_of(labels), strict=True):
        ours = sums[right_of(label.symbol)]
        ours[0] += 1
        ours[{1: 1, -1: 2, 0: 3}[side]] += label.size
        ours[4] += label.size if label.side is None and side != 0 else 0.0
    return {right: Traded(int(count), *sizes) for right, (count, *sizes) in sums.items()}


def chain(file: Path) -> dict[str, tuple[float, float]]:
    """(open interest, volume) of each series of a closing chain."""
    with gzip.open(file, "rt") as lines:
        return {row["option"]: (float(row["open_interest"]), float(row["volume"])) for row in csv.DictReader(lines)}


def openings(folder: Path) -> tuple[list[Opening], list[dict[str, tuple[float, float]]]]:
    """The opening share of each day between two prints, over the series that are in both."""
    files = sorted(folder.glob("*.csv.gz"))
    chains = [chain(file) for file in files]
    found = []
    for file, today, next_day in zip(files, chains, chains[1:], strict=False):
        rows = [(next_day[name][0] - before, volume) for name, (before, volume) in today.items() if name in next_day]
        usable = [(change, volume) for change, volume in rows if volume > 0 and abs(change) <= volume]
        changed, volume = (sum(column) for column in zip(*usable, strict=True))
        squares = sum((change - changed / volume * size) ** 2 for change, size in usable)
        sizes = sum(size**2 for _, size in usable)
        found.append(
            Opening(
                file.name[:10],
                len(usable),
                sum(abs(change) > size for change, size in rows),
                volume,
                changed,
                changed / volume,
                math.sqrt(squares) / volume,
                math.sqrt(squares / sizes),
            )
        )
    return found, chains


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits}f}".replace("-", "−")


def _books_table(day: Day) -> str:
    text = _row(
        ["book", "right", "start", "moved by trades", "settled 13:00", "end", "start and labels added up", "beside"]
    )
    text += _row(["---"] * 8)
    for book in BOOKS:
        digits = 2 if book == "weighted" else 0
        for right, name in RIGHTS.items():
            start, moved, settled, added = (Fraction(0),) * 4
            for symbol, position in day.engine.items():
                if right_of(symbol) == right:
                    move = getattr(position, book, Fraction(0))
                    start += position.start
                    moved += move
                    settled += position.start + move if symbol[6:12] == SETTLED else 0
            for symbol, position in day.added_up.items():
                if right_of(symbol) == right:
                    added += position.start + getattr(position, book, Fraction(0))
            cells = [start, moved, settled, start + moved - settled, added, start + moved - added]
            text += _row([book, name, *(_number(float(cell), digits) for cell in cells)])
    return text


def _traded_table(day: Day) -> str:
    heads = [
        "right",
        "trades",
        "customers bought",
        "sold",
        "bought − sold",
        "of both told later",
        "never told",
        "in raw files",
    ]
    text = _row(heads) + _row(["---"] * len(heads))
    for right, name in RIGHTS.items():
        one = day.traded[right]
        cells = [
            one.trades,
            one.bought,
            one.sold,
            one.bought - one.sold,
            one.told_later,
            one.unknown,
            day.raw_volume[right],
        ]
        text += _row([name, *(_number(cell) for cell in cells)])
    return text


def _opening_table(found: Sequence[Opening]) -> str:
    heads = ["day", "series", "beyond", "volume", "change", "opening share", "standard error", "scatter"]
    text = _row(heads) + _row(["---"] * len(heads))
    for one in found:
        share = [_number(0.5 + 0.5 * one.ratio, 3), _number(0.5 * one.standard_error, 3), _number(one.scatter, 2)]
        counts = [_number(one.series), _number(one.beyond), _number(one.volume), _number(one.change)]
        text += _row([one.date, *counts, *share])
    return text


def _foretold(found: Sequence[Opening], chains: Sequence[dict[str, tuple[float, float]]]) -> str:
    """What the first day's share says of the third morning's open interest, with the second day's volume."""
    today, true = chains[1], chains[2]
    names = [name for name, (_, volume) in today.items() if name in true and volume > 0]
    volume = sum(today[name][1] for name in names)
    own = math.sqrt(sum(today[name][1] ** 2 for name in names))
    error = math.hypot(found[0].standard_error * volume, found[0].scatter * own)
    change = sum(max(-today[name][0], found[0].ratio * today[name][1]) for name in names)
    happened = sum(true[name][0] - today[name][0] for name in names)
    return (
        f"The share of {found[0].date} and the volume of {found[1].date} foretell a change of {_number(change)} ± "
        f"{_number(error)} contracts\nin the {_number(len(names))} series then traded; it was {_number(happened)}.\n"
    )


def document(day: Day, found: Sequence[Opening], chains: Sequence[dict[str, tuple[float, float]]]) -> str:
    """The whole page."""
    interest = day.open_interest
    tables = {
        "books_table": _books_table(day),
        "traded_table": _traded_table(day),
        "opening_table": _opening_table(found),
        "foretold": _foretold(found, chains),
        "goog_estimate": (
            f"{_number(interest.estimate or 0.0)} ± {_number(interest.standard_error or 0.0)} contracts at the close, "
            f"after a print of {_number(interest.printed or 0.0)}"
        ),
        "rejected": _number(day.rejected),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, table in tables.items():
        text = text.replace("{" + name + "}", table.rstrip("\n"))
    return text


def main() -> int:
    """Write the page; with --check only compare it, 1 where it differs."""
    if not DATA.is_dir():
        print(f"{DOCUMENT.name}: left as it is, the market data is not here", file=sys.stderr)
        return 0
    return keep(DOCUMENT, document(measure(DATA / "lean_goog_20151224"), *openings(DATA / "spx_chain")))


if __name__ == "__main__":
    sys.exit(main())
