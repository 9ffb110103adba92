"""The pictures of the landscape against the textbook, and the potential that stands on them."""

import math

import numpy as np
import pytest

import chains
from dhpe.landscape import Rows, log_grid
from dhpe.numerics.black import gamma_vanna_charm
from dhpe.numerics.landscape import gamma_profile
from dhpe.numerics.parity import years
from dhpe.numerics.state import BETA_VANNA, BOOKS, CHARM, GAMMA, NS_PER_S, VANNA
from dhpe.parameters import Parameters
from dhpe.potential import Tape, lambda_profile, potential
from dhpe.projection import by_expiry, by_strike, landscape_grid, profiles

NOW = chains.SESSION_NS
SPOT = 5000.0
FLOOR_NS = 300 * NS_PER_S
HOUR_NS = 3600 * NS_PER_S
GRID = log_grid(SPOT, math.nan)


def a_chain(seed: int = 11) -> Rows:
    """Calls and puts from an hour to two years, deep ones too; three different books; rates, carry, basis, betas."""
    print("seed", seed)  # noqa: T201
    generator = np.random.default_rng(seed)
    ahead = [HOUR_NS, chains.NS_PER_DAY, 30 * chains.NS_PER_DAY, 700 * chains.NS_PER_DAY]
    options = [
        chains.Option(
            NOW + ahead[row % 4],
            round(SPOT * math.exp(0.15 * generator.standard_normal()), 0),
            1 if row % 3 else -1,
            vol=math.nan if row % 23 == 0 else 0.1 + 0.3 * generator.random(),
        )
        for row in range(160)
    ]
    chain = chains.build(options, NOW)
    chain.contracts["position"] = 100 * generator.standard_normal((160, len(BOOKS)))
    chain.contracts["active"][::31] = 0
    chain.expiries["rate"], chain.expiries["carry"] = 0.045, [0.03, 0.031, 0.032, 0.033]
    chain.expiries["basis"] = [4e-4, 2e-4, 0.0, 0.0]
    chain.expiries["beta"] = [-0.9, -0.6, -0.3, -0.1]
    return Rows(chain.contracts, chain.expiries)


def textbook(rows: Rows, spot: float, ts_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """(net, gross) of each field and book (FIELDS, books), and by the closed forms of MODEL.md section 2."""
    net, gross = np.zeros((2, 4, len(BOOKS)))
    for contract in rows.contracts:
        if not contract["active"] or not contract["vol"] > 0 or contract["settles_ns"] <= ts_ns:
            continue
        expiry = rows.expiries[contract["expiry"]]
        own_spot = spot * math.exp(expiry["basis"])
        tau = max(years(contract["settles_ns"], ts_ns), FLOOR_NS / (365 * 86_400 * NS_PER_S))
        gamma, vanna, charm = gamma_vanna_charm(
            own_spot, contract["strike"], tau, expiry["rate"], expiry["rate"] - expiry["carry"], contract["vol"],
            contract["right"],
        )  # fmt: skip
        units = [own_spot**2 * gamma, own_spot * vanna, own_spot * charm, own_spot * vanna * expiry["beta"]]
        added = 100.0 * np.outer(units, contract["position"])
        net += added
        gross += np.abs(added)
    return net, gross


def test_the_profiles_are_every_field_of_every_book_re_priced() -> None:
    """At every tenth price of +-10 %, deep in the money dividends included."""
    rows = a_chain()
    found = profiles(rows, GRID, NOW, FLOOR_NS)
    assert found.shape == (4, 3, len(GRID))
    for point in range(0, len(GRID), 10):
        net, gross = textbook(rows, math.exp(GRID[point]), NOW)
        assert (np.abs(found[:, :, point] - net) <= 1e-10 * gross.max(axis=1, keepdims=True)).all()


def test_the_gamma_profile_of_the_flips_is_the_one_of_the_pictures() -> None:
    """Two kernels, one quantity: the fast one that finds the flips, and the full one that is drawn."""
    rows = a_chain()
    out = np.empty(len(GRID))
    gamma_profile(rows.contracts, len(rows.contracts), rows.expiries, 2, NOW, FLOOR_NS, GRID, out)
    found = profiles(rows, GRID, NOW, FLOOR_NS)[GAMMA, 2]
    assert found == pytest.approx(out, rel=1e-9, abs=1e-9 * np.abs(out).max())


def test_the_time_grid_runs_from_now_to_just_before_the_settlement() -> None:
    """Its first column is the profile now, its last still holds the series that is about to settle."""
    rows = a_chain()
    grid = landscape_grid(rows, GRID, NOW, NOW + HOUR_NS, FLOOR_NS)
    assert (grid.ts_ns[0], grid.ts_ns[-1]) == (NOW, NOW + HOUR_NS - 1)
    assert (np.diff(grid.ts_ns) > 0).all()
    assert grid.fields.shape == (4, 3, len(grid.ts_ns), len(GRID))
    assert (grid.fields[:, :, 0] == profiles(rows, GRID, NOW, FLOOR_NS)).all()
    middle = len(GRID) // 2
    net, gross = textbook(rows, float(grid.spots[middle]), int(grid.ts_ns[-1]))
    assert (np.abs(grid.fields[:, :, -1, middle] - net) <= 1e-10 * gross.max(axis=1, keepdims=True)).all()


def test_strikes_and_expiries_each_add_up_to_the_field() -> None:
    """And each is what the contracts with that strike or settlement give alone."""
    rows = a_chain()
    net, gross = textbook(rows, SPOT, NOW)
    strikes, expiries = by_strike(rows, SPOT, NOW, FLOOR_NS), by_expiry(rows, SPOT, NOW, FLOOR_NS)
    assert (np.abs(strikes.fields.sum(axis=(2, 3)) - net) <= 1e-10 * gross).all()
    for key, sums, right, added in (
        ("strike", strikes, 1, strikes.fields[:, :, 0]),
        ("strike", strikes, -1, strikes.fields[:, :, 1]),
        ("settles_ns", expiries, 0, expiries.fields),
    ):
        assert (np.diff(sums.keys) > 0).all()
        one = rows.contracts[key] == sums.keys[1]
        if right:
            one &= rows.contracts["right"] == right
        alone, _ = textbook(Rows(rows.contracts[one], rows.expiries), SPOT, NOW)
        assert (np.abs(added[:, :, 1] - alone) <= 1e-10 * gross).all()
    assert (np.abs(expiries.fields.sum(axis=2) - net) <= 1e-10 * gross).all()


def an_empty_tape() -> Tape:
    """No liquidity bar has closed."""
    return Tape(np.zeros(8), np.zeros(8), 0, 0, math.log(SPOT))


def test_long_gamma_at_one_strike_pins_the_price_there() -> None:
    """Dealers long a month's straddle at 5050: the potential is lowest there, and the force points to it."""
    month = NOW + 30 * chains.NS_PER_DAY
    chain = chains.build([chains.Option(month, 5050.0, right, position=900, vol=0.1) for right in (1, -1)], NOW)
    grid = landscape_grid(Rows(*chain), GRID, NOW, month, FLOOR_NS)
    lambdas = lambda_profile(GRID, an_empty_tape(), 8e-13, None)
    found = potential(grid, 0, lambdas, 8e-13, Parameters())
    lowest = int(found.potential.argmin())
    assert math.exp(GRID[lowest]) == pytest.approx(5050.0, rel=2e-3)
    assert (found.potential < 0).all()
    assert (found.force[30 : lowest - 1] > 0).all()
    assert (found.force[lowest + 2 : -30] < 0).all()
    assert found.slope_per_s[lowest] < 0, "as time passes gamma gathers at the strike"
    short = Rows(chain.contracts.copy(), chain.expiries)
    short.contracts["position"] *= -1
    mirrored = potential(landscape_grid(short, GRID, NOW, month, FLOOR_NS), 0, lambdas, 8e-13, Parameters())
    assert mirrored.potential == pytest.approx(-found.potential)


def test_impact_by_price_is_scaled_to_the_impact_now() -> None:
    """Where the same money moved the price twice as far lambda is twice as large; an unseen price has lambda now."""
    tape = Tape(np.array([2e-3, -2e-3, 1e-3]), np.array([1e6, 1e6, 1e6]), 0, 3, math.log(SPOT))
    found = lambda_profile(GRID, tape, 5e-13, 5e-3 / 3 / 1e6)
    middle = len(GRID) // 2
    assert found[middle] == pytest.approx(5e-13 * 1e-3 / (5e-3 / 3))
    assert found[middle - 1] == pytest.approx(5e-13 * 2e-3 / (5e-3 / 3))
    assert found[0] == 5e-13
    assert CHARM != VANNA != BETA_VANNA
