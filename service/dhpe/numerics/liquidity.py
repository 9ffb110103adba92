"""What it costs to move the price: Kyle's lambda by regression and from the book's depth, and Amihud's ratio.

Bars of event time stand in rings: ``head`` is the next place to be written, the ``count`` bars before it are known.
Sources: MODEL.md section 7; Kyle 1985; Amihud 2002; White 1980 for the error.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel

BARS_MIN: Final = 3


@kernel
def _means(
    returns: NDArray[np.float64], flows: NDArray[np.float64], head: int, count: int, decay_per_bar: float
) -> tuple[float, float, float, int]:
    """(mean return, mean flow, effective samples, bars) under the weights; NaN means where no bar is known."""
    total = 0.0
    squares = 0.0
    mean_return = 0.0
    mean_flow = 0.0
    weight = 1.0
    bars = 0
    for age in range(count):
        at = (head - 1 - age) % returns.shape[0]
        if not (math.isnan(returns[at]) or math.isnan(flows[at])):
            bars += 1
            total += weight
            squares += weight * weight
            mean_return += weight * returns[at]
            mean_flow += weight * flows[at]
        weight *= decay_per_bar
    if bars == 0:
        return math.nan, math.nan, 0.0, 0
    return mean_return / total, mean_flow / total, total * total / squares, bars


@kernel
def kyle_regression(
    returns: NDArray[np.float64], flows: NDArray[np.float64], head: int, count: int, decay_per_bar: float
) -> tuple[float, float, float, float]:
    """(lambda, standard error, effective samples, r squared) of returns on signed flow with intercept.

    returns: log returns of the mid, (bars,); flows: signed USD, (bars,); lambda in log return per USD. The newest bar
    weighs 1, each older one ``decay_per_bar`` times the next; bars with a NaN are left out. lambda = S_xy / S_xx on
    weighted-demeaned values, se^2 = sum(w^2 x^2 e^2) / (sum w x^2)^2, samples = (sum w)^2 / sum w^2. Where flow never
    moved or there are fewer than three bars, all but the samples are NaN.
    """
    mean_return, mean_flow, samples, bars = _means(returns, flows, head, count, decay_per_bar)
    flow_flow = 0.0
    flow_return = 0.0
    return_return = 0.0
    weight = 1.0
    for age in range(count):
        at = (head - 1 - age) % returns.shape[0]
        x, y = flows[at] - mean_flow, returns[at] - mean_return
        if not (math.isnan(x) or math.isnan(y)):
            flow_flow += weight * x * x
            flow_return += weight * x * y
            return_return += weight * y * y
        weight *= decay_per_bar
    if bars < BARS_MIN or not flow_flow > 0.0:
        return math.nan, math.nan, samples, math.nan
    kyle_lambda = flow_return / flow_flow
    residuals = 0.0
    scores = 0.0
    weight = 1.0
    for age in range(count):
        at = (head - 1 - age) % returns.shape[0]
        x, y = flows[at] - mean_flow, returns[at] - mean_return
        if not (math.isnan(x) or math.isnan(y)):
            miss = y - kyle_lambda * x
            residuals += weight * miss * miss
            score = weight * x * miss
            scores += score * score
        weight *= decay_per_bar
    explained = 1.0 - residuals / return_return if return_return > 0.0 else math.nan
    return kyle_lambda, math.sqrt(scores) / flow_flow, samples, explained


@kernel
def kyle_corrected(
    returns: NDArray[np.float64],
    flows: NDArray[np.float64],
    pressures: NDArray[np.float64],
    head: int,
    count: int,
    decay_per_bar: float,
) -> tuple[float, float, float, float]:
    """(lambda, standard error, effective samples, r squared) where hedging answers inside the bar.

    Then flow holds the hedge of the bar's own return, and the plain slope is biased up for short gamma and down, even
    below 0, for long gamma. With u = flow - pressure * return, the flow without it, b the slope of the return on u and
    c that of pressure * return on u: lambda = b / (1 + c), which at a constant pressure is b / (1 + b * pressure)
    (MODEL.md section 7). Error by the delta method, se(b) / (1 + c)^2. ``pressures`` (bars,) in USD per unit log
    return; the rest as ``kyle_regression``, whose samples and r squared (of b) are returned. NaN where 1 + c <= 0.
    """
    own = np.empty(returns.shape[0])
    hedges = np.empty(returns.shape[0])
    for at in range(returns.shape[0]):
        hedges[at] = pressures[at] * returns[at]
        own[at] = flows[at] - hedges[at]
    slope, error, samples, explained = kyle_regression(returns, own, head, count, decay_per_bar)
    answer, _, _, _ = kyle_regression(hedges, own, head, count, decay_per_bar)
    scale = 1.0 + answer
    if not scale > 0.0:
        return math.nan, math.nan, samples, math.nan
    return slope / scale, error / (scale * scale), samples, explained


@kernel
def amihud(returns: NDArray[np.float64], volumes_usd: NDArray[np.float64], head: int, count: int) -> float:
    """Mean of |log return| / USD volume over the bars with volume, 1/USD; NaN where no bar has any."""
    size = returns.shape[0]
    total = 0.0
    bars = 0
    for age in range(count):
        at = (head - 1 - age) % size
        if volumes_usd[at] > 0.0 and not math.isnan(returns[at]):
            total += abs(returns[at]) / volumes_usd[at]
            bars += 1
    return total / bars if bars > 0 else math.nan


@kernel
def depth_lambda(spread: float, mid: float, mean_touch_size: float, multiplier: float) -> float:
    """Log return per USD by half the spread and the size that stands at the touch; NaN where one of them is missing.

    spread and mid in price points, mean_touch_size in units of the instrument, multiplier in shares per unit.
    """
    usd = mean_touch_size * mid * multiplier
    if not (spread > 0.0 and mid > 0.0 and usd > 0.0):
        return math.nan
    return 0.5 * spread / mid / usd
