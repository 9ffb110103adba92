"""Feedback: from the fields of a dealer book and the price impact to one amplification with its interval.

Dealers who are short gamma buy what rises: hedge_pressure > 0, gain > 0, amplification > 1. At a gain of 1 each
hedge calls for one as large as itself, and there is no finite amplification: it is ``None``, never clipped. All of it
is MODEL.md section 4.
"""

import math
from statistics import NormalDist
from typing import NamedTuple, Protocol

from dhpe.outputs import DealerRisk
from dhpe.parameters import Parameters

DEPTH_FACTOR = 2.0
SECONDS_PER_YEAR = 365.0 * 86_400.0
CRITICAL_GAIN = 1.0
OSCILLATING_GAIN = -1.0


class Impact(Protocol):
    """Price impact with its error and where it comes from, as ``liquidity.KyleLambda``."""

    @property
    def value(self) -> float | None:
        """Log return per USD."""
        ...

    @property
    def standard_error(self) -> float | None:
        """In the unit of the value."""
        ...

    @property
    def source(self) -> str | None:
        """The word "depth" means a factor 2 either way."""
        ...


class Fields(NamedTuple):
    """Sums over a book: USD per unit log return, per 1.00 of vol, per year; ``beta_vanna`` has each contract's beta."""

    gamma: float
    vanna: float
    charm: float
    beta_vanna: float


class Envelope(NamedTuple):
    """An interval of the gain and of the amplification; ``None`` where an end is unknown or not finite."""

    feedback_gain_low: float | None
    feedback_gain_high: float | None
    amplification_low: float | None
    amplification_high: float | None


class Feedback(NamedTuple):
    """The fields of one book and what they do to prices. ``None`` is unknown; see ``amplification`` for the gain."""

    gamma_field: float | None
    vanna_field: float | None
    charm_field: float | None
    beta_vanna_field: float | None
    hedge_pressure: float | None
    feedback_gain: float | None
    amplification: float | None
    feedback_gain_low: float | None
    feedback_gain_high: float | None
    amplification_low: float | None
    amplification_high: float | None
    amplification_without_vanna: float | None

    @property
    def overhedging(self) -> bool:
        """Whether hedging slower than the bar would overshoot and oscillate."""
        return self.feedback_gain is not None and self.feedback_gain < OSCILLATING_GAIN


class DecayWind(NamedTuple):
    """Drift from charm hedging over the horizon, price points: linear, re-priced, and that after feedback."""

    linear: float | None
    repriced: float | None
    amplified: float | None


UNKNOWN = Envelope(None, None, None, None)


def amplification(gain: float | None) -> float | None:
    """A = 1 / (1 - gain); ``None`` where the gain is unknown or reaches 1."""
    if gain is None or gain >= CRITICAL_GAIN:
        return None
    return 1.0 / (1.0 - gain)


def normal_width(level: float) -> float:
    """Half width of a two-sided normal interval in standard errors, as tables print it: 1.645 for 0.90."""
    return round(NormalDist().inv_cdf(0.5 + 0.5 * level), 3)


def _vanna_term_error(fields: Fields, beta: tuple[float, float | None] | None, parameters: Parameters) -> float | None:
    """Standard error of the vanna term w_V * sum(beta n vanna S M), USD; ``None`` where that of beta is unknown."""
    weight = abs(parameters.dealer_share * parameters.vanna_weight)
    if weight == 0.0 or (fields.vanna == 0.0 and fields.beta_vanna == 0.0):
        return 0.0
    if beta is None or beta[1] is None:
        return None
    value, error = beta[0], beta[1]
    if value == 0.0:
        # The relative error has no meaning at beta = 0 (sticky strike), the absolute one does.
        return weight * abs(fields.vanna) * error
    return weight * abs(fields.beta_vanna) * error / abs(value)


def _gain_interval(
    hedge_pressure: float, vanna_error: float, kyle_lambda: Impact, level: float
) -> tuple[float, float] | None:
    """(low, high) of lambda * pressure; ``None`` where the error of lambda is unknown."""
    impact, error = kyle_lambda.value, kyle_lambda.standard_error
    width = normal_width(level)
    if impact is None:
        return None
    if kyle_lambda.source == "depth":
        low, high = hedge_pressure - width * vanna_error, hedge_pressure + width * vanna_error
        small, large = impact / DEPTH_FACTOR, impact * DEPTH_FACTOR
        return min(small * low, large * low), max(small * high, large * high)
    if error is None:
        return None
    by_impact = hedge_pressure * error
    by_beta = impact * vanna_error
    by_both = vanna_error * error
    gain_error = math.sqrt(by_impact * by_impact + by_beta * by_beta + by_both * by_both)
    gain = impact * hedge_pressure
    return gain - width * gain_error, gain + width * gain_error


def _between(gains: tuple[float, float] | None) -> Envelope:
    if gains is None:
        return UNKNOWN
    low, high = gains
    return Envelope(low, high, amplification(low), amplification(high))


def book_feedback(
    gamma_field: float | None,
    vanna_field: float | None,
    charm_field: float | None,
    beta_vanna_field: float | None,
    kyle_lambda: Impact,
    beta: tuple[float, float | None] | None,
    parameters: Parameters,
) -> Feedback:
    """The feedback of one book.

    Fields in the units of ``Fields``, ``None`` where unknown. ``beta`` is the |vanna|-weighted mean of the spot-vol
    beta and its standard error; ``None`` where it is unknown, which makes the vanna term 0 and the interval unknown.
    ``dealer_share`` scales the pressure and its errors, never the fields.
    """
    if gamma_field is None or vanna_field is None or charm_field is None or beta_vanna_field is None:
        return Feedback(gamma_field, vanna_field, charm_field, beta_vanna_field, *(None,) * 8)
    fields = Fields(gamma_field, vanna_field, charm_field, beta_vanna_field if beta is not None else 0.0)
    without_vanna = -parameters.dealer_share * parameters.gamma_weight * fields.gamma
    hedge_pressure = without_vanna - parameters.dealer_share * parameters.vanna_weight * fields.beta_vanna
    impact = kyle_lambda.value
    gain = None if impact is None else impact * hedge_pressure
    vanna_error = _vanna_term_error(fields, beta, parameters)
    level = parameters.interval_level
    interval = _between(
        None if vanna_error is None else _gain_interval(hedge_pressure, vanna_error, kyle_lambda, level)
    )
    return Feedback(
        gamma_field=gamma_field,
        vanna_field=vanna_field,
        charm_field=charm_field,
        beta_vanna_field=fields.beta_vanna,
        hedge_pressure=hedge_pressure,
        feedback_gain=gain,
        amplification=amplification(gain),
        feedback_gain_low=interval.feedback_gain_low,
        feedback_gain_high=interval.feedback_gain_high,
        amplification_low=interval.amplification_low,
        amplification_high=interval.amplification_high,
        amplification_without_vanna=amplification(None if impact is None else impact * without_vanna),
    )


def envelope(books: list[Feedback]) -> Envelope:
    """The interval that holds those of all books; unknown if one of them is."""
    lows = [book.feedback_gain_low for book in books if book.feedback_gain_low is not None]
    highs = [book.feedback_gain_high for book in books if book.feedback_gain_high is not None]
    if not books or len(lows) < len(books) or len(highs) < len(books):
        return UNKNOWN
    return _between((min(lows), max(highs)))


def dealer_risk(gain: float | None, gain_low: float | None, gain_high: float | None) -> DealerRisk | None:
    """The one word: what the interval of the gain allows to say; ``None`` where nothing is known."""
    if gain is None:
        return None
    if gain >= CRITICAL_GAIN:
        return "critical"
    if gain_low is None or gain_high is None:
        return None
    if gain_low > 0.0:
        return "amplifying"
    return "dampening" if gain_high < 0.0 else "neutral"


def decay_wind(
    book: Feedback,
    kyle_lambda: float | None,
    spot: float | None,
    delta_change_usd: float | None,
    horizon_s: float,
    parameters: Parameters,
) -> DecayWind:
    """Drift from the passing of time alone: -kappa w_CH charm H / year, kappa = spot * lambda in points per USD.

    ``horizon_s`` is the parameter, cut by the caller at the next settlement. ``delta_change_usd`` is the exact change
    of the dealers' delta over the horizon (``landscape.Landscape``).
    """
    if kyle_lambda is None or spot is None:
        return DecayWind(None, None, None)
    flow_impact = -spot * kyle_lambda * parameters.charm_weight * parameters.dealer_share
    linear = None if book.charm_field is None else flow_impact * book.charm_field * horizon_s / SECONDS_PER_YEAR
    repriced = None if delta_change_usd is None else flow_impact * delta_change_usd
    amplified = None if repriced is None or book.amplification is None else repriced * book.amplification
    return DecayWind(linear, repriced, amplified)
