"""Frey and Stremme (1997): hedgers in a market with impact scale its variance by the square of the amplification.

The engine reads the gain from quotes and positions. The market is another one: dealers who re-hedge textbook deltas
of the same contracts, contract by contract, and a price that answers their orders. Nothing in it knows gamma.
"""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.numerics.option_trades import GRAIN
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from option_chain import SETTLES_NS, START_NS, batch, chain

SPOT, VOL, TAU = 100.0, 0.20, 30 / 365
STRIKES = (95.0, 100.0, 105.0)
MULTIPLIER = 100
KYLE_LAMBDA = 2e-8
NEWS = 2e-6  # log return: so small that the gamma of the book is the same along the path
PATHS = 4000
GAINS = (-0.5, -0.2, 0.2, 0.5)


@cache
def position_for(gain: float) -> float:
    """Contracts that dealers must hold of each series; from the gain of one contract each, as the engine reads it."""
    return gain / read(1.0).feedback_gain


def read(position: float) -> Pressure:
    """What the engine says of dealers who hold ``position`` of each series, vols sticky at their strikes."""
    parameters = Parameters(
        kyle_lambda=KYLE_LAMBDA, kyle_lambda_standard_error=0.0, spot_vol_beta=0.0, spot_vol_beta_standard_error=0.0
    )
    result = Engine(parameters).step(empty_batch(), batch(chain(position, STRIKES)))
    return [output for output in result.outputs if isinstance(output, Pressure)][-1]


def dealer_delta(log_spot: NDArray[np.float64], position: float) -> NDArray[np.float64]:
    """Shares that the book is long through its options, by the textbook."""
    spot = np.exp(log_spot)
    shares = np.zeros_like(spot)
    for strike in STRIKES:
        d1 = np.log(spot / strike) / (VOL * math.sqrt(TAU)) + VOL * math.sqrt(TAU) / 2
        shares += ndtr(d1) + (ndtr(d1) - 1.0)
    return shares * position * MULTIPLIER


def delayed(position: float, steps: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(log prices (steps + 1, paths), news): each step dealers trade the change of delta over the step before it."""
    generator = np.random.default_rng(seed)
    news = NEWS * generator.standard_normal((steps, PATHS))
    prices = np.full((steps + 1, PATHS), math.log(SPOT))
    hedged = dealer_delta(prices[0], position)
    for step in range(steps):
        wanted = dealer_delta(prices[step], position)
        flow_usd = -(wanted - hedged) * np.exp(prices[step])
        hedged = wanted
        prices[step + 1] = prices[step] + news[step] + KYLE_LAMBDA * flow_usd
    return prices, news


def at_once(position: float, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(moves, news) where the price and the hedge are found together, by Newton's method with a secant slope."""
    news = NEWS * np.random.default_rng(seed).standard_normal(10 * PATHS)
    start = np.full_like(news, math.log(SPOT))
    before = dealer_delta(start, position)

    def miss(move: NDArray[np.float64]) -> NDArray[np.float64]:
        flow_usd = -(dealer_delta(start + move, position) - before) * SPOT
        return move - news - KYLE_LAMBDA * flow_usd

    width = 1e-6
    slope = (miss(np.full_like(news, width)) - miss(np.full_like(news, -width))) / (2 * width)
    move = news.copy()
    for _ in range(4):
        move = move - miss(move) / slope
    assert np.abs(miss(move)).max() < 1e-9 * NEWS
    return move, news


def ratio_and_error(moves: NDArray[np.float64], news: NDArray[np.float64]) -> tuple[float, float]:
    """Variance ratio and its standard error from the paired sample (delta method on two second moments)."""
    a, b = moves**2, news**2
    ratio = a.mean() / b.mean()
    return ratio, float(np.std(a - ratio * b) / math.sqrt(len(a)) / b.mean())


@pytest.mark.parametrize("gain", GAINS)
def test_instantaneous_hedging_scales_variance_by_the_square_of_the_amplification(gain: float) -> None:
    """To the curvature of the book: the move is the news times A, one by one."""
    position = position_for(gain)
    found = read(position)
    assert found.feedback_gain == pytest.approx(gain, rel=1e-9 + GRAIN / abs(position))
    assert found.amplification is not None
    moves, news = at_once(position, seed=1)
    ratio, _ = ratio_and_error(moves, news)
    assert ratio == pytest.approx(found.amplification**2, rel=1e-3)


@pytest.mark.parametrize("gain", GAINS)
def test_over_many_hedge_delays_it_is_that_square_too(gain: float) -> None:
    """200 delays, 4,000 paths, within two standard errors of the sample."""
    found = read(position_for(gain))
    assert found.amplification is not None
    prices, news = delayed(position_for(gain), 200, seed=2)
    # The last answers are still to come: of 200 delays they leave less than a hundredth of the ratio open.
    ratio, error = ratio_and_error(prices[-1] - prices[0], news.sum(axis=0))
    assert abs(ratio - found.amplification**2) < 2 * error + 0.01 * found.amplification**2


@pytest.mark.parametrize("gain", GAINS)
def test_at_one_delay_it_is_one_over_one_minus_gain_squared(gain: float) -> None:
    """Moves of single steps are an autoregression of the gain: their variance does not know its sign."""
    prices, news = delayed(position_for(gain), 60, seed=3)
    moves = np.diff(prices, axis=0)
    # Every tenth step is as good as independent of the one before: 0.5 to the tenth is a thousandth.
    ratio, error = ratio_and_error(moves[19::10].ravel(), news[19::10].ravel())
    assert abs(ratio - 1 / (1 - gain**2)) < 2 * error


def test_the_market_starts_where_the_engine_reads() -> None:
    """Spot, time and contracts of both are the same."""
    assert read(1.0).spot == SPOT
    assert read(1.0).contracts == 2 * len(STRIKES)
    assert START_NS < SETTLES_NS
