"""Price impact against closed forms: Kyle's auction, and hedging that answers before or after the bar ends."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import naive
from dhpe.liquidity import estimate
from dhpe.numerics.liquidity import kyle_corrected, kyle_regression
from dhpe.numerics.order_book import LEVELS
from dhpe.numerics.state import INSTRUMENT, MARKET
from dhpe.numerics.underlying_ticks import TapeState
from dhpe.parameters import Parameters

BARS = 600
DECAY = 0.5 ** (1 / 180)
SEEDS = 200
COVERED_MIN = 180  # of 200 at two standard errors: 0.954 expected, 0.90 is three standard deviations below it
TRUE_LAMBDA = 8e-13
GAINS = (-0.5, -0.2, 0.2, 0.5)


def test_the_auction_of_kyle_1985_gives_his_lambda() -> None:
    """Lambda = sqrt(Sigma0) / (2 sigma_u), insider's beta = sigma_u / sqrt(Sigma0) (theorem 1); 200 seeds."""
    value_deviation, noise_flow = 2e-3, 4e8
    kyle_lambda = value_deviation / (2 * noise_flow)
    covered, estimates = 0, []
    for seed in range(SEEDS):
        generator = np.random.default_rng(seed)
        surprise = value_deviation * generator.standard_normal(BARS)
        insider = noise_flow / value_deviation * surprise
        flow = insider + noise_flow * generator.standard_normal(BARS)
        # The market maker's price is the expected value given the flow, which is what makes lambda an equilibrium.
        price_move = kyle_lambda * flow
        assert np.polyfit(flow, surprise, 1)[0] == pytest.approx(kyle_lambda, rel=0.2)
        later = price_move + 0.3 * value_deviation * generator.standard_normal(BARS)
        found, error, _, _ = kyle_regression(later, flow, 0, BARS, DECAY)
        covered += abs(found - kyle_lambda) < 2 * error
        estimates.append(found)
    assert covered >= COVERED_MIN
    assert np.mean(estimates) == pytest.approx(kyle_lambda, rel=0.01)


def market(gain: float, seed: int, *, inside: bool) -> tuple[NDArray[np.float64], ...]:
    """(returns, flows, pressures) of bars; hedgers answer within the bar or in the next one.

    Return = news + lambda * flow; flow = customers' + hedge. The pressure wanders by a tenth around gain / lambda.
    """
    generator = np.random.default_rng(seed)
    customers = 3e8 * generator.standard_normal(BARS)
    news = 2e-4 * generator.standard_normal(BARS)
    pressures = gain / TRUE_LAMBDA * (1 + 0.1 * np.sin(np.arange(BARS) / 40))
    returns, flows = np.zeros(BARS), np.zeros(BARS)
    for bar in range(BARS):
        if inside:
            returns[bar] = (news[bar] + TRUE_LAMBDA * customers[bar]) / (1 - TRUE_LAMBDA * pressures[bar])
            flows[bar] = customers[bar] + pressures[bar] * returns[bar]
        else:
            flows[bar] = customers[bar] + (pressures[bar] * returns[bar - 1] if bar else 0.0)
            returns[bar] = news[bar] + TRUE_LAMBDA * flows[bar]
    return returns, flows, pressures


@pytest.mark.parametrize("gain", GAINS)
def test_the_plain_estimate_covers_where_hedging_is_slower_than_the_bar(gain: float) -> None:
    """Hedges of the bar before are flow like any other."""
    covered = 0
    for seed in range(SEEDS):
        returns, flows, _ = market(gain, seed, inside=False)
        found, error, _, _ = kyle_regression(returns, flows, 0, BARS, DECAY)
        covered += abs(found - TRUE_LAMBDA) < 2 * error
    assert covered >= COVERED_MIN


@pytest.mark.parametrize("gain", GAINS)
def test_the_corrected_estimate_covers_where_hedging_is_faster_than_the_bar(gain: float) -> None:
    """And the plain one does not: it is too high for short gamma and too low for long gamma."""
    covered, plain = 0, []
    for seed in range(SEEDS):
        returns, flows, pressures = market(gain, seed, inside=True)
        found, error, _, _ = kyle_corrected(returns, flows, pressures, 0, BARS, DECAY)
        covered += abs(found - TRUE_LAMBDA) < 2 * error
        plain.append(kyle_regression(returns, flows, 0, BARS, DECAY)[0])
    assert covered >= COVERED_MIN
    assert math.copysign(1, np.mean(plain) - TRUE_LAMBDA) == math.copysign(1, gain)


def test_strong_long_gamma_turns_the_plain_estimate_negative() -> None:
    """MODEL.md section 7: biased down, even below zero; the corrected estimate stays."""
    returns, flows, pressures = market(-3.0, 5, inside=True)
    assert kyle_regression(returns, flows, 0, BARS, DECAY)[0] < 0
    found, error, _, _ = kyle_corrected(returns, flows, pressures, 0, BARS, DECAY)
    assert abs(found - TRUE_LAMBDA) < 3 * error


def test_at_a_constant_pressure_it_is_the_formula_of_the_page_with_the_delta_method() -> None:
    """Lambda = b / (1 + b Psi), se = se_b / (1 + b Psi)^2, b by matrices of r on (f - Psi r)."""
    returns, flows, _ = market(0.4, 9, inside=True)
    pressure = 0.5e12
    weights = DECAY ** np.arange(BARS)[::-1]
    slope, error, samples, explained = naive.weighted_line(flows - pressure * returns, returns, weights)
    scale = 1 + slope * pressure
    found = kyle_corrected(returns, flows, np.full(BARS, pressure), 0, BARS, DECAY)
    assert found == pytest.approx((slope / scale, error / scale**2, samples, explained), rel=1e-9)


def test_without_pressure_the_correction_changes_nothing() -> None:
    """No dealers, no bias."""
    returns, flows, pressures = market(0.5, 4, inside=True)
    assert kyle_corrected(returns, flows, 0 * pressures, 0, BARS, DECAY) == kyle_regression(
        returns, flows, 0, BARS, DECAY
    )


def test_the_setting_chooses_the_estimator_and_coverage_scales_the_hedges_seen() -> None:
    """With half of the volume on this venue, half of the hedges stand in its flow; lambda is that of the market."""
    returns, flows, pressures = market(0.5, 8, inside=True)
    instruments = np.zeros(1, INSTRUMENT)
    rings = TapeState(
        instruments, np.zeros((2, LEVELS, 2)), np.zeros(2, np.int64), returns, 0.5 * flows, abs(flows), pressures
    )
    row = np.zeros(1, MARKET)[0]
    row["liquidity_count"] = BARS
    slower = estimate(row, rings, Parameters(flow_coverage=0.5))
    faster = estimate(row, rings, Parameters(flow_coverage=0.5, hedging_delay="faster"))
    assert (slower.source, faster.source) == ("regression", "regression")
    assert faster.value == pytest.approx(TRUE_LAMBDA, abs=3 * faster.standard_error)
    assert slower.value > TRUE_LAMBDA + 3 * slower.standard_error
    assert faster.r_squared is not None
    assert 0 < faster.r_squared < 1
