"""What others have published: Jaeckel's solver, QuantLib's greeks, Gatheral and Jacquier's repaired smile."""

import math

import numpy as np
import pytest
import QuantLib as ql  # noqa: N813 - its own examples call it so
from hypothesis import given
from hypothesis import strategies as st
from py_lets_be_rational import black as black_of_jaeckel
from py_lets_be_rational import implied_volatility_from_a_transformed_rational_guess as vol_of_jaeckel

from dhpe.numerics import black
from dhpe.numerics.implied_vol import SOLVED, invert
from dhpe.numerics.ssvi import density_factor, total_variance

# Gatheral and Jacquier 2014, example 3.1: Axel Vogt's smile in raw parameters, and its figures in jump-wings form.
VOGT = {"a": -0.0410, "b": 0.1331, "m": 0.3586, "rho": 0.3060, "sigma": 0.4153}
JUMP_WINGS = {"v": 0.01742625, "psi": -0.1752111, "p": 0.6997381, "c": 1.316798, "v_min": 0.0116249}
# The same, section 5.1: its smile without butterfly arbitrage that keeps v, psi and p.
REPAIRED = {"c": 0.3493158, "v_min": 0.01548182}


@given(
    st.floats(-4.0, 1.1).map(math.exp),
    st.floats(-9.0, 1.6).map(math.exp),
    st.floats(-5.0, 5.0),
    st.sampled_from([1, -1]),
)
def test_the_vol_is_that_of_lets_be_rational(vol: float, tau: float, deviations: float, right: int) -> None:
    """On prices by its own formula, out of the money and in it as far as time value goes: 1e-12."""
    forward = 100.0
    strike = forward * math.exp(deviations * vol * math.sqrt(tau))
    mid = black_of_jaeckel(forward, strike, vol, tau, right)
    time_value = mid - max(right * (forward - strike), 0.0)
    found, reason = invert(mid, forward, strike, tau, 1.0, right)
    if reason == SOLVED and time_value > 0.1 * mid:
        assert found == pytest.approx(vol_of_jaeckel(mid, forward, strike, tau, right), rel=2e-12)


@given(
    st.floats(-3.0, 3.0),
    st.floats(0.05, 1.5),
    st.floats(0.02, 3.0),
    st.floats(-0.02, 0.1),
    st.floats(0.0, 0.08),
    st.sampled_from([1, -1]),
)
def test_european_greeks_are_those_of_quantlib(
    deviations: float, vol: float, tau: float, rate: float, dividend_yield: float, right: int
) -> None:
    """Price, delta, gamma, vega and theta of its BlackCalculator."""
    spot = 100.0
    strike = spot * math.exp(deviations * vol * math.sqrt(tau))
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if right == 1 else ql.Option.Put, strike)
    forward, deviation = spot * math.exp((rate - dividend_yield) * tau), vol * math.sqrt(tau)
    oracle = ql.BlackCalculator(payoff, forward, deviation, math.exp(-rate * tau))
    terms = (spot, strike, tau, rate, dividend_yield, vol)
    assert black.price(*terms, right) == pytest.approx(oracle.value(), rel=1e-9, abs=1e-10)
    assert black.delta(*terms, right) == pytest.approx(oracle.delta(spot), rel=1e-9, abs=1e-12)
    assert black.gamma_vanna_charm(*terms, right)[0] == pytest.approx(oracle.gamma(spot), rel=1e-9, abs=1e-14)
    assert black.vega(*terms, right) == pytest.approx(oracle.vega(tau), rel=1e-9, abs=1e-12)
    assert black.theta(*terms, right) == pytest.approx(oracle.theta(spot, tau), rel=1e-8, abs=1e-10)


def vogt_density(k: np.ndarray) -> np.ndarray:
    """Durrleman's g of the published raw parameters, by its definition."""
    root = np.sqrt((k - VOGT["m"]) ** 2 + VOGT["sigma"] ** 2)
    w = VOGT["a"] + VOGT["b"] * (VOGT["rho"] * (k - VOGT["m"]) + root)
    slope = VOGT["b"] * (VOGT["rho"] + (k - VOGT["m"]) / root)
    bend = VOGT["b"] * VOGT["sigma"] ** 2 / root**3
    return (1 - k * slope / (2 * w)) ** 2 - slope**2 / 4 * (1 / w + 1 / 4) + bend / 2


def test_the_smile_that_gatheral_and_jacquier_repair_is_an_ssvi_slice() -> None:
    """Their c' = p + 2 psi and v' = v 4 p c' / (p + c')^2 are what a slice with their v, psi and p has."""
    theta, p, c = JUMP_WINGS["v"], JUMP_WINGS["p"], REPAIRED["c"]
    rho, phi = (c - p) / (c + p), (c + p) / math.sqrt(theta)
    step = 1e-5
    up, down = total_variance(theta, rho, phi, step), total_variance(theta, rho, phi, -step)
    assert (math.sqrt(up) - math.sqrt(down)) / (2 * step) == pytest.approx(JUMP_WINGS["psi"], rel=1e-5)
    grid = np.linspace(-1.5, 1.5, 3001)
    assert min(total_variance(theta, rho, phi, k) for k in grid) == pytest.approx(REPAIRED["v_min"], rel=1e-6)
    assert total_variance(theta, rho, phi, -1e6) / 1e6 == pytest.approx(p * math.sqrt(theta), rel=1e-5)
    assert vogt_density(grid).min() < -0.03, "their figure 2: the raw parameters have a negative density"
    assert min(density_factor(theta, rho, phi, k) for k in grid) > 0
