"""The underlying's order book as two short sorted arrays of [price, size], best first."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel

LEVELS: Final = 64
BID: Final = 0
ASK: Final = 1


@kernel
def set_level(levels: NDArray[np.float64], count: int, side: int, price: float, size: float) -> int:
    """Put, change or (size 0) remove one level of one side. Returns the new number of levels.

    ``levels`` is (LEVELS, 2), bids falling, asks rising; what lies beyond the last place is forgotten.
    """
    place = 0
    while place < count and (levels[place, 0] > price if side == BID else levels[place, 0] < price):
        place += 1
    found = place < count and levels[place, 0] == price
    if size == 0.0:
        if not found:
            return count
        for later in range(place, count - 1):
            levels[later, 0] = levels[later + 1, 0]
            levels[later, 1] = levels[later + 1, 1]
        return count - 1
    if not found:
        if place >= levels.shape[0]:
            return count
        count = min(count + 1, levels.shape[0])
        for later in range(count - 1, place, -1):
            levels[later, 0] = levels[later - 1, 0]
            levels[later, 1] = levels[later - 1, 1]
    levels[place, 0] = price
    levels[place, 1] = size
    return count
