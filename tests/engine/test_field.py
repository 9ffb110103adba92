"""The field as the outside reads it: against slow oracles, and its parts against each other."""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

import chains
import naive
from dhpe.field import FieldCopy, field_of
from dhpe.field.holdings import held, merged
from dhpe.field.sums import TERMS
from dhpe.field_outputs import Field, FieldAtSpot, FieldLandscape, FieldLimits, FieldPotential
from dhpe.landscape import Rows
from dhpe.liquidity import KyleLambda
from dhpe.numerics.state import BOOKS, MARKET, NS_PER_S
from dhpe.outputs import Offsets
from dhpe.parameters import Parameters
from dhpe.potential import Tape
from dhpe.projection import profiles

NOW = chains.SESSION_NS
HOUR_NS = 3600 * NS_PER_S
SPOT = 5000.0
FLOOR_NS = 300 * NS_PER_S
WEIGHTED = BOOKS.index("weighted")
PARAMETERS = Parameters(dealer_share=0.7, vanna_weight=1.3)
LIMITS = FieldLimits(strikes_max=1000, expiries_max=200, points_max=401, grid_points_max=41, grid_instants=5)
IMPACT = KyleLambda(8e-13, 1e-13, 100, "regression")


def a_chain(seed: int = 5) -> Rows:
    """Calls and puts of shared strikes in four expiries, three different books, smiles, yields, a basis, betas."""
    print("seed", seed)  # noqa: T201
    generator = np.random.default_rng(seed)
    ahead = [HOUR_NS, 5 * chains.NS_PER_DAY, 40 * chains.NS_PER_DAY, 500 * chains.NS_PER_DAY]
    options = []
    for settles_ns in (NOW + one for one in ahead):
        for strike in np.arange(4600.0, 5401.0, 50.0):
            vol = 0.12 + 0.2 * generator.random()
            options += [chains.Option(settles_ns, strike, right, vol=vol) for right in (1, -1)]
    chain = chains.build(options, NOW)
    chain.contracts["position"] = 100 * generator.standard_normal((len(options), len(BOOKS)))
    chain.contracts["position"][::7] = 0.0
    chain.contracts["vol"][5::41] = math.nan
    chain.contracts["vol_source"][np.isnan(chain.contracts["vol"])] = 0
    chain.contracts["vol_reason"][np.isnan(chain.contracts["vol"])] = 6
    chain.expiries["rate"], chain.expiries["carry"] = 0.045, [0.03, 0.031, 0.032, 0.033]
    chain.expiries["basis"] = [4e-4, 2e-4, 0.0, 0.0]
    chain.expiries["beta"], chain.expiries["beta_standard_error"] = [-0.9, -0.6, -0.3, -0.1], 0.1
    chain.expiries["vanna_weight"] = 1.0
    taus = (chain.expiries["settles_ns"] - NOW) / naive.YEAR_NS
    chain.expiries["fit_tau"], chain.expiries["atm_vol"] = taus, 0.2
    chain.expiries["atm_total_variance"] = 0.04 * taus
    chain.expiries["ssvi_rho"], chain.expiries["curvature"] = -0.5, 1.5 / np.sqrt(0.04 * taus)
    return Rows(chain.contracts, chain.expiries)


def a_copy(rows: Rows | None = None, **changes: Any) -> FieldCopy:
    """A copy of an underlying that holds these rows."""
    rows = rows or a_chain()
    market = np.zeros(1, MARKET)
    market["ts_ns"], market["spot"], market["spot_ns"], market["spot_source"] = NOW, SPOT, NOW, 1
    market["next_settlement_ns"] = rows.contracts["settles_ns"].min()
    for count in ("live_contracts", "valued_contracts", "held_contracts", "informed_contracts"):
        market[count] = len(rows.contracts)
    tape = Tape(np.zeros(8), np.zeros(8), 0, 0, math.nan)
    copy = FieldCopy("X", PARAMETERS, market[0], rows, tape, IMPACT, None, Offsets(0, 1, 2), "test", lost=False)
    return copy._replace(**changes)


class Parts(NamedTuple):
    """A field of which everything is known."""

    field: Field
    at_spot: FieldAtSpot
    landscape: FieldLandscape
    potential: FieldPotential


def read(copy: FieldCopy, limits: FieldLimits = LIMITS) -> Parts:
    """Its field, with its parts."""
    found = field_of(copy, limits)
    assert found.at_spot is not None
    assert found.landscape is not None
    assert found.potential is not None
    return Parts(found, found.at_spot, found.landscape, found.potential)


@pytest.fixture(scope="module")
def parts() -> Parts:
    """Of the chain above."""
    return read(a_copy())


def gross(rows: Rows) -> float:
    """Sum of the absolute gammas, to which round-off is held."""
    return sum(abs(naive.gamma_field([row], rows.expiries, WEIGHTED, SPOT, NOW, FLOOR_NS)) for row in rows.contracts)


@pytest.mark.parametrize("name", ["gamma_field", "vanna_field", "charm_field"])
def test_strikes_expiries_terms_profile_and_grid_are_one_field(parts: Parts, name: str) -> None:
    """The sum of each decomposition, the profile at the spot, and the first row of the grid there."""
    spot, landscape = parts.at_spot, parts.landscape
    total = getattr(spot, name)
    by_strike = sum(getattr(spot.by_strike.calls, name)) + sum(getattr(spot.by_strike.puts, name))
    middle, grid_middle = len(landscape.prices) // 2, len(landscape.grid.prices) // 2
    kind = name.removesuffix("_field")
    book = landscape.profiles.weighted
    profile = book.gamma_profile if kind == "gamma" else getattr(landscape, f"{kind}_profile")
    moved = book.gamma_profile_sticky_delta if kind == "gamma" else getattr(landscape, f"{kind}_profile_sticky_delta")
    assert landscape.prices[middle] == pytest.approx(SPOT)
    assert landscape.grid.prices[grid_middle] == pytest.approx(SPOT)
    scale = max(map(abs, getattr(spot.by_strike.calls, name)))
    for found in (
        by_strike,
        sum(getattr(spot.by_expiry, name)),
        sum(getattr(spot.by_term, name)),
        profile[middle],
        moved[middle],
        getattr(landscape.grid, name)[0][grid_middle],
    ):
        assert found == pytest.approx(total, abs=1e-11 * scale)


def test_the_gamma_of_every_book_is_that_of_the_textbook_at_the_spot_and_away(parts: Parts) -> None:
    """Sticky strike; the naive sum over all contracts at every thirtieth price, and in the last row of the grid."""
    rows = a_chain()
    scale = 1e-10 * gross(rows)
    landscape = parts.landscape
    for book, name in enumerate(BOOKS):
        profile = getattr(landscape.profiles, name).gamma_profile
        for point in range(0, len(profile), 30):
            price = landscape.prices[point]
            expected = naive.gamma_field(rows.contracts, rows.expiries, book, price, NOW, FLOOR_NS)
            assert profile[point] == pytest.approx(expected, abs=scale)
    last_ns = landscape.grid.instants_ns[-1]
    assert (landscape.grid.close_ns, last_ns) == (NOW + HOUR_NS, NOW + HOUR_NS - 1)
    at = naive.gamma_field(rows.contracts, rows.expiries, WEIGHTED, landscape.grid.prices[7], last_ns, FLOOR_NS)
    assert landscape.grid.gamma_field[-1][7] == pytest.approx(at, abs=scale)


def test_under_sticky_delta_each_contract_keeps_its_distance_from_the_smile(parts: Parts) -> None:
    """The vols of the moved spot from the SSVI formula of the paper, then the naive sum."""
    rows = a_chain()
    point = 30
    price = parts.landscape.prices[point]
    for contract in rows.contracts:
        expiry = rows.expiries[contract["expiry"]]
        tau = (int(expiry["settles_ns"]) - NOW) / naive.YEAR_NS
        growth = math.exp(expiry["basis"] + expiry["carry"] * tau)
        k = np.log(contract["strike"] / growth / np.array([SPOT, price]))
        before, after = naive.ssvi(expiry["atm_total_variance"], expiry["ssvi_rho"], expiry["curvature"], k)
        contract["vol"] *= math.sqrt(after / before)
    for book, name in enumerate(BOOKS):
        expected = naive.gamma_field(rows.contracts, rows.expiries, book, price, NOW, FLOOR_NS)
        found = getattr(parts.landscape.profiles, name).gamma_profile_sticky_delta[point]
        assert found == pytest.approx(expected, abs=1e-10 * gross(rows))


def test_call_and_put_of_a_strike_as_one_row_are_the_same_fields_at_every_price_and_time() -> None:
    """Charm with its dividends too, up to the round-off of the largest contract."""
    rows = held(a_chain(), NOW)
    pairs = merged(rows, math.log(SPOT))
    assert len(pairs.contracts) < 0.6 * len(rows.contracts) + 8
    grid = math.log(SPOT) + 1e-2 * np.arange(-20, 21)
    for instant in (NOW, NOW + HOUR_NS - 1, NOW + 2 * HOUR_NS):
        expected = profiles(rows, grid, instant, FLOOR_NS)
        found = profiles(pairs, grid, instant, FLOOR_NS)
        alike = np.abs(expected).max(axis=(1, 2), keepdims=True)
        assert (np.abs(found - expected) <= 1e-12 * alike).all()
    nobody = Rows(rows.contracts[:0], rows.expiries)
    assert len(merged(nobody, 0.0).contracts) == 0


def test_flips_are_zeros_of_the_field_and_walls_its_thickest_strikes(parts: Parts) -> None:
    """All flips of each book lie where the naive sum changes sign; walls by sums in dictionaries."""
    rows = a_chain()
    landscape = parts.landscape
    for book, name in enumerate(BOOKS):
        profile = getattr(landscape.profiles, name)
        for flip in profile.gamma_flips:
            below, above = (
                naive.gamma_field(rows.contracts, rows.expiries, book, flip * (1 + side), NOW, FLOOR_NS)
                for side in (-1e-8, 1e-8)
            )
            assert below * above < 0
        dollars = [naive.gamma_field([row], rows.expiries, book, SPOT, NOW, FLOOR_NS) for row in rows.contracts]
        assert (profile.call_wall, profile.put_wall) == naive.walls(rows.contracts, dollars, SPOT)
    assert any(getattr(landscape.profiles, name).gamma_flips for name in BOOKS)
    assert landscape.gamma_flips == landscape.profiles.weighted.gamma_flips
    assert landscape.zero_dte_gamma_share is not None
    assert 0 < landscape.zero_dte_gamma_share < 1
    by_delta = read(a_copy(parameters=Parameters(stickiness="delta"))).landscape
    assert by_delta.gamma_flips == by_delta.profiles.weighted.gamma_flips_sticky_delta


def test_the_gain_of_expiries_and_terms_adds_up_and_each_term_holds_its_days(parts: Parts) -> None:
    """Impact times pressure, share and weights inside; an hour and five days are the first term."""
    spot = parts.at_spot
    assert spot.by_expiry.feedback_gain is not None
    assert spot.by_term.feedback_gain is not None
    assert spot.feedback_gain == pytest.approx(8e-13 * spot.hedge_pressure)
    assert sum(spot.by_expiry.feedback_gain) == pytest.approx(spot.feedback_gain)
    assert sum(spot.by_term.feedback_gain) == pytest.approx(spot.feedback_gain)
    beta_vanna = [b * v for b, v in zip([-0.9, -0.6, -0.3, -0.1], spot.by_expiry.vanna_field, strict=True)]
    pressures = [-0.7 * (g + 1.3 * v) for g, v in zip(spot.by_expiry.gamma_field, beta_vanna, strict=True)]
    assert spot.by_expiry.hedge_pressure == pytest.approx(pressures)
    assert spot.by_term.terms == [TERMS[0][1], TERMS[2][1], TERMS[4][1]]
    assert spot.by_term.gamma_field[0] == pytest.approx(sum(spot.by_expiry.gamma_field[:2]))


def test_the_potential_is_solved_by_transform_and_directly_alike_and_pulls_as_it_falls(parts: Parts) -> None:
    """A hair's breadth of change at the last price makes the impact vary, and the other solver answers the same."""
    even = parts.potential
    returns, volumes = np.zeros(8), np.zeros(8)
    returns[0], volumes[0] = 1e-3, 1e9
    tape = Tape(returns, volumes, 1, 1, math.log(parts.landscape.prices[-1]))
    uneven = read(a_copy(tape=tape, amihud_illiquidity=1e-12 * (1 + 1e-13))).potential
    assert (even.solver, uneven.solver) == ("transform", "tridiagonal")
    assert set(even.kyle_lambda_by_price) == {8e-13}
    scale = max(map(abs, even.potential_by_price))
    assert uneven.potential_by_price == pytest.approx(even.potential_by_price, abs=1e-11 * scale)
    fall = -np.gradient(even.potential_by_price, np.log(even.prices))
    assert even.force_by_price == pytest.approx(fall, abs=1e-9 * np.abs(fall).max())
    later = a_copy()
    later.market["ts_ns"] = later.market["spot_ns"] = parts.landscape.grid.instants_ns[1]
    passed_s = (int(later.market["ts_ns"]) - NOW) / NS_PER_S
    moved = np.array(read(later).potential.potential_by_price) - even.potential_by_price
    assert even.potential_slope_per_s == pytest.approx(moved / passed_s, abs=1e-11 * scale)


def test_limits_leave_the_totals_alone_and_are_told(parts: Parts) -> None:
    """The nearest strikes, the first expiries, a thinner grid with the spot in its middle."""
    few = FieldLimits(strikes_max=5, expiries_max=2, points_max=22, grid_points_max=7, grid_instants=2)
    field, spot, landscape, potential = read(a_copy(), few)
    assert (spot.gamma_field, spot.by_term) == (parts.at_spot.gamma_field, parts.at_spot.by_term)
    assert spot.by_strike.strikes == [4900.0, 4950.0, 5000.0, 5050.0, 5100.0]
    assert spot.by_strike.strikes_left_out == 17 - 5
    assert (len(spot.by_expiry.settles_ns), spot.by_expiry.expiries_left_out) == (2, 2)
    for prices, most in ((landscape.prices, 22), (landscape.grid.prices, 7), (potential.prices, 22)):
        assert len(prices) <= most
        assert prices[len(prices) // 2] == pytest.approx(SPOT)
    assert landscape.log_step == pytest.approx(math.log(landscape.prices[1] / landscape.prices[0]))
    assert (len(landscape.grid.instants_ns), len(landscape.grid.gamma_field)) == (2, 2)
    assert field.surface is not None
    assert (len(field.surface.expiries), field.surface.expiries_left_out) == (2, 2)
    assert field.limits == few


def test_what_gave_each_contract_its_vol_is_counted(parts: Parts) -> None:
    """By expiry and over all; what has no vol has a word for it."""
    surface = parts.field.surface
    assert surface is not None
    missing = int(np.isnan(a_chain().contracts["vol"]).sum())
    total = len(a_chain().contracts)
    assert surface.vol_sources == {"none": missing, "own_quote": total - missing}
    assert surface.vol_reasons == {"solved": total - missing, "zero_bid": missing}
    assert sum(sum(expiry.vol_sources.values()) for expiry in surface.expiries) == surface.series == total
    assert (surface.exercise, surface.exercise_method) == ("european", "none")


def test_american_chains_say_what_was_done_and_what_error_it_leaves() -> None:
    """The bounds of the solver by days to settlement, in vol points."""
    rows = a_chain()
    rows.contracts["american"] = 1
    surface = field_of(a_copy(rows), LIMITS).surface
    assert surface is not None
    assert (surface.exercise, surface.exercise_method) == ("american", "de_americanised")
    errors = [expiry.exercise_error_vol_points for expiry in surface.expiries]
    assert errors == pytest.approx([100 * error for error in (5e-4, 5e-4, 1e-3, 4e-3)])


def test_what_cannot_be_known_is_null_with_a_reason_and_nothing_is_nan() -> None:
    """No impact: no potential. An old spot: nothing. Lost records: degraded."""
    unknown = field_of(a_copy(kyle_lambda=KyleLambda(None, None, 0, None), lost=True), LIMITS)
    assert unknown.potential is None
    assert unknown.at_spot is not None
    assert (unknown.at_spot.feedback_gain, unknown.at_spot.by_term.feedback_gain) == (None, None)
    assert unknown.quality.reasons == ["data_loss", "lambda_unknown"]
    old = a_copy()
    old.market["spot_ns"] -= 61 * NS_PER_S
    stale = field_of(old, LIMITS)
    assert (stale.spot, stale.at_spot, stale.landscape, stale.potential, stale.surface) == (None,) * 5
    assert stale.quality.status == "stale"
    nobody = a_chain()
    nobody.contracts["position"] = 0.0
    empty = a_copy(nobody)
    empty.market["held_contracts"] = 0
    unheld = field_of(empty, LIMITS)
    assert (unheld.at_spot, unheld.quality.reasons) == (None, ["no_positions"])
    assert unheld.surface is not None
    for found in (unknown, stale, unheld, field_of(a_copy(), LIMITS)):
        assert msgspec.json.decode(msgspec.json.encode(found), type=Field) == found, "a NaN would come back as null"
