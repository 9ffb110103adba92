"""A reading as the published record: names and scales of the wire are made here, once."""

import math
from typing import Final

from dhpe.alerts import Judge
from dhpe.feedback import DecayWind, Feedback, decay_wind
from dhpe.landscape import Landscape
from dhpe.numerics.american import GAMMA_ERROR_SHARE
from dhpe.numerics.landscape import NS_PER_DAY
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.state import BOOKS, NS_PER_S
from dhpe.open_interest import clipped
from dhpe.outputs import BookPressure, Books, Offsets, Pressure
from dhpe.reading import Reading, read
from dhpe.surface import american_vol_error
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


def _forward(underlying: Underlying, spot: float | None) -> float | None:
    """Forward of the nearest expiry that has not settled; ``None`` without spot or before the first fit."""
    market = underlying.market
    expiries = underlying.book.state.expiries[: int(market["expiries"])]
    open_rows = expiries[expiries["settles_ns"] > market["ts_ns"]]
    if spot is None or len(open_rows) == 0 or not market["surface_spot"] > 0:
        return None
    nearest = open_rows[open_rows["settles_ns"].argmin()]
    forward = spot * float(forward_ratio(nearest, int(market["ts_ns"])))
    return forward if math.isfinite(forward) else None  # absurd rates of an expiry that lent them to this one


def _horizon_s(underlying: Underlying) -> float:
    """The horizon of the decay wind, cut at the next settlement."""
    left_s = (int(underlying.market["next_settlement_ns"]) - int(underlying.market["ts_ns"])) / NS_PER_S
    return min(underlying.parameters.decay_wind_horizon_s, max(left_s, 0.0))


def _american_vol_error(underlying: Underlying) -> float | None:
    """What de-Americanising may leave in the vols, by the longest expiry."""
    market = underlying.market
    last_ns = int(underlying.book.state.expiries["settles_ns"][: int(market["expiries"])].max())
    return american_vol_error((last_ns - int(market["ts_ns"])) / NS_PER_DAY)


def _wind(underlying: Underlying, reading: Reading, landscape: Landscape | None, horizon_s: float) -> DecayWind:
    return decay_wind(
        reading.default,
        reading.kyle_lambda.value,
        reading.spot,
        landscape.delta_change_usd if landscape else None,
        horizon_s,
        underlying.parameters,
    )


def pressure_of(underlying: Underlying, judge: Judge, offsets: Offsets, engine_version: str) -> Pressure:
    """The state of one underlying as it is published."""
    reading = read(underlying)
    parameters = underlying.parameters
    machine = judge.machine
    kyle = reading.kyle_lambda
    default = reading.default
    spot = reading.spot
    # Without fields there is no profile either: what was drawn before is not published again.
    landscape = underlying.refresh_landscape() if default.gamma_field is not None else None
    horizon_s = _horizon_s(underlying)
    wind = _wind(underlying, reading, landscape, horizon_s)
    stickiness = underlying.stickiness.now
    american = int(underlying.market["american_contracts"])
    usual = judge.usual.ratios(kyle.value)
    interest = reading.open_interest
    clipped_series, clipped_contracts = clipped(interest, BOOKS.index(parameters.default_book))
    return Pressure(
        underlying=underlying.name,
        ts_event_ns=int(underlying.market["ts_ns"]),
        spot=spot,
        spot_source=reading.spot_source,
        forward=_forward(underlying, spot),
        contracts=int(underlying.market["live_contracts" if underlying.market["panel_rebuilds"] else "contracts"]),
        gamma_field=default.gamma_field,
        vanna_field=default.vanna_field,
        charm_field=default.charm_field,
        hedge_pressure=default.hedge_pressure,
        feedback_gain=default.feedback_gain,
        amplification=default.amplification,
        books=Books(**{name: _book(feedback) for name, feedback in reading.books.items()}),
        gamma_usd_per_1pct=_times(default.gamma_field, PER_CENT),
        gamma_usd_per_point=_times(default.gamma_field, None if spot is None else 1.0 / spot),
        vanna_usd_per_vol_point=_times(default.vanna_field, VOL_POINT),
        charm_usd_per_minute=_times(default.charm_field, 1.0 / MINUTES_PER_YEAR),
        zero_dte_gamma_share=landscape.zero_dte_gamma_share if landscape else None,
        kyle_lambda=kyle.value,
        kyle_lambda_standard_error=kyle.standard_error,
        kyle_lambda_samples=kyle.samples,
        kyle_lambda_source=kyle.source,
        kyle_lambda_r_squared=kyle.r_squared,
        kyle_lambda_to_usual=usual.kyle_lambda,
        volume_to_usual=usual.volume,
        impact_intensity=_times(kyle.value, spot),
        amihud_illiquidity=reading.amihud_illiquidity,
        spot_vol_beta=reading.beta.value if reading.beta else None,
        spot_vol_beta_standard_error=reading.beta.standard_error if reading.beta else None,
        feedback_gain_low=reading.band.feedback_gain_low,
        feedback_gain_high=reading.band.feedback_gain_high,
        amplification_low=reading.band.amplification_low,
        amplification_high=reading.band.amplification_high,
        interval_level=parameters.interval_level,
        amplification_without_vanna=default.amplification_without_vanna,
        skew_stickiness=stickiness.value,
        skew_stickiness_standard_error=stickiness.standard_error,
        skew_stickiness_source=stickiness.source,
        dealer_share=parameters.dealer_share,
        gamma_weight=parameters.gamma_weight,
        vanna_weight=parameters.vanna_weight,
        charm_weight=parameters.charm_weight,
        gain_breach_share=judge.gain_breach_share,
        decay_wind=wind.linear,
        decay_wind_repriced=wind.repriced,
        decay_wind_amplified=wind.amplified,
        decay_wind_horizon_s=horizon_s,
        gamma_flip=landscape.gamma_flip if landscape else None,
        gamma_flips=list(landscape.gamma_flips) if landscape else [],
        call_wall=landscape.call_wall if landscape else None,
        put_wall=landscape.put_wall if landscape else None,
        regime=machine.state,
        regime_confidence=machine.confidence,
        market_regime=machine.market_regime,
        protocol=machine.protocol,
        short_protocol=machine.short_protocol,
        dealer_risk=reading.dealer_risk,
        american_contracts=american,
        american_vol_error=_american_vol_error(underlying) if american else None,
        american_gamma_error_share=GAMMA_ERROR_SHARE if american else None,
        tau_floor_s=parameters.tau_floor_s,
        quote_late_share=reading.quotes.late_share,
        quote_age_mean_s=reading.quotes.age_mean_s,
        panel_error=underlying.panel_error,
        open_interest=interest.printed,
        open_interest_estimate=interest.estimate,
        open_interest_estimate_standard_error=interest.standard_error,
        open_interest_missing=interest.missing,
        opening_share=interest.share.value,
        opening_share_standard_error=interest.share.standard_error,
        opening_share_source=interest.share.source,
        clipped_series=clipped_series,
        clipped_contracts=clipped_contracts,
        quality=reading.quality,
        offsets=offsets,
        engine_version=engine_version,
    )
