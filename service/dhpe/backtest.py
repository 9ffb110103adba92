"""Scores of the models on recorded markets. ``regime_reference`` labels bars with the seeds' own rules."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dhpe.regime_reference import CRASH_LABELS, VANNA_LABELS, crash_regime, vanna_regime

COLUMNS: Final = ("date", "close", "iv_index", "vvix")
LABELS_FILE: Final = "labels.csv"
NEAR_FILE: Final = "near_threshold.csv"
MISSING: Final = frozenset(("", "nan", "null", "na"))
DATE_LENGTH: Final = len("YYYY-MM-DD")


class BarsError(ValueError):
    """The file of bars cannot be used; the message names file, line and what to mend."""


class Bars(NamedTuple):
    """Bars of one underlying in the order of time: dates (n), and columns (n) with NaN where a value is missing."""

    dates: list[str]
    close: npt.NDArray[np.float64]
    iv_index: npt.NDArray[np.float64]
    vvix: npt.NDArray[np.float64]


class RegimeReference(NamedTuple):
    """What was written: bars by label of each rule, and the dates whose label hung on less than 1e-10."""

    bars: int
    vanna_labels: dict[str, int]
    crash_labels: dict[str, int]
    near_threshold: list[str]


def read_bars(bars_csv: Path) -> Bars:
    """Read ``date,close,iv_index,vvix`` (further columns are ignored); an empty cell is a missing value."""
    dates: list[str] = []
    rows: list[tuple[float, float, float]] = []
    for line, row in _rows(bars_csv):
        date = row["date"].strip()
        if not date:
            raise BarsError(f"{bars_csv}:{line}: the date is empty")
        if dates and _sortable(date) and _sortable(dates[-1]) and date < dates[-1]:
            raise BarsError(f"{bars_csv}:{line}: {date} comes after {dates[-1]}; sort the bars by date")
        dates.append(date)
        close, iv_index, vvix = (_number(row[name], name, bars_csv, line) for name in COLUMNS[1:])
        rows.append((close, iv_index, vvix))
    if not rows:
        raise BarsError(f"{bars_csv}: there are no bars below the header")
    columns = np.ascontiguousarray(np.array(rows).T)
    return Bars(dates, columns[0], columns[1], columns[2])


def regime_reference(bars_csv: Path, output: Path) -> RegimeReference:
    """Label bars with both seed rules into ``output/labels.csv``; bars near a threshold into ``near_threshold.csv``.

    Raises BarsError where the file cannot be read as bars.
    """
    bars = read_bars(bars_csv)
    vanna = vanna_regime(bars.close, bars.iv_index)
    crash = crash_regime(bars.close, bars.vvix)
    vanna_words = [VANNA_LABELS[code] for code in vanna.codes]
    crash_words = [CRASH_LABELS[code] for code in crash.codes]
    output.mkdir(parents=True, exist_ok=True)
    _write(
        output / LABELS_FILE,
        ("date", "vanna_regime", "crash_regime"),
        list(zip(bars.dates, vanna_words, crash_words, strict=True)),
    )
    near = [
        (date, rule)
        for i, date in enumerate(bars.dates)
        for rule, labels in (("vanna_regime", vanna), ("crash_regime", crash))
        if labels.near_threshold[i]
    ]
    _write(output / NEAR_FILE, ("date", "rule"), near)
    return RegimeReference(
        len(bars.dates), dict(Counter(vanna_words)), dict(Counter(crash_words)), sorted({date for date, _ in near})
    )


def _rows(bars_csv: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column name, of every line that is not empty."""
    lines = _lines(bars_csv)
    _, names = next(lines, (1, []))
    header = [name.strip().lower() for name in names]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise BarsError(f"{bars_csv}:1: missing column {', '.join(missing)}; the header must be {','.join(COLUMNS)}")
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise BarsError(f"{bars_csv}:{line}: {len(cells)} fields where the header has {len(header)}")
        yield line, dict(zip(header, cells, strict=True))


def _lines(bars_csv: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of every line."""
    try:
        text = bars_csv.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BarsError(f"{bars_csv}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BarsError(f"{bars_csv}: is not UTF-8 text (byte {error.start})") from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise BarsError(f"{bars_csv}:{reader.line_num}: {error}") from error


def _number(cell: str, name: str, bars_csv: Path, line: int) -> float:
    text = cell.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise BarsError(f"{bars_csv}:{line}: {name} is {cell!r}, which is not a number; leave it empty if unknown")
    return value


def _sortable(date: str) -> bool:
    """Dates that begin YYYY-MM-DD sort as text; others are taken in the order of the file."""
    return len(date) >= DATE_LENGTH and date[4] == date[7] == "-"


def _write(path: Path, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
