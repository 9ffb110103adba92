"""The order book and the memory of sequences, against dictionaries and sets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dhpe.numerics.order_book import ASK, BID, LEVELS, set_level
from dhpe.numerics.repeats import mark_repeats


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


@given(st.lists(st.integers(0, 60), max_size=80))
def test_a_sequence_is_repeated_when_it_came_before(sequences: list[int]) -> None:
    """Within the memory and one day the mask is that of a set."""
    seen = np.full((64, 2), -1, np.int64)
    mask = mark_repeats(np.array(sequences, np.int64), np.zeros(len(sequences), np.int64), seen)
    assert mask.tolist() == [value in sequences[:place] for place, value in enumerate(sequences)]


def test_a_source_may_begin_anew_on_another_day() -> None:
    """A reset of the sequence at the open is no repetition."""
    seen = np.full((64, 2), -1, np.int64)
    days = np.array([0, 86_400_000_000_000], np.int64)
    assert mark_repeats(np.array([5, 5], np.int64), days, seen).tolist() == [False, False]
