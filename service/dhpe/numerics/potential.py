"""The hedging potential: a screened Green's function along log price (MODEL.md section 5).

(-d/dx lambda(x)^-1 d/dx + xi^2) potential = source(x), lambda(x) the price impact at x in log return per USD, xi^2 =
1/(lambda_ref * length^2) the screening. The source is a hedge pressure in USD per unit log return; the potential has
no unit. Grids are even and rising in log price, ends are free space. For reading only: no alert depends on it, which
is why an FFT may stand here (its last bits differ between machines).
"""

import math

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel


def decay_per_step(step: float, screening_length: float) -> float:
    """Mu with 2 sinh(mu/2) = step / screening_length: the discrete solution falls by exp(-mu) a grid step."""
    return 2.0 * math.asinh(0.5 * step / screening_length)


def green_potential(
    source: NDArray[np.float64], step: float, kyle_lambda: float, screening_length: float
) -> NDArray[np.float64]:
    """The potential at constant lambda, (points,): step * sum_j K_(i-j) source_j by FFT with zero padding.

    K_j = lambda * step * exp(-mu |j|) / (2 sinh mu) is the exact kernel of the discrete equation, so that this equals
    ``tridiagonal_potential`` to round-off.
    """
    points = len(source)
    mu = decay_per_step(step, screening_length)
    size = 1 << (2 * points - 1).bit_length()
    reach = np.zeros(size)
    tail = np.array([math.exp(-mu * j) for j in range(points)])
    reach[:points] = tail
    reach[size - points + 1 :] = tail[:0:-1]
    reach *= kyle_lambda * step / (2.0 * math.sinh(mu))
    spectrum = np.fft.rfft(source, size) * np.fft.rfft(reach)
    return step * np.fft.irfft(spectrum, size)[:points]


@kernel
def tridiagonal_potential(
    source: NDArray[np.float64],
    lambdas: NDArray[np.float64],
    step: float,
    screening: float,
    work: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the potential for a lambda that varies along the grid into ``out``; all arrays (points,), points >= 2.

    ``lambdas`` (> 0) in log return per USD, ``screening`` is xi^2 in USD. Conservative differences: between two points
    flows (p_i - p_(i+1)) / (lambda step), lambda their mean. Beyond the ends lambda and the screening go on as they are
    there and there is no source, so the potential decays by exp(-mu) a step: the diagonal at the ends is
    (2 - e^-mu)/(lambda step^2) + xi^2 (MODEL.md section 5). Solved by elimination without pivoting, which is stable as
    the matrix is diagonally dominant.
    """
    points = source.shape[0]
    area = step * step
    for point in range(points):
        diagonal = screening
        left = 0.0
        if point > 0:
            left = 2.0 / ((lambdas[point - 1] + lambdas[point]) * area)
            diagonal += left
        if point < points - 1:
            right = 2.0 / ((lambdas[point] + lambdas[point + 1]) * area)
            diagonal += right
        else:
            right = 0.0
        if point in (0, points - 1):
            mu = 2.0 * math.asinh(0.5 * math.sqrt(screening * lambdas[point]) * step)
            diagonal += (1.0 - math.exp(-mu)) / (lambdas[point] * area)
        load = source[point]
        if point > 0:
            diagonal -= left * work[point - 1]
            load += left * out[point - 1]
        work[point] = right / diagonal
        out[point] = load / diagonal
    for back in range(points - 1):
        point = points - 2 - back
        out[point] += work[point] * out[point + 1]


@kernel
def force(potential: NDArray[np.float64], step: float, out: NDArray[np.float64]) -> None:
    """Write -d potential / dx into ``out`` (points,): central differences, one-sided at the ends."""
    last = potential.shape[0] - 1
    for point in range(last + 1):
        low, high = max(point - 1, 0), min(point + 1, last)
        out[point] = -(potential[high] - potential[low]) / ((high - low) * step)


@kernel
def amihud_profile(
    returns: NDArray[np.float64],
    volumes_usd: NDArray[np.float64],
    head: int,
    count: int,
    log_mid: float,
    log_grid: NDArray[np.float64],
    out: NDArray[np.float64],
    bars: NDArray[np.int64],
) -> None:
    """Write Amihud's |log return| / USD volume by the price at which bars ended into ``out`` (points,), NaN if none.

    Bars stand in rings as in ``numerics.liquidity``; ``log_mid`` is the log price at the end of the newest, those
    before it follow from the returns. A bin is one grid step wide with its point in the middle. ``bars`` (points,)
    receives how many bars fell into each.
    """
    points = log_grid.shape[0]
    step = (log_grid[points - 1] - log_grid[0]) / (points - 1)
    for point in range(points):
        out[point] = 0.0
        bars[point] = 0
    price = log_mid
    for age in range(count):
        at = (head - 1 - age) % returns.shape[0]
        if math.isnan(returns[at]):
            break
        place = math.floor((price - log_grid[0]) / step + 0.5)
        if volumes_usd[at] > 0.0 and 0 <= place < points:
            out[int(place)] += abs(returns[at]) / volumes_usd[at]
            bars[int(place)] += 1
        price -= returns[at]
    for point in range(points):
        out[point] = out[point] / bars[point] if bars[point] > 0 else math.nan
