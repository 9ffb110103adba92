"""The surface as the outside sees it."""

import math
from pathlib import Path

import pytest

import chains
from dhpe.numerics.parity import fit_forwards
from dhpe.numerics.smile import BetaRule, fit_smiles
from dhpe.numerics.ssvi import BY_EXPIRY
from dhpe.surface import describe, iv_index

NOW = chains.SESSION_NS
RULE = BetaRule(1.5, 0.5, math.nan, math.nan)


def test_an_expiry_without_a_fit_says_so_with_none() -> None:
    """Forward by default, no vol, no beta, no quality; settled expiries are gone."""
    options = [chains.Option(NOW + 10**9, 5000.0, 1), chains.Option(NOW - 1, 5000.0, 1)]
    chain = chains.build(options, NOW)
    fit_forwards(chain.contracts, 2, chain.expiries, 2, 5000.0, NOW, 0.04, 0.01)
    fit_smiles(chain.contracts, 2, chain.expiries, 2, 5000.0, NOW, RULE, BY_EXPIRY)
    (found,) = describe(chain.contracts, 2, chain.expiries, 2, 5000.0, NOW)
    assert found.settles_ns == NOW + 10**9
    assert found.forward_source == "default"
    assert found.forward == pytest.approx(5000.0)
    assert found.carry == pytest.approx(0.03)
    assert found[6:] == (*(None,) * 8, 0, None, None, 0)
    assert math.isnan(iv_index(chain.expiries, 2, NOW))


def test_the_real_spx_surface_in_numbers(shared_data: Path) -> None:
    """Every open expiry in order, forwards by parity, beta half the slope, long expiries fitted within a point."""
    chain, spot, now = chains.spx(shared_data, "2026-08-19")
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, now, math.nan, 0.0)
    chains.imply_vols(chain, spot, now)
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, spot, now, RULE, BY_EXPIRY)
    found = describe(chain.contracts, contracts, chain.expiries, expiries, spot, now)
    assert [e.settles_ns for e in found] == sorted(chain.expiries["settles_ns"].tolist())
    assert {e.forward_source for e in found} == {"parity"}
    for expiry in found:
        assert expiry.atm_vol is not None
        assert expiry.atm_total_variance == pytest.approx(expiry.atm_vol**2 * expiry.tau)
        slope = expiry.ssvi_rho * expiry.curvature * expiry.atm_total_variance / (2 * expiry.atm_vol * expiry.tau)
        assert expiry.skew_slope == pytest.approx(slope)
        assert expiry.spot_vol_beta == pytest.approx(0.5 * expiry.skew_slope)
        assert expiry.spot_vol_beta_standard_error > 0
        assert 0 < expiry.inside_bid_ask_share <= 1
        assert expiry.rmse_vol_points > 0
    assert sum(expiry.violations for expiry in found) == 0
    assert min(e.rmse_vol_points for e in found if e.tau > 0.5) < 1
    assert iv_index(chain.expiries, expiries, now) == pytest.approx(12.0, abs=0.7)
