"""Which price impact holds: the regression where it says something, else the depth of the book, else what was set."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.liquidity import amihud, depth_lambda, kyle_corrected, kyle_regression
from dhpe.numerics.underlying_ticks import TapeState
from dhpe.parameters import Parameters

SIGNIFICANT_ERRORS = 2.0


class KyleLambda(NamedTuple):
    """Price impact in log return per USD. ``value`` and ``source`` are ``None`` where nothing is known.

    A depth estimate has no standard error: it is taken to be wrong by a factor 2 either way (MODEL.md section 4).
    ``samples`` and ``r_squared`` are those of the regression, whichever source won.
    """

    value: float | None
    standard_error: float | None
    samples: int
    source: Literal["regression", "depth", "setting"] | None
    r_squared: float | None = None


class Regression(NamedTuple):
    """What ``numerics.liquidity.kyle_regression`` returns."""

    kyle_lambda: float
    standard_error: float
    samples: float
    r_squared: float


def choose(regression: Regression, depth: float, parameters: Parameters) -> KyleLambda:
    """The rule of MODEL.md section 7. ``depth`` is NaN where the book is unknown.

    What one venue shows is scaled by ``flow_coverage``, its share of the hedging volume; a setting is taken as it is.
    """
    samples = int(regression.samples)
    explained = None if math.isnan(regression.r_squared) else regression.r_squared
    if parameters.kyle_lambda is not None:
        return KyleLambda(parameters.kyle_lambda, parameters.kyle_lambda_standard_error, samples, "setting", explained)
    enough = regression.samples >= parameters.liquidity_samples_min
    coverage = parameters.flow_coverage
    if enough and regression.kyle_lambda > SIGNIFICANT_ERRORS * regression.standard_error:
        return KyleLambda(
            regression.kyle_lambda * coverage, regression.standard_error * coverage, samples, "regression", explained
        )
    if depth > 0.0:
        return KyleLambda(depth * coverage, None, samples, "depth", explained)
    return KyleLambda(None, None, samples, None, explained)


def _depth(market: np.void, instruments: NDArray[np.void]) -> float:
    """Impact by the touch: running means over bars, before the first bar has closed the quotes so far."""
    spread, touch = market["spread_mean"], market["touch_mean"]
    if not touch > 0.0 and market["touch_quotes"] > 0:
        spread = market["spread_sum"] / market["touch_quotes"]
        touch = market["touch_sum"] / market["touch_quotes"]
    spots = [instrument for instrument in instruments if not instrument["hedge"]]
    mid = float(market["spot"])
    if not spots or not mid > 0.0:
        return math.nan
    # An inverse contract is sized in money: its touch is worth size * multiplier, whatever the price.
    multiplier = spots[0]["multiplier"] / mid if spots[0]["inverse"] else spots[0]["multiplier"]
    return depth_lambda(float(spread), mid, float(touch), float(multiplier))


def estimate(market: np.void, tape: TapeState, parameters: Parameters) -> KyleLambda:
    """The impact as of the last closed liquidity bar. ``market`` is a row of state.MARKET."""
    decay_per_bar = math.exp(-math.log(2.0) * parameters.liquidity_bar_s / parameters.liquidity_half_life_s)
    head, count = int(market["liquidity_head"]), int(market["liquidity_count"])
    if parameters.hedging_delay == "faster":
        # Of the hedges, this venue's flow holds its share of the hedging volume.
        pressures = parameters.flow_coverage * tape.pressures
        found = kyle_corrected(tape.returns, tape.flows, pressures, head, count, decay_per_bar)
    else:
        found = kyle_regression(tape.returns, tape.flows, head, count, decay_per_bar)
    regression = Regression(*found)
    return choose(regression, _depth(market, tape.instruments), parameters)


def amihud_illiquidity(market: np.void, tape: TapeState) -> float | None:
    """Mean |log return| per USD of volume over the bars with volume (Amihud 2002); ``None`` without any."""
    ratio = amihud(tape.returns, tape.volumes, int(market["liquidity_head"]), int(market["liquidity_count"]))
    return None if math.isnan(ratio) else ratio
