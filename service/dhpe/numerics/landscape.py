"""The fields away from the present spot and time: every contract re-priced, no greek placed at a strike.

The vol of a contract stays where its quote put it, or moves with the smile (``sticky_delta``). Only open contracts with
a position in ``book`` and a vol count. MODEL.md sections 4 and 5. A profile is a loop over contracts that touches only
the grid points within eight deviations of the strike; along an even grid a normal density needs two multiplications a
point.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.black import INVERSE_ROOT_TWO_PI, delta
from dhpe.numerics.jit import kernel
from dhpe.numerics.parity import years
from dhpe.numerics.state import NS_PER_S, NS_PER_YEAR
from dhpe.numerics.sticky_delta import vol_at

D1_CUT: Final = 8.0
"""The density there is 1e-14 of its peak."""
SIGNIFICANT: Final = 1e-3
SILENT_MAX: Final = 2
FLIP_TOLERANCE: Final = 2e-9
"""Of log price."""
NS_PER_DAY: Final = 86_400 * NS_PER_S


@kernel
def counts(contract: np.void, book: int, ts_ns: int) -> bool:
    """Whether a contract adds anything to the fields of a book."""
    alive = contract["active"] == 1 and contract["settles_ns"] > ts_ns
    return alive and contract["position"][book] != 0.0 and contract["vol"] > 0.0


@kernel
def gamma_shape(
    contract: np.void, expiry: np.void, book: int, ts_ns: int, tau_floor_ns: int, log_spot: float
) -> tuple[float, float, float]:
    """(amplitude, offset, deviation): n gamma S^2 M = S * amplitude * exp(-d1^2/2), d1 = (ln S + offset)/deviation.

    With the vol at ``log_spot``, which is the vol everywhere unless it moves with the smile.
    """
    tau = max(contract["settles_ns"] - ts_ns, tau_floor_ns) / NS_PER_YEAR
    growth = expiry["basis"] + expiry["carry"] * tau
    deviation = vol_at(contract, expiry, log_spot + growth) * math.sqrt(tau)
    dividend_yield = expiry["rate"] - expiry["carry"]
    # The options' own spot is ours times exp(basis), in which all of the formula is written.
    size = contract["position"][book] * contract["multiplier"] * math.exp(expiry["basis"] - dividend_yield * tau)
    offset = growth - contract["log_strike"] + 0.5 * deviation * deviation
    return INVERSE_ROOT_TWO_PI * size / deviation, offset, deviation


@kernel
def _add_density(
    amplitude: float, d1_start: float, d1_step: float, span: tuple[int, int, int], out: NDArray[np.float64]
) -> None:
    """Add amplitude * exp(-d1^2/2) from the first to the last point of ``span``, going out from the middle one.

    Neighbouring densities differ by a factor that itself changes by a constant factor, exp(-d1_step^2). Going out
    from near the peak keeps the relative error of k steps at k^2 round-offs: 1e-11 for 300 points.
    """
    first, middle, last = span
    d1 = d1_start + middle * d1_step
    peak = amplitude * math.exp(-0.5 * d1 * d1)
    bend = math.exp(-d1_step * d1_step)
    density = peak
    factor = math.exp(-d1_step * (d1 + 0.5 * d1_step))
    for point in range(middle, last + 1):
        out[point] += density
        density *= factor
        factor *= bend
    density = peak
    factor = math.exp(d1_step * (d1 - 0.5 * d1_step))
    for point in range(middle - 1, first - 1, -1):
        density *= factor
        factor *= bend
        out[point] += density


@kernel
def _density(contract: np.void, expiry: np.void, book: int, ts_ns: int, tau_floor_ns: int, log_spot: float) -> float:
    """The gamma field of one contract over S."""
    amplitude, offset, deviation = gamma_shape(contract, expiry, book, ts_ns, tau_floor_ns, log_spot)
    d1 = (log_spot + offset) / deviation
    return amplitude * math.exp(-0.5 * d1 * d1) if abs(d1) <= D1_CUT else 0.0


@kernel
def gamma_profile(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    book: int,
    ts_ns: int,
    tau_floor_ns: int,
    log_grid: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the gamma field at each point of an even, rising grid of log spot into ``out`` (points,), USD."""
    points = log_grid.shape[0]
    start = log_grid[0]
    step = (log_grid[points - 1] - start) / (points - 1) if points > 1 else 1.0
    for point in range(points):
        out[point] = 0.0
    for row in range(count):
        contract = contracts[row]
        if not counts(contract, book, ts_ns):
            continue
        expiry = expiries[contract["expiry"]]
        if contract["fit_ratio"] > 0.0:
            for point in range(points):
                out[point] += _density(contract, expiry, book, ts_ns, tau_floor_ns, log_grid[point])
            continue
        amplitude, offset, deviation = gamma_shape(contract, expiry, book, ts_ns, tau_floor_ns, start)
        reach = D1_CUT * deviation
        first = min(max(math.ceil((-offset - reach - start) / step), 0.0), float(points))
        last = min(max(math.floor((-offset + reach - start) / step), -1.0), float(points - 1))
        if first <= last:
            peak = min(max((-offset - start) / step, first), last)
            _add_density(
                amplitude, (start + offset) / deviation, step / deviation, (int(first), int(peak), int(last)), out
            )
    for point in range(points):
        out[point] *= math.exp(log_grid[point])


@kernel
def gamma_at(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    book: int,
    ts_ns: int,
    tau_floor_ns: int,
    log_spot: float,
) -> float:
    """The gamma field at one log spot, USD."""
    total = 0.0
    for row in range(count):
        contract = contracts[row]
        if not counts(contract, book, ts_ns):
            continue
        total += _density(contract, expiries[contract["expiry"]], book, ts_ns, tau_floor_ns, log_spot)
    return total * math.exp(log_spot)


@kernel
def strike_gammas(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    book: int,
    log_spot: float,
    ts_ns: int,
    tau_floor_ns: int,
    out: NDArray[np.float64],
) -> None:
    """Write n gamma S^2 M of each contract at one log spot into ``out`` (count,), USD; 0 where it does not count."""
    for row in range(count):
        contract = contracts[row]
        out[row] = 0.0
        if counts(contract, book, ts_ns):
            expiry = expiries[contract["expiry"]]
            amplitude, offset, deviation = gamma_shape(contract, expiry, book, ts_ns, tau_floor_ns, log_spot)
            d1 = (log_spot + offset) / deviation
            if abs(d1) <= D1_CUT:
                out[row] = amplitude * math.exp(log_spot - 0.5 * d1 * d1)


@kernel
def wall(
    contracts: NDArray[np.void], by_strike: NDArray[np.int64], gammas: NDArray[np.float64], spot: float, right: int
) -> float:
    """The strike with the largest |sum of gammas| over all expiries of one right; NaN where there is none.

    Calls (right +1) at and above spot, puts (-1) at and below. ``by_strike``: rows in rising order of strike. Of equal
    sums the strike nearer to spot wins.
    """
    best = math.nan
    best_size = 0.0
    at = 0
    rows = by_strike.shape[0]
    while at < rows:
        strike = contracts[by_strike[at]]["strike"]
        total = 0.0
        while at < rows and contracts[by_strike[at]]["strike"] == strike:
            if contracts[by_strike[at]]["right"] == right:
                total += gammas[by_strike[at]]
            at += 1
        size = abs(total)
        if right * (strike - spot) < 0.0 or size == 0.0:
            continue
        nearer = size == best_size and abs(strike - spot) < abs(best - spot)
        if size > best_size or nearer:
            best, best_size = strike, size
    return best


@kernel
def same_day_share(contracts: NDArray[np.void], gammas: NDArray[np.float64], ts_ns: int) -> float:
    """Sum |n gamma S^2 M| settling on the UTC date of ``ts_ns`` over the sum of all; NaN where there is no gamma."""
    today = ts_ns // NS_PER_DAY
    total = 0.0
    same_day = 0.0
    for row in range(gammas.shape[0]):
        size = abs(gammas[row])
        total += size
        if contracts[row]["settles_ns"] // NS_PER_DAY == today:
            same_day += size
    return same_day / total if total > 0.0 else math.nan


@kernel
def delta_change_usd(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    book: int,
    spot: float,
    ts_ns: int,
    horizon_ns: int,
) -> float:
    """Sum n (delta(t + H) - delta(t)) S M at constant spot and vol, USD; without the floor on tau.

    A contract that settles within the horizon goes to its settled delta: 1 or 0 for a call, 0 or -1 for a put.
    """
    total = 0.0
    for row in range(count):
        contract = contracts[row]
        if not counts(contract, book, ts_ns):
            continue
        expiry = expiries[contract["expiry"]]
        rate, dividend_yield = expiry["rate"], expiry["rate"] - expiry["carry"]
        strike, right = contract["strike"], contract["right"]
        own_spot = spot * math.exp(expiry["basis"])
        tau = years(contract["settles_ns"], ts_ns)
        vol = vol_at(contract, expiry, math.log(own_spot) + expiry["carry"] * tau)
        now = delta(own_spot, strike, tau, rate, dividend_yield, vol, right)
        left = max(years(contract["settles_ns"], ts_ns + horizon_ns), 0.0)
        then = delta(own_spot, strike, left, rate, dividend_yield, vol, right)
        total += contract["position"][book] * contract["multiplier"] * (then - now)
    return total * spot


@kernel
def sign_changes(profile: NDArray[np.float64], brackets: NDArray[np.int64]) -> int:
    """Find where a profile changes sign; write the points before and after into ``brackets`` (points, 2).

    Only points with at least ``SIGNIFICANT`` of the largest |profile| speak, so round-off far from all strikes makes no
    flip. Between two that speak against each other at most two may be silent, those beside the zero itself.
    """
    largest = 0.0
    for point in range(profile.shape[0]):
        largest = max(largest, abs(profile[point]))
    found = 0
    last = -1
    for point in range(profile.shape[0]):
        if largest == 0.0 or abs(profile[point]) < SIGNIFICANT * largest:
            continue
        turned = last >= 0 and (profile[point] > 0.0) != (profile[last] > 0.0)
        if turned and point - last <= SILENT_MAX + 1:
            brackets[found, 0] = last
            brackets[found, 1] = point
            found += 1
        last = point
    return found


@kernel
def refine_flip(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    book: int,
    ts_ns: int,
    tau_floor_ns: int,
    low: float,
    high: float,
) -> float:
    """The zero of the gamma field between two log spots of opposite sign, by bisection to ``FLIP_TOLERANCE``."""
    rising = gamma_at(contracts, count, expiries, book, ts_ns, tau_floor_ns, high) > 0.0
    while high - low > FLIP_TOLERANCE:
        middle = 0.5 * (low + high)
        if (gamma_at(contracts, count, expiries, book, ts_ns, tau_floor_ns, middle) > 0.0) == rising:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)
