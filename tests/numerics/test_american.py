"""American price, vol and greeks against QuantLib: the errors that docs/american.md names are the bounds here."""

import math

import numpy as np
import pytest

from dhpe.numerics import black
from dhpe.numerics.american import GAMMA_ERROR_SHARE, VOL_ERRORS, american_price, invert_american
from dhpe.numerics.implied_vol import SOLVED, invert
from quantlib_american import Oracle

CALL, PUT = 1, -1
STRIKE = 100.0
DAYS = (3, 8, 30, 91, 182, 365, 730)
RATES = (0.005, 0.02, 0.045, 0.08)
YIELDS = (0.0, 0.005, 0.02, 0.05)
VOLS = (0.12, 0.2, 0.35, 0.7)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    """QuantLib."""
    return Oracle()


def options(count: int, seed: int = 20151224) -> list[tuple[float, ...]]:
    """Within two deviations of the money; (spot, strike, days, rate, yield, vol, right)."""
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(count):
        days, vol = int(random.choice(DAYS)), float(random.choice(VOLS))
        spot = STRIKE * math.exp(random.uniform(-2.0, 2.0) * vol * math.sqrt(days / 365))
        rate, dividend_yield = float(random.choice(RATES)), float(random.choice(YIELDS))
        drawn.append((spot, STRIKE, days, rate, dividend_yield, vol, int(random.choice((CALL, PUT)))))
    return drawn


def in_years(option: tuple[float, ...]) -> tuple[float, ...]:
    """As our kernels take it."""
    spot, strike, days, *others = option
    return (spot, strike, days / 365, *others)


def out_of_the_money(option: tuple[float, ...]) -> bool:
    """By the forward: the side whose vol a strike takes."""
    spot, strike, tau, rate, dividend_yield, _, right = in_years(option)
    return right * (spot * math.exp((rate - dividend_yield) * tau) - strike) <= 0


def test_two_oracles_agree(oracle: Oracle) -> None:
    """A tree of 801 steps and the fixed point of the boundary, to two hundredths of a per cent of the strike."""
    for option in options(25, seed=1):
        assert oracle.tree(*option) == pytest.approx(oracle.exact(*option), abs=2e-4 * STRIKE)


def test_the_price_is_near_the_exact_one(oracle: Oracle) -> None:
    """Worst 0.15 % of the strike at two years, five basis points at a quarter; root mean square a basis point."""
    drawn = options(600)
    miss = np.array([american_price(*in_years(option)) - oracle.exact(*option) for option in drawn]) / STRIKE
    days = np.array([option[2] for option in drawn])
    assert np.abs(miss).max() < 1.5e-3
    assert np.abs(miss[days <= 91]).max() < 5e-4
    assert np.sqrt((miss**2).mean()) < 2e-4


def test_the_vol_of_an_exact_price_comes_back(oracle: Oracle) -> None:
    """Out of the money, in vol points; taken for European the same quotes miss by ten times as much and more."""
    american, european, days = [], [], []
    for option in options(1000, seed=7):
        spot, strike, tau, rate, dividend_yield, vol, right = in_years(option)
        mid = oracle.exact(*option)
        if not out_of_the_money(option) or mid < 0.01:
            continue
        found, reason = invert_american(mid, spot, strike, tau, rate, dividend_yield, right)
        assert reason == SOLVED
        forward = spot * math.exp((rate - dividend_yield) * tau)
        plain, _ = invert(mid, forward, strike, tau, math.exp(-rate * tau), right)
        american.append(100 * abs(found - vol))
        european.append(100 * abs(plain - vol))
        days.append(option[2])
    ours, theirs, at = np.array(american), np.array(european), np.array(days)
    assert len(ours) > 300
    for limit, bound in VOL_ERRORS:
        assert ours[at <= limit].max() < 100 * bound
    assert np.quantile(ours, 0.95) < 0.1
    assert np.sqrt((theirs**2).mean()) > 8 * np.sqrt((ours**2).mean())


@pytest.mark.parametrize(("rate", "dividend_yield"), [(0.005, 0.0), (0.045, 0.0), (0.045, 0.02), (0.02, 0.05)])
def test_what_european_greeks_leave_out(oracle: Oracle, rate: float, dividend_yield: float) -> None:
    """Gamma of a year-long chain at the true vol, both rights, by finite differences on the American price."""
    gross, missed, net = 0.0, 0.0, 0.0
    for days in (30, 182, 365):
        tau = days / 365
        for step in range(-6, 7):
            spot = STRIKE * math.exp(0.25 * step * 0.3 * math.sqrt(tau))
            for right in (CALL, PUT):
                gamma = oracle.grid(spot, STRIKE, days, rate, dividend_yield, 0.3, right)[2]
                european = black.gamma_vanna_charm(spot, STRIKE, tau, rate, dividend_yield, 0.3, right)[0]
                gross += gamma * spot * spot
                missed += abs(european - gamma) * spot * spot
                net += (european - gamma) * spot * spot
    assert missed / gross < GAMMA_ERROR_SHARE
    assert abs(net) / gross < 0.055
