"""Formats are told by content, and what cannot be read is told in one line."""

import gzip
import io
import sys
import zipfile
from pathlib import Path

import pytest

from dhpe.columns import Batch
from dhpe.edge import formats
from dhpe.edge.formats import InputError

RECORD = b'{"kind":"trade","underlying":"A","ts_event_ns":1700000000000000000,"price":1.5,"size":2.0}\n'
BINANCE = b'1723161255088169167 {"data":{"e":"bookTicker","s":"X","b":"1","B":"2","a":"3","A":"4","T":1723161256313}}\n'
CBOE = b"session_date,ticker,expiry,right,strike,option,bid,bid_size,ask,ask_size,open_interest\n"


def packed_lean() -> bytes:
    """A zip with one stock bar."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("20151224_goog_minute_trade.csv", "34200000,1,1,1,7480500,1000\n")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (RECORD, "jsonl"),
        (b"\n  [" + RECORD + b"]", "jsonl"),
        (gzip.compress(RECORD), "jsonl"),
        (BINANCE, "binance"),
        (gzip.compress(BINANCE), "binance"),
        (CBOE, "cboe"),
        (gzip.compress(CBOE), "cboe"),
        (packed_lean(), "lean"),
        (b"DBN\x03....", "dbn"),
        (b"\x28\xb5\x2f\xfd....", "dbn"),
    ],
)
def test_the_content_tells_the_format(tmp_path: Path, content: bytes, name: str) -> None:
    """Whatever the file is called, compressed or not."""
    path = tmp_path / "input.data"
    path.write_bytes(content)
    assert formats.plan([path]).parts == ((name, (str(path),)),)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty; known are jsonl, lean, cboe, dbn, binance, deribit, and --format names one"),
        (b"hello world\n", "its content is of no known format"),
        (gzip.compress(RECORD * 1000)[:40], "the gzip stream is broken"),
        (b"\x1f\x8bnonsense", "is not readable|unknown compression"),
        (b"PK\x03\x04nonsense", "is no zip"),
    ],
)
def test_a_wrong_format_is_told_in_one_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    """The file, what is wrong with it, and what would be right."""
    path = tmp_path / "input.data"
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence) as error:
        formats.plan([path])
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_in_one_line(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(InputError, match=r"nowhere.jsonl: there is no such file or folder$"):
        formats.plan([tmp_path / "nowhere.jsonl"])


def test_a_wrong_call_is_told(tmp_path: Path) -> None:
    """No input, an unknown format, standard input twice or as a format that needs a file, an empty folder."""
    for inputs, name, sentence in (
        ([], None, "no input is named"),
        (["-"], "parquet", "format 'parquet': there is no such format; known are jsonl"),
        (["-", "-"], None, "named twice"),
        (["-"], "lean", "standard input is read as jsonl"),
        ([tmp_path], None, "holds no file"),
    ):
        with pytest.raises(InputError, match=sentence):
            formats.plan(inputs, format_name=name)


def test_a_given_format_overrides_the_content(tmp_path: Path) -> None:
    """--format is believed; the fault is then found while reading."""
    path = tmp_path / "input.data"
    path.write_bytes(RECORD)
    chosen = formats.plan([path], format_name="cboe")
    assert chosen.formats == ["cboe"]
    with pytest.raises(InputError, match="is no Cboe chain: there is no column session_date"):
        list(formats.read(chosen))


def test_a_folder_is_its_files(tmp_path: Path) -> None:
    """Each with its own format; the file beside chains is none of them; LEAN zips and chains are read together."""
    (tmp_path / "b.csv").write_bytes(CBOE)
    (tmp_path / "a.csv").write_bytes(CBOE)
    (tmp_path / "c.jsonl").write_bytes(RECORD)
    (tmp_path / "underlying.csv").write_bytes(b"session_date,ticker\n")
    chosen = formats.plan([tmp_path])
    assert chosen.parts == (
        ("cboe", (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))),
        ("jsonl", (str(tmp_path / "c.jsonl"),)),
    )
    lean = tmp_path / "equity" / "goog"
    lean.mkdir(parents=True)
    (lean / "20151224_trade.zip").write_bytes(packed_lean())
    assert formats.plan([tmp_path]).parts == (("lean", (str(tmp_path),)),)


def test_several_inputs_are_one_stream(tmp_path: Path) -> None:
    """Two files of different formats leave in one order of event time, numbered over both."""
    early, late = tmp_path / "late.jsonl", tmp_path / "early.data"
    early.write_bytes(RECORD * 2)
    late.write_bytes(BINANCE)
    items = [item for item in formats.read(formats.plan([late, early])) if isinstance(item, Batch)]
    rows = [(batch.names[row["underlying"]], int(row["offset"])) for batch in items for row in batch.events]
    assert rows == [("A", 0), ("A", 1), ("X", 2), ("X", 3)]


def test_standard_input_is_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads records from standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(RECORD * 3))))
    (batch,) = formats.read(formats.plan(["-"]))
    assert isinstance(batch, Batch)
    assert len(batch.events) == 3
    assert formats.expected_records(formats.plan(["-"])) is None


def test_the_estimate_of_a_progress_bar_is_near(shared_data: Path) -> None:
    """Within a tenth of what the data's own page says, without reading it."""
    for name, records in (
        ("lean_goog_20151224", 275_552 + 958 + 260 + 227 + 2192 + 2058),
        ("binance_btcusdt_perp", 66_089 + 21_313 + 6_551),
        ("spx_chain", 3 * (30_406 + 30_204 + 30_282)),
    ):
        expected = formats.expected_records(formats.plan([shared_data / name]))
        assert expected == pytest.approx(records, rel=0.1)
