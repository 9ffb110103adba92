"""Sticky delta: the smile travels with the forward, and the profile is re-priced with the vol that this gives."""

import math

import numpy as np
import pytest

import chains
import naive
from dhpe.landscape import landscape
from dhpe.numerics.landscape import gamma_profile
from dhpe.numerics.smile import BetaRule, fit_smiles, smile_vol
from dhpe.numerics.ssvi import BY_EXPIRY
from dhpe.numerics.sticky_delta import fit_ratios, gamma_profile_by_delta, moved_vol, refine_flip_by_delta
from dhpe.parameters import Parameters

NOW = chains.SESSION_NS
SPOT = 5000.0
FLOOR_NS = 300_000_000_000
NAIVE = 0
RULE = BetaRule(1.5, 0.5, math.nan, math.nan)


def skewed(noise: float = 0.01) -> chains.Chain:
    """Two expiries with a steep skew, noisy vols, dealers long calls and short puts; one of them with a carry."""
    generator = np.random.default_rng(3)
    options = []
    for days, theta, phi in ((7, 0.0005, 40.0), (60, 0.004, 15.0)):
        for step in range(-12, 13):
            k = 0.25 * step * math.sqrt(theta)
            vol = float(np.sqrt(naive.ssvi(theta, -0.6, phi, np.array([k])) / (days / 365))[0])
            right = 1 if k >= 0 else -1
            options.append(
                chains.Option(
                    NOW + days * chains.NS_PER_DAY,
                    SPOT * math.exp(k),
                    right,
                    1.0,
                    1.1,
                    position=100.0 * right,
                    vol=vol * (1 + noise * generator.standard_normal()),
                )
            )
    chain = chains.build(options, NOW)
    chain.expiries["rate"], chain.expiries["carry"], chain.expiries["basis"] = 0.04, 0.03, [0.0, 0.0005]
    fit_smiles(chain.contracts, len(options), chain.expiries, 2, SPOT, NOW, RULE, BY_EXPIRY)
    return chain


def ratios_of(chain: chains.Chain) -> np.ndarray:
    """Quoted over fitted vol."""
    ratios = np.empty(len(chain.contracts))
    fit_ratios(chain.contracts, chain.expiries, math.log(SPOT), NOW, ratios)
    return ratios


def test_at_the_present_spot_each_contract_has_its_quoted_vol() -> None:
    """The ratio lives outside the fit and brings the quote back."""
    chain = skewed()
    for contract, ratio in zip(chain.contracts, ratios_of(chain), strict=True):
        vol = moved_vol(contract, chain.expiries[contract["expiry"]], ratio, math.log(SPOT), NOW)
        assert vol == pytest.approx(contract["vol"], rel=1e-14)


def test_a_strike_takes_the_vol_of_its_new_distance() -> None:
    """With no noise, a contract has the vol of the contract that stood as far from the forward before the move."""
    chain = skewed(noise=0.0)
    ratios = ratios_of(chain)
    for row in (3, 12, 20):
        contract, other = chain.contracts[row], chain.contracts[row + 2]
        move = contract["log_strike"] - other["log_strike"]
        vol = moved_vol(contract, chain.expiries[0], ratios[row], math.log(SPOT) + move, NOW)
        assert vol == pytest.approx(other["vol"], rel=1e-3)


def test_the_profile_is_the_textbook_gamma_at_the_moved_vols() -> None:
    """Point by point, contract by contract, from the formulas alone."""
    chain = skewed()
    grid = math.log(SPOT) + np.linspace(-0.08, 0.08, 9)
    profile = np.empty(9)
    gamma_profile_by_delta(chain.contracts, chain.expiries, ratios_of(chain), NAIVE, NOW, FLOOR_NS, grid, profile)
    for log_spot, value in zip(grid, profile, strict=True):
        total = size = 0.0
        for contract in chain.contracts:
            expiry = chain.expiries[contract["expiry"]]
            tau = (int(contract["settles_ns"]) - NOW) / naive.YEAR_NS
            growth = expiry["basis"] + expiry["carry"] * tau
            now_k = contract["log_strike"] - math.log(SPOT) - growth
            then_k = contract["log_strike"] - log_spot - growth
            vol = contract["vol"] * smile_vol(expiry, then_k) / smile_vol(expiry, now_k)
            spot = math.exp(log_spot + expiry["basis"])
            yield_ = float(expiry["rate"] - expiry["carry"])
            terms = (spot, float(contract["strike"]), tau, float(expiry["rate"]), yield_, float(vol), 1)
            dollars = naive.plain_gamma(terms) * spot**2 * contract["multiplier"]
            total += contract["position"][NAIVE] * dollars
            size += abs(contract["position"][NAIVE] * dollars)
        assert value == pytest.approx(total, abs=1e-12 * size)


def test_without_a_fit_sticky_delta_is_sticky_strike() -> None:
    """Nothing is read from a surface that is not there."""
    chain = skewed()
    chain.expiries["atm_vol"] = math.nan
    grid = math.log(SPOT) + np.linspace(-0.05, 0.05, 11)
    by_delta, by_strike = np.empty(11), np.empty(11)
    gamma_profile_by_delta(chain.contracts, chain.expiries, ratios_of(chain), NAIVE, NOW, FLOOR_NS, grid, by_delta)
    gamma_profile(chain.contracts, len(chain.contracts), chain.expiries, NAIVE, NOW, FLOOR_NS, grid, by_strike)
    assert by_delta == pytest.approx(by_strike, rel=1e-9)


def test_the_setting_moves_the_flip_and_not_the_walls() -> None:
    """The flip under sticky delta is a zero of that profile; walls stand at the present spot, where both agree."""
    chain = skewed()
    contracts, expiries = chain.sizes
    found = {
        stickiness: landscape(
            chain.contracts, contracts, chain.expiries, expiries, NAIVE, SPOT, NOW, Parameters(stickiness=stickiness)
        )
        for stickiness in ("strike", "delta")
    }
    strike, delta = found["strike"], found["delta"]
    assert (delta.call_wall, delta.put_wall) == (strike.call_wall, strike.put_wall)
    assert strike.gamma_flip is not None
    assert delta.gamma_flip is not None
    assert 1e-5 < abs(math.log(delta.gamma_flip / strike.gamma_flip)) < 0.05
    flip = math.log(delta.gamma_flip)
    ratios = ratios_of(chain)
    low, high = flip - 1e-3, flip + 1e-3
    root = refine_flip_by_delta(chain.contracts, chain.expiries, ratios, NAIVE, NOW, FLOOR_NS, low, high)
    assert root == pytest.approx(flip, abs=1e-8)
