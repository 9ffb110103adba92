"""The smile of an expiry: an exact quadratic comes back, a noisy one has an honest error, and beta follows the rule."""

import math
from pathlib import Path

import numpy as np
import pytest

import chains
import naive
from dhpe.numerics.parity import fit_forwards, forward_ratio, years
from dhpe.numerics.smile import BetaRule, atm_vol_at, fit_quality, fit_smiles, smile_vol

NOW = chains.SESSION_NS
SPOT = 5000.0
STICKINESS = BetaRule(1.5, 0.5, math.nan, math.nan)
LEVEL, SLOPE, CURVATURE = 0.15, -0.6, 2.0


def quadratic(k: float) -> float:
    """The true smile."""
    return LEVEL + SLOPE * k + CURVATURE * k * k


def smiling(days: tuple[int, ...] = (30,), noise: float = 0.0, seed: int = 5) -> chains.Chain:
    """Strikes of both rights at all of whom the vol of the true smile stands, forward = spot."""
    generator = np.random.default_rng(seed)
    options = []
    for day in days:
        for step in range(-40, 41):
            k = step * 0.08 * LEVEL * math.sqrt(day / 365)
            vol = quadratic(k) + noise * generator.standard_normal()
            strike = SPOT * math.exp(k)
            options += [
                chains.Option(NOW + day * chains.NS_PER_DAY, strike, right, 1.0, 1.1, vol=vol) for right in (1, -1)
            ]
    return chains.build(options, NOW)


def fit(chain: chains.Chain, rule: BetaRule = STICKINESS, spot: float = SPOT) -> np.void:
    """Fit in place; the first expiry."""
    contracts, expiries = chain.sizes
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, NOW, rule)
    return chain.expiries[0]


def test_an_exact_quadratic_comes_back() -> None:
    """Level, slope and curvature to ten digits; no error is left; one quote per strike within 2.5 deviations."""
    expiry = fit(smiling())
    assert (expiry["atm_vol"], expiry["skew_slope"], expiry["curvature"]) == pytest.approx(
        (LEVEL, SLOPE, CURVATURE), rel=1e-10
    )
    assert expiry["skew_slope_standard_error"] == pytest.approx(0.0, abs=1e-10)
    assert expiry["quotes"] == 63
    assert expiry["fit_width"] == pytest.approx(2.5 * LEVEL * math.sqrt(30 / 365), rel=0.04)


def test_a_noisy_smile_equals_weighted_least_squares_by_matrices() -> None:
    """The same coefficients and the same error of the slope as numpy's on the same window."""
    chain = smiling(noise=0.003)
    expiry = fit(chain)
    tau = years(expiry["settles_ns"], NOW)
    wings = [c for c in chain.contracts if c["right"] == (-1 if c["strike"] < SPOT else 1)]
    k = np.array([c["log_strike"] - math.log(SPOT) for c in wings])
    inside = np.abs(k) <= expiry["fit_width"] + 1e-12
    assert inside.sum() == expiry["quotes"]
    vols = np.array([c["vol"] for c in wings])[inside]
    # The second window and its weights stand on the vol that the first pass found, within a hair of the second's.
    deviation = expiry["atm_vol"] * math.sqrt(tau)
    weights = np.exp(-((deviation / 2 - k[inside] / deviation) ** 2) / 2)
    (level, slope, curvature), error = naive.quadratic(k[inside], vols, weights)
    assert expiry["atm_vol"] == pytest.approx(level, abs=2e-5)
    assert expiry["skew_slope"] == pytest.approx(slope, abs=2e-2 * error)
    assert expiry["curvature"] == pytest.approx(curvature, abs=2e-2)
    assert expiry["skew_slope_standard_error"] == pytest.approx(error, rel=0.02)


def test_the_error_of_the_slope_is_honest() -> None:
    """Over 200 noisy smiles the true slope lies within two errors in at least nine of ten (seeds 0-199)."""
    inside = 0
    for seed in range(200):
        expiry = fit(smiling(noise=0.004, seed=seed))
        inside += abs(expiry["skew_slope"] - SLOPE) < 2 * expiry["skew_slope_standard_error"]
    assert inside >= 180


def test_beta_is_the_stickiness_above_one_times_the_slope() -> None:
    """R = 1.5 gives half the slope; the error of R dominates; sticky strike gives beta 0 with an error left."""
    expiry = fit(smiling())
    assert (expiry["beta"], expiry["beta_standard_error"]) == pytest.approx((0.5 * SLOPE, 0.5 * abs(SLOPE)), rel=1e-6)
    expiry = fit(smiling(), BetaRule(1.0, 0.5, math.nan, math.nan))
    assert expiry["beta"] == 0.0
    assert expiry["beta_standard_error"] == pytest.approx(0.5 * abs(SLOPE), rel=1e-6)


def test_a_parallel_beta_overrides_the_surface() -> None:
    """Also where there is no surface; its error stays unknown if it was not given."""
    expiry = fit(chains.build([chains.Option(NOW + chains.NS_PER_DAY, SPOT, 1)], NOW), BetaRule(1.5, 0.5, -2.0, 0.4))
    assert (expiry["beta"], expiry["beta_standard_error"]) == (-2.0, 0.4)
    expiry = fit(smiling(), BetaRule(1.5, 0.5, -2.0, math.nan))
    assert expiry["beta"] == -2.0
    assert math.isnan(expiry["beta_standard_error"])


@pytest.mark.parametrize("kept", [0, 1, 4])
def test_too_few_quotes_make_no_surface(kept: int) -> None:
    """Beta is 0 and its error unknown: the term is missing, not measured as nothing. An old fit is forgotten."""
    chain = smiling()
    fit(chain)
    money = np.abs(chain.contracts["log_strike"] - math.log(SPOT)).argsort(kind="stable")
    chain.contracts["vol_source"][money[2 * kept :]] = 0
    expiry = fit(chain)
    assert expiry["quotes"] <= kept
    assert math.isnan(expiry["atm_vol"])
    assert math.isnan(smile_vol(expiry, 0.0))
    assert expiry["beta"] == 0.0
    assert math.isnan(expiry["beta_standard_error"])


def test_the_smile_is_flat_beyond_its_fit_and_never_negative() -> None:
    """Outside the window the wing keeps its last vol."""
    expiry = fit(smiling())
    width = float(expiry["fit_width"])
    assert smile_vol(expiry, 0.01) == pytest.approx(quadratic(0.01))
    assert smile_vol(expiry, -3.0) == smile_vol(expiry, -width) == pytest.approx(quadratic(-width))
    expiry["skew_slope"], expiry["curvature"] = -100.0, 0.0
    assert smile_vol(expiry, 1.0) > 0


def test_total_variance_is_interpolated_between_expiries() -> None:
    """The 30-day vol lies on the line of total variance; outside the expiries the vol is held."""
    rows = chains.empty_expiries([NOW + 20 * chains.NS_PER_DAY, NOW + 50 * chains.NS_PER_DAY, NOW - 1])
    assert math.isnan(atm_vol_at(rows, 3, NOW, 30 / 365))
    rows["atm_vol"] = [0.10, 0.20, 0.90]
    variance = (0.01 * 20 * 2 + 0.04 * 50 * 1) / 3 / 30
    assert atm_vol_at(rows, 3, NOW, 30 / 365) == pytest.approx(math.sqrt(variance))
    assert atm_vol_at(rows, 3, NOW, 5 / 365) == 0.10
    assert atm_vol_at(rows, 3, NOW, 2.0) == 0.20


def test_real_spx_smiles_are_what_index_smiles_are(shared_data: Path) -> None:
    """Every expiry fits; skew is negative and flattens like 1/sqrt(tau); the 30-day vol is near Cboe's own 12.7."""
    chain, spot, now = chains.spx(shared_data, "2026-08-20")
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, now, 0.0, 0.0)
    chains.imply_vols(chain, spot, now)
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, STICKINESS)
    rows = chain.expiries
    assert (rows["skew_slope"] < 0).all()
    assert (np.abs(rows["skew_slope"]) > 5 * rows["skew_slope_standard_error"]).all()
    taus = np.array([years(expiry["settles_ns"], now) for expiry in rows])
    power = np.polyfit(np.log(taus), np.log(-rows["skew_slope"]), 1)[0]
    assert -0.6 < power < -0.4
    assert 100 * atm_vol_at(rows, expiries, now, 30 / 365) == pytest.approx(12.723, abs=0.6)
    worst = 0.0
    for contract in chain.contracts[::7]:
        expiry = rows[contract["expiry"]]
        k = contract["log_strike"] - math.log(spot * forward_ratio(expiry, now))
        tau = years(contract["settles_ns"], now)
        if tau > 0.1 and abs(k) < expiry["atm_vol"] * math.sqrt(tau) and contract["vol"] > 0:
            worst = max(worst, abs(smile_vol(expiry, k) - contract["vol"]))
    assert worst < 0.012
    quality = np.zeros((expiries, 3))
    fit_quality(chain.contracts, contracts, rows, spot, now, quality)
    assert (quality[:, 0] >= rows["quotes"]).all()
    assert ((quality[:, 2] > 0) & (quality[:, 2] <= 1)).all()
