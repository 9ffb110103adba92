"""Records one a line, from a file or standard input, plain or gzip: the same decoding as on the wire.

A line may also hold an array of records. Blank lines are skipped. Memory stays bounded whatever the file holds: a
batch ends at ``lines_max`` lines or ``STRETCH_BYTES_MAX`` bytes, and of a line that is too long only its beginning is
held.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final, cast

import numpy as np

from dhpe.columns import Batch, Reject
from dhpe.edge.decode import Message, decode
from dhpe.edge.salvage import MESSAGE_BYTES_MAX, Limits

STANDARD_INPUT: Final = "-"
LINES_MAX: Final = 50_000
STRETCH_BYTES_MAX: Final = 64 * 1024 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"


def read(
    source: str | Path, *, lines_max: int = LINES_MAX, line_bytes_max: int = MESSAGE_BYTES_MAX
) -> Iterator[Batch | Reject]:
    """The records of ``source`` ("-" is standard input) in the order of its lines, and the rejects among them.

    Of a row, ``offset`` is the running number (from 0) of its non-blank line, ``index`` its line number (from 1) and
    ``file`` the name of the source; a reject carries the same. The rejects of a stretch of lines come before its
    batch. A broken gzip stream ends with a reject ``broken_file``.

    Raises:
        OSError: the file cannot be opened or read.
    """
    name = str(source)
    if name == STANDARD_INPUT:
        yield from _read(cast("BufferedReader", sys.stdin.buffer), name, lines_max, line_bytes_max)
    else:
        with Path(source).open("rb") as stream:
            yield from _read(stream, name, lines_max, line_bytes_max)


def _read(raw: BufferedReader, name: str, lines_max: int, line_bytes_max: int) -> Iterator[Batch | Reject]:
    # By content: standard input has no name that could end in .gz.
    compressed = raw.peek(2)[:2] == _GZIP_MAGIC
    lines = _lines(gzip.GzipFile(fileobj=raw) if compressed else raw, line_bytes_max)
    stretch: list[tuple[int, bytes]] = []
    done, held_bytes, broken = 0, 0, ""
    while True:
        try:
            line = next(lines, None)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            line, broken = None, str(error)
        if line is not None:
            stretch.append(line)
            held_bytes += len(line[1])
        if stretch and (line is None or len(stretch) >= lines_max or held_bytes >= STRETCH_BYTES_MAX):
            yield from _decode(stretch, name, done, line_bytes_max)
            last, done, held_bytes, stretch = stretch[-1][0], done + len(stretch), 0, []
        if line is None:
            break
    if broken:
        yield Reject("", done, last + 1 if done else 1, name, "broken_file", f"the gzip stream ends here: {broken}")


def _lines(stream: BufferedReader | gzip.GzipFile, line_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; one that is too long is cut just above the limit."""
    number = 0
    while line := stream.readline(line_bytes_max + 2):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(line_bytes_max)):
            pass
        if value := line.rstrip():
            yield number, value


def _decode(stretch: list[tuple[int, bytes]], name: str, done: int, line_bytes_max: int) -> Iterator[Batch | Reject]:
    messages: list[Message] = [(place, None, value, None, None) for place, (_, value) in enumerate(stretch)]
    numbers = np.fromiter((number for number, _ in stretch), np.int64, len(stretch))
    batch, rejects = decode(messages, "", Limits(bytes_max=line_bytes_max))
    for reject in rejects:
        place = reject.offset
        yield reject._replace(offset=done + place, index=int(numbers[place]), file=name)
    if len(batch.events):
        batch.events["index"] = numbers[batch.events["offset"]]
        batch.events["offset"] += done
        batch.events["file"] = len(batch.names)
        yield batch._replace(names=[*batch.names, name])
