"""Feedback: the table of signs, the interval by the ends of the gain, and what is unknown stays unknown."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.feedback import (
    Envelope,
    Feedback,
    amplification,
    book_feedback,
    dealer_risk,
    decay_wind,
    envelope,
    normal_width,
)
from dhpe.liquidity import KyleLambda
from dhpe.parameters import Parameters

LAMBDA = 5e-13
REGRESSION = KyleLambda(LAMBDA, 1e-13, 100, "regression")
DEPTH = KyleLambda(LAMBDA, None, 0, "depth")
NOTHING = KyleLambda(None, None, 0, None)
BETA = (-1.0, 0.5)
PLAIN = Parameters()


def book(
    gamma: float = -5e11,
    vanna: float = 1e11,
    impact: KyleLambda = REGRESSION,
    beta: tuple[float, float | None] | None = BETA,
    parameters: Parameters = PLAIN,
) -> Feedback:
    """A book whose vanna is all at one beta."""
    return book_feedback(gamma, vanna, 1e12, 0.0 if beta is None else beta[0] * vanna, impact, beta, parameters)


def test_the_check_of_the_model_page() -> None:
    """Gamma -$5bn per 1 %, 5 bp per $1bn: gain 0.25, amplification 1.3333."""
    found = book(vanna=0.0)
    assert found.hedge_pressure == 5e11
    assert found.feedback_gain == pytest.approx(0.25)
    assert found.amplification == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("gamma", "sign", "word"),
    [(5e11, -1, "dampening"), (0.0, 0, "neutral"), (-5e11, 1, "amplifying"), (-2e12, 1, "critical")],
)
def test_the_table_of_signs(gamma: float, sign: int, word: str) -> None:
    """Long gamma damps, short gamma amplifies, a gain of 1 has no amplification and is never clipped."""
    found = book(gamma, 0.0)
    assert found.feedback_gain is not None
    assert math.copysign(1, found.feedback_gain) * (found.feedback_gain != 0) == sign
    assert dealer_risk(found.feedback_gain, found.feedback_gain_low, found.feedback_gain_high) == word
    if word == "critical":
        assert found.amplification is None
        assert found.feedback_gain == pytest.approx(1.0)
    else:
        assert found.amplification is not None
        assert (found.amplification > 1) - (found.amplification < 1) == sign


def test_vanna_enters_with_beta_and_not_without() -> None:
    """Beta < 0 and vanna > 0 push with the move; A without vanna stands beside it."""
    found = book()
    assert found.hedge_pressure == pytest.approx(5e11 + 1e11)
    assert found.feedback_gain == pytest.approx(0.30)
    assert found.amplification_without_vanna == pytest.approx(4 / 3)


def test_the_interval_is_the_formula_of_the_page() -> None:
    """se_g^2 = Psi^2 se_l^2 + (l V s_b)^2 + (V se_l s_b)^2, by the ends of the gain."""
    found = book()
    pressure, vanna_term, relative, error = 6e11, 1e11, 0.5, 1e-13
    gain_error = math.sqrt(
        (pressure * error) ** 2 + (LAMBDA * vanna_term * relative) ** 2 + (vanna_term * error * relative) ** 2
    )
    low, high = 0.30 - 1.645 * gain_error, 0.30 + 1.645 * gain_error
    assert (found.feedback_gain_low, found.feedback_gain_high) == pytest.approx((low, high))
    assert (found.amplification_low, found.amplification_high) == pytest.approx((1 / (1 - low), 1 / (1 - high)))


def test_depth_is_wrong_by_a_factor_two_either_way() -> None:
    """Half and twice the gain where beta is exact; a negative pressure turns the ends around."""
    exact = (-1.0, 0.0)
    short = book(impact=DEPTH, beta=exact)
    assert (short.feedback_gain_low, short.feedback_gain_high) == pytest.approx((0.15, 0.60))
    long = book(5e11, 0.0, DEPTH, exact)
    assert (long.feedback_gain_low, long.feedback_gain_high) == pytest.approx((-0.5, -0.125))
    wider = book(impact=DEPTH)
    assert wider.feedback_gain_low < 0.15
    assert wider.feedback_gain_high > 0.60


def test_an_end_that_reaches_one_is_null() -> None:
    """The other end stays."""
    found = book(-1.5e12, 0.0, DEPTH)
    assert found.feedback_gain == pytest.approx(0.75)
    assert found.feedback_gain_high == pytest.approx(1.5)
    assert found.amplification_high is None
    assert found.amplification_low == pytest.approx(1 / (1 - 0.375))


@pytest.mark.parametrize(
    ("impact", "beta"),
    [
        (KyleLambda(LAMBDA, None, 0, "setting"), BETA),
        (REGRESSION, (-1.0, None)),
        (REGRESSION, None),
        (NOTHING, BETA),
    ],
)
def test_an_unknown_error_has_no_interval(impact: KyleLambda, beta: tuple[float, float | None] | None) -> None:
    """Null, never zero width."""
    found = book(impact=impact, beta=beta)
    assert found.feedback_gain_low is None
    assert found.feedback_gain_high is None
    assert found.amplification_low is None
    assert found.amplification_high is None


def test_an_unknown_beta_takes_the_vanna_term_away() -> None:
    """The number that is left is the one without vanna."""
    found = book(beta=None)
    assert found.amplification == found.amplification_without_vanna == pytest.approx(4 / 3)


def test_without_impact_the_pressure_is_still_known() -> None:
    """And without fields nothing is."""
    found = book(impact=NOTHING)
    assert found.hedge_pressure == pytest.approx(6e11)
    assert found.feedback_gain is None
    assert found.amplification is None
    empty = book_feedback(None, None, None, None, REGRESSION, BETA, PLAIN)
    assert set(empty) == {None}


def test_sticky_strike_keeps_the_error_of_beta() -> None:
    """Beta = 0 has no relative error; the absolute one widens the interval as a small beta's does."""
    still, moving = book(beta=(0.0, 0.5)), book(beta=(-1e-9, 0.5))
    assert still.feedback_gain_low == pytest.approx(moving.feedback_gain_low)
    assert still.feedback_gain_high > book(vanna=0.0).feedback_gain_high


def test_dealer_share_scales_the_pressure_and_its_error_but_no_field() -> None:
    """A third of the book hedges: a third of the gain and of the width from beta."""
    whole, third = book(), book(parameters=Parameters(dealer_share=1 / 3))
    assert third[:4] == whole[:4]
    assert third.hedge_pressure == pytest.approx(whole.hedge_pressure / 3)
    width = whole.feedback_gain_high - whole.feedback_gain_low
    assert third.feedback_gain_high - third.feedback_gain_low == pytest.approx(width / 3)


def test_the_weights_weigh() -> None:
    """w_Gamma and w_V multiply their own terms; without vanna's weight its error does not matter."""
    found = book(beta=(-1.0, None), parameters=Parameters(gamma_weight=0.5, vanna_weight=0.0))
    assert found.hedge_pressure == pytest.approx(2.5e11)
    assert found.feedback_gain_low is not None


def test_the_envelope_holds_every_book() -> None:
    """Ends of the gain first, so a critical book leaves the upper amplification open."""
    calm, wild = book(5e11, 0.0), book(-2.5e12, 0.0)
    both = envelope([calm, wild])
    assert both.feedback_gain_low == calm.feedback_gain_low
    assert both.feedback_gain_high == wild.feedback_gain_high
    assert both.amplification_low == calm.amplification_low
    assert both.amplification_high is None
    assert envelope([calm, book(impact=NOTHING)]) == Envelope(None, None, None, None)
    assert envelope([]) == Envelope(None, None, None, None)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    st.floats(-3e12, 3e12),
    st.floats(-3e12, 3e12),
    st.floats(-5.0, 5.0),
    st.floats(0.0, 3.0),
    st.sampled_from([REGRESSION, DEPTH]),
)
def test_the_interval_holds_its_number(
    gamma: float, vanna: float, beta: float, error: float, impact: KyleLambda
) -> None:
    """Low <= gain <= high, and the same for every amplification that exists."""
    found = book(gamma, vanna, impact, (beta, error))
    assert found.feedback_gain_low <= found.feedback_gain <= found.feedback_gain_high
    ends = [found.amplification_low, found.amplification, found.amplification_high]
    known = [end for end in ends if end is not None]
    assert known == sorted(known)
    assert ends[: len(known)] == known
    assert all(end > 0 for end in known)


def test_nothing_is_said_of_risk_without_an_interval() -> None:
    """Critical needs none."""
    assert dealer_risk(0.2, None, None) is None
    assert dealer_risk(None, None, None) is None
    assert dealer_risk(1.2, None, None) == "critical"
    assert dealer_risk(0.1, -0.1, 0.3) == "neutral"


def test_overhedging_is_a_gain_below_minus_one() -> None:
    """Hedging slower than the bar would oscillate."""
    assert book(2.5e12, 0.0).overhedging
    assert not book().overhedging
    assert not book(impact=NOTHING).overhedging


def test_widths_are_those_of_the_tables() -> None:
    """1.645 for 90 %, 1.96 for 95 %."""
    assert (normal_width(0.90), normal_width(0.95)) == (1.645, 1.96)


def test_amplification_never_is_negative_or_clipped() -> None:
    """At 1 and beyond there is none."""
    assert amplification(1.0) is None
    assert amplification(7.0) is None
    assert amplification(0.999) == pytest.approx(1000)


def test_charm_blows_with_its_own_sign() -> None:
    """Charm < 0: dealers buy back, the price rises. Linear, re-priced, and amplified by feedback."""
    short_puts = book()._replace(charm_field=-8.76e13)
    wind = decay_wind(short_puts, LAMBDA, 5000.0, -4e9, 3600.0, PLAIN)
    assert wind.linear == pytest.approx(5000 * LAMBDA * 8.76e13 / 8760)
    assert wind.repriced == pytest.approx(5000 * LAMBDA * 4e9)
    assert wind.amplified == pytest.approx(wind.repriced / (1 - 0.3))
    half = decay_wind(short_puts, LAMBDA, 5000.0, -4e9, 3600.0, Parameters(dealer_share=0.5, charm_weight=0.5))
    assert half.linear == pytest.approx(wind.linear / 4)
    assert decay_wind(short_puts, None, 5000.0, -4e9, 3600.0, PLAIN) == (None, None, None)
    assert decay_wind(short_puts, LAMBDA, 5000.0, None, 3600.0, PLAIN)[1:] == (None, None)
