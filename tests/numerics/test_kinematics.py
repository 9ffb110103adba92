"""Smoothed derivatives and rolling statistics, against pandas, numpy and scipy."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from dhpe.numerics.kinematics import derivative_advance, new_derivatives
from dhpe.numerics.rolling import correlation, highest, lowest, quantile, slope

VALUES = st.floats(-1e6, 1e6, allow_nan=False) | st.just(math.nan)


def smoothed(values: list[float], span: int) -> np.ndarray:
    """``derivative_advance`` over a whole series."""
    rows = new_derivatives(1)
    return np.array([derivative_advance(rows, 0, value, span) for value in values])


@given(st.lists(VALUES, min_size=1, max_size=60), st.integers(1, 12))
def test_a_smoothed_derivative_has_the_bits_of_pandas(values: list[float], span: int) -> None:
    """diff().ewm(span, adjust=True, ignore_na=False).mean(), missing values included."""
    expected = pd.Series(values).diff(1).ewm(span=span, adjust=True, ignore_na=False).mean().to_numpy()
    np.testing.assert_array_equal(smoothed(values, span), expected)


def test_a_constant_speed_stays_exactly_constant() -> None:
    """A price that gains 0.25 a bar has velocity 0.25, not nearly so."""
    assert set(smoothed([0.25 * i for i in range(500)], 5)[1:]) == {0.25}


@given(st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)), min_size=3, max_size=40), st.integers(0, 39))
def test_the_correlation_of_a_ring_is_that_of_its_window(pairs: list[tuple[float, float]], turn: int) -> None:
    """Wherever the ring begins, numpy's answer, or none where a side is (nearly) constant."""
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    rho, defined = correlation(np.roll(x, turn), np.roll(y, turn), turn % x.size)
    assert defined
    if min(np.ptp(x), np.ptp(y)) > 1e-6:
        assert rho == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    elif np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        assert math.isnan(rho)


def test_where_a_ring_begins_in_memory_does_not_change_a_bit() -> None:
    """The sums run from the oldest value to the newest, so a restored ring gives the same number."""
    generator = np.random.default_rng(5)
    x, y = generator.standard_normal((2, 20))
    answers = {correlation(np.roll(x, turn), np.roll(y, turn), turn) for turn in range(20)}
    assert len(answers) == 1


@pytest.mark.parametrize("missing", [math.nan, math.inf])
def test_one_missing_value_leaves_the_window_without_an_answer(missing: float) -> None:
    """As pandas with min_periods = window."""
    x = np.arange(20.0)
    y = x**2
    y[7] = missing
    rho, defined = correlation(x, y, 0)
    assert math.isnan(rho)
    assert not defined
    assert math.isnan(lowest(y))
    assert math.isnan(highest(y))
    assert all(math.isnan(number) for number in slope(x, y, 0))


def test_the_slope_and_its_error_are_those_of_scipy() -> None:
    """Twenty noisy points on a line."""
    generator = np.random.default_rng(11)
    x = generator.standard_normal(20)
    y = 3.0 - 0.7 * x + 0.1 * generator.standard_normal(20)
    expected = linregress(x, y)
    assert slope(np.roll(x, 3), np.roll(y, 3), 3) == pytest.approx((expected.slope, expected.stderr), rel=1e-12)


@given(st.lists(VALUES, min_size=1, max_size=50), st.floats(0.0, 1.0))
def test_a_quantile_is_the_value_at_its_rank_among_the_known(values: list[float], probability: float) -> None:
    """Sorting is the slow and obvious way to the same value."""
    array = np.array(values)
    known = sorted(value for value in values if not math.isnan(value))
    answer = quantile(array, array.size, probability, np.empty(array.size))
    if known:
        assert answer == known[math.floor(probability * (len(known) - 1))]
    else:
        assert math.isnan(answer)
