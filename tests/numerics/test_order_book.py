"""The order book, against dictionaries."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dhpe.numerics.order_book import ASK, BID, LEVELS, set_level


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=200), st.sampled_from([BID, ASK]))
def test_levels_are_those_of_a_sorted_dictionary(changes: list[tuple[int, int]], side: int) -> None:
    """Put, change and remove; best first."""
    levels = np.zeros((LEVELS, 2))
    count = 0
    oracle: dict[float, float] = {}
    for price, size in changes:
        count = set_level(levels, count, side, float(price), float(size))
        if size:
            oracle[float(price)] = float(size)
        else:
            oracle.pop(float(price), None)
    expected = sorted(oracle.items(), reverse=side == BID)
    assert [tuple(row) for row in levels[:count].tolist()] == expected


def test_a_full_side_forgets_its_worst_level() -> None:
    """The array is bounded: a better price pushes the worst one out, a worse one is not taken."""
    levels = np.zeros((LEVELS, 2))
    count = 0
    for price in range(LEVELS + 5):
        count = set_level(levels, count, BID, float(price + 1), 1.0)
    assert count == LEVELS
    assert levels[0, 0] == LEVELS + 5
    assert set_level(levels, count, BID, 0.5, 1.0) == LEVELS
    assert levels[-1, 0] == 6.0
