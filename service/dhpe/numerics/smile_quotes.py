"""What the surface fit sees: the quoted out-of-the-money vols, expiry by expiry in the order of settlement."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.ssvi_fit import Quotes
from dhpe.numerics.state import VOL_OWN_QUOTE, VOL_PAIR_QUOTE

FIT_DEVIATIONS: Final = 3.0
BID_SHARE_MIN: Final = 0.05
"""Of the mid: a quote whose bid is less says little of where the price is, and counts down with the square of it."""
WINDOW_MIN: Final = 0.005
"""Of log moneyness: the window does not shrink to a single strike on the last day."""


@kernel
def is_quoted_wing(contract: np.void, forward: float) -> bool:
    """Whether this contract is its strike's out-of-the-money side and the vol of the strike comes from quotes."""
    quoted = contract["vol_source"] == VOL_OWN_QUOTE or contract["vol_source"] == VOL_PAIR_QUOTE
    wing = -1 if contract["strike"] < forward else 1
    return contract["active"] == 1 and quoted and contract["vol"] > 0.0 and contract["right"] == wing


@kernel
def _vega_weight(k: float, deviation: float) -> float:
    """Vega relative to the money's, up to a constant: the density at d1."""
    d1 = -k / deviation + 0.5 * deviation
    return math.exp(-0.5 * d1 * d1)


@kernel
def _trust(contracts: NDArray[np.void], row: int) -> float:
    """Weight of the quote that gave a contract its vol: 1 but for a very wide one."""
    giver = contracts[row] if contracts[row]["vol_source"] == VOL_OWN_QUOTE else contracts[contracts[row]["pair"]]
    bid, ask = giver["quote"]["bid"], giver["quote"]["ask"]
    least = BID_SHARE_MIN * 0.5 * (bid + ask)
    return 1.0 if bid >= least else (bid / least) * (bid / least)


@kernel
def open_in_order(expiries: NDArray[np.void], count: int, ts_ns: int) -> NDArray[np.int64]:
    """Rows of the expiries that have not settled, the first to settle first."""
    order = np.empty(count, np.int64)
    found = 0
    for row in range(count):
        if expiries[row]["settles_ns"] > ts_ns:
            place = found
            while place > 0 and expiries[order[place - 1]]["settles_ns"] > expiries[row]["settles_ns"]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = row
            found += 1
    return order[:found]


@kernel
def log_moneyness(
    contracts: NDArray[np.void], count: int, expiries: NDArray[np.void], spot: float, ts_ns: int, k: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Write k of each quoted wing into ``k``, NaN for the others; give the vol nearest the forward by expiry."""
    forwards = np.empty(expiries.shape[0])
    nearest = np.full(expiries.shape[0], math.inf)
    vols = np.full(expiries.shape[0], math.nan)
    for row in range(expiries.shape[0]):
        forwards[row] = spot * forward_ratio(expiries[row], ts_ns)
    for row in range(count):
        contract = contracts[row]
        at = contract["expiry"]
        k[row] = math.nan
        if is_quoted_wing(contract, forwards[at]):
            k[row] = contract["log_strike"] - math.log(forwards[at])
            if abs(k[row]) < nearest[at]:
                nearest[at] = abs(k[row])
                vols[at] = contract["vol"]
    return vols


@kernel
def gather(
    contracts: NDArray[np.void], k: NDArray[np.float64], order: NDArray[np.int64], deviations: NDArray[np.float64]
) -> Quotes:
    """The quotes within the window around the money, by place in ``order``."""
    places = np.full(deviations.shape[0], -1, np.int64)
    start = np.zeros(order.shape[0] + 1, np.int64)
    for place in range(order.shape[0]):
        places[order[place]] = place
    for row in range(k.shape[0]):
        at = contracts[row]["expiry"]
        if places[at] >= 0 and abs(k[row]) <= max(FIT_DEVIATIONS * deviations[at], WINDOW_MIN):
            start[places[at] + 1] += 1
    for place in range(order.shape[0]):
        start[place + 1] += start[place]
    columns = np.empty((3, start[order.shape[0]]))
    quotes = Quotes(start, columns[0], columns[1], columns[2])
    filled = start.copy()
    for row in range(k.shape[0]):
        at = contracts[row]["expiry"]
        if places[at] >= 0 and abs(k[row]) <= max(FIT_DEVIATIONS * deviations[at], WINDOW_MIN):
            into = filled[places[at]]
            filled[places[at]] += 1
            quotes.k[into] = k[row]
            quotes.vol[into] = contracts[row]["vol"]
            quotes.weight[into] = _vega_weight(k[row], deviations[at]) * _trust(contracts, row)
    return quotes
