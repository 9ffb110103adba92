"""The weights by next-bar returns: HAC errors against statsmodels, known weights found, 1 kept where nothing speaks."""

import json
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from dhpe.__main__ import cli
from dhpe.backtest_liquidity import (
    HedgeBars,
    Snapshot,
    fixed_strike_vol_change,
    hedge_bars,
    judge,
    liquidity,
    newey_west,
    newey_west_lags,
    score,
    snapshots,
)
from dhpe.columns import REFERENCE, Batch
from dhpe.parameters import Parameters
from dhpe.simulate import CALM, SimulationSettings, simulate, simulate_with_truth
from dhpe.simulate.chain import SKEW_STICKINESS

KYLE_LAMBDA = 5e-13
SECOND_NS = 1_000_000_000
START_NS = 1_786_459_800 * SECOND_NS
SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "market.jsonl"


@pytest.mark.parametrize(
    ("lags", "errors"),
    [
        (0, (0.03609494142700447, 0.03505327622290913)),
        (4, (0.0468072058271064, 0.030687966464159055)),
        (9, (0.027146439971992977, 0.02679929458565896)),
    ],
)
def test_errors_are_those_of_statsmodels(lags: int, errors: tuple[float, float]) -> None:
    """Golden values: statsmodels 0.15.0, OLS(y, X).fit("HAC", maxlags=lags, use_correction=False)."""
    t = np.arange(200)
    x1, x2 = np.sin(0.7 * t) + 0.3 * np.cos(2.1 * t), np.cos(1.3 * t * t / 50)
    y = 0.1 + 1.5 * x1 - 0.7 * x2 + 0.5 * np.sin(0.15 * t) + 0.2 * np.cos(0.33 * t) * x1
    found = newey_west(y, np.column_stack((x1, x2)), lags)
    assert found.coefficients == pytest.approx((1.5029609380369808, -0.691071494033185), rel=1e-10)
    assert found.errors == pytest.approx(errors, rel=1e-10)


def test_lags_follow_the_usual_rule_and_a_column_that_never_moves_is_unknown() -> None:
    """4 (n / 100)^(2/9); a constant is the intercept's business."""
    assert [newey_west_lags(count) for count in (0, 60, 100, 1000, 10_000)] == [0, 3, 4, 6, 11]
    generator = np.random.default_rng(1)
    x = generator.standard_normal(100)
    found = newey_west(2 * x, np.column_stack((x, np.full(100, 3e-7), np.zeros(100))), 4)
    assert found.coefficients[0] == pytest.approx(2.0)
    assert np.isnan(found.coefficients[1:]).all()
    assert np.isnan(newey_west(x[:2], x[:2, None], 1).errors).all()


def rows(weights: tuple[float, float, float], count: int = 4000, noise: float = 1e-4, seed: int = 2) -> HedgeBars:
    """Bars whose next return follows this bar's hedges by known weights, noise autocorrelated."""
    generator = np.random.default_rng(seed)
    impacts = 1e-4 * generator.standard_normal((count, 3))
    shocks = noise * generator.standard_normal(count)
    shocks[1:] += 0.5 * shocks[:-1]
    return HedgeBars(impacts @ np.array(weights) + shocks, impacts, np.full(count, KYLE_LAMBDA))


def test_known_weights_are_found_and_only_those_that_differ_move() -> None:
    """True weights 1, 0.4 and 0: the first stays, the others take the first half's estimate."""
    found = score("XYZ", rows((1.0, 0.4, 0.0)), 10.0)
    gamma, vanna, charm = found.weights
    assert (gamma.weight, gamma.reason) == (1.0, "stays 1: within two standard errors of it out of sample")
    assert vanna.weight == pytest.approx(0.4, abs=0.1)
    assert charm.weight == pytest.approx(0.0, abs=0.1)
    assert (found.bars, found.lags) == (4000, newey_west_lags(2000))
    assert found.mean_kyle_lambda == pytest.approx(KYLE_LAMBDA)


def test_a_true_weight_of_one_is_kept_nineteen_times_in_twenty() -> None:
    """Two hundred markets, three weights each; 5 % go beyond two errors by chance, half of them on both parts' side."""
    scores = [score("XYZ", rows((1, 1, 1), 400, seed=seed), 1.0) for seed in range(200)]
    moved = sum(weight.weight != 1.0 for found in scores for weight in found.weights)
    assert moved <= 30


@pytest.mark.parametrize(
    ("first", "second", "weight", "word"),
    [
        ((0.5, 0.1), (0.6, 0.1), 0.5, "differs"),
        ((0.5, 0.1), (0.85, 0.1), 1.0, "within"),
        ((1.5, 0.1), (0.6, 0.1), 1.0, "disagree"),
        ((math.nan, math.nan), (0.6, 0.1), 1.0, "not identified"),
        ((-900.0, 200.0), (-800.0, 200.0), 1.0, "standard error"),
    ],
)
def test_the_rule(first: tuple[float, float], second: tuple[float, float], weight: float, word: str) -> None:
    """Out of sample by two standard errors, on the same side as in the first part."""
    judged = judge("gamma", first, second)
    assert judged.weight == weight
    assert word in judged.reason


def snapshot(slot: int, spot: float, surface: dict[int, tuple[float, float, float]]) -> Snapshot:
    """Dealers short gamma, long vanna and charm, at the end of a bar of ten seconds."""
    return Snapshot(slot, slot * 10 * SECOND_NS, spot, (-5e11, 2e11, 3e12), KYLE_LAMBDA, surface)


def test_the_rows_are_hedges_of_a_bar_and_the_return_of_the_next() -> None:
    """Signs of MODEL.md section 4; vol at a fixed strike is that at the money less the slide along the skew."""
    a = snapshot(1, 100.0, {7: (0.20, -1.0, 3.0), 8: (0.18, -0.5, 1.0), 9: (0.3, 0.0, 0.0)})
    b = snapshot(2, 101.0, {7: (0.195, -1.0, 3.0), 8: (0.18, -0.5, 1.0)})
    c = snapshot(3, 100.5, {})
    move = math.log(1.01)
    change = (3.0 * (-0.005 + move) + 0.5 * move) / 4.0
    assert fixed_strike_vol_change(a, b) == pytest.approx(change)
    found = hedge_bars([a, b, c])
    hedges = (5e11 * move, -2e11 * change, -3e12 * 10 / (365 * 86_400))
    assert found.impacts[0] == pytest.approx([KYLE_LAMBDA * hedge for hedge in hedges])
    assert found.next_return == pytest.approx([math.log(100.5 / 101.0)])


def test_bars_that_are_not_neighbours_make_no_row() -> None:
    """A missing bar, or one without a known impact before it."""
    states = [snapshot(slot, 100.0 + slot, {}) for slot in (1, 2, 4, 5, 6)]
    assert len(hedge_bars(states).next_return) == 1
    assert hedge_bars([]).impacts.shape == (0, 3)
    assert len(hedge_bars([state._replace(kyle_lambda=None) for state in states]).next_return) == 0


def settings(*, reported: bool = True, vol_response: float = 1.0) -> SimulationSettings:
    """Dealers short gamma who answer each move 50 ms later, in a market that moves several ticks in that time."""
    return SimulationSettings(
        seed=11,
        phases=(CALM._replace(duration_s=1e6, volatility_per_sqrt_s=1e-3, vol_response=vol_response),),
        chunk_ms=1000,
        calm_gain=0.5,
        publishes_dealer_position=reported,
    )


def simulated(seconds: int, *, reported: bool = True) -> list[Batch]:
    """So many seconds of it."""
    return list(islice(simulate(settings(reported=reported), START_NS), seconds))


def test_snapshots_do_not_depend_on_the_cut_into_batches() -> None:
    """Bars end by event time; references stand with the bar under way."""
    batches = simulated(20)
    halves = []
    for batch in batches:
        middle = len(batch.events) // 2
        halves += [batch._replace(events=batch.events[:middle]), batch._replace(events=batch.events[middle:])]
    whole, cut = snapshots(batches, Parameters(), 1.0), snapshots(halves, Parameters(), 1.0)
    assert whole == cut
    assert len(whole["SIM"]) in (20, 21)
    assert (batches[0].events["kind"] == REFERENCE).any()


@pytest.mark.parametrize("vol_response", [1.0, 1.0 / SKEW_STICKINESS], ids=["vols answer", "vols stay at strikes"])
def test_the_simulated_hedgers_weigh_what_they_hedge(vol_response: float) -> None:
    """At bars of the hedge delay gamma's weight is the true pressure over the true gamma, in both halves.

    Where vols stay at their strikes it is 1: all hedges are gamma's. Where they answer, the vanna hedges of 50 ms
    cannot be told from the fits' noise and are in gamma's weight.
    """
    truths, batches = [], []
    for chunk in islice(simulate_with_truth(settings(vol_response=vol_response), START_NS), 60):
        batches.append(chunk.batch)
        truths += chunk.truths
    expected = np.mean([truth.greeks.hedge_pressure / -truth.greeks.gamma_field for truth in truths])
    assert expected == pytest.approx(1.0 if vol_response < 1.0 else 0.854, abs=0.02)
    (found,) = liquidity(batches, Parameters(kyle_lambda=1.07e-12), 0.05)
    gamma = found.weights[0]
    for weight, error in ((gamma.first, gamma.first_standard_error), (gamma.second, gamma.second_standard_error)):
        assert weight is not None
        assert error is not None
        assert error < 0.25
        assert abs(weight - expected) < 2 * error


def test_a_naive_book_of_the_wrong_sign_is_found_out() -> None:
    """Positions guessed from open interest alone: the weight is negative."""
    (found,) = liquidity(simulated(60, reported=False), Parameters(kyle_lambda=1.07e-12), 0.05)
    assert found.underlying == "SIM"
    assert -1.2 < found.weights[0].first < -0.6
    assert -1.2 < found.weights[0].second < -0.6


def test_the_command_answers_with_a_table_json_and_a_page(tmp_path: Path) -> None:
    """INTERFACES: a table on the terminal, --json, --output DIR with a report."""
    runner = CliRunner()
    shown = runner.invoke(cli, ["backtest", "liquidity", str(SAMPLES), "--output", str(tmp_path)])
    assert shown.exit_code == 0
    assert "stays 1" in shown.stdout
    assert "<table>" in (tmp_path / "liquidity.html").read_text(encoding="utf-8")
    facts = json.loads(runner.invoke(cli, ["backtest", "liquidity", str(SAMPLES), "--json"]).stdout)
    assert [weight["name"] for weight in facts[0]["weights"]] == ["gamma", "vanna", "charm"]
    assert runner.invoke(cli, ["backtest", "liquidity", "no-such-file"]).exit_code == 2


def test_the_regime_reference_has_a_command(tmp_path: Path) -> None:
    """Labels of the seeds' rules; a file that is not of bars fails with one line."""
    bars = tmp_path / "bars.csv"
    bars.write_text("date,close,iv_index,vvix\n" + "".join(f"2020-01-{day:02},100,20,90\n" for day in range(1, 30)))
    runner = CliRunner()
    done = runner.invoke(cli, ["backtest", "regime", "--reference", str(bars), "--output", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.startswith("29 bars")
    assert (tmp_path / "labels.csv").exists()
    bars.write_text("nothing\n")
    failed = runner.invoke(cli, ["backtest", "regime", "--reference", str(bars), "--output", str(tmp_path)])
    assert failed.exit_code == 1
    assert "missing column" in failed.stderr


def test_scores_need_sixty_bars_in_each_part() -> None:
    """Below that nothing is said."""
    few: NDArray[np.float64] = np.full((100, 3), 1e-4)
    found = score("XYZ", HedgeBars(np.zeros(100), few, np.ones(100)), 1.0)
    assert [weight.first for weight in found.weights] == [None] * 3
