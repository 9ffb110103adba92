"""Published records as the engine writes them, for the rooms that only read them.

The numbers are consistent with MODEL.md (gain = lambda times hedge pressure, amplification = 1/(1 - gain)); what is
chosen freely is the gain and its error.
"""

import math
from collections.abc import Iterator

import msgspec

from dhpe.edge.field_example import FIELD
from dhpe.field_outputs import Field
from dhpe.outputs import Alert, BookPressure, Books, Offsets, Pressure, Quality

START_NS = 1_780_000_000_000_000_000
KYLE_LAMBDA = 8e-13
ERROR_OF_GAIN = 0.05
NODES = 1.645


def amplification_of(gain: float) -> float | None:
    """1/(1 - gain), or nothing from a gain of 1 on."""
    return None if gain >= 1 else 1 / (1 - gain)


def book(gain: float, error: float = ERROR_OF_GAIN) -> BookPressure:
    """A book whose hedging has this gain."""
    hedge_pressure = gain / KYLE_LAMBDA
    low, high = gain - NODES * error, gain + NODES * error
    return BookPressure(
        gamma_field=-0.8 * hedge_pressure,
        vanna_field=0.2 * hedge_pressure / 1.3,
        charm_field=-3e12,
        hedge_pressure=hedge_pressure,
        feedback_gain=gain,
        amplification=amplification_of(gain),
        gamma_usd_per_1pct=-0.008 * hedge_pressure,
        feedback_gain_low=low,
        feedback_gain_high=high,
        amplification_low=amplification_of(low),
        amplification_high=amplification_of(high),
    )


def pressure(
    gain: float = 0.2,
    *,
    underlying: str = "SIM",
    ts_event_ns: int = START_NS,
    spot: float = 5000.0,
    regime: str = "normal",
    reasons: tuple[str, ...] = (),
) -> Pressure:
    """The state of one underlying at a feedback gain of ``gain`` (weighted book, the default one)."""
    books = Books(naive=book(gain + 0.06), flow=book(gain - 0.03), weighted=book(gain))
    chosen = books.weighted
    lows = [b.amplification_low for b in (books.naive, books.flow, books.weighted)]
    highs = [b.amplification_high for b in (books.naive, books.flow, books.weighted)]
    amplification = chosen.amplification
    risk = "critical" if gain >= 1 else "amplifying" if gain > 0.1 else "dampening" if gain < -0.1 else "neutral"
    return Pressure(
        underlying=underlying,
        ts_event_ns=ts_event_ns,
        spot=spot,
        spot_source="quote",
        forward=spot * 1.001,
        contracts=640,
        gamma_field=chosen.gamma_field,
        vanna_field=chosen.vanna_field,
        charm_field=chosen.charm_field,
        hedge_pressure=chosen.hedge_pressure,
        feedback_gain=gain,
        amplification=amplification,
        books=books,
        gamma_usd_per_1pct=chosen.gamma_usd_per_1pct,
        gamma_usd_per_point=(chosen.gamma_field or 0.0) / spot,
        vanna_usd_per_vol_point=0.01 * (chosen.vanna_field or 0.0),
        charm_usd_per_minute=(chosen.charm_field or 0.0) / 525_600,
        zero_dte_gamma_share=0.31,
        kyle_lambda=KYLE_LAMBDA,
        kyle_lambda_standard_error=1.1e-13,
        kyle_lambda_samples=140,
        kyle_lambda_source="regression",
        impact_intensity=spot * KYLE_LAMBDA,
        amihud_illiquidity=6e-13,
        spot_vol_beta=-1.3,
        spot_vol_beta_standard_error=0.2,
        feedback_gain_low=gain - NODES * ERROR_OF_GAIN,
        feedback_gain_high=gain + NODES * ERROR_OF_GAIN,
        amplification_low=None if None in lows else min(low for low in lows if low is not None),
        amplification_high=None if None in highs else max(high for high in highs if high is not None),
        interval_level=0.9,
        amplification_without_vanna=amplification_of(0.8 * gain),
        skew_stickiness=1.5,
        dealer_share=1.0,
        gain_breach_share=0.0,
        quote_late_share=0.01,
        quote_age_mean_s=0.4,
        decay_wind=1.9,
        decay_wind_repriced=1.6,
        decay_wind_amplified=None if amplification is None else 1.6 * amplification,
        decay_wind_horizon_s=3600.0,
        gamma_flip=spot * 1.008,
        gamma_flips=[spot * 1.008],
        call_wall=50.0 * math.ceil(spot / 50 + 0.5),
        put_wall=50.0 * math.floor(spot / 50 - 1.5),
        regime=regime,  # type: ignore[arg-type]
        regime_confidence=0.75,
        market_regime="transition",
        protocol="hold",
        short_protocol="hold_short",
        dealer_risk=risk,  # type: ignore[arg-type]
        tau_floor_s=300.0,
        panel_error=2e-9,
        quality=Quality("degraded" if reasons else "ok", sorted(reasons)),
        offsets=Offsets(0, 700, int((ts_event_ns - START_NS) // 1_000_000)),
        engine_version="dhpe 0.1.0 test",
    )


def alert(
    number: int = 1,
    *,
    underlying: str = "SIM",
    ts_event_ns: int = START_NS,
    from_state: str = "normal",
    to_state: str = "bulldozer",
    gain: float = 0.5,
) -> Alert:
    """A change of regime, with the evidence of the bulldozer rule."""
    return Alert(
        id=f"{number:016x}",
        underlying=underlying,
        ts_event_ns=ts_event_ns,
        rule=to_state,
        from_state=from_state,
        to_state=to_state,
        severity="critical" if to_state == "bulldozer" else "warning",
        reason="Spot falls while vol rises with it: correlation -0.93 over 20 bars, vol up 0.81 points.",
        evidence={"spot_vol_correlation": -0.93, "vol_change_points": 0.81, "feedback_gain": gain, "depth_ratio": None},
        thresholds={"spot_vol_correlation": -0.85, "vol_change_points": 0.5},
        feedback_gain=gain,
        amplification=amplification_of(gain),
        amplification_low=amplification_of(gain - 0.08),
        amplification_high=amplification_of(gain + 0.08),
        spot=4980.0,
        offsets=Offsets(0, 700, 12_345),
        engine_version="dhpe 0.1.0 test",
    )


def field(underlying: str = "SIM", *, ts_event_ns: int = START_NS, known: bool = True) -> Field:
    """The worked example as the field of this underlying; nothing of it where it is not ``known``."""
    parts = {} if known else dict.fromkeys(("spot", "spot_source", "at_spot", "landscape", "potential", "surface"))
    quality = Quality("ok", []) if known else Quality("stale", ["spot_unknown"])
    return msgspec.structs.replace(FIELD, underlying=underlying, ts_event_ns=ts_event_ns, quality=quality, **parts)


def encoded(record: Pressure | Alert | Field) -> bytes:
    """The record as it stands in its topic."""
    return msgspec.json.encode(record)


def calm_then_crash(steps: int, interval_ms: int = 100) -> Iterator[Pressure | Alert]:
    """A market that is damped, is crashed through, burns out and turns: pressures, and an alert at each turn."""
    turns = {0.5: ("normal", "bulldozer"), 0.75: ("bulldozer", "burnout"), 0.9: ("burnout", "phase_transition")}
    regime, spot = "normal", 5000.0
    for step in range(steps):
        share, ts_event_ns = step / steps, START_NS + step * interval_ms * 1_000_000
        wave = 0.015 * math.sin(step / 9) + 0.01 * math.sin(step / 2.3)
        gain = {"normal": -0.12, "bulldozer": 0.46, "burnout": 0.3, "phase_transition": 0.05}[regime] + wave
        spot *= 1 + 1e-5 * math.sin(step / 7) - (9e-5 if regime == "bulldozer" else 0)
        for at, (before, after) in turns.items():
            if regime == before and share >= at:
                regime = after
                yield alert(step, ts_event_ns=ts_event_ns, from_state=before, to_state=after, gain=gain)
        reasons = () if regime == "normal" else ("interval_wide",)
        yield pressure(gain, ts_event_ns=ts_event_ns, spot=spot, regime=regime, reasons=reasons)
