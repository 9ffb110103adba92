"""docs/gain.md says what is measured on the real SPX chains, and its sums are those of the engine and the textbook."""

import math
from pathlib import Path

import numpy as np
import pytest
from deploy.documents import gain
from scipy.stats import norm


@pytest.fixture(scope="module")
def evenings(shared_data: Path) -> list:
    """The three chains, measured."""
    return gain.measure(shared_data / "spx_chain")


def test_the_page_says_what_is_measured(evenings: list) -> None:
    """As `python -m deploy.documents.gain --check` does."""
    assert gain.DOCUMENT.read_text(encoding="utf-8") == gain.document(evenings)


def test_the_sum_over_expiries_is_the_gain_of_the_engine(evenings: list) -> None:
    """The panel and the plain sum over contracts agree, term by term."""
    for one in evenings:
        scale = sum(abs(expiry.gamma) + abs(expiry.vanna) for expiry in one.expiries)
        assert sum(expiry.gamma for expiry in one.expiries) == pytest.approx(one.gamma_gain, abs=1e-6 * scale)
        assert sum(expiry.vanna for expiry in one.expiries) == pytest.approx(one.vanna_gain, abs=1e-6 * scale)
        assert one.gamma_gain + one.vanna_gain == pytest.approx(one.gain, rel=1e-9)


def test_beta_is_half_the_slope_at_the_default_stickiness(evenings: list) -> None:
    """(R - 1) * slope with R = 1.5, so the parallel at-the-money beta is three times it."""
    for one in evenings:
        fitted = [expiry for expiry in one.expiries if math.isfinite(expiry.skew_slope)]
        assert len(fitted) > 40
        assert np.allclose([e.beta for e in fitted], [0.5 * e.skew_slope for e in fitted])


def test_the_golden_gamma_and_vanna_hold_in_the_kernel_that_sums() -> None:
    """MODEL.md section 2, once more by scipy, so that the page does not hang on our own density."""
    spot, strike, tau, rate, yield_, vol = 5000.0, 5050.0, 0.05, 0.045, 0.013, 0.15
    d1 = (math.log(spot / strike) + (rate - yield_ + vol * vol / 2) * tau) / (vol * math.sqrt(tau))
    density = math.exp(-yield_ * tau) * norm.pdf(d1)
    gamma, vanna, _ = gain.gamma_vanna_charm(spot, strike, tau, rate, yield_, vol, 1)
    assert gamma == pytest.approx(density / (spot * vol * math.sqrt(tau)), rel=1e-12)
    assert vanna == pytest.approx(-density * (d1 - vol * math.sqrt(tau)) / vol, rel=1e-12)
