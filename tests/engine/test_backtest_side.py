"""``dhpe backtest side``: the score table of recorded and simulated trades with known side."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dhpe.__main__ import cli
from dhpe.backtest_side import LINES, SAME_INSTANT, SideScore, score
from dhpe.columns import empty_batch
from dhpe.edge import formats
from dhpe.engine import Engine
from dhpe.parameters import Parameters
from dhpe.recorded_trades import aligned, before, gather
from dhpe.simulate import SimulationSettings, simulate, simulate_with_truth

START_NS = 1_790_000_000_000_000_000
NOTHING = 1e-4
"""Of a Brier score: a rule that is always right leaves the best constant at 0, and an estimate never says 1."""


@pytest.fixture(scope="module")
def binance(shared_data: Path) -> SideScore:
    """The score of 345 s of a perpetual with true sides."""
    return score(gather(formats.read(formats.plan([shared_data / "binance_btcusdt_perp"]))), Parameters())


def test_lee_ready_is_right_with_quotes_strictly_before_the_trade(binance: SideScore) -> None:
    """99.8 % of all trades; with the quote of the trade's own millisecond, 77.9 %."""
    assert binance.trades == 21_313
    assert binance.rules["lee_ready"].accuracy >= 0.997
    assert binance.rules["lee_ready"].classified == 21_313
    assert binance.rules[SAME_INSTANT].accuracy == pytest.approx(0.779, abs=0.001)


def test_probabilities_of_the_later_half_beat_the_best_constant(binance: SideScore, shared_data: Path) -> None:
    """The constant is chosen with hindsight, on the trades that it is scored by; the probabilities are not.

    Lee-Ready over sweeps is wrong in few, whole orders: there one standard error decides nothing.
    """
    deribit = score(gather(formats.read(formats.plan([shared_data / "deribit_trades"]))), Parameters())
    for result in (binance, deribit):
        for name, scored in result.rules.items():
            if scored.classified > 0:
                noise = scored.brier_later_standard_error if name == "lee_ready_sweeps" else 0.0
                assert scored.brier_later <= scored.brier_later_best_constant + noise, name


def test_a_sweep_is_one_decision_and_no_worse(binance: SideScore) -> None:
    """Three of four prints of this venue are later parts of an order; trade size errs once for each, not at each."""
    assert binance.sweep_parts > 15_000
    rules = binance.rules
    assert rules["stack_sweeps"].accuracy > rules["stack"].accuracy
    assert rules["lee_ready_sweeps"].accuracy == pytest.approx(rules["lee_ready"].accuracy, abs=1e-4)


def test_simulated_option_days_are_scored_by_what_is_so() -> None:
    """Customers pay the quote or better: the quote rule is right, and p learns it; Brier beats the best constant."""
    settings = SimulationSettings(publishes_side=True, option_trades_per_s=60.0)
    recording = gather(islice(simulate(settings, START_NS), 600))
    options = recording.trades["name"] >= 0
    assert options.sum() > 1000
    result = score(recording, Parameters())
    for scored in result.rules.values():
        assert scored.classified == 0 or scored.brier_later <= scored.brier_later_best_constant + NOTHING
    assert min(result.rules[name].coverage for name in ("lee_ready", "stack")) > 0.9


def test_the_engine_learns_from_known_sides_what_the_score_says() -> None:
    """Sides published for half a minute, then not: the labels that follow carry what was counted, and it is so."""
    settings = SimulationSettings(option_trades_per_s=60.0)
    engine = Engine(Parameters())
    worth: list[float] = []
    right: list[bool] = []
    for number, made in enumerate(islice(simulate_with_truth(settings, START_NS), 450)):
        if number < 300:
            made.batch.events["side"] = made.sides
        result = engine.step(empty_batch(), made.batch)
        if number < 300:
            continue
        truth = dict(zip(made.batch.events["offset"].tolist(), made.sides.tolist(), strict=True))
        for label in result.labels:
            if label.symbol is not None and label.side is not None:
                worth.append(label.probability)
                right.append(truth[label.offset] == (1 if label.side == "buy" else -1))
    share = float(np.mean(right))
    assert len(right) > 500
    assert np.mean((np.array(worth) - right) ** 2) <= share * (1 - share) + NOTHING


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=30),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=30),
    st.booleans(),
)
def test_alignment_is_the_last_before_in_the_same_instrument(
    trades: list[tuple[int, int]], quotes: list[tuple[int, int]], same_instant: bool
) -> None:
    """Against a look at all of them."""
    quotes = sorted(quotes, key=lambda quote: quote[0])
    found = before(*_columns(trades), *_columns(quotes), same_instant=same_instant).tolist()
    for (time, group), row in zip(trades, found, strict=True):
        earlier = [
            place
            for place, (quoted, other) in enumerate(quotes)
            if other == group and (quoted < time or (same_instant and quoted == time))
        ]
        assert row == (earlier[-1] if earlier else -1)


def _columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([one for one, _ in pairs], np.int64), np.array([other for _, other in pairs], np.int64)


def test_a_lag_takes_older_quotes(shared_data: Path) -> None:
    """Five seconds earlier, as Lee and Ready did in 1991, is no longer the quote that was hit."""
    recording = gather(formats.read(formats.plan([shared_data / "binance_btcusdt_perp"])))
    _, age_ns = aligned(recording, 5_000_000_000)
    assert age_ns[age_ns >= 0].min() > 5_000_000_000
    assert score(recording, Parameters(), 5_000_000_000).rules["quote"].accuracy < 0.9


def test_the_command_prints_json_and_writes_the_report(shared_data: Path, tmp_path: Path) -> None:
    """The keys of the contract, and a page that needs nothing else."""
    call = ["backtest", "side", str(shared_data / "deribit_trades"), "--json", "--output", str(tmp_path)]
    result = CliRunner().invoke(cli, call)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["trades"] == 1350
    assert list(answer["rules"]) == list(LINES)
    assert answer["rules"]["tick"]["accuracy"] == pytest.approx(0.66, abs=0.02)
    assert {"accuracy", "classified", "brier"} <= set(answer["rules"]["lee_ready"])
    assert set(answer["by"]) == {"instrument_class", "spread_position", "size", "moneyness", "time_of_day"}
    assert json.loads((tmp_path / "side.json").read_text()) == answer
    page = (tmp_path / "side.html").read_text()
    assert "<svg" in page
    assert "http" not in page


def test_the_table_says_by_itself_what_the_same_instant_does(shared_data: Path) -> None:
    """In one sentence with both numbers."""
    result = CliRunner().invoke(cli, ["backtest", "side", str(shared_data / "binance_btcusdt_perp")])
    assert result.exit_code == 0, result.output
    assert "ruins it: 77.89 %" in result.stdout


def test_trades_without_a_side_cannot_be_scored(shared_data: Path) -> None:
    """One line, exit 1."""
    result = CliRunner().invoke(cli, ["backtest", "side", str(shared_data / "lean_goog_20151224")])
    assert result.exit_code == 1
    assert "no trade says its side" in result.stderr
