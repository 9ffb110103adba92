"""Forwards and rates of American chains: what parity says once the early exercise premiums are taken off."""

import math

import numpy as np
import pytest

import chains
from dhpe.numerics.parity import fit_forwards, forward_ratio
from quantlib_american import Oracle

NOW = chains.SESSION_NS
SPOT = 100.0
VOL = 0.25
DAYS = (7, 30, 60, 120, 250, 500)


def american_chain(rate: float, dividend_yield: float, american: bool = True) -> chains.Chain:
    """Exact American prices two cents wide, three deviations to each side."""
    oracle = Oracle()
    options = []
    for days in DAYS:
        for step in range(-12, 13):
            strike = round(SPOT * math.exp(0.25 * step * VOL * math.sqrt(days / 365)), 1)
            for right in (1, -1):
                mid = oracle.exact(SPOT, strike, days, rate, dividend_yield, VOL, right)
                settles_ns = NOW + days * chains.NS_PER_DAY
                options.append(chains.Option(settles_ns, strike, right, max(mid - 0.01, 0.0), mid + 0.01))
    chain = chains.build(options, NOW)
    chain.contracts["american"] = american
    return chain


def misses_bp(chain: chains.Chain, carry: float) -> list[float]:
    """Error of each forward in basis points."""
    return [
        1e4 * abs(forward_ratio(expiry, NOW) / math.exp(carry * days / 365) - 1)
        for expiry, days in zip(chain.expiries, DAYS, strict=True)
    ]


def fit(chain: chains.Chain, rate: float) -> None:
    """Fit in place."""
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, SPOT, NOW, rate, 0.0)


@pytest.mark.parametrize(("rate", "dividend_yield"), [(0.045, 0.0), (0.045, 0.03), (0.01, 0.0), (0.02, 0.06)])
def test_with_a_rate_the_forward_is_right_to_a_few_basis_points(rate: float, dividend_yield: float) -> None:
    """Below two basis points to four months and eight to 500 days; as quoted it misses by up to 110."""
    chain = american_chain(rate, dividend_yield)
    fit(chain, rate)
    found = misses_bp(chain, rate - dividend_yield)
    assert max(found[:4]) < 2
    assert max(found) < 8
    as_quoted = american_chain(rate, dividend_yield, american=False)
    fit(as_quoted, rate)
    assert misses_bp(as_quoted, rate - dividend_yield)[4] > 5 * found[4]


def test_without_a_rate_the_slopes_find_it_to_a_percentage_point() -> None:
    """The pairs as quoted say minus four per cent where the truth is four and a half."""
    chain = american_chain(0.045, 0.0)
    fit(chain, math.nan)
    assert chain.expiries["rate"] == pytest.approx([0.045] * len(DAYS), abs=0.012)
    assert max(misses_bp(chain, 0.045)[:4]) < 4
    as_quoted = american_chain(0.045, 0.0, american=False)
    fit(as_quoted, math.nan)
    assert as_quoted.expiries["rate"][0] < -0.03


def test_the_next_fit_begins_where_the_last_one_ended() -> None:
    """One round is then enough: nothing moves by more than the tenth part of a per cent a year."""
    chain = american_chain(0.045, 0.02)
    fit(chain, 0.045)
    before = chain.expiries["carry"].copy()
    fit(chain, 0.045)
    assert chain.expiries["carry"] == pytest.approx(before, abs=1e-5)
    assert np.isfinite(chain.expiries["basis"]).all()
