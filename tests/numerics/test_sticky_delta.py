"""Sticky delta: the smile travels with the forward, and everything is re-priced with the vol that this gives."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chains
import naive
from dhpe.landscape import landscape
from dhpe.numerics import panel
from dhpe.numerics.landscape import delta_change_usd, gamma_at, gamma_profile
from dhpe.numerics.panel_arrays import PanelRules, panel_arrays
from dhpe.numerics.panel_check import largest_error
from dhpe.numerics.projection import field_profiles
from dhpe.numerics.smile import BetaRule, fit_smiles, smile_vol
from dhpe.numerics.ssvi import BY_EXPIRY
from dhpe.numerics.state import CHARM, GAMMA, MARKET, NS_PER_S, VANNA
from dhpe.numerics.sticky_delta import measure_ratios, move_vols, vol_at
from dhpe.parameters import Parameters

NOW = chains.SESSION_NS
SPOT = 5000.0
FLOOR_NS = 300 * NS_PER_S
NAIVE = 0
RULE = BetaRule(1.5, 0.5, math.nan, math.nan)
RULES = PanelRules(
    half_width=5e-4,
    window_ns=NS_PER_S,
    tau_floor_ns=FLOOR_NS,
    hot_tau_ns=3600 * NS_PER_S,
    hot_width=6.0,
    rebuild_events=100_000,
    spread_max=2.0,
    by_delta=True,
)


def skewed(noise: float = 0.01, by_delta: bool = True) -> chains.Chain:
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
    if by_delta:
        measure_ratios(chain.contracts, chain.expiries, SPOT, NOW)
    return chain


def log_forward(contract: np.void, chain: chains.Chain, spot: float, ts_ns: int = NOW) -> float:
    """Of the contract's expiry when spot stands at ``spot``."""
    expiry = chain.expiries[contract["expiry"]]
    tau = max(int(contract["settles_ns"]) - ts_ns, FLOOR_NS) / naive.YEAR_NS
    return float(math.log(spot) + expiry["basis"] + expiry["carry"] * tau)


def slow_vol(contract: np.void, chain: chains.Chain, spot: float, ts_ns: int = NOW) -> float:
    """The formula of the model: quoted vol times fitted vol there over fitted vol here."""
    expiry = chain.expiries[contract["expiry"]]
    now_k = contract["log_strike"] - log_forward(contract, chain, SPOT)
    then_k = contract["log_strike"] - log_forward(contract, chain, spot, ts_ns)
    return float(contract["vol"] * smile_vol(expiry, then_k) / smile_vol(expiry, now_k))


def slow_terms(contract: np.void, chain: chains.Chain, spot: float, ts_ns: int = NOW) -> naive.Terms:
    """The arguments of the textbook's formulas at the moved vol."""
    terms = naive.held_terms(contract, chain.expiries[contract["expiry"]], spot, ts_ns, FLOOR_NS)
    return (*terms[:5], slow_vol(contract, chain, spot, ts_ns), terms[6])


def slow_gamma(chain: chains.Chain, spot: float, ts_ns: int = NOW) -> tuple[float, float]:
    """Gamma field and its gross sum, contract by contract."""
    total = gross = 0.0
    for contract in chain.contracts:
        terms = slow_terms(contract, chain, spot, ts_ns)
        dollars = naive.plain_gamma(terms) * terms[0] ** 2 * contract["multiplier"] * contract["position"][NAIVE]
        total += dollars
        gross += abs(dollars)
    return total, gross


def test_at_the_present_spot_each_contract_has_its_quoted_vol() -> None:
    """The ratio lives outside the fit and brings the quote back."""
    chain = skewed()
    for contract in chain.contracts:
        expiry = chain.expiries[contract["expiry"]]
        assert vol_at(contract, expiry, log_forward(contract, chain, SPOT)) == pytest.approx(contract["vol"], rel=1e-14)


def test_a_strike_takes_the_vol_of_its_new_distance() -> None:
    """With no noise, a contract has the vol of the contract that stood as far from the forward before the move."""
    chain = skewed(noise=0.0)
    for row in (3, 12, 20):
        contract, other = chain.contracts[row], chain.contracts[row + 2]
        spot = SPOT * math.exp(contract["log_strike"] - other["log_strike"])
        vol = vol_at(contract, chain.expiries[0], log_forward(contract, chain, spot))
        assert vol == pytest.approx(other["vol"], rel=1e-3)


def test_the_profile_is_the_textbook_gamma_at_the_moved_vols() -> None:
    """Point by point, contract by contract, from the formulas alone; and so is the field at a single spot."""
    chain = skewed()
    grid = math.log(SPOT) + np.linspace(-0.08, 0.08, 9)
    profile = np.empty(9)
    gamma_profile(chain.contracts, len(chain.contracts), chain.expiries, NAIVE, NOW, FLOOR_NS, grid, profile)
    for log_spot, value in zip(grid, profile, strict=True):
        total, size = slow_gamma(chain, math.exp(log_spot))
        assert value == pytest.approx(total, abs=1e-12 * size)
        one = gamma_at(chain.contracts, len(chain.contracts), chain.expiries, NAIVE, NOW, FLOOR_NS, log_spot)
        assert one == pytest.approx(total, abs=1e-12 * size)


def test_the_heat_map_has_the_same_profile() -> None:
    """The grid over price and time is made by another kernel."""
    chain = skewed()
    grid = math.log(SPOT) + np.linspace(-0.08, 0.08, 9)
    fields, tails = np.empty((4, 3, 9)), np.empty((3, 10))
    field_profiles(chain.contracts, len(chain.contracts), chain.expiries, NOW, FLOOR_NS, grid, tails, fields)
    for point, log_spot in enumerate(grid):
        total, size = slow_gamma(chain, math.exp(log_spot))
        assert fields[GAMMA, NAIVE, point] == pytest.approx(total, abs=1e-12 * size)


def market_of(chain: chains.Chain) -> np.ndarray:
    """The scalars of an underlying with this chain."""
    market = np.zeros(1, MARKET)
    market["contracts"], market["expiries"] = chain.sizes
    market["spot"], market["ts_ns"] = SPOT, NOW
    return market


@settings(max_examples=30)
@given(shift=st.floats(-4.99e-4, 4.99e-4), late=st.integers(0, NS_PER_S - 1))
def test_the_panel_gives_the_fields_at_the_moved_vols(shift: float, late: int) -> None:
    """A spot tick inside the window: all three fields against formulas alone, within 1e-7 of the gross field."""
    chain = skewed()
    market, arrays = market_of(chain), panel_arrays(len(chain.contracts), 8)
    panel.rebuild(market[0], chain.contracts, chain.expiries, arrays, RULES)
    market["spot"], market["ts_ns"] = SPOT * math.exp(shift), NOW + late
    panel.evaluate(market[0], chain.contracts, chain.expiries, arrays, FLOOR_NS)
    spot, ts_ns = float(market["spot"][0]), NOW + late
    total, gross = slow_gamma(chain, spot, ts_ns)
    fields = market["fields"][0, :, NAIVE]
    assert fields[GAMMA] == pytest.approx(total, abs=1e-7 * gross)
    vanna, charm, vanna_gross, charm_gross = 0.0, 0.0, 0.0, 0.0
    for contract in chain.contracts:
        terms = slow_terms(contract, chain, spot, ts_ns)
        held = contract["position"][NAIVE] * contract["multiplier"] * terms[0]
        # Delta's own slopes in vol and time at the moved vol; Ridders' four points are good to 1e-9 here.
        by_vol = slope(lambda x, t=terms: naive.plain_delta((*t[:5], x, t[6])), terms[5], 1e-3)
        by_tau = slope(lambda x, t=terms: naive.plain_delta((*t[:2], x, *t[3:])), terms[2], 1e-2 * terms[2])
        vanna, vanna_gross = vanna + held * by_vol, vanna_gross + abs(held * by_vol)
        charm, charm_gross = charm - held * by_tau, charm_gross + abs(held * by_tau)
    assert fields[VANNA] == pytest.approx(vanna, abs=1e-6 * vanna_gross)
    assert fields[CHARM] == pytest.approx(charm, abs=1e-6 * charm_gross)
    assert largest_error(market[0], chain.contracts, chain.expiries, arrays, FLOOR_NS) < 1e-7


def slope(function: object, at: float, step: float) -> float:
    """The derivative by six points, error of the order of step^6."""
    moved = [function(at + place * step) - function(at - place * step) for place in (1, 2, 3)]  # type: ignore[operator]
    return float((45 * moved[0] - 9 * moved[1] + moved[2]) / (60 * step))


def test_option_events_leave_what_a_rebuild_would_give() -> None:
    """What was put on under a moving vol is taken off to the same bits."""
    chain = skewed()
    market, arrays = market_of(chain), panel_arrays(len(chain.contracts), 8)
    panel.rebuild(market[0], chain.contracts, chain.expiries, arrays, RULES)
    for row in (0, 13, 30):
        panel.take_off(row, market[0], chain.contracts, chain.expiries, arrays)
        chain.contracts["vol"][row] *= 1.3
        chain.contracts["fit_ratio"][row] *= 1.3
        panel.put_on(row, market[0], chain.contracts, chain.expiries, arrays, RULES)
        panel.move_position(row, 1, 70.0, market[0], chain.contracts, chain.expiries, arrays)
    panel.evaluate(market[0], chain.contracts, chain.expiries, arrays, FLOOR_NS)
    kept = market["fields"][0].copy()
    panel.rebuild(market[0], chain.contracts, chain.expiries, arrays, RULES)
    panel.evaluate(market[0], chain.contracts, chain.expiries, arrays, FLOOR_NS)
    assert np.abs(kept - market["fields"][0]).max() <= 1e-12 * np.abs(kept).max()


def test_a_new_fit_finds_the_vols_where_the_old_one_left_them() -> None:
    """Spot moves, no quote is renewed, the surface is fitted anew: fit and vols have moved with spot, ratios stay."""
    chain = skewed(noise=0.0)
    ratios = chain.contracts["fit_ratio"].copy()
    moved = SPOT * 1.001
    before = [slow_vol(contract, chain, moved) for contract in chain.contracts]
    move_vols(chain.contracts, chain.expiries, moved, NOW)
    assert list(chain.contracts["vol"]) == pytest.approx(before, rel=1e-12)
    fit_smiles(chain.contracts, len(before), chain.expiries, 2, moved, NOW, RULE, BY_EXPIRY)
    measure_ratios(chain.contracts, chain.expiries, moved, NOW)
    assert chain.contracts["fit_ratio"] == pytest.approx(ratios, abs=1e-3)


def test_without_a_fit_sticky_delta_is_sticky_strike() -> None:
    """Nothing is read from a surface that is not there."""
    chain = skewed(by_delta=False)
    plain = skewed(by_delta=False)
    chain.expiries["atm_vol"] = math.nan
    measure_ratios(chain.contracts, chain.expiries, SPOT, NOW)
    assert not chain.contracts["fit_ratio"].any()
    grid = math.log(SPOT) + np.linspace(-0.05, 0.05, 11)
    found, expected = np.empty(11), np.empty(11)
    for one, out in ((chain, found), (plain, expected)):
        gamma_profile(one.contracts, len(one.contracts), one.expiries, NAIVE, NOW, FLOOR_NS, grid, out)
    assert (found == expected).all()


def test_flips_move_and_walls_stay() -> None:
    """The flip is a zero of the profile at the moved vols; walls and winds stand at the spot, where both agree."""
    found = {}
    for by_delta in (False, True):
        chain = skewed(by_delta=by_delta)
        found[by_delta] = landscape(chain.contracts, 50, chain.expiries, 2, NAIVE, SPOT, NOW, Parameters())
        wind = delta_change_usd(chain.contracts, 50, chain.expiries, NAIVE, SPOT, NOW, 3600 * NS_PER_S)
        assert wind == pytest.approx(found[False].delta_change_usd, rel=1e-9)
    strike, delta = found[False], found[True]
    assert (delta.call_wall, delta.put_wall) == (strike.call_wall, strike.put_wall)
    assert strike.gamma_flip is not None
    assert delta.gamma_flip is not None
    assert 1e-5 < abs(math.log(delta.gamma_flip / strike.gamma_flip)) < 0.05
    total, gross = slow_gamma(skewed(), delta.gamma_flip)
    assert abs(total) < 1e-6 * gross
