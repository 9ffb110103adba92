"""Forwards from put-call parity: on a chain whose truth is known, and on real SPX closes."""

import math
from pathlib import Path

import numpy as np
import pytest

import chains
import naive
from dhpe.numerics.black import price
from dhpe.numerics.parity import (
    CARRY_TAU_MIN,
    FORWARD_CURVE,
    FORWARD_DEFAULT,
    FORWARD_GIVEN,
    FORWARD_PARITY,
    fit_forwards,
    forward_ratio,
    years,
)

NOW = chains.SESSION_NS
SPOT = 5000.0
RATE, YIELD = 0.045, 0.013
DAYS = (1, 5, 20, 60, 120, 400)


def market(
    days: tuple[int, ...] = DAYS, basis: float = 0.0, spread: float = 0.2, spots: tuple[float, float] = (SPOT, SPOT)
) -> chains.Chain:
    """Calls quoted at ``spots[0]`` and puts at ``spots[1]``, both ``basis`` (log) above what the tape says."""
    options = []
    for day in days:
        settles_ns = NOW + day * chains.NS_PER_DAY
        for step in range(-15, 16):
            strike = 5000.0 * math.exp(step * 0.2 * math.sqrt(day / 365) / 5)
            for right, spot in ((1, spots[0]), (-1, spots[1])):
                terms = (spot * math.exp(basis), strike, day / 365, RATE, YIELD, 0.15, right)
                mid = price(*terms)
                bid, ask = max(mid - spread / 2, 0.0), mid + spread / 2
                options.append(chains.Option(settles_ns, strike, right, bid, ask, quote_spot=spot))
    return chains.build(options, NOW)


def fit(chain: chains.Chain, spot: float = SPOT, rate: float = math.nan, dividend_yield: float = 0.0) -> chains.Chain:
    """Fit in place."""
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, NOW, rate, dividend_yield)
    return chain


def forwards(chain: chains.Chain, spot: float = SPOT) -> list[float]:
    """Forward of each expiry."""
    return [spot * forward_ratio(expiry, NOW) for expiry in chain.expiries]


def true_forwards(days: tuple[int, ...] = DAYS, spot: float = SPOT) -> list[float]:
    """What they are in ``market``."""
    return [spot * math.exp((RATE - YIELD) * day / 365) for day in days]


def test_forward_rate_and_carry_are_found_without_being_told() -> None:
    """The rate is the median of the slopes, the forward that of the quotes, at every expiry."""
    chain = fit(market())
    assert forwards(chain) == pytest.approx(true_forwards(), rel=2e-7)
    assert chain.expiries["rate"] == pytest.approx([RATE] * len(DAYS), abs=2e-5)
    assert chain.expiries["carry"] == pytest.approx([RATE - YIELD] * len(DAYS), abs=2e-5)
    assert set(chain.expiries["forward_source"]) == {FORWARD_PARITY}


def test_short_carry_is_interpolated_and_the_rest_is_basis() -> None:
    """Options ahead of the tape by 4 bp do not turn into a carry of 15 % a year on the last day."""
    chain = fit(market(basis=4e-4))
    short = [years(expiry["settles_ns"], NOW) < CARRY_TAU_MIN for expiry in chain.expiries]
    assert short == [True, True, True, False, False, False]
    first_beyond = chain.expiries["carry"][3]
    assert first_beyond == pytest.approx(RATE - YIELD + 4e-4 * 365 / 60, abs=1e-4)
    assert list(chain.expiries["carry"][:3]) == [first_beyond] * 3
    assert chain.expiries["basis"][0] == pytest.approx(4e-4, abs=2e-5)
    assert list(chain.expiries["basis"][3:]) == [0.0] * 3
    assert forwards(chain) == pytest.approx([f * math.exp(4e-4) for f in true_forwards()], rel=1e-6)


def test_a_chain_of_one_short_expiry_takes_the_default_carry() -> None:
    """One day before settlement nothing beyond is known: forward by parity, carry as told."""
    chain = fit(market((1,), basis=4e-4), rate=RATE, dividend_yield=YIELD)
    assert chain.expiries["carry"][0] == pytest.approx(RATE - YIELD)
    assert forwards(chain)[0] == pytest.approx(true_forwards((1,))[0] * math.exp(4e-4), rel=1e-6)


def test_legs_quoted_at_different_spots_are_brought_together() -> None:
    """Calls quoted at 5000, puts at 5003, spot now at 5010: each expiry still finds its ratio F/S."""
    chain = fit(market((60, 120), spots=(5000.0, 5003.0)), spot=5010.0)
    assert forwards(chain, 5010.0) == pytest.approx(true_forwards((60, 120), 5010.0), rel=4e-5)


def test_stale_and_absurd_quotes_do_not_move_the_forward() -> None:
    """A tenth of the pairs is off by up to 5 % of spot with tight spreads; the forward stays within a basis point."""
    chain = market()
    generator = np.random.default_rng(11)
    for row in generator.choice(len(chain.contracts), len(chain.contracts) // 20, replace=False):
        quote = chain.contracts[row]["quote"]
        quote["bid"] += 250.0 * generator.random()
        quote["ask"] = quote["bid"] + 0.01
    fit(chain)
    assert forwards(chain) == pytest.approx(true_forwards(), rel=1e-4)


def test_one_sided_and_crossed_quotes_do_not_speak() -> None:
    """Bid 0, bid above ask and NaN are left out; with nothing left the default stands, and no NaN."""
    chain = market((20, 60))
    for row, contract in enumerate(chain.contracts):
        if contract["right"] == 1:
            contract["quote"]["bid"] = (0.0, 1e9, math.nan)[row % 3]
    fit(chain, rate=0.03, dividend_yield=0.01)
    assert list(chain.expiries["forward_source"]) == [FORWARD_DEFAULT] * 2
    assert list(chain.expiries["carry"]) == pytest.approx([0.02, 0.02])
    assert list(chain.expiries["rate"]) == [0.03, 0.03]


def test_an_expiry_without_pairs_lends_from_its_neighbours() -> None:
    """Carry between those of 60 and 400 days."""
    chain = market((60, 120, 400))
    chain.contracts["active"][chain.contracts["expiry"] == 1] = 0
    fit(chain)
    assert list(chain.expiries["forward_source"]) == [FORWARD_PARITY, FORWARD_CURVE, FORWARD_PARITY]
    assert forwards(chain) == pytest.approx(true_forwards((60, 120, 400)), rel=1e-5)


def test_a_rate_that_was_told_wins_over_the_slopes() -> None:
    """The forward hardly depends on it: near the forward call and put cost the same."""
    chain = fit(market(), rate=0.02)
    assert list(chain.expiries["rate"]) == [0.02] * len(DAYS)
    assert forwards(chain) == pytest.approx(true_forwards(), rel=5e-4)


def test_a_given_forward_and_discount_win_and_keep_their_meaning() -> None:
    """Given an hour ago at another spot: the carry is over the time they spoke of and does not grow as time runs."""
    chain = market((5, 60))
    expiry = chain.expiries[0]
    hour = chains.NS_PER_DAY // 24
    tau_then = years(expiry["settles_ns"], NOW - hour)
    expiry["given_forward"], expiry["given_forward_spot"] = 4950.0 * math.exp(0.02 * tau_then), 4950.0
    expiry["given_discount"], expiry["given_ts_ns"] = math.exp(-0.05 * tau_then), NOW - hour
    fit(chain)
    assert expiry["forward_source"] == FORWARD_GIVEN
    assert (expiry["carry"], expiry["rate"], expiry["basis"]) == pytest.approx((0.02, 0.05, 0.0))


def test_a_forward_given_before_any_spot_moves_with_spot_from_then_on() -> None:
    """It is tied to the first spot that comes."""
    chain = market((60,))
    chain.expiries[0]["given_forward"] = 5050.0
    fit(chain, spot=5000.0)
    fit(chain, spot=5100.0)
    assert forwards(chain, 5100.0) == pytest.approx([5050.0 * 5100 / 5000])


def test_settled_expiries_and_a_missing_spot_change_nothing() -> None:
    """Without a spot the rows stay as they are; a settled expiry has no NaN either."""
    chain = market((60,))
    before = chain.expiries.copy()
    fit(chain, spot=math.nan)
    for name in before.dtype.names:  # a copy does not keep what stands between the fields
        np.testing.assert_array_equal(chain.expiries[name], before[name])
    chain.expiries["settles_ns"] = NOW - 1
    chain.contracts["settles_ns"] = NOW - 1
    fit(chain)
    assert all(np.isfinite(chain.expiries[name][0]) for name in ("rate", "carry", "basis"))


@pytest.mark.parametrize("date", ["2026-08-18", "2026-08-19", "2026-08-20"])
def test_real_spx_forwards_equal_an_independent_regression(shared_data: Path, date: str) -> None:
    """Within 0.3 points from a week to two years; a rate between 3.5 and 5 % and a carry that a market can have."""
    chain, spot, now = chains.spx(shared_data, date)
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, spot, now, math.nan, 0.0)
    compared = 0
    for row, expiry in enumerate(chain.expiries):
        tau = years(expiry["settles_ns"], now)
        assert -0.01 < expiry["carry"] < 0.05
        assert 0.035 < expiry["rate"] < 0.05
        if not 7 / 365 <= tau <= 2:
            continue
        strikes, differences, weights = spx_pairs(chain, row, spot, tau)
        forward, _ = naive.parity_forward(strikes, differences, weights)
        assert spot * forward_ratio(expiry, now) == pytest.approx(forward, abs=0.3), tau
        compared += 1
    assert compared >= 45


def spx_pairs(chain: chains.Chain, row: int, spot: float, tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(strikes, C - P, weights) of the pairs within two deviations of an expiry, tight spreads first."""
    quotes = {(c["strike"], c["right"]): c["quote"] for c in chain.contracts if c["expiry"] == row}
    found = []
    for strike in {strike for strike, _ in quotes}:
        call, put = quotes.get((strike, 1)), quotes.get((strike, -1))
        near = abs(math.log(strike / spot)) < max(0.26 * math.sqrt(tau), 0.01)
        if near and call is not None and put is not None and min(call["bid"], put["bid"]) > 0:
            spread = (call["ask"] - call["bid"]) ** 2 + (put["ask"] - put["bid"]) ** 2
            middle = (call["bid"] + call["ask"] - put["bid"] - put["ask"]) / 2
            found.append((strike, middle, 1 / spread))
    strikes, differences, weights = np.array(found).T
    return strikes, differences, weights
