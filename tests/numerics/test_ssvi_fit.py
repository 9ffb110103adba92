"""The fit of the surface: against scipy and fast-vollib, and a defined answer for thin and for broken chains."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, least_squares

import chains
import naive
from dhpe.numerics.smile import BetaRule, fit_smiles, smile_vol
from dhpe.numerics.ssvi import BY_EXPIRY, HESTON_LIKE, POWER_LAW, count_violations
from dhpe.numerics.ssvi_fit import isotonic

NOW = chains.SESSION_NS
SPOT = 5000.0
RULE = BetaRule(1.5, 0.5, math.nan, math.nan)
LAWS = [BY_EXPIRY, POWER_LAW, HESTON_LIKE]
YEAR_NS = 365 * chains.NS_PER_DAY
Point = tuple[float, float, float]


def chain_of(points: list[Point]) -> chains.Chain:
    """Out-of-the-money options at (k, vol, tau)."""
    return chains.build(
        [
            chains.Option(NOW + round(tau * YEAR_NS), SPOT * math.exp(k), 1 if k >= 0 else -1, 1.0, 1.1, vol=vol)
            for k, vol, tau in points
        ],
        NOW,
    )


def fitted(points: list[Point], law: int = BY_EXPIRY) -> np.ndarray:
    """The expiries of a fitted chain; a surface with arbitrage is refused here already."""
    chain = chain_of(points)
    contracts, expiries = chain.sizes
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, SPOT, NOW, RULE, law)
    found = np.ones(expiries, np.int64)
    count_violations(chain.expiries, expiries, found)
    assert found.sum() == 0
    return chain.expiries


def smile(tau: float, theta: float, rho: float, phi: float, steps: range = range(-12, 13)) -> list[Point]:
    """A true smile at quarters of a deviation."""
    k = np.array([0.25 * step * math.sqrt(theta) for step in steps])
    vols = np.sqrt(naive.ssvi(theta, rho, phi, k) / tau)
    return [(float(a), float(b), tau) for a, b in zip(k, vols, strict=True)]


def weights_of(points: list[Point]) -> np.ndarray:
    """Vega relative to the money's by the vol nearest the forward; 0 beyond three deviations."""
    k, vols, taus = np.array(points).T
    level = np.array([vols[taus == tau][np.abs(k[taus == tau]).argmin()] for tau in taus])
    deviation = level * np.sqrt(taus)
    return np.where(np.abs(k) <= 3 * deviation, np.exp(-((deviation / 2 - k / deviation) ** 2) / 2), 0)


def test_an_expiry_is_the_weighted_least_squares_of_scipy() -> None:
    """A noisy smile: the same three numbers as scipy's trust region method finds in other coordinates."""
    generator = np.random.default_rng(7)
    points = [(k, vol + 0.002 * generator.standard_normal(), tau) for k, vol, tau in smile(0.1, 0.003, -0.5, 18.0)]
    k, vols, taus = np.array(points).T
    root = np.sqrt(weights_of(points))
    found = least_squares(
        lambda x: root * (np.sqrt(naive.ssvi(math.exp(x[0]), math.tanh(x[1]), math.exp(x[2]), k) / taus) - vols),
        [math.log(0.003), -0.5, math.log(18.0)],
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    ).x
    expiry = fitted(points)[0]
    assert expiry["atm_total_variance"] == pytest.approx(math.exp(found[0]), rel=1e-5)
    assert expiry["ssvi_rho"] == pytest.approx(math.tanh(found[1]), rel=1e-3)
    assert expiry["curvature"] == pytest.approx(math.exp(found[2]), rel=1e-3)


def test_a_power_law_surface_comes_back() -> None:
    """Five expiries with one rho, eta and gamma: all eight numbers."""
    rho, eta, gamma = -0.6, 1.1, 0.42
    points = []
    for tau in (0.02, 0.1, 0.25, 0.5, 1.0):
        theta = 0.03 * tau**1.1
        points += smile(tau, theta, rho, eta * theta**-gamma * (1 + theta) ** (gamma - 1))
    rows = fitted(points, POWER_LAW)
    assert rows["phi_scale"] == pytest.approx(eta, rel=1e-4)
    assert rows["phi_power"] == pytest.approx(gamma, rel=1e-4)
    assert rows["ssvi_rho"] == pytest.approx(rho, rel=1e-4)
    assert rows["atm_total_variance"] == pytest.approx(0.03 * np.array([0.02, 0.1, 0.25, 0.5, 1.0]) ** 1.1, rel=1e-5)


def test_a_heston_like_surface_comes_back() -> None:
    """A long-dated one: below a month phi <= 1/2 is no smile."""
    rho, scale = -0.6, 1.7
    points = []
    for tau in (1.0, 3.0, 8.0, 20.0):
        theta = 0.09 * tau
        y = scale * theta
        points += smile(tau, theta, rho, (1 - (1 - math.exp(-y)) / y) / y)
    rows = fitted(points, HESTON_LIKE)
    assert rows["phi_scale"] == pytest.approx(scale, rel=1e-3)
    assert rows["ssvi_rho"] == pytest.approx(rho, rel=1e-3)


def test_the_sp_surface_is_that_of_fast_vollib(shared_data: Path) -> None:
    """SSVICalibrator 0.2.4, power law, on the same quotes, weighted by vega and (2 vol tau)^-2 for its squares in w.

    It found rho -0.38286, eta 0.86223, gamma 0.5 and these thetas, with 3.3672e-4 as the squares of ours. The
    objectives differ in second order, so the numbers nearly agree, and ours is the smaller in its own measure.
    """
    with (shared_data / "svi" / "SP.csv").open(encoding="utf-8") as file:
        points = [(float(k), float(vol), float(tau)) for k, vol, tau in list(csv.reader(file))[1:]]
    rows = fitted(points, POWER_LAW)
    assert rows["ssvi_rho"][0] == pytest.approx(-0.38286, rel=0.02)
    assert rows["phi_scale"][0] == pytest.approx(0.86223, rel=0.02)
    assert rows["phi_power"][0] == pytest.approx(0.5, rel=0.02)
    theirs = [0.0034189573, 0.0074877483, 0.0125856917, 0.0172009174]
    assert rows["atm_total_variance"] == pytest.approx(theirs, rel=0.006)
    squares = {law: weighted_squares(points, fitted(points, law)) for law in (BY_EXPIRY, POWER_LAW)}
    assert squares[BY_EXPIRY] < 0.25 * squares[POWER_LAW]
    assert squares[POWER_LAW] < 3.3672e-4


def weighted_squares(points: list[Point], rows: np.ndarray) -> float:
    """What the fit makes small."""
    taus = sorted({tau for _, _, tau in points})
    misses = np.array([smile_vol(rows[taus.index(tau)], k) - vol for k, vol, tau in points])
    return float((weights_of(points) * misses**2).sum())


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 10)), min_size=1, max_size=30))
def test_isotonic_regression_is_scipys(drawn: list[tuple[float, float]]) -> None:
    """Pool adjacent violators, with weights."""
    values, weights = np.array(drawn).T
    expected = isotonic_regression(values, weights=weights).x
    isotonic(values, weights)
    assert values == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_quotes_with_arbitrage_give_a_surface_without(law: int) -> None:
    """An inverted term structure, an absurd vol, a spike and a wing beyond Lee's bound, at once."""
    points = smile(0.1, 0.02, -0.5, 7.0) + smile(0.2, 0.01, 0.4, 12.0) + smile(0.5, 0.015, -0.9, 30.0)
    points += [(k, 20.0, 0.3) for k in (-0.2, -0.1, 0.0, 0.1, 0.2)]
    points += [(k, 0.3 + 3 * abs(k), 1.0) for k in np.linspace(-0.4, 0.4, 17).tolist()]
    rows = fitted(points, law)
    assert np.isfinite(rows["atm_vol"]).all()
    assert np.isfinite(rows["beta"]).all()
    assert (np.diff(rows["atm_total_variance"]) >= 0).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.2, 0.1)],
        [(-0.3, 0.4, 0.1)],
        [(-0.02 * step, 0.2 + 0.002 * step, 0.1) for step in range(1, 20)],
        [(0.01 * step, 0.2, 0.1) for step in range(1, 20)],
        [(0.0, vol, 0.1) for vol in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)],
        [(0.01 * step, 1e-3, 0.1) for step in range(-3, 4)],
        [(0.0, 0.2, 1e-6), (0.0, 0.4, 5.0)],
    ],
    ids=[
        "one_strike",
        "one_put",
        "only_puts",
        "only_calls",
        "one_strike_six_times",
        "no_vol_at_all",
        "a_minute_and_5_years",
    ],
)
def test_a_thin_chain_has_a_defined_answer(points: list[Point], law: int) -> None:
    """A finite vol at every strike, about the vols quoted, and nothing that is not a number but errors."""
    rows = fitted(points, law)
    vols = [vol for _, vol, _ in points]
    for row in rows:
        assert 0.5 * min(vols) <= row["atm_vol"] <= 1.005 * max(vols)
        assert all(math.isfinite(smile_vol(row, k)) for k in (-2.0, -0.1, 0.0, 0.1, 2.0))
        assert math.isfinite(row["beta"])


@pytest.mark.parametrize("law", LAWS)
def test_an_expiry_without_quotes_stands_between_its_neighbours(law: int) -> None:
    """Also one before the first and one after the last; its slope is borrowed, so it makes no beta."""
    inner = range(-10, 11)
    points = smile(0.1, 0.004, -0.5, 14.0, inner) + smile(0.4, 0.018, -0.6, 7.0, inner)
    points += [(0.0, math.nan, tau) for tau in (0.02, 0.2, 1.0)]
    rows = fitted(points, law)
    assert rows["quotes"].tolist() == [0, 21, 0, 21, 0]
    assert (np.diff(rows["atm_total_variance"]) > 0).all()
    assert rows["atm_vol"][[0, 4]] == pytest.approx(rows["atm_vol"][[1, 3]])
    assert np.isfinite(rows["skew_slope"]).all()
    assert rows["beta"][[0, 2, 4]].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(rows["beta_standard_error"][[0, 2, 4]]).all()
