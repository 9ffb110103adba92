"""What holds for every American price and vol, whoever computes it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.numerics import black
from dhpe.numerics.american import american_price, early_exercise_premium, invert_american
from dhpe.numerics.implied_vol import (
    ABOVE_MAXIMUM,
    BAD_INPUT,
    BELOW_INTRINSIC,
    NO_TIME,
    REASON_NAMES,
    SOLVED,
    VOL_OUT_OF_RANGE,
)

CALL, PUT = 1, -1
Terms = tuple[float, float, float, float, float, float, int]

legal = st.tuples(
    st.floats(1e-2, 1e6),
    st.floats(1e-2, 1e6),
    st.floats(0.0, 30.0),
    st.floats(-0.2, 0.5),
    st.floats(-0.2, 0.5),
    st.floats(0.0, 10.0),
    st.sampled_from([CALL, PUT]),
)
quoted = st.tuples(
    st.just(100.0),
    st.floats(60.0, 160.0),
    st.floats(1e-3, 3.0),
    st.floats(-0.02, 0.1),
    st.floats(-0.02, 0.1),
    st.floats(0.03, 2.0),
    st.sampled_from([CALL, PUT]),
)


@settings(max_examples=400, derandomize=True)
@given(legal)
def test_the_price_lies_between_its_bounds(terms: Terms) -> None:
    """Never below the European option or what exercise pays, never above share or strike; any legal input has one."""
    spot, strike, tau, rate, dividend_yield, _, right = terms
    value = american_price(*terms)
    slack = 1e-9 * (spot + strike)
    assert value >= black.price(*terms) - slack
    assert value >= right * (spot - strike)
    # With a negative rate a bond is worth more than the strike, and so may be the put on a share that goes to nothing.
    most = spot * math.exp(max(-dividend_yield * tau, 0.0)) if right == CALL else strike * math.exp(max(-rate * tau, 0))
    assert value <= most + 1e-6 * (spot + strike) + 0.05 * strike * (rate < 0 or dividend_yield < 0)


@settings(max_examples=300, derandomize=True)
@given(quoted, st.floats(1.001, 1.5))
def test_more_vol_is_never_cheaper(terms: Terms, more: float) -> None:
    """So that a price has at most one vol; to a hundredth of a per cent of the strike."""
    richer: Terms = (*terms[:5], terms[5] * more, terms[6])
    assert american_price(*richer) >= american_price(*terms) - 1e-4 * terms[1]


@settings(max_examples=300, derandomize=True)
@given(quoted)
def test_the_found_vol_prices_the_option(terms: Terms) -> None:
    """The American price at the found vol is the mid again; a mid without time value has a reason instead."""
    spot, strike, tau, rate, dividend_yield, _, right = terms
    mid = american_price(*terms)
    vol, reason = invert_american(mid, spot, strike, tau, rate, dividend_yield, right)
    if reason == SOLVED:
        again = american_price(spot, strike, tau, rate, dividend_yield, vol, right)
        assert again == pytest.approx(mid, rel=1e-5, abs=1e-6 * strike)
    else:
        assert math.isnan(vol)
        assert REASON_NAMES[reason] in ("bad_input", "below_intrinsic", "vol_out_of_range")
        exercised = max(right * (spot - strike), 0.0)
        european = max(right * (spot * math.exp(-dividend_yield * tau) - strike * math.exp(-rate * tau)), 0.0)
        assert mid - max(exercised, european) < 1e-6 * spot


@settings(max_examples=200, derandomize=True)
@given(quoted)
def test_a_call_is_a_put_with_everything_exchanged(terms: Terms) -> None:
    """Spot and strike, rate and yield (McDonald and Schroder 1998)."""
    spot, strike, tau, rate, dividend_yield, vol, right = terms
    other = american_price(strike, spot, tau, dividend_yield, rate, vol, -right)
    assert american_price(*terms) == pytest.approx(other, rel=1e-12, abs=1e-12 * strike)


@pytest.mark.parametrize(
    ("rate", "dividend_yield", "right"),
    [(0.05, 0.0, CALL), (0.0, 0.0, PUT), (-0.02, 0.0, PUT), (0.0, 0.03, PUT), (0.02, -0.01, CALL)],
)
def test_what_is_never_exercised_has_no_premium(rate: float, dividend_yield: float, right: int) -> None:
    """A call without dividends, a put without a rate."""
    assert early_exercise_premium(90.0, 100.0, 1.0, rate, dividend_yield, 0.3, right) == 0


@pytest.mark.parametrize("right", [CALL, PUT])
@pytest.mark.parametrize(
    ("tau", "vol"), [(0.0, 0.3), (1e-12, 0.3), (0.5, 0.0), (0.5, 1e-13), (0.5, 1e-7), (1e-9, 0.01)]
)
def test_without_time_or_vol_it_is_worth_its_exercise(tau: float, vol: float, right: int) -> None:
    """Where waiting earns nothing: with as much yield as rate, in the money."""
    strike = 110.0 if right == PUT else 90.0
    assert american_price(100.0, strike, tau, 0.05, 0.05, vol, right) == pytest.approx(10.0, abs=1e-7)


@pytest.mark.parametrize("place", range(6))
def test_nan_is_never_swallowed(place: int) -> None:
    """It stands in the price, and the inversion names it."""
    terms = [100.0, 100.0, 1.0, 0.05, 0.02, 0.2, PUT]
    terms[place] = math.nan
    assert math.isnan(american_price(*terms))
    mid_first = [5.0, 100.0, 100.0, 1.0, 0.05, 0.02, PUT]
    mid_first[place] = math.nan
    assert invert_american(*mid_first)[1] == BAD_INPUT


@pytest.mark.parametrize(
    ("mid", "spot", "tau", "right", "reason"),
    [
        (-1.0, 100.0, 1.0, PUT, BAD_INPUT),
        (5.0, math.inf, 1.0, PUT, BAD_INPUT),
        (5.0, 100.0, 0.0, PUT, NO_TIME),
        (20.0, 80.0, 1.0, PUT, BELOW_INTRINSIC),
        (19.9, 80.0, 1.0, PUT, BELOW_INTRINSIC),
        (20.0, 120.0, 1.0, CALL, BELOW_INTRINSIC),
        (100.0, 80.0, 1.0, PUT, ABOVE_MAXIMUM),
        (100.0, 100.0, 1.0, CALL, ABOVE_MAXIMUM),
        (1e-9, 100.0, 1.0, PUT, VOL_OUT_OF_RANGE),
        (99.9, 100.0, 1e-5, PUT, VOL_OUT_OF_RANGE),
    ],
)
def test_a_price_without_a_vol_has_a_reason(mid: float, spot: float, tau: float, right: int, reason: int) -> None:
    """Strike 100, rate 5 %, yield 3 %."""
    vol, found = invert_american(mid, spot, 100.0, tau, 0.05, 0.03, right)
    assert math.isnan(vol)
    assert REASON_NAMES[found] == REASON_NAMES[reason]
