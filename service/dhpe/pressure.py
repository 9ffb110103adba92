"""A reading as the published record: names and scales of the wire are made here, once."""

from typing import Final

from dhpe.alerts import Judge
from dhpe.feedback import Feedback, decay_wind, dealer_risk
from dhpe.liquidity import amihud_illiquidity
from dhpe.outputs import BookPressure, Books, Offsets, Pressure
from dhpe.reading import Reading, read
from dhpe.underlying import Underlying

MINUTES_PER_YEAR: Final = 525_600
PER_CENT: Final = 0.01
VOL_POINT: Final = 0.01


def _times(value: float | None, factor: float | None) -> float | None:
    return None if value is None or factor is None else value * factor


def _book(feedback: Feedback) -> BookPressure:
    return BookPressure(
        gamma_field=feedback.gamma_field,
        vanna_field=feedback.vanna_field,
        charm_field=feedback.charm_field,
        hedge_pressure=feedback.hedge_pressure,
        feedback_gain=feedback.feedback_gain,
        amplification=feedback.amplification,
        gamma_usd_per_1pct=_times(feedback.gamma_field, PER_CENT),
        feedback_gain_low=feedback.feedback_gain_low,
        feedback_gain_high=feedback.feedback_gain_high,
        amplification_low=feedback.amplification_low,
        amplification_high=feedback.amplification_high,
    )
