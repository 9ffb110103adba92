"""Records one a line: the wire's decoding, with file and line."""

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dhpe.columns import Batch, Reject
from dhpe.edge.decode import decode
from dhpe.edge.formats.jsonl import read
from wire_records import canonical

NOW_NS = 1_700_000_000_000_000_000


def line(place: int, **changes: Any) -> bytes:
    """One legal record as JSON, with some fields changed."""
    legal = {"kind": "index_value", "underlying": "SPX", "ts_event_ns": NOW_NS + place, "name": "VIX", "value": 15.0}
    return json.dumps(legal | changes).encode()


def parts(source: str | Path, **options: Any) -> tuple[list[Batch], list[Reject]]:
    """The batches and the rejects of a source."""
    found = list(read(source, **options))
    return [one for one in found if isinstance(one, Batch)], [one for one in found if isinstance(one, Reject)]


@pytest.fixture
def lines_file(tmp_path: Path) -> Path:
    """Ten legal records."""
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\n".join(line(place) for place in range(10)) + b"\n")
    return path


def test_a_file_gives_what_the_wire_gives(lines_file: Path) -> None:
    """Same rows, same order; offset is the running number, index the line, file the name."""
    (batch,), rejects = parts(lines_file)
    messages = [(place, None, line(place), None, None) for place in range(10)]
    assert rejects == []
    assert canonical(batch) == canonical(decode(messages, "ticks").batch)
    assert batch.events["offset"].tolist() == list(range(10))
    assert batch.events["index"].tolist() == list(range(1, 11))
    assert {batch.names[place] for place in batch.events["file"]} == {str(lines_file)}


def test_batches_are_of_bounded_size(lines_file: Path) -> None:
    """A file of any length is read in stretches; the running number goes on."""
    batches, _ = parts(lines_file, lines_max=4)
    assert [batch.events["offset"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert batches[-1].events["index"].tolist() == [9, 10]


def test_a_bad_line_is_rejected_with_file_and_line(tmp_path: Path) -> None:
    """Blank lines are counted but not read; CRLF ends are fine; what follows a bad line is kept."""
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(
        b"\r\n".join([line(0), b"", b"{nonsense", line(1, value=None), line(2, ts_event_ns=5), b"  ", line(3)])
    )
    (batch,), rejects = parts(path)
    assert batch.events["index"].tolist() == [1, 7]
    assert batch.events["offset"].tolist() == [0, 4]
    assert [(reject.file, reject.index, reject.offset, reject.reason) for reject in rejects] == [
        (str(path), 3, 1, "undecodable"),
        (str(path), 4, 2, "wrong_shape"),
        (str(path), 5, 3, "bad_time"),
    ]


def test_a_line_may_hold_an_array(tmp_path: Path) -> None:
    """Recorded messages can be replayed as they were; all records of a line share its number."""
    path = tmp_path / "arrays.jsonl"
    path.write_bytes(b"[" + line(0) + b"," + line(1) + b"]\n" + line(2))
    (batch,), _ = parts(path)
    assert batch.events["index"].tolist() == [1, 1, 2]
    assert batch.events["offset"].tolist() == [0, 0, 1]


def test_a_line_without_end_costs_bounded_memory(tmp_path: Path) -> None:
    """Only its beginning is held; the next line is read as usual."""
    path = tmp_path / "long.jsonl"
    path.write_bytes(line(0) + b"\n" + b"x" * 100_000 + b"\n" + line(1))
    (batch,), (reject,) = parts(path, line_bytes_max=1000)
    assert batch.events["index"].tolist() == [1, 3]
    assert (reject.index, reject.reason) == (2, "too_large")


def test_a_line_of_exactly_the_limit_is_read(tmp_path: Path) -> None:
    """The limit counts the record, not its line end."""
    path = tmp_path / "exact.jsonl"
    path.write_bytes(line(0) + b"\n" + line(1) + b"\r\n")
    limit = len(line(0))
    assert [len(batch.events) for batch in parts(path, line_bytes_max=limit)[0]] == [2]
    assert [reject.reason for reject in parts(path, line_bytes_max=limit - 1)[1]] == ["too_large"] * 2


def test_gzip_is_told_by_content(lines_file: Path, tmp_path: Path) -> None:
    """Whatever its name, a compressed file reads as the plain one."""
    compressed = tmp_path / "records.data"
    compressed.write_bytes(gzip.compress(lines_file.read_bytes()))
    (plain,), _ = parts(lines_file)
    (unpacked,), rejects = parts(compressed)
    assert rejects == []
    assert canonical(unpacked) == canonical(plain)


def test_a_broken_gzip_stream_ends_with_a_reject(lines_file: Path, tmp_path: Path) -> None:
    """The lines before the break are kept."""
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(b"".join(line(place) + b"\n" for place in range(5000)))
    path.write_bytes(whole[: len(whole) * 3 // 4])
    batches, rejects = parts(path)
    rows = sum(len(batch.events) for batch in batches)
    assert 0 < rows < 5000
    assert [(reject.reason, reject.index) for reject in rejects[-1:]] == [("broken_file", rows + 1)]


def test_standard_input_is_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is piped in is read under the name "-", compressed or not."""
    for piped in (line(0) + b"\n" + line(1), gzip.compress(line(0) + b"\n" + line(1))):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(piped))))
        (batch,), _ = parts("-")
        assert batch.events["index"].tolist() == [1, 2]
        assert batch.names[batch.events["file"][0]] == "-"


def test_an_empty_file_holds_nothing_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    """Nothing is not a fault; a name that leads nowhere is."""
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")
    assert list(read(path)) == []
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "missing.jsonl"))
