"""The skew stickiness measured between fits: against matrices, in a made-up surface, and through the engine."""

import math

import numpy as np
import pytest

import naive
from dhpe.book import Book
from dhpe.columns import Contract, empty_batch
from dhpe.engine import Engine
from dhpe.numerics.state import VOL_OWN_QUOTE
from dhpe.numerics.stickiness import FIT, aged_slope, skew_move
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from dhpe.stickiness import OBSERVATIONS_MAX, SkewStickiness
from option_chain import NAME, START_NS, batch, contracts, option_quotes, spot_quote

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
STRIKES = tuple(float(strike) for strike in range(88, 113, 2))


def surface(
    vols: tuple[float, ...], slopes: tuple[float, ...], days: tuple[int, ...], now_ns: int, spot: float
) -> Book:
    """A book of expiries with a fit, each with five quotes at the money that are new at ``now_ns``."""
    book = Book(Parameters())
    for row, settles in enumerate(days):
        for strike in (-2.0, -1.0, 0.0, 1.0, 2.0):
            symbol = f"{row} {strike}"
            assert book.add(Contract(symbol, 1, spot + strike, 100.0, False, START_NS + settles * DAY_NS)) is None
    state = book.state
    state.market["spot"] = spot
    expiries = state.expiries[: len(days)]
    expiries["atm_vol"], expiries["skew_slope"] = vols, slopes
    state.contracts["vol_source"] = VOL_OWN_QUOTE
    state.contracts["quote"]["ts_ns"] = now_ns - 1
    return book


def walk(
    estimator: SkewStickiness, stickiness: float, fits: int, noise: float, seed: int, step_s: int = 10, renewed: int = 5
) -> int:
    """Show an estimator ``fits`` fits of a surface that moves by ``stickiness``; returns the time of the last."""
    generator = np.random.default_rng(seed)
    spot, now_ns = 5000.0, START_NS
    vols, slopes = np.array([0.14, 0.16]), np.array([-1.2, -0.5])
    book = surface(tuple(vols), tuple(slopes), (700, 400), START_NS, spot)
    state = book.state
    for _ in range(fits):
        state.market["spot"] = spot
        state.expiries["atm_vol"][:2] = vols + noise * generator.standard_normal(2)
        for first in (0, 5):
            state.contracts["quote"]["ts_ns"][first : first + renewed] = now_ns - 1
        estimator.observe(state, now_ns)
        move = 3e-4 * generator.standard_normal()
        spot *= math.exp(move)
        vols = vols + stickiness * slopes * move
        now_ns += step_s * SECOND_NS
    estimator.rule(now_ns)
    return now_ns


def test_the_aged_line_equals_matrices() -> None:
    """Slope, White error and effective samples at uneven times, also after the ring has gone round."""
    generator = np.random.default_rng(4)
    times = START_NS + np.cumsum(generator.integers(5, 40, 150)) * SECOND_NS
    x = generator.standard_normal(150)
    y = 1.4 * x + 0.3 + 0.2 * generator.standard_normal(150)
    rings = [np.concatenate((column[100:], column[50:100])) for column in (times, x, y)]
    now_ns = int(times[-1]) + SECOND_NS
    weights = 0.5 ** ((now_ns - times[50:]) / (600.0 * SECOND_NS))
    expected = naive.weighted_line(x[50:], y[50:], weights)
    assert aged_slope(*rings, 50, 100, now_ns, 600.0 * SECOND_NS) == pytest.approx(expected[:3], rel=1e-9)


def test_a_move_is_the_sum_over_expiries_times_root_tau() -> None:
    """An expiry without a fit before or now says nothing; those used are the next ones' before."""
    state = surface((0.15, 0.2, math.nan), (-1.0, -0.5, -0.5), (7, 40, 50), START_NS, 100.0).state
    before = np.zeros(3, FIT)
    before[0] = (START_NS - SECOND_NS, 0.16, -1.2, math.log(100.0) - 0.01)
    root = math.sqrt(7 / 365)
    arguments = (state.contracts, 15, state.expiries[:3], before, math.log(100.0), START_NS, 60.0 * SECOND_NS)
    assert skew_move(*arguments) == pytest.approx((-1.1 * 0.01 * root, -0.01 * root, 1))
    assert before["fitted_ns"].tolist() == [START_NS, START_NS, 0]
    assert before["atm_vol"][:2].tolist() == [0.15, 0.2]


def test_quotes_that_stand_still_do_not_say_sticky_strike() -> None:
    """An old quote's vol is held at its strike, R = 1 by our own doing: with three of five new nothing is learnt."""
    few, nearly_all = SkewStickiness(Parameters()), SkewStickiness(Parameters())
    walk(few, 1.0, 300, 1e-5, 2, renewed=3)
    walk(nearly_all, 1.0, 300, 1e-5, 2, renewed=4)
    assert (few.now.source, nearly_all.now.source) == ("setting", "estimate")


@pytest.mark.parametrize("true", [0.6, 1.0, 1.8])
def test_the_true_stickiness_lies_within_two_errors_nine_times_in_ten(true: float) -> None:
    """A hundred seeds of 300 fits each, the vol at the money known to a hundredth of a vol point."""
    covered = 0
    for seed in range(100):
        estimator = SkewStickiness(Parameters())
        walk(estimator, true, 300, 1e-4, seed)
        assert estimator.now.source == "estimate"
        covered += abs(estimator.now.value - true) < 2 * estimator.now.standard_error
    assert covered >= 90


def test_the_setting_holds_until_the_estimate_is_the_surer() -> None:
    """Few fits, or vols too noisy, or a setting without an error: 1.5 ± what was set."""
    few, noisy, told = SkewStickiness(Parameters()), SkewStickiness(Parameters()), SkewStickiness(Parameters())
    walk(few, 1.0, 50, 1e-5, 1)
    walk(noisy, 1.0, 300, 2e-2, 1)
    told = SkewStickiness(Parameters(skew_stickiness=1.2, skew_stickiness_standard_error=0.0))
    walk(told, 1.0, 300, 1e-5, 1)
    assert few.now == noisy.now == (1.5, 0.5, "setting")
    assert told.now == (1.2, 0.0, "setting")


def test_a_night_between_two_fits_is_not_compared() -> None:
    """More than five minutes apart at fits of every ten seconds."""
    estimator = SkewStickiness(Parameters())
    walk(estimator, 1.0, 300, 1e-5, 2, step_s=301)
    assert estimator.now.source == "setting"


def test_the_ring_forgets_what_is_oldest() -> None:
    """More fits than it holds, and the estimate goes on."""
    estimator = SkewStickiness(Parameters(skew_stickiness_half_life_s=1e6))
    walk(estimator, 0.8, OBSERVATIONS_MAX + 50, 1e-5, 3)
    assert estimator.now.value == pytest.approx(0.8, abs=3 * estimator.now.standard_error)


def test_the_engine_measures_and_publishes_it() -> None:
    """Quotes of a chain whose smile slides with R = 0.7: published with its error, and beta = (R - 1) * slope."""
    generator = np.random.default_rng(6)
    true, slope, spot, level = 0.7, -0.9, 100.0, 0.20
    records = [spot_quote(spot), *contracts(STRIKES, 100.0)]
    for fit in range(90):
        now_ns = START_NS + (fit + 1) * 10 * SECOND_NS
        at = {"ts_event_ns": now_ns}

        def smile(k: float, vol: float = level) -> float:
            return vol + slope * k

        records += [spot_quote(spot, **at), *option_quotes(STRIKES, spot, now_ns, smile, **at)]
        move = 1e-3 * generator.standard_normal()
        spot *= math.exp(move)
        level += true * slope * move
    records.append({"kind": "clock", "ts_event_ns": START_NS + 920 * SECOND_NS})
    result = Engine(Parameters()).step(empty_batch(), batch(records))
    states = [output for output in result.outputs if isinstance(output, Pressure)]
    first, last = states[5], states[-1]
    assert (first.skew_stickiness, first.skew_stickiness_source) == (1.5, "setting")
    assert last.skew_stickiness_source == "estimate"
    assert last.skew_stickiness_standard_error is not None
    assert last.skew_stickiness_standard_error < 0.1
    assert last.skew_stickiness == pytest.approx(true, abs=0.1)
    assert last.spot_vol_beta == pytest.approx((last.skew_stickiness - 1.0) * slope, rel=0.15)
    assert last.underlying == NAME
