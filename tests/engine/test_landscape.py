"""The landscape of a book, from rows to facts."""

import math
from pathlib import Path

import numpy as np
import pytest

import chains
from dhpe.landscape import GRID_STEP, landscape, log_grid
from dhpe.numerics.parity import fit_forwards
from dhpe.numerics.smile import BetaRule, fit_smiles
from dhpe.numerics.ssvi import BY_EXPIRY
from dhpe.parameters import Parameters

NOW = chains.SESSION_NS
SPOT = 5000.0
MONTH_NS = NOW + 30 * chains.NS_PER_DAY
TODAY_NS = NOW + 3_600_000_000_000
NAIVE = 0


def of(options: list[chains.Option]) -> tuple[float | None, ...]:
    """Landscape of a book of these options."""
    chain = chains.build(options, NOW)
    return landscape(chain.contracts, *chain.sizes[:1], chain.expiries, chain.sizes[1], NAIVE, SPOT, NOW, Parameters())


def test_the_grid_is_ten_per_cent_or_four_deviations_wide() -> None:
    """Even steps of 10 bp with spot in the middle; an unknown vol gives the minimum."""
    for vol, half_width in ((0.05, 0.10), (math.nan, 0.10), (0.40, 4 * 0.40 * math.sqrt(30 / 365))):
        grid = log_grid(SPOT, vol)
        assert grid[len(grid) // 2] == pytest.approx(math.log(SPOT))
        assert np.diff(grid) == pytest.approx(GRID_STEP)
        assert half_width - 1e-9 <= grid[-1] - math.log(SPOT) < half_width + GRID_STEP


def test_dealers_long_calls_above_and_short_puts_below_have_one_flip_and_two_walls() -> None:
    """The naive picture: flip between the strikes, walls on them."""
    found = of(
        [
            chains.Option(MONTH_NS, 5200.0, 1, position=1000, vol=0.12),
            chains.Option(MONTH_NS, 5300.0, 1, position=300, vol=0.12),
            chains.Option(MONTH_NS, 4800.0, -1, position=-1000, vol=0.16),
        ]
    )
    assert found.call_wall == 5200.0
    assert found.put_wall == 4800.0
    assert len(found.gamma_flips) == 1
    assert found.gamma_flip == found.gamma_flips[0]
    assert 4800 < found.gamma_flip < 5200
    assert found.zero_dte_gamma_share == 0.0


def test_of_several_flips_all_are_given_and_the_nearest_is_named() -> None:
    """Short - long - short in three strikes."""
    found = of(
        [
            chains.Option(MONTH_NS, 4600.0, -1, position=-900, vol=0.10),
            chains.Option(MONTH_NS, 5050.0, 1, position=1000, vol=0.10),
            chains.Option(MONTH_NS, 5500.0, 1, position=-900, vol=0.10),
        ]
    )
    assert len(found.gamma_flips) == 2
    assert found.gamma_flips[0] < SPOT < found.gamma_flips[1]
    assert found.gamma_flip == min(found.gamma_flips, key=lambda flip: abs(flip - SPOT))


def test_a_book_of_one_sign_has_no_flip_and_an_empty_book_has_nothing() -> None:
    """None is an answer."""
    found = of([chains.Option(TODAY_NS, 5050.0, 1, position=10, vol=0.2)])
    assert (found.gamma_flips, found.gamma_flip, found.put_wall) == ((), None, None)
    assert found.call_wall == 5050.0
    assert found.zero_dte_gamma_share == 1.0
    assert found.delta_change_usd != 0
    assert of([chains.Option(MONTH_NS, 5000.0, 1)]) == ((), None, None, None, None, 0.0)


def test_the_real_spx_landscape_has_its_flip_near_spot_and_its_walls_on_round_strikes(shared_data: Path) -> None:
    """Naive book of a real close: a flip within 3 %, walls within 10 % and on their sides."""
    chain, spot, now = chains.spx(shared_data, "2026-08-20")
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, now, math.nan, 0.0)
    chains.imply_vols(chain, spot, now)
    rule = BetaRule(1.5, 0.5, math.nan, math.nan)
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, rule, BY_EXPIRY)
    found = landscape(chain.contracts, contracts, chain.expiries, expiries, NAIVE, spot, now, Parameters())
    assert found.gamma_flip is not None
    assert abs(math.log(found.gamma_flip / spot)) < 0.03
    assert found.call_wall is not None
    assert found.put_wall is not None
    assert 0.9 * spot < found.put_wall <= spot <= found.call_wall < 1.1 * spot
    assert found.call_wall % 25 == found.put_wall % 25 == 0
