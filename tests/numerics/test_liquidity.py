"""Price impact: the ring regression against matrices, Amihud, depth, and the rule that chooses."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

import naive
from dhpe.liquidity import KyleLambda, Regression, amihud_illiquidity, choose, estimate
from dhpe.numerics.liquidity import amihud, depth_lambda, kyle_regression
from dhpe.numerics.order_book import LEVELS
from dhpe.numerics.state import INSTRUMENT, MARKET
from dhpe.numerics.underlying_ticks import TapeState
from dhpe.parameters import Parameters

TRUE_LAMBDA = 8e-13
HALF_LIFE_BARS = 180.0
DECAY = 0.5 ** (1 / HALF_LIFE_BARS)


def bars(count: int, noise: float = 2e-4, seed: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns that follow signed flow by the true lambda, oldest first."""
    generator = np.random.default_rng(seed)
    flows = 3e8 * generator.standard_normal(count)
    return TRUE_LAMBDA * flows + 1e-5 + noise * generator.standard_normal(count), flows


def ring(values: NDArray[np.float64], capacity: int) -> tuple[NDArray[np.float64], int, int]:
    """(ring, head, count) after writing ``values`` one by one."""
    storage = np.full(capacity, 777.0)
    for place, value in enumerate(values):
        storage[place % capacity] = value
    return storage, len(values) % capacity, min(len(values), capacity)


@pytest.mark.parametrize(("count", "capacity"), [(100, 400), (400, 400), (1000, 400)])
def test_the_ring_regression_equals_matrices(count: int, capacity: int) -> None:
    """Slope, White error, effective samples and r squared, also after the ring has gone round."""
    returns, flows = bars(count)
    return_ring, head, known = ring(returns, capacity)
    flow_ring, _, _ = ring(flows, capacity)
    weights = DECAY ** np.arange(known)[::-1]
    expected = naive.weighted_line(flows[-known:], returns[-known:], weights)
    assert kyle_regression(return_ring, flow_ring, head, known, DECAY) == pytest.approx(expected, rel=1e-8)


def test_the_true_lambda_lies_within_two_errors_nine_times_in_ten() -> None:
    """Seeds 0 to 199, 600 bars each."""
    inside = 0
    for seed in range(200):
        returns, flows = bars(600, seed=seed)
        found, error, _, _ = kyle_regression(returns, flows, 0, 600, DECAY)
        inside += abs(found - TRUE_LAMBDA) < 2 * error
    assert inside >= 180


def test_bars_without_a_mid_are_left_out() -> None:
    """A NaN return makes the result that of the bars without it, at their own ages."""
    returns, flows = bars(200)
    weights = DECAY ** np.arange(200)[::-1]
    holes = np.arange(0, 200, 7)
    returns[holes] = np.nan
    kept = ~np.isnan(returns)
    expected = naive.weighted_line(flows[kept], returns[kept], weights[kept])
    assert kyle_regression(returns, flows, 0, 200, DECAY) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("count", [0, 2])
def test_too_few_bars_say_nothing(count: int) -> None:
    """No lambda, no error, and no samples beyond what is there."""
    returns, flows = bars(10)
    found, error, samples, r_squared = kyle_regression(returns, flows, count, count, DECAY)
    assert math.isnan(found)
    assert math.isnan(error)
    assert math.isnan(r_squared)
    assert samples == pytest.approx(count, rel=1e-4)


def test_a_market_without_flow_has_no_lambda() -> None:
    """Constant flow explains nothing."""
    found, error, samples, _ = kyle_regression(np.linspace(-1, 1, 50), np.zeros(50), 0, 50, 1.0)
    assert math.isnan(found)
    assert math.isnan(error)
    assert samples == pytest.approx(50)


def test_amihud_is_the_mean_over_bars_with_volume() -> None:
    """|r| / USD, silent bars left out; NaN where nothing traded."""
    returns = np.array([0.01, -0.02, 0.5, np.nan])
    volumes = np.array([1e6, 4e6, 0.0, 1e6])
    assert amihud(returns, volumes, 0, 4) == pytest.approx((1e-8 + 5e-9) / 2)
    assert math.isnan(amihud(returns, np.zeros(4), 0, 4))


def test_depth_gives_half_the_spread_for_the_size_at_the_touch() -> None:
    """E-mini: a tick of 0.25 at 5000, 50 contracts of 50 a point: 2.5e-5 for 12.5 million."""
    assert depth_lambda(0.25, 5000.0, 50.0, 50.0) == pytest.approx(2.5e-5 / 12.5e6)
    for missing in [(0.0, 5000.0, 50.0), (0.25, 0.0, 50.0), (0.25, 5000.0, 0.0), (math.nan, 5000.0, 50.0)]:
        assert math.isnan(depth_lambda(*missing, 50.0))


CLEAR = Regression(1e-12, 2e-13, 120.0, 0.4)


@pytest.mark.parametrize(
    ("regression", "depth", "chosen"),
    [
        (CLEAR, 3e-12, KyleLambda(1e-12, 2e-13, 120, "regression", 0.4)),
        (CLEAR._replace(samples=59.9), 3e-12, KyleLambda(3e-12, None, 59, "depth", 0.4)),
        (CLEAR._replace(standard_error=5.1e-13), 3e-12, KyleLambda(3e-12, None, 120, "depth", 0.4)),
        (CLEAR._replace(kyle_lambda=-1e-12), 3e-12, KyleLambda(3e-12, None, 120, "depth", 0.4)),
        (Regression(math.nan, math.nan, 0.0, math.nan), math.nan, KyleLambda(None, None, 0, None)),
    ],
)
def test_the_regression_must_say_something_or_the_depth_speaks(
    regression: Regression, depth: float, chosen: KyleLambda
) -> None:
    """At least 60 effective bars and two errors above zero (MODEL.md section 7)."""
    assert choose(regression, depth, Parameters()) == chosen


def test_a_setting_overrides_and_coverage_scales_what_one_venue_shows() -> None:
    """The setting speaks of the market already."""
    half = Parameters(flow_coverage=0.5)
    assert choose(CLEAR, math.nan, half) == KyleLambda(5e-13, 1e-13, 120, "regression", 0.4)
    assert choose(CLEAR._replace(samples=1.0), 3e-12, half) == KyleLambda(1.5e-12, None, 1, "depth", 0.4)
    told = Parameters(kyle_lambda=7e-13, flow_coverage=0.5)
    assert choose(CLEAR, 3e-12, told) == KyleLambda(7e-13, None, 120, "setting", 0.4)


def tape(count: int) -> TapeState:
    """Rings of 400 bars of which ``count`` are known, and one spot instrument."""
    returns, flows = bars(400)
    instruments = np.zeros(2, INSTRUMENT)
    instruments["multiplier"] = 1.0
    known = np.arange(400) < count
    rings = [column * known for column in (returns, flows, abs(flows), 0.0 * flows)]
    return TapeState(instruments, np.zeros((2, LEVELS, 2)), np.zeros(2, np.int64), *rings)


def test_the_estimate_follows_the_state_of_the_market() -> None:
    """Nothing, then the quotes of the open bar, then the mean of closed bars, then the regression."""
    market = np.zeros(1, MARKET)[0]
    assert estimate(market, tape(0), Parameters()).source is None
    assert amihud_illiquidity(market, tape(0)) is None
    market["spot"], market["spread_sum"], market["touch_sum"], market["touch_quotes"] = 5000.0, 1.0, 800.0, 4
    first = estimate(market, tape(0), Parameters())
    assert first == KyleLambda(pytest.approx(0.125 / 5000 / (200 * 5000)), None, 0, "depth")
    market["spread_mean"], market["touch_mean"] = 0.5, 100.0
    assert estimate(market, tape(0), Parameters()).value == pytest.approx(0.25 / 5000 / (100 * 5000))
    market["liquidity_head"] = market["liquidity_count"] = 300
    found = estimate(market, tape(300), Parameters())
    assert found.source == "regression"
    assert found.value == pytest.approx(TRUE_LAMBDA, rel=0.2)
    assert amihud_illiquidity(market, tape(300)) > 0


def test_the_touch_of_an_inverse_contract_is_money_already() -> None:
    """10,000 contracts of 100 USD are a million USD at any price."""
    market = np.zeros(1, MARKET)[0]
    market["spot"], market["spread_mean"], market["touch_mean"] = 50_000.0, 10.0, 10_000.0
    state = tape(0)
    state.instruments["multiplier"], state.instruments["inverse"] = 100.0, 1
    assert estimate(market, state, Parameters()).value == pytest.approx(1e-4 / 1e6)
    state.instruments["hedge"] = 1
    assert estimate(market, state, Parameters()).value is None
