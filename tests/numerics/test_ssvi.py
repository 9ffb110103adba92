"""SSVI slices: formulas against other ways to write them, and no static arbitrage by construction."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import chains
import naive
from dhpe.numerics.ssvi import (
    HESTON_LIKE,
    POWER_LAW,
    bound_shape,
    bound_slice,
    count_violations,
    density_factor,
    follow,
    heston_like,
    phi_of,
    total_variance,
)
from dhpe.numerics.ssvi_fit import agree, between

WIDE = np.concatenate([-np.geomspace(1e-4, 30, 120)[::-1], [0.0], np.geomspace(1e-4, 30, 120)])

thetas = st.floats(-14, 1).map(math.exp)
wings = st.floats(-14, 2).map(math.exp)
slices = st.tuples(thetas, wings, wings)


def rho_phi(part: NDArray[np.float64]) -> tuple[float, float]:
    """From the wings."""
    return (part[1] - part[2]) / (part[1] + part[2]), (part[1] + part[2]) / 2 / part[0]


def variances(part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over a wide range of k."""
    return naive.ssvi(part[0], *rho_phi(part), WIDE)


def assert_no_butterfly(part: NDArray[np.float64]) -> None:
    """Durrleman's condition on a wide grid."""
    assert min(density_factor(part[0], *rho_phi(part), k) for k in WIDE) >= -1e-9


def test_a_slice_is_raw_svi_with_gatheral_and_jacquiers_parameters() -> None:
    """As a + b (rho (k - m) + sqrt((k - m)^2 + s^2)), 2014, section 3: a = theta/2 (1 - rho^2), b = theta phi/2."""
    theta, rho, phi = 0.04, -0.7, 2.5
    a, b = theta / 2 * (1 - rho**2), theta * phi / 2
    m, s = -rho / phi, math.sqrt(1 - rho**2) / phi
    for k in WIDE:
        raw = a + b * (rho * (k - m) + math.sqrt((k - m) ** 2 + s**2))
        assert total_variance(theta, rho, phi, k) == pytest.approx(raw, rel=1e-12)


def test_the_density_factor_is_the_second_derivative_of_the_call_in_strike() -> None:
    """d2C/dK2 of Black's price in 40 digits = g(k) n(d2)/(K sqrt(w))."""
    theta, rho, phi = 0.05, -0.6, 3.0

    def call(strike: mpmath.mpf) -> mpmath.mpf:
        k = mpmath.log(strike)
        w = theta / mpmath.mpf(2) * (1 + rho * phi * k + mpmath.sqrt((phi * k + rho) ** 2 + 1 - mpmath.mpf(rho) ** 2))
        d1 = -k / mpmath.sqrt(w) + mpmath.sqrt(w) / 2
        return mpmath.ncdf(d1) - strike * mpmath.ncdf(d1 - mpmath.sqrt(w))

    with mpmath.workdps(40):
        for k in (-0.8, -0.2, 0.0, 0.3, 0.9):
            strike = mpmath.exp(k)
            w = total_variance(theta, rho, phi, k)
            d2 = -k / math.sqrt(w) - math.sqrt(w) / 2
            density = density_factor(theta, rho, phi, k) * math.exp(-d2 * d2 / 2) / math.sqrt(2 * math.pi * w)
            assert float(mpmath.diff(call, strike, 2) * strike) == pytest.approx(density, rel=1e-9)


def test_the_heston_like_law_is_exact_also_where_it_cancels() -> None:
    """Value and derivative against 50 digits, from 1e-12 to 1e3."""
    with mpmath.workdps(50):
        for y in np.geomspace(1e-12, 1e3, 61):

            def law(at: mpmath.mpf) -> mpmath.mpf:
                return (1 - (1 - mpmath.exp(-at)) / at) / at

            value, slope = heston_like(y)
            assert value == pytest.approx(float(law(mpmath.mpf(y))), rel=1e-11)
            assert slope == pytest.approx(float(mpmath.diff(law, mpmath.mpf(y))), rel=1e-8)


@given(st.sampled_from([POWER_LAW, HESTON_LIKE]), st.floats(-2, 2), st.floats(-8, 8).map(math.exp), st.floats(-1, 2))
def test_a_bounded_law_has_no_arbitrage_at_any_variance(law: int, rho: float, scale: float, power: float) -> None:
    """From theta 1e-7 to 10: no butterfly, and never less variance later."""
    shape = np.array([rho, scale, power])
    bound_shape(shape, law)
    before = np.zeros(len(WIDE))
    for theta in np.geomspace(1e-7, 10, 9):
        psi = theta * phi_of(theta, shape, law)
        part = np.array([theta, psi * (1 + shape[0]), psi * (1 - shape[0])])
        assert_no_butterfly(part)
        assert (variances(part) >= before * (1 - 1e-12)).all()
        before = variances(part)


@given(slices, slices)
def test_a_slice_that_follows_another_has_no_arbitrage(first: tuple[float, ...], second: tuple[float, ...]) -> None:
    """Whatever the two were: no butterfly, and at no strike less variance than before."""
    earlier, later = np.array(first), np.array(second)
    bound_slice(earlier)
    follow(earlier, later)
    assert_no_butterfly(earlier)
    assert_no_butterfly(later)
    assert (variances(later) >= variances(earlier) * (1 - 1e-9)).all()


@given(slices)
def test_following_changes_nothing_where_there_is_no_arbitrage(first: tuple[float, ...]) -> None:
    """A slice of twice the variance and the same wings stays as it is, to the bit."""
    earlier = np.array(first)
    bound_slice(earlier)
    later = earlier * np.array([2.0, 1.0, 1.0])
    kept = later.copy()
    follow(earlier, later)
    assert (later == kept).all()


@given(st.lists(st.tuples(slices, slices), min_size=1, max_size=8))
def test_slices_that_agree_have_no_arbitrage_nor_has_what_lies_between(
    drawn: list[tuple[tuple[float, ...], tuple[float, ...]]],
) -> None:
    """Any slices with any information; interpolated and extrapolated ones keep between them."""
    parts = np.array([first for first, _ in drawn])
    agree(parts, np.array([weight for _, weight in drawn]))
    taus = np.arange(1.0, len(parts) + 1)
    fitted = np.ones(len(parts), np.bool_)
    before = np.zeros(len(WIDE))
    for tau in np.arange(0.5, len(parts) + 1.5, 0.5):
        part = np.empty(3)
        assert between(tau, taus, parts, fitted, part)
        assert_no_butterfly(part)
        assert (variances(part) >= before * (1 - 1e-9)).all()
        before = variances(part)


def test_violations_are_seen() -> None:
    """A curvature beyond the bound, and an expiry below the one before it; unfitted rows count nothing."""
    rows = chains.empty_expiries([1, 2, 3, 4])
    rows["atm_total_variance"] = [0.04, math.nan, 0.05, 0.03]
    rows["ssvi_rho"] = -0.5
    rows["curvature"] = [5.0, 5.0, 4.5, 40.0]
    found = np.full(4, -1)
    count_violations(rows, 4, found)
    assert (found[:3] == 0).all()
    assert found[3] > 10
