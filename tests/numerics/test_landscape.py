"""Re-pricing away from spot: profile, zeros, walls and the passing of time against plain loops over the textbook."""

import math
import time

import numpy as np
import pytest

import chains
import naive
from dhpe.numerics.landscape import (
    delta_change_usd,
    gamma_at,
    gamma_profile,
    refine_flip,
    same_day_share,
    sign_changes,
    strike_gammas,
    wall,
)

NOW = chains.SESSION_NS
SPOT = 5000.0
FLOOR_NS = 300_000_000_000
HOUR_NS = 3_600_000_000_000
BOOK = 1
SEED = 17


def random_chain(count: int = 300, seed: int = SEED) -> chains.Chain:
    """Positions of both signs from an hour to two years; some without vol or position; rates, carry and basis."""
    print("seed", seed)  # noqa: T201
    generator = np.random.default_rng(seed)
    offsets = [HOUR_NS, chains.NS_PER_DAY, 30 * chains.NS_PER_DAY, 700 * chains.NS_PER_DAY]
    options = []
    for row in range(count):
        settles_ns = NOW + offsets[row % 4]
        width = 0.2 * math.sqrt(offsets[row % 4] / naive.YEAR_NS)
        strike = round(SPOT * math.exp(2 * width * generator.standard_normal()), 1)
        vol = math.nan if row % 17 == 0 else 0.1 + 0.2 * generator.random()
        position = 0.0 if row % 13 == 0 else 100 * generator.standard_normal()
        options.append(chains.Option(settles_ns, strike, 1 if row % 3 else -1, position=position, vol=vol))
    chain = chains.build(options, NOW)
    chain.expiries["rate"], chain.expiries["carry"] = 0.045, [0.03, 0.031, 0.032, 0.033]
    chain.expiries["basis"] = [4e-4, 2e-4, 0.0, 0.0]
    chain.contracts["active"][::29] = 0
    return chain


def two_strikes() -> chains.Chain:
    """Long gamma at 5200, short gamma at 4800, one month."""
    month = NOW + 30 * chains.NS_PER_DAY
    return chains.build(
        [
            chains.Option(month, 5200.0, 1, position=1000, vol=0.12),
            chains.Option(month, 4800.0, -1, position=-1000, vol=0.16),
        ],
        NOW,
    )


def profile(chain: chains.Chain, grid: np.ndarray) -> np.ndarray:
    """The kernel's profile."""
    out = np.full(len(grid), math.nan)
    gamma_profile(chain.contracts, len(chain.contracts), chain.expiries, BOOK, NOW, FLOOR_NS, grid, out)
    return out


def test_the_profile_is_the_sum_of_re_priced_gammas() -> None:
    """201 points over +-10 %, every contract at every point; the floor on tau holds for the last hour."""
    chain = random_chain()
    grid = math.log(SPOT) + 1e-3 * np.arange(-100, 101)
    found = profile(chain, grid)
    expected = [
        naive.gamma_field(chain.contracts, chain.expiries, BOOK, math.exp(x), NOW, FLOOR_NS) for x in grid[::10]
    ]
    assert found[::10] == pytest.approx(expected, rel=1e-9, abs=1e-9 * np.abs(found).max())
    chain.contracts["settles_ns"] = NOW + 1_000_000_000
    expected = [naive.gamma_field(chain.contracts, chain.expiries, BOOK, SPOT, NOW, FLOOR_NS)]
    assert profile(chain, np.array([math.log(SPOT)])) == pytest.approx(expected, rel=1e-9)


def test_one_point_equals_the_grid() -> None:
    """The function that finds the zeros is the one that drew the profile."""
    chain = random_chain()
    grid = math.log(SPOT) + 1e-3 * np.arange(-100, 101)
    found = profile(chain, grid)
    for point in range(0, 201, 20):
        one = gamma_at(chain.contracts, len(chain.contracts), chain.expiries, BOOK, NOW, FLOOR_NS, grid[point])
        assert one == pytest.approx(found[point], rel=1e-12, abs=1e-12 * np.abs(found).max())


def test_a_flip_is_found_to_eight_digits() -> None:
    """Between short gamma below and long gamma above there is one zero, the bisection's own to the last digit."""
    chain = two_strikes()
    grid = math.log(SPOT) + 1e-3 * np.arange(-100, 101)
    brackets = np.zeros((201, 2), np.int64)
    assert sign_changes(profile(chain, grid), brackets) == 1
    low, high = grid[brackets[0]]
    assert high - low == pytest.approx(1e-3)
    flip = refine_flip(chain.contracts, 2, chain.expiries, BOOK, NOW, FLOOR_NS, low, high)

    def field(x: float) -> float:
        return naive.gamma_field(chain.contracts, chain.expiries, BOOK, math.exp(x), NOW, FLOOR_NS)

    assert flip == pytest.approx(naive.zero_between(field, low, high), abs=1e-8)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, 2.0, -3.0, -1.0], [(1, 2)]),
        ([1.0, -1.0, 1.0], [(0, 1), (1, 2)]),
        ([1.0, 0.0, -1.0], [(0, 2)]),
        ([1.0, 1e-5, -1e-5, -1.0], [(0, 3)]),
        ([1.0, 0.5, 2e-5, -1e-5, 2e-5, -1e-5], []),
        ([1.0, 0.0, 0.0, 0.0, -1.0], []),
        ([1.0, 2.0, 0.5], []),
        ([0.0, 0.0], []),
    ],
)
def test_only_sign_changes_of_significant_size_are_flips(values: list[float], found: list[tuple[int, int]]) -> None:
    """Tails below a thousandth of the largest value make none; a point on the zero itself hides none."""
    brackets = np.zeros((len(values), 2), np.int64)
    count = sign_changes(np.array(values), brackets)
    assert [tuple(pair) for pair in brackets[:count].tolist()] == found


def test_walls_are_the_thickest_strikes_on_their_side() -> None:
    """Sums over expiries per strike, calls at and above spot, puts at and below, as by dictionaries."""
    chain = random_chain()
    chain.contracts["strike"] = np.round(chain.contracts["strike"] / 25) * 25
    count = len(chain.contracts)
    gammas = np.zeros(count)
    strike_gammas(chain.contracts, count, chain.expiries, BOOK, math.log(SPOT), NOW, FLOOR_NS, gammas)
    by_strike = np.argsort(chain.contracts["strike"], kind="stable")
    found = tuple(wall(chain.contracts, by_strike, gammas, SPOT, right) for right in (1, -1))
    assert found == naive.walls(chain.contracts, gammas.tolist(), SPOT)


def test_equal_walls_go_to_the_nearer_strike_and_no_wall_is_nan() -> None:
    """A book without calls above spot has no call wall."""
    options = [chains.Option(NOW + HOUR_NS, strike, -1) for strike in (4900.0, 4950.0, 4800.0)]
    chain = chains.build(options, NOW)
    by_strike = np.argsort(chain.contracts["strike"], kind="stable")
    gammas = np.array([-7.0, 7.0, 5.0])
    assert wall(chain.contracts, by_strike, gammas, SPOT, -1) == 4950.0
    assert math.isnan(wall(chain.contracts, by_strike, gammas, SPOT, 1))
    assert math.isnan(wall(chain.contracts, by_strike, np.zeros(3), SPOT, -1))


def test_the_share_of_today_counts_sizes_not_signs() -> None:
    """Long and short gamma settling today do not cancel."""
    options = [chains.Option(NOW + HOUR_NS, strike, 1) for strike in (4900.0, 5000.0)]
    chain = chains.build([*options, chains.Option(NOW + chains.NS_PER_DAY, 5000.0, 1)], NOW)
    assert same_day_share(chain.contracts, np.array([3.0, -3.0, 2.0]), NOW) == pytest.approx(0.75)
    assert math.isnan(same_day_share(chain.contracts, np.zeros(3), NOW))


@pytest.mark.parametrize("horizon_ns", [HOUR_NS // 2, 2 * HOUR_NS, 3 * chains.NS_PER_DAY])
def test_the_passing_of_time_is_the_exact_change_of_delta(horizon_ns: int) -> None:
    """At constant spot and vol; what settles on the way goes to its settled delta."""
    chain = random_chain()
    found = delta_change_usd(chain.contracts, len(chain.contracts), chain.expiries, BOOK, SPOT, NOW, horizon_ns)
    expected = naive.delta_change(chain.contracts, chain.expiries, BOOK, SPOT, NOW, horizon_ns)
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_settled_put_out_of_the_money_gives_its_whole_delta_back() -> None:
    """Dealers short a 4990 put an hour before the close: delta +n|delta| goes to 0, they sell nothing more."""
    chain = chains.build([chains.Option(NOW + HOUR_NS, 4990.0, -1, position=-100, vol=0.15)], NOW)
    held = naive.plain_delta(naive.held_terms(chain.contracts[0], chain.expiries[0], SPOT, NOW))
    found = delta_change_usd(chain.contracts, 1, chain.expiries, BOOK, SPOT, NOW, HOUR_NS)
    assert found == pytest.approx(-100 * 100 * (0 - held) * SPOT)


def test_twenty_thousand_contracts_take_less_than_150_ms() -> None:
    """The best of five profiles over 201 points."""
    chain = random_chain(20_000)
    grid = math.log(SPOT) + 1e-3 * np.arange(-100, 101)
    profile(chain, grid)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        profile(chain, grid)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.150
