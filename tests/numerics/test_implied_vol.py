"""Implied vol: the inverse of the price to the last digits, and a reason for every price that has none."""

import math
import os
import subprocess
import sys

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from dhpe.numerics import implied_vol
from dhpe.numerics.black import price
from dhpe.numerics.implied_vol import (
    ABOVE_MAXIMUM,
    BAD_INPUT,
    BELOW_INTRINSIC,
    NO_TIME,
    REASON_NAMES,
    SOLVED,
    VOL_OUT_OF_RANGE,
    invert,
)


@pytest.mark.parametrize("vol", [0.03, 0.1, 0.2, 0.7, 2.5])
@pytest.mark.parametrize("deviations", [-6.0, -2.0, -0.1, 0.0, 0.3, 4.0])
@pytest.mark.parametrize("tau", [300 / 31_536_000, 0.02, 1.5])
def test_the_vol_of_an_exact_price_comes_back(vol: float, deviations: float, tau: float) -> None:
    """Out-of-the-money prices in 50 digits, rounded once: 12 digits of vol survive."""
    forward = 5000.0
    strike = forward * math.exp(deviations * vol * math.sqrt(tau))
    right = 1 if strike >= forward else -1
    discount = math.exp(-0.04 * tau)
    with mpmath.workdps(50):
        terms = [mpmath.mpf(value) for value in (forward, strike, tau, 0, 0, vol)]
        mid = float(naive.exact_price(*terms, right)) * discount
    assert invert(mid, forward, strike, tau, discount, right) == (pytest.approx(vol, rel=1e-12), SOLVED)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.floats(1.0, 1e5),
    st.floats(-5.0, 5.0),
    st.floats(1e-5, 5.0),
    st.floats(0.02, 3.0),
    st.floats(-0.02, 0.1),
    st.sampled_from([1, -1]),
)
def test_the_found_vol_prices_the_option(
    forward: float, deviations: float, tau: float, vol: float, rate: float, right: int
) -> None:
    """Pricing with the found vol gives the mid again; what has no time value left has a reason instead."""
    strike = forward * math.exp(deviations * vol * math.sqrt(tau))
    mid = price(forward * math.exp(-rate * tau), strike, tau, rate, 0.0, vol, right)
    discount = math.exp(-rate * tau)
    found, reason = invert(mid, forward, strike, tau, discount, right)
    if reason != SOLVED:
        time_value = mid - discount * max(right * (forward - strike), 0)
        assert math.isnan(found)
        assert time_value < 1e-6 * mid or mid > 0.9 * discount * (forward if right == 1 else strike)
        return
    again = price(forward * discount, strike, tau, rate, 0.0, found, right)
    assert again == pytest.approx(mid, rel=1e-9, abs=1e-11 * forward)


@pytest.mark.parametrize(
    ("mid", "forward", "strike", "tau", "right", "reason"),
    [
        (math.nan, 100.0, 100.0, 1.0, 1, BAD_INPUT),
        (0.0, 100.0, 100.0, 1.0, 1, BAD_INPUT),
        (5.0, math.inf, 100.0, 1.0, 1, BAD_INPUT),
        (5.0, 100.0, 0.0, 1.0, 1, BAD_INPUT),
        (5.0, 100.0, 100.0, math.nan, 1, BAD_INPUT),
        (5.0, 100.0, 100.0, 0.0, 1, NO_TIME),
        (5.0, 100.0, 100.0, -0.1, -1, NO_TIME),
        (9.9, 110.0, 100.0, 1.0, 1, BELOW_INTRINSIC),
        (10.0, 110.0, 100.0, 1.0, 1, BELOW_INTRINSIC),
        (110.0, 110.0, 100.0, 1.0, 1, ABOVE_MAXIMUM),
        (101.0, 110.0, 100.0, 1.0, -1, ABOVE_MAXIMUM),
        (99.0, 100.0, 100.0, 1e-5, 1, VOL_OUT_OF_RANGE),
        (1e-9, 100.0, 100.0, 1.0, 1, VOL_OUT_OF_RANGE),
    ],
)
def test_a_price_without_a_vol_has_a_reason(
    mid: float, forward: float, strike: float, tau: float, right: int, reason: int
) -> None:
    """No NaN is silent."""
    vol, found = invert(mid, forward, strike, tau, 1.0, right)
    assert math.isnan(vol)
    assert REASON_NAMES[found] == REASON_NAMES[reason]


def test_every_reason_has_one_name() -> None:
    """The codes of the module and their names are the same set."""
    codes = [
        value for name, value in vars(implied_vol).items()
        if name.isupper() and isinstance(value, int) and name != "ITERATIONS_MAX"
    ]  # fmt: skip
    assert sorted(codes) == list(range(len(REASON_NAMES)))
    assert len(set(REASON_NAMES)) == len(REASON_NAMES)


def test_both_sides_of_a_strike_give_the_same_vol() -> None:
    """By parity: the in-the-money call holds the vol of the out-of-the-money put."""
    forward, strike, tau, rate, vol = 5000.0, 4800.0, 0.1, 0.04, 0.18
    discount = math.exp(-rate * tau)
    for right in (1, -1):
        mid = price(forward * discount, strike, tau, rate, 0.0, vol, right)
        assert invert(mid, forward, strike, tau, discount, right)[0] == pytest.approx(vol, rel=1e-12)


def test_the_import_of_the_solver_compiles_nothing() -> None:
    """Each start of a process would pay for it; and the compiler's decorators are themselves again afterwards."""
    asked = (
        "import numba; before = numba.njit, numba.vectorize\n"
        "from dhpe.numerics import implied_vol\n"
        "from vanilla_option_pricers import utils\n"
        "assert (numba.njit, numba.vectorize) == before\n"
        "print(utils._ncdf_inv_scalar.signatures, utils.ncdf.types, utils.inv_erf.types)"
    )
    compiling = os.environ | {"NUMBA_DISABLE_JIT": "0"}  # without the compiler the solver is compiled at its import
    ended = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True, env=compiling)
    assert ended.stdout.split() == ["[]", "[]", "[]"]
