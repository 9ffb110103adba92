"""The smile of an expiry: an exact one comes back, a noisy one has an honest error, and beta follows the rule."""

import math
from pathlib import Path

import numpy as np
import pytest

import chains
import naive
from dhpe.numerics.parity import fit_forwards, forward_ratio, years
from dhpe.numerics.smile import BetaRule, atm_vol_at, fit_quality, fit_smiles, smile_vol
from dhpe.numerics.smile_quotes import is_quoted_wing
from dhpe.numerics.ssvi import BY_EXPIRY, HESTON_LIKE, POWER_LAW, count_violations

NOW = chains.SESSION_NS
SPOT = 5000.0
STICKINESS = BetaRule(1.5, 0.5, math.nan, math.nan)
THETA, RHO, PHI, TAU = 0.0018, -0.55, 24.0, 30 / 365
LEVEL = math.sqrt(THETA / TAU)
SLOPE = RHO * PHI * THETA / (2 * LEVEL * TAU)


def true_vol(k: float) -> float:
    """The true smile."""
    return float(np.sqrt(naive.ssvi(THETA, RHO, PHI, np.array([k])) / TAU)[0])


def smiling(noise: float = 0.0, seed: int = 5) -> chains.Chain:
    """Strikes of both rights at all of whom the vol of the true smile stands, forward = spot."""
    generator = np.random.default_rng(seed)
    options = []
    for step in range(-40, 41):
        k = step * 0.08 * math.sqrt(THETA)
        vol = true_vol(k) + noise * generator.standard_normal()
        settles_ns = NOW + 30 * chains.NS_PER_DAY
        strike = SPOT * math.exp(k)
        options += [chains.Option(settles_ns, strike, right, 1.0, 1.1, vol=vol) for right in (1, -1)]
    return chains.build(options, NOW)


def fit(chain: chains.Chain, rule: BetaRule = STICKINESS, law: int = BY_EXPIRY) -> np.void:
    """Fit in place; the first expiry."""
    contracts, expiries = chain.sizes
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, SPOT, NOW, rule, law)
    return chain.expiries[0]


@pytest.mark.parametrize("law", [BY_EXPIRY, POWER_LAW])
def test_an_exact_smile_comes_back(law: int) -> None:
    """Variance, rho and phi to six digits; no error is left; one quote per strike within three deviations."""
    expiry = fit(smiling(), law=law)
    assert (expiry["atm_total_variance"], expiry["ssvi_rho"], expiry["curvature"]) == pytest.approx(
        (THETA, RHO, PHI), rel=1e-4
    )
    assert (expiry["atm_vol"], expiry["skew_slope"]) == pytest.approx((LEVEL, SLOPE), rel=1e-5)
    assert expiry["skew_slope_standard_error"] == pytest.approx(0.0, abs=1e-5)
    assert expiry["quotes"] == 75
    assert smile_vol(expiry, -0.07) == pytest.approx(true_vol(-0.07), rel=1e-5)


def test_the_error_of_the_slope_is_honest() -> None:
    """Over 200 noisy smiles the true slope lies within two errors in at least nine of ten (seeds 0-199)."""
    inside = 0
    for seed in range(200):
        expiry = fit(smiling(noise=0.002, seed=seed))
        inside += abs(expiry["skew_slope"] - SLOPE) < 2 * expiry["skew_slope_standard_error"]
    assert inside >= 180


def test_beta_is_the_stickiness_above_one_times_the_slope() -> None:
    """R = 1.5 gives half the slope; the error of R dominates; sticky strike gives beta 0 with an error left."""
    expiry = fit(smiling())
    assert (expiry["beta"], expiry["beta_standard_error"]) == pytest.approx((0.5 * SLOPE, 0.5 * abs(SLOPE)), rel=1e-4)
    expiry = fit(smiling(), BetaRule(1.0, 0.5, math.nan, math.nan))
    assert expiry["beta"] == 0.0
    assert expiry["beta_standard_error"] == pytest.approx(0.5 * abs(SLOPE), rel=1e-4)


def test_a_parallel_beta_overrides_the_surface() -> None:
    """Also where there is no surface; its error stays unknown if it was not given."""
    expiry = fit(chains.build([chains.Option(NOW + chains.NS_PER_DAY, SPOT, 1)], NOW), BetaRule(1.5, 0.5, -2.0, 0.4))
    assert (expiry["beta"], expiry["beta_standard_error"]) == (-2.0, 0.4)
    expiry = fit(smiling(), BetaRule(1.5, 0.5, -2.0, math.nan))
    assert expiry["beta"] == -2.0
    assert math.isnan(expiry["beta_standard_error"])


@pytest.mark.parametrize("law", [BY_EXPIRY, POWER_LAW, HESTON_LIKE])
@pytest.mark.parametrize("kept", [1, 4])
def test_too_few_quotes_make_a_flat_smile_that_measures_no_slope(kept: int, law: int) -> None:
    """The vol is theirs at every strike; beta is 0 and its error unknown, not measured as nothing."""
    chain = smiling()
    fit(chain, law=law)
    money = np.abs(chain.contracts["log_strike"] - math.log(SPOT)).argsort(kind="stable")
    chain.contracts["vol_source"][money[2 * kept :]] = 0
    expiry = fit(chain, law=law)
    assert 0 < expiry["quotes"] <= kept
    assert expiry["atm_vol"] == pytest.approx(LEVEL, rel=0.05)
    assert smile_vol(expiry, -0.2) == pytest.approx(expiry["atm_vol"], rel=1e-6)
    assert expiry["beta"] == 0.0
    assert math.isnan(expiry["beta_standard_error"])


def test_without_any_quote_the_old_fit_is_forgotten() -> None:
    """No vol, no slope, no beta."""
    chain = smiling()
    fit(chain)
    chain.contracts["vol_source"] = 0
    expiry = fit(chain)
    assert expiry["quotes"] == 0
    assert math.isnan(expiry["atm_vol"])
    assert math.isnan(smile_vol(expiry, 0.0))
    assert expiry["beta"] == 0.0
    assert math.isnan(expiry["beta_standard_error"])


def test_total_variance_is_interpolated_between_expiries() -> None:
    """The 30-day vol lies on the line of total variance; outside the expiries the vol is held."""
    rows = chains.empty_expiries([NOW + 20 * chains.NS_PER_DAY, NOW + 50 * chains.NS_PER_DAY, NOW - 1])
    assert math.isnan(atm_vol_at(rows, 3, NOW, 30 / 365))
    rows["atm_vol"] = [0.10, 0.20, 0.90]
    variance = (0.01 * 20 * 2 + 0.04 * 50 * 1) / 3 / 30
    assert atm_vol_at(rows, 3, NOW, 30 / 365) == pytest.approx(math.sqrt(variance))
    assert atm_vol_at(rows, 3, NOW, 5 / 365) == 0.10
    assert atm_vol_at(rows, 3, NOW, 2.0) == 0.20


def real(shared_data: Path, date: str, law: int) -> tuple[chains.Chain, float, int]:
    """A fitted SPX close."""
    chain, spot, now = chains.spx(shared_data, date)
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, now, math.nan, 0.0)
    chains.imply_vols(chain, spot, now)
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, STICKINESS, law)
    return chain, spot, now


@pytest.mark.parametrize("date", ["2026-08-18", "2026-08-19", "2026-08-20"])
def test_real_spx_smiles_are_met_within_a_third_of_a_vol_point(shared_data: Path, date: str) -> None:
    """From a week on, within two deviations: each expiry but the last two of five years, and all together.

    The quotes beyond four years are 300 index points wide, and no smooth smile meets their middles. No grid point of
    any expiry has arbitrage, and every out-of-the-money quote with a bid has a vol.
    """
    chain, spot, now = real(shared_data, date, BY_EXPIRY)
    _, expiries = chain.sizes
    rows = chain.expiries
    found = np.ones(expiries, np.int64)
    count_violations(rows, expiries, found)
    assert found.sum() == 0
    misses: list[list[float]] = [[] for _ in range(expiries)]
    for contract in chain.contracts:
        expiry = rows[contract["expiry"]]
        forward = spot * forward_ratio(expiry, now)
        k = contract["log_strike"] - math.log(forward)
        wing = contract["right"] == (-1 if contract["strike"] < forward else 1)
        if wing and 0.0 < contract["quote"]["bid"] <= contract["quote"]["ask"]:
            assert contract["vol"] > 0.0
        if is_quoted_wing(contract, forward) and abs(k) <= 2 * math.sqrt(expiry["atm_total_variance"]):
            misses[contract["expiry"]].append(100 * (smile_vol(expiry, k) - contract["vol"]))
    taus = [years(expiry["settles_ns"], now) for expiry in rows]
    weekly = [np.array(miss) for miss, tau in zip(misses, taus, strict=True) if tau >= 7 / 365]
    assert math.sqrt(np.mean(np.concatenate(weekly) ** 2)) < 0.21
    each = [
        math.sqrt(np.mean(np.array(miss) ** 2)) for miss, tau in zip(misses, taus, strict=True) if 7 / 365 <= tau < 4
    ]
    assert max(each) <= 0.3


def test_real_spx_smiles_are_what_index_smiles_are(shared_data: Path) -> None:
    """Skew is negative and flattens like 1/sqrt(tau); the 30-day vol is near Cboe's own 12.7."""
    chain, spot, now = real(shared_data, "2026-08-20", BY_EXPIRY)
    contracts, expiries = chain.sizes
    rows = chain.expiries
    assert (rows["skew_slope"] < 0).all()
    assert (np.abs(rows["skew_slope"]) > 5 * rows["skew_slope_standard_error"]).all()
    taus = np.array([years(expiry["settles_ns"], now) for expiry in rows])
    power = np.polyfit(np.log(taus), np.log(-rows["skew_slope"]), 1)[0]
    assert -0.6 < power < -0.4
    assert 100 * atm_vol_at(rows, expiries, now, 30 / 365) == pytest.approx(12.723, abs=0.6)
    quality = np.zeros((expiries, 3))
    fit_quality(chain.contracts, contracts, rows, spot, now, quality)
    assert (quality[:, 0] >= rows["quotes"]).all()
    assert ((quality[:, 2] > 0) & (quality[:, 2] <= 1)).all()


def test_a_warm_fit_is_the_cold_one(shared_data: Path) -> None:
    """From the last fit or from nothing: the same surface, under each law."""
    chain, spot, now = real(shared_data, "2026-08-19", BY_EXPIRY)
    contracts, expiries = chain.sizes
    for law in (BY_EXPIRY, POWER_LAW, HESTON_LIKE):
        chain.expiries["atm_total_variance"] = math.nan
        fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, STICKINESS, law)
        cold = chain.expiries.copy()
        fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, STICKINESS, law)
        for name in ("atm_total_variance", "ssvi_rho", "curvature"):
            assert chain.expiries[name] == pytest.approx(cold[name], rel=1e-4)
        assert chain.expiries["atm_vol"] == pytest.approx(cold["atm_vol"], rel=1e-6)
