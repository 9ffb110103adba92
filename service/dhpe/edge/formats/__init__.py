"""Files as batches of records: the format is found by content, and all inputs leave in one order of event time.

``plan`` looks at what the user named and raises ``InputError``, one clear line, before anything is read; ``read``
then yields each ``Batch`` and ``Reject``. The rows have passed the door. ``offset`` is the running number of a record
over all inputs, ``file`` and ``index`` say where it stood (line number from 1; 0 where a file's name told it, and no
line), and a reject carries the same file and line.

A new format is a module with a ``read`` of its own, a name in ``FORMATS``, a line in ``_detect`` and one in
``_sources``.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dhpe.columns import Batch, Reject
from dhpe.edge.formats import binance, cboe, dbn, deribit, deribit_messages, jsonl, lean
from dhpe.edge.formats.cboe import NOTHING_TOLD, ChainFacts
from dhpe.edge.formats.files import GZIP_MAGIC, InputError, opened, unreadable
from dhpe.edge.formats.merge import merged

__all__ = ["FORMATS", "STANDARD_INPUT", "ChainFacts", "InputError", "Plan", "expected_records", "plan", "read"]

FORMATS: Final = ("jsonl", "lean", "cboe", "dbn", "binance", "deribit")
STANDARD_INPUT: Final = jsonl.STANDARD_INPUT

_KNOWN: Final = f"known are {', '.join(FORMATS)}"
_HEAD_BYTES: Final = 65_536
_SAMPLE_BYTES: Final = 1024 * 1024
_ZIP_MAGIC: Final = b"PK\x03\x04"


class Plan(NamedTuple):
    """Which files are read together as what, and the user's word on what a chain may leave out."""

    parts: tuple[tuple[str, tuple[str, ...]], ...]
    told: ChainFacts

    @property
    def formats(self) -> list[str]:
        """The formats that occur, in the order of ``FORMATS``."""
        return [name for name in FORMATS if any(part[0] == name for part in self.parts)]


def plan(
    inputs: Sequence[str | Path],
    *,
    format_name: str | None = None,
    told: ChainFacts = NOTHING_TOLD,
) -> Plan:
    """What to read: ``inputs`` are files, folders or "-" (standard input); ``format_name`` overrides the detection.

    LEAN files are read together, as are chains; each other file is a source of its own.

    Raises:
        InputError: an input is missing, unreadable, empty or of no known format, in one line.
    """
    if format_name is not None and format_name not in FORMATS:
        raise InputError(f"format {format_name!r}: there is no such format; {_KNOWN}")
    if not inputs:
        raise InputError("no input is named; name a file, a folder, or - for standard input")
    if [str(name) for name in inputs].count(STANDARD_INPUT) > 1:
        raise InputError("- (standard input) is named twice; it can be read only once")
    parts: list[tuple[str, list[str]]] = []
    for name in inputs:
        for file, found in _files(str(name), format_name):
            together = [files for other, files in parts if other == found and found in ("lean", "cboe")]
            if together:
                together[0].append(file)
            else:
                parts.append((found, [file]))
    return Plan(tuple((found, tuple(files)) for found, files in parts), told)


def read(chosen: Plan) -> Iterator[Batch | Reject]:
    """All records of a plan by event time, in batches of bounded size.

    Raises:
        InputError: a file turns out not to be what it seemed, in one line.
    """
    number = 0
    for item in merged(list(_sources(chosen))):
        if isinstance(item, Batch):
            item.events["offset"] = np.arange(number, number + len(item.events))
            number += len(item.events)
        yield item


def expected_records(chosen: Plan) -> int | None:
    """About how many records ``read`` will yield, without reading the files; None where only that would tell."""
    records = 0
    for found, files in chosen.parts:
        for file in files:
            if file == STANDARD_INPUT or found == "dbn":
                return None
            if found == "lean":
                records += lean.expected_records(Path(file))
            else:
                records += _lines(Path(file)) * (cboe.RECORDS_PER_LINE if found == "cboe" else 1)
    return records


def _sources(chosen: Plan) -> Iterator[Iterable[Batch | Reject]]:
    for found, files in chosen.parts:
        paths = [Path(file) for file in files]
        if found == "lean":
            yield lean.read(paths)
        elif found == "cboe":
            yield cboe.read(paths, chosen.told)
        elif found == "dbn":
            yield dbn.read(paths[0])
        elif found == "binance":
            yield binance.read(paths[0])
        elif found == "deribit":
            yield (deribit_messages if _opens_with_json(paths[0]) else deribit).read(paths[0])
        else:
            yield jsonl.read(files[0])


def _files(name: str, format_name: str | None) -> Iterator[tuple[str, str]]:
    """The files that an input stands for, each with its format. A folder of LEAN zips stands for itself."""
    path = Path(name)
    if name == STANDARD_INPUT:
        if format_name not in (None, "jsonl"):
            raise InputError(f"-: standard input is read as jsonl, not as {format_name}; name a file")
        yield STANDARD_INPUT, "jsonl"
    elif not path.exists():
        raise InputError(f"{path}: there is no such file or folder")
    elif not path.is_dir():
        yield name, format_name or _detect(path)
    elif format_name == "lean" or (format_name is None and any(map(lean.is_lean, sorted(path.rglob("*.zip"))))):
        yield name, "lean"
    else:
        inside = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        data = [file for file in inside if file.name != cboe.COMPANION]
        if not data:
            raise InputError(f"{path}: the folder holds no file that could be read")
        for file in data:
            yield str(file), format_name or _detect(file)


def _detect(path: Path) -> str:
    with opened(path) as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(_ZIP_MAGIC) and lean.is_lean(path):
        return "lean"
    if head.startswith(dbn.MAGIC):
        return "dbn"
    first = head.lstrip().partition(b"\n")[0]
    if first.startswith((b"{", b"[")):
        return "deribit" if deribit_messages.MARK in first else "jsonl"
    if binance.LINE.match(first):
        return "binance"
    if first.startswith(",".join(cboe.HEADER).encode()):
        return "cboe"
    if first.replace(b'"', b"").startswith(",".join(deribit.HEADER).encode()):
        return "deribit"
    what = "is empty" if not head else "its content is of no known format"
    raise InputError(f"{path}: {what}; {_KNOWN}, and --format names one")


def _opens_with_json(path: Path) -> bool:
    with opened(path) as stream:
        return stream.read(_HEAD_BYTES).lstrip().startswith(b"{")


def _lines(path: Path) -> int:
    """About how many lines a text file has, by the length of its first ones."""
    with opened(path) as stream:
        head = stream.read(_SAMPLE_BYTES)
    try:
        with path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            if raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
                raw.seek(-4, os.SEEK_END)
                size = int.from_bytes(raw.read(4), "little")  # of the last member, below 4 GiB
    except OSError as error:
        raise unreadable(path, error) from error
    return round(head.count(b"\n") * size / max(1, len(head)))
