"""Pairs of a call and a put at one strike: what put-call parity reads, as European options.

A strike with a two-sided call and put is one statement about the forward; see ``parity``, which weighs them. Parity
holds for European prices, so what the right to exercise adds to an American pair is taken off first. The put's premium
grows with the strike and the call's falls: taken as they are quoted, the pairs would say a forward that is too
low and a rate that is next to nothing (deep in the money the put is worth K - S, a slope of one). The premiums
need the rate and the carry that are looked for: they are those of the round before, and the rounds contract. Only
American pairs within ``NEAR`` deviations of the forward take part, since further out most of the put is premium and
the pair would repeat what it was told.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.american import early_exercise_premium
from dhpe.numerics.black import normal_cdf
from dhpe.numerics.jit import kernel

DEVIATION_FLOOR: Final = 2e-3
STRADDLE_TO_DEVIATION: Final = 1.2533141373155003
"""sqrt(pi/2): an at-the-money straddle is sqrt(2/pi) deviations."""
NEAR: Final = 1.5
"""In deviations from the forward: American pairs further out have no say."""
FIRST_ROUNDS: Final = 12
"""Of a chain about which nothing is known; afterwards each fit begins where the last one ended, and one is enough."""


class Pairs(NamedTuple):
    """Scratch of one fit: the usable pairs, those of an expiry together. Prices and strikes are ratios to spot."""

    start: NDArray[np.int64]  # (expiries + 1,)
    strike: NDArray[np.float64]  # (pairs,) K/S
    difference: NDArray[np.float64]  # (pairs,) (C - P)/S as European options
    quoted: NDArray[np.float64]  # (pairs,) (C - P)/S
    vol: NDArray[np.float64]  # (pairs,) of the early exercise premiums, see american_pairs.premium_vol
    half_spread: NDArray[np.float64]  # (pairs,) of the difference
    straddle: NDArray[np.float64]  # (pairs,) (C + P)/S
    spot_call: NDArray[np.float64]  # (pairs,)
    spot_put: NDArray[np.float64]  # (pairs,)
    weight: NDArray[np.float64]  # (pairs,)
    ratio: NDArray[np.float64]  # (pairs,) scratch


@kernel
def premium_vol(call: np.void, put: np.void) -> float:
    """Vol at which the premiums of a pair are taken: -1 for a European pair, NaN where it is not yet known."""
    if call["american"] == 0:
        return -1.0
    return call["vol"] if call["vol"] > 0.0 else put["vol"]


@kernel
def _usable(contract: np.void) -> bool:
    quote = contract["quote"]
    return quote["ts_ns"] > 0 and quote["bid"] > 0.0 and quote["ask"] >= quote["bid"] and math.isfinite(quote["ask"])


@kernel
def _is_pair(contracts: NDArray[np.void], row: int) -> bool:
    call = contracts[row]
    pair = call["pair"]
    return call["active"] == 1 and call["right"] == 1 and pair >= 0 and _usable(call) and _usable(contracts[pair])


@kernel
def new_pairs(contracts: NDArray[np.void], count: int, expiry_count: int) -> Pairs:
    """Count the pairs of each expiry; ``start`` becomes where those of an expiry begin."""
    start = np.zeros(expiry_count + 1, np.int64)
    for row in range(count):
        if _is_pair(contracts, row):
            start[contracts[row]["expiry"] + 1] += 1
    for expiry in range(expiry_count):
        start[expiry + 1] += start[expiry]
    c = np.zeros((10, start[expiry_count]))
    return Pairs(start, c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9])


@kernel
def collect(contracts: NDArray[np.void], count: int, spot: float, expiry_count: int, pairs: Pairs) -> None:
    """Write the pairs in the order of their rows, prices still in currency."""
    place = np.zeros(expiry_count, np.int64)
    for row in range(count):
        if not _is_pair(contracts, row):
            continue
        call = contracts[row]
        put = contracts[call["pair"]]
        at = pairs.start[call["expiry"]] + place[call["expiry"]]
        place[call["expiry"]] += 1
        call_quote, put_quote = call["quote"], put["quote"]
        call_mid = 0.5 * (call_quote["bid"] + call_quote["ask"])
        put_mid = 0.5 * (put_quote["bid"] + put_quote["ask"])
        call_half = 0.5 * (call_quote["ask"] - call_quote["bid"])
        put_half = 0.5 * (put_quote["ask"] - put_quote["bid"])
        pairs.spot_call[at] = call["quote_spot"] if call["quote_spot"] > 0.0 else spot
        pairs.spot_put[at] = put["quote_spot"] if put["quote_spot"] > 0.0 else spot
        pairs.strike[at] = call["strike"]
        pairs.quoted[at] = call_mid - put_mid
        pairs.vol[at] = premium_vol(call, put)
        pairs.straddle[at] = call_mid + put_mid
        pairs.half_spread[at] = math.sqrt(call_half * call_half + put_half * put_half)


@kernel
def _deviation(pairs: Pairs, begin: int, end: int) -> float:
    """Deviation vol * sqrt(tau) from the straddle at the money, which is the cheapest one."""
    cheapest = math.inf
    for at in range(begin, end):
        cheapest = min(cheapest, 2.0 * pairs.straddle[at] / (pairs.spot_call[at] + pairs.spot_put[at]))
    return max(STRADDLE_TO_DEVIATION * cheapest, DEVIATION_FLOOR)


@kernel
def _to_ratios(pairs: Pairs, begin: int, end: int, deviation: float) -> None:
    """Divide by the spot that the pair speaks of."""
    for at in range(begin, end):
        call_delta = normal_cdf(math.log(pairs.spot_call[at] / pairs.strike[at]) / deviation)
        spot = call_delta * pairs.spot_call[at] + (1.0 - call_delta) * pairs.spot_put[at]
        pairs.strike[at] /= spot
        pairs.quoted[at] /= spot
        pairs.half_spread[at] /= spot
        pairs.straddle[at] /= spot


@kernel
def prepare(pairs: Pairs, deviations: NDArray[np.float64]) -> None:
    """Turn the pairs of each expiry into ratios, and find how wide it is."""
    for row in range(deviations.shape[0]):
        begin, end = pairs.start[row], pairs.start[row + 1]
        if begin < end:
            deviations[row] = _deviation(pairs, begin, end)
            _to_ratios(pairs, begin, end, deviations[row])


@kernel
def european_difference(
    strike: float, quoted: float, vol: float, deviation: float, tau: float, rate: float, carry: float
) -> float:
    """(C - P)/S of a pair as European options; ``strike`` is K/S, ``vol`` as ``premium_vol`` gives it."""
    if vol < 0.0 or abs(math.log(strike) - carry * tau) > (NEAR + 0.5) * deviation:
        return quoted
    at_vol = deviation / math.sqrt(tau) if math.isnan(vol) else vol
    call = early_exercise_premium(1.0, strike, tau, rate, rate - carry, at_vol, 1)
    put = early_exercise_premium(1.0, strike, tau, rate, rate - carry, at_vol, -1)
    return quoted - (call - put)


@kernel
def rounds_of(vols: NDArray[np.float64], expiries: NDArray[np.void], count: int) -> int:
    """How often the forwards are to be fitted: once, unless a chain of American options is seen for the first time."""
    for row in range(count):
        if expiries[row]["forward_source"] != 0:
            return 1
    for vol in vols:
        if not vol < 0.0:
            return FIRST_ROUNDS
    return 1
