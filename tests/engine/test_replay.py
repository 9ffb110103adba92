"""Replay: the same bytes from the same input, whatever the batches and the speed, and every line accounted for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import sample_market
from dhpe import replay as replaying
from dhpe.columns import Batch
from dhpe.edge import formats
from dhpe.edge.formats import InputError, jsonl
from dhpe.parameters import Parameters
from dhpe.replay import FILES, Pace, Summary, replay
from dhpe.settings import Settings

SECOND_NS = sample_market.SECOND_NS


def answer(folder: Path) -> dict[str, bytes]:
    """The files of an answer, without the summary."""
    return {name: (folder / name).read_bytes() for name in FILES}


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of one file of an answer."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]


def played(folder: Path, *inputs: Path, pace: Pace | None = None) -> Summary:
    """A replay into ``folder``."""
    return replay(formats.plan(inputs), folder, Parameters(), pace=pace)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The committed sample, replayed once."""
    folder = tmp_path_factory.mktemp("replay") / "made" / "anew"
    return folder, played(folder, sample_market.SAMPLE)


def test_the_committed_sample_is_what_its_script_writes() -> None:
    """The sample is made up by a script, and the two agree."""
    assert sample_market.SAMPLE.read_text(encoding="utf-8") == sample_market.lines()


def test_every_record_is_accounted_for(sample: tuple[Path, Summary]) -> None:
    """The summary counts the records of the file and the lines of the answer."""
    folder, summary = sample
    lines = sample_market.SAMPLE.read_bytes().count(b"\n")
    assert (summary.records, summary.rejected, summary.underlyings) == (lines, 0, ["TOY"])
    assert summary.trades == len(rows(folder, "trades")) == 2 * sample_market.SECONDS
    assert summary.pressures == len(rows(folder, "pressure")) > sample_market.SECONDS
    assert summary.alerts == len(rows(folder, "alerts"))
    written = json.loads((folder / "summary.json").read_bytes())
    assert {"records", "rejected", "seconds", "records_per_s", "underlyings"} <= set(written)
    assert written["inputs"] == [str(sample_market.SAMPLE)]


def test_a_replay_ends_with_a_clock(sample: tuple[Path, Summary]) -> None:
    """The last state is published one pressure interval after the last record, with that record's effect in it."""
    folder, summary = sample
    last_ns = sample_market.START_NS + (sample_market.SECONDS - 1) * SECOND_NS + SECOND_NS // 2
    last = rows(folder, "pressure")[-1]
    assert (summary.first_event_ns, summary.last_event_ns) == (sample_market.START_NS, last_ns)
    assert last["ts_event_ns"] == last_ns + Parameters().pressure_interval_ms * 1_000_000
    assert last["contracts"] == 20
    assert last["amplification"] is not None


def test_offsets_are_positions_in_the_input(sample: tuple[Path, Summary]) -> None:
    """Reference data is of the chain, the others of the ticks; a trade can be found again by its offset."""
    folder, summary = sample
    last = rows(folder, "pressure")[-1]
    assert last["offsets"] == {"partition": 0, "chain": 39, "ticks": summary.records}
    lines = sample_market.SAMPLE.read_bytes().splitlines()
    for trade in rows(folder, "trades"):
        record = json.loads(lines[trade["offset"]])
        assert (record["price"], record["ts_event_ns"]) == (trade["price"], trade["ts_event_ns"])


def test_the_same_input_gives_the_same_bytes(sample: tuple[Path, Summary], tmp_path: Path) -> None:
    """Twice, byte for byte; the summary but for its four timing fields."""
    folder, summary = sample
    again = played(tmp_path, sample_market.SAMPLE)
    assert answer(tmp_path) == answer(folder)
    timing = {"seconds", "records_per_s", "engine_seconds", "engine_records_per_s"}
    first, second = (
        {name: getattr(s, name) for name in s.__struct_fields__ if name not in timing} for s in (summary, again)
    )
    assert first == second


@pytest.mark.parametrize("lines_max", [1, 7, 100])
def test_batches_do_not_show(
    sample: tuple[Path, Summary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines_max: int
) -> None:
    """However the file is cut into batches."""
    read = jsonl.read
    monkeypatch.setattr(jsonl, "read", lambda source: read(source, lines_max=lines_max))
    played(tmp_path, sample_market.SAMPLE)
    assert answer(tmp_path) == answer(sample[0])


class FakeClock:
    """A wall clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.slept.append(seconds)
        self.now += seconds


def test_speed_paces_and_changes_nothing(sample: tuple[Path, Summary], tmp_path: Path) -> None:
    """At double speed the 59.5 s of the sample take half of that, and the answer is the same."""
    clock = FakeClock()
    played(tmp_path, sample_market.SAMPLE, pace=Pace(2.0, lambda: clock.now, clock.sleep))
    assert answer(tmp_path) == answer(sample[0])
    assert clock.now - 100.0 == pytest.approx(59.5 / 2.0)
    assert len(clock.slept) > 100


def test_rejects_carry_reason_file_and_line(tmp_path: Path) -> None:
    """From the reader, the door and the engine alike; the neighbours' numbers are those without the bad lines."""
    good = sample_market.lines().splitlines()
    quote = next(line for line in good if '"option_quote"' in line)
    bad = ["{nonsense", quote.replace("TOY   ", "GHOST "), re.sub(r'"bid":[\d.]+', '"bid":-1.0', quote), '{"kind":"x"}']
    path = tmp_path / "input.jsonl"
    path.write_text("\n".join(good[:100] + bad + good[100:]) + "\n", encoding="utf-8")
    summary = played(tmp_path / "bad", path)
    told = {(row["line"], row["reason"]) for row in rows(tmp_path / "bad", "rejected")}
    assert told == {(101, "undecodable"), (102, "unknown_contract"), (103, "bad_price"), (104, "unknown_kind")}
    assert {row["file"] for row in rows(tmp_path / "bad", "rejected")} == {str(path)}
    assert (summary.records, summary.rejected) == (len(good) + 4, 4)
    assert summary.rejected_by_reason == {"bad_price": 1, "undecodable": 1, "unknown_contract": 1, "unknown_kind": 1}
    path.write_text("\n".join(good) + "\n", encoding="utf-8")
    played(tmp_path / "good", path)
    states = [[row | {"offsets": None} for row in rows(tmp_path / name, "pressure")] for name in ("bad", "good")]
    assert states[0] == states[1]


def test_an_input_without_ticks_publishes_nothing(tmp_path: Path) -> None:
    """Reference data alone moves no clock."""
    path = tmp_path / "chain.jsonl"
    path.write_text("\n".join(sample_market.lines().splitlines()[:40]) + "\n", encoding="utf-8")
    summary = played(tmp_path / "answer", path)
    assert (summary.records, summary.pressures, summary.last_event_ns) == (40, 0, None)
    assert summary.underlyings == ["TOY"]


def test_an_answer_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in place of the folder."""
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="name another --output"):
        played(tmp_path / "taken", sample_market.SAMPLE)


def test_the_command_tells_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard output; no progress bar where no terminal is."""
    replaying.main([str(sample_market.SAMPLE)], tmp_path, settings=Settings())
    captured = capsys.readouterr()
    assert re.fullmatch(
        r"TOY: \d+ records, 0 rejected, \d+ states, \d+ alerts, 120 trades in [\d.]+ s \([\d,]+ records/s\); see .*\n",
        captured.out,
    )
    assert captured.err == ""


def test_an_instant_that_is_none_is_told(tmp_path: Path) -> None:
    """--as-of is ISO 8601."""
    with pytest.raises(InputError, match="is no instant; write it as 2026-08-18T20:15:00Z"):
        replaying.main([str(sample_market.SAMPLE)], tmp_path, settings=Settings(), as_of="yesterday")


def test_warming_leaves_no_trace(sample: tuple[Path, Summary]) -> None:
    """The market that warms the kernels is not in the answer."""
    assert {row["underlying"] for row in rows(sample[0], "pressure")} == {"TOY"}
    assert all(isinstance(item, Batch) for item in formats.read(formats.plan([sample_market.SAMPLE])))
