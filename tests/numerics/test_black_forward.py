"""The forward form of the closed forms, against 60-digit differences and against the spot form."""

import math

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.numerics import black, black_forward

CASES = [
    (5000.0, 5050.0, 0.05, 0.045, 0.15, 1),
    (100.0, 100.0, 1.0, 0.05, 0.2, -1),
    (7641.0, 6000.0, 2.0, 0.044, 0.25, -1),
    (100.0, 130.0, 0.25, -0.01, 0.6, 1),
]


def exact(forward: mpmath.mpf, vol: mpmath.mpf, tau: mpmath.mpf, terms: tuple[float, ...]) -> mpmath.mpf:
    """Black 1976 in the working precision."""
    _, strike, _, rate, _, right = terms
    deviation = vol * mpmath.sqrt(tau)
    d1 = mpmath.log(forward / strike) / deviation + deviation / 2
    value = forward * mpmath.ncdf(right * d1) - strike * mpmath.ncdf(right * (d1 - deviation))
    return right * mpmath.exp(-rate * tau) * value


def derivative(terms: tuple[float, ...], orders: tuple[int, int, int]) -> float:
    """By forward, vol and tau, in 60 digits."""
    forward, _, tau, _, vol, _ = terms
    with mpmath.workdps(60):
        point = (mpmath.mpf(forward), mpmath.mpf(vol), mpmath.mpf(tau))
        return float(mpmath.diff(lambda *at: exact(*at, terms), point, orders))


@pytest.mark.parametrize("terms", CASES)
def test_every_greek_is_the_derivative_by_the_forward(terms: tuple[float, ...]) -> None:
    """Theta and charm run with the calendar while the forward stays."""
    gamma, vanna, charm = black_forward.gamma_vanna_charm(*terms)
    found = {
        (1, 0, 0): black_forward.delta(*terms),
        (2, 0, 0): gamma,
        (3, 0, 0): black_forward.speed(*terms),
        (0, 1, 0): black_forward.vega(*terms),
        (0, 2, 0): black_forward.volga(*terms),
        (1, 1, 0): vanna,
        (0, 0, 1): -black_forward.theta(*terms),
        (1, 0, 1): -charm,
    }
    for orders, fast in found.items():
        assert fast == pytest.approx(derivative(terms, orders), rel=1e-10, abs=1e-15), orders


@settings(max_examples=200, derandomize=True)
@given(
    st.tuples(
        st.floats(1e-2, 1e6),
        st.floats(1e-2, 1e6),
        st.floats(0.0, 30.0),
        st.floats(-0.2, 0.5),
        st.floats(0.0, 10.0),
        st.sampled_from([1, -1]),
    ),
    st.floats(-0.1, 0.1),
)
def test_both_forms_say_the_same(terms: tuple[float, ...], dividend_yield: float) -> None:
    """F = S exp((r - q) tau) carries price, vega, delta, gamma and vanna from one to the other; no NaN anywhere."""
    forward, strike, tau, rate, vol, right = terms
    spot = forward * math.exp((dividend_yield - rate) * tau)
    of_spot = (spot, strike, tau, rate, dividend_yield, vol, right)
    ratio = forward / spot
    slack = 1e-8 * (1.0 + forward + strike)
    assert black_forward.price(*terms) == pytest.approx(black.price(*of_spot), rel=1e-8, abs=slack)
    deviation = vol * math.sqrt(tau)
    if deviation > 1e-3:
        assert black_forward.vega(*terms) == pytest.approx(black.vega(*of_spot), rel=1e-7, abs=slack)
        gamma, vanna, _ = black_forward.gamma_vanna_charm(*terms)
        spot_gamma, spot_vanna, _ = black.gamma_vanna_charm(*of_spot)
        assert gamma * ratio * ratio == pytest.approx(spot_gamma, rel=1e-6, abs=1e-12 / spot)
        assert vanna * ratio == pytest.approx(spot_vanna, rel=1e-6, abs=1e-9)
    greeks = [f(*terms) for f in (black_forward.delta, black_forward.theta, black_forward.volga, black_forward.speed)]
    assert not any(math.isnan(value) for value in (*greeks, *black_forward.gamma_vanna_charm(*terms)))


def test_at_settlement_and_without_vol_the_option_is_its_intrinsic_value() -> None:
    """Delta is a discounted step, the rest is nothing."""
    for tau, vol in ((0.0, 0.2), (0.5, 0.0)):
        discount = math.exp(-0.05 * tau)
        assert black_forward.price(110.0, 100.0, tau, 0.05, vol, 1) == pytest.approx(10.0 * discount)
        assert black_forward.delta(110.0, 100.0, tau, 0.05, vol, 1) == pytest.approx(discount)
        assert black_forward.delta(110.0, 100.0, tau, 0.05, vol, -1) == 0
        assert black_forward.gamma_vanna_charm(110.0, 100.0, tau, 0.05, vol, -1)[:2] == (0, 0)
        assert black_forward.vega(110.0, 100.0, tau, 0.05, vol, 1) == 0
