"""Sums of open interest over the series of an underlying: of the last prints, and of what it may be by now."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.state import FLOW, WEIGHTED

# Places in ``market.open_interest_totals``, over the series that have not settled.
PRINTED: Final = 0  # series with a print
MISSING: Final = 1  # series without
OPEN_INTEREST: Final = 2
ESTIMATE: Final = 3
COMMON_ERROR: Final = 4  # sum of |d estimate / d change per contract traded|: the error of r is common to all
OWN_SQUARES: Final = 5  # sum of volume squared: the scatter of each series is its own
CLIPPED: Final = 6  # series whose carried position did not fit into their last print, by flow and by weighted
EXCESS: Final = 8  # contracts of them beyond it, likewise


@kernel
def estimate(open_interest: float, volume: float, ratio: float) -> float:
    """Open interest of one series after ``volume``, never below 0; |ratio| <= 1, so no change is above the volume."""
    return max(open_interest + ratio * volume, 0.0)


@kernel
def total_open_interest(market: Any, contracts: NDArray[np.void], ratio: float) -> None:
    """Sum prints, estimates and what was clipped over the series that have not settled."""
    totals = market["open_interest_totals"]
    for place in range(totals.shape[0]):
        totals[place] = 0.0
    for row in range(market["contracts"]):
        contract = contracts[row]
        if contract["active"] == 0:
            continue
        if math.isnan(contract["open_interest"]):
            totals[MISSING] += 1.0
            continue
        open_interest, volume = contract["open_interest"], contract["volume"]
        guess = estimate(open_interest, volume, ratio)
        totals[PRINTED] += 1.0
        totals[OPEN_INTEREST] += open_interest
        totals[ESTIMATE] += guess
        if guess > 0.0:
            totals[COMMON_ERROR] += volume
            totals[OWN_SQUARES] += volume * volume
        for place, book in ((0, FLOW), (1, WEIGHTED)):
            excess = abs(contract["carried"][book]) - open_interest
            if excess > 0.0 and contract["carried"][book] != contract["held"][book]:
                totals[CLIPPED + place] += 1.0
                totals[EXCESS + place] += excess
    market["open_interest_valid"] = 1
