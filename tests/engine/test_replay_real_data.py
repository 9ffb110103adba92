"""Replays of the real days: equal bytes, the half day's end, and the true side of 21,313 trades."""

import json
from pathlib import Path
from typing import Any

import pytest

from dhpe.edge import formats
from dhpe.edge.sessions import midnight_ns
from dhpe.parameters import Parameters
from dhpe.replay import FILES, Summary, replay


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """The lines of one file of an answer."""
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]


def played(folder: Path, source: Path) -> tuple[Path, Summary]:
    """A replay into ``folder``."""
    return folder, replay(formats.plan([source]), folder, Parameters())


@pytest.fixture(scope="module")
def goog(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """The GOOG half day."""
    return played(tmp_path_factory.mktemp("goog"), shared_data / "lean_goog_20151224")


@pytest.fixture(scope="module")
def btcusdt(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """Six minutes of the perpetual."""
    return played(tmp_path_factory.mktemp("btcusdt"), shared_data / "binance_btcusdt_perp")


def test_the_goog_day_twice_is_byte_identical(goog: tuple[Path, Summary], shared_data: Path, tmp_path: Path) -> None:
    """All four files of the answer."""
    played(tmp_path, shared_data / "lean_goog_20151224")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (goog[0] / name).read_bytes()


def test_every_record_of_the_goog_day_is_accounted_for(goog: tuple[Path, Summary]) -> None:
    """Every row of the files is a record; what is refused came when its series had settled, at 13:00 New York."""
    folder, summary = goog
    assert summary.records == 275_552 + 958 + 260 + 227 + 2192 + 2058
    assert summary.rejected_by_reason == {"expired_contract": 164 + 4}
    assert all("151224" in row["detail"] for row in rows(folder, "rejected"))
    assert summary.trades == 958 - 4 + 227


def test_the_half_day_ends_at_13_00(goog: tuple[Path, Summary]) -> None:
    """At 12:59 the day's own series are in the book, at 13:00:00 they have left it, three hours before 16:00."""
    thirteen = midnight_ns("2015-12-24", "XNYS") + 13 * 3600 * 1_000_000_000
    states = rows(goog[0], "pressure")
    before = [state["contracts"] for state in states if state["ts_event_ns"] < thirteen]
    after = [state["contracts"] for state in states if state["ts_event_ns"] >= thirteen]
    assert set(before) == {2192}
    assert set(after) == {2192 - 176}


def test_the_goog_day_has_an_amplification(goog: tuple[Path, Summary]) -> None:
    """From the first minutes of the session on, with the stock's own spot."""
    opened = midnight_ns("2015-12-24", "XNYS") + (9 * 60 + 40) * 60 * 1_000_000_000
    states = [
        state for state in rows(goog[0], "pressure") if opened <= state["ts_event_ns"] < opened + 3 * 3600 * 10**9
    ]
    assert len(states) == 180
    assert all(740.0 < state["spot"] < 760.0 for state in states)
    assert all(state["amplification"] is not None for state in states)


def test_lee_ready_finds_the_true_side(btcusdt: tuple[Path, Summary]) -> None:
    """Against quotes strictly before each trade in exchange time: at least 99.7 % of the MARKET prints."""
    trades = rows(btcusdt[0], "trades")
    right = sum(trade["lee_ready_side"] == trade["side"] for trade in trades)
    assert len(trades) == 21_313
    assert {trade["rule"] for trade in trades} == {"aggressor"}
    assert right / len(trades) >= 0.997


def test_the_recording_twice_is_byte_identical(
    btcusdt: tuple[Path, Summary], shared_data: Path, tmp_path: Path
) -> None:
    """Trades, quotes and depth too."""
    played(tmp_path, shared_data / "binance_btcusdt_perp")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (btcusdt[0] / name).read_bytes()


def test_three_evenings_of_spx_are_three_states(shared_data: Path, tmp_path: Path) -> None:
    """Each evening is published once its instant has passed; the spot is that of the session."""
    _, summary = played(tmp_path, shared_data / "spx_chain")
    spots = [state["spot"] for state in rows(tmp_path, "pressure") if state["contracts"] > 20_000]
    assert summary.rejected_by_reason == {"expired_contract": 542 + 542 + 522}
    assert summary.underlyings == ["SPX"]
    assert spots[-1] == 7641.1602
    assert {7691.7598, 7707.98, 7641.1602} >= set(spots)
