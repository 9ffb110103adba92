"""One worked example of each record and output, for the schemas, the documents and the tests.

The pressure is the check of MODEL.md section 4: gamma of -5bn USD per 1 % and an impact of 5 bp per 1bn USD make a
feedback gain of 0.25 and an amplification of 4/3.
"""

from typing import Final

from dhpe.edge import messages as wire
from dhpe.outputs import Alert, BookPressure, Books, Offsets, Pressure, Quality, TradeLabel

_TIME_NS: Final = 1_787_241_600_000_000_000
_SETTLES_NS: Final = 1_789_761_600_000_000_000
_SYMBOL: Final = "SPXW  260918C06500000"
_OFFSETS: Final = Offsets(partition=7, chain=30_211, ticks=1_204_551)
_VERSION: Final = "0.1.0+3f2a9c51d07e"

RECORDS: Final[dict[str, tuple[wire.Record, ...]]] = {
    "contract": (
        wire.Contract("SPX", _TIME_NS, _SYMBOL, "C", 6500.0, settles_ns=_SETTLES_NS),
        wire.Contract("SPX", _TIME_NS, _SYMBOL, "C", 6500.0, expiration="2026-09-18", settlement="pm", calendar="XNYS"),
    ),
    "instrument": (wire.Instrument("SPX", _TIME_NS, "ESU6", "hedge", 50.0),),
    "open_interest": (wire.OpenInterest("SPX", _TIME_NS, _SYMBOL, "2026-08-20", 12_450.0),),
    "rates": (
        wire.Rates("SPX", _TIME_NS, rate=0.0415, dividend_yield=0.0122),
        wire.Rates("SPX", _TIME_NS, settles_ns=_SETTLES_NS, forward=6541.25, discount=0.9967),
    ),
    "dealer_position": (wire.DealerPosition("SPX", _TIME_NS, _SYMBOL, -3_120.0),),
    "adjustment": (
        wire.Adjustment(
            "GOOGL",
            _TIME_NS,
            shares=20.0,
            series=[
                wire.AdjustedSeries(
                    "GOOGL 220916C02300000", "GOOGL 220916C00115000", strike=115.0, multiplier=100.0, contracts=20.0
                ),
                wire.AdjustedSeries(
                    "GOOGL 220916P02000000", "GOOGL 220916P00100000", strike=100.0, multiplier=100.0, contracts=20.0
                ),
            ],
        ),
    ),
    "option_quote": (
        wire.OptionQuote("SPX", _TIME_NS, _SYMBOL, 118.4, 22.0, 119.1, 35.0, sequence=88_123, source="opra-a"),
    ),
    "option_trade": (
        wire.OptionTrade(
            "SPX", _TIME_NS, _SYMBOL, 119.1, 10.0, "buy", bid=118.4, bid_size=22.0, ask=119.1, ask_size=35.0
        ),
    ),
    "trade": (wire.Trade("SPX", _TIME_NS, 6520.25, 3.0, "sell", "ESU6"),),
    "quote": (wire.Quote("SPX", _TIME_NS, 6520.0, 41.0, 6520.25, 38.0, "ESU6"),),
    "depth": (wire.Depth("SPX", _TIME_NS, [(6520.0, 41.0), (6519.75, 66.0)], [(6520.25, 38.0), (6520.5, 0.0)]),),
    "index_value": (wire.IndexValue("SPX", _TIME_NS, "VIX", 17.42),),
    "clock": (wire.Clock("*", _TIME_NS),),
}

_BOOK: Final = BookPressure(
    gamma_field=-5e11,
    vanna_field=-2.1e11,
    charm_field=4.2e11,
    hedge_pressure=5e11,
    feedback_gain=0.25,
    amplification=4 / 3,
    gamma_usd_per_1pct=-5e9,
    feedback_gain_low=0.15,
    feedback_gain_high=0.35,
    amplification_low=1 / 0.85,
    amplification_high=1 / 0.65,
)

PRESSURE: Final = Pressure(
    underlying="SPX",
    ts_event_ns=_TIME_NS,
    spot=6520.125,
    spot_source="quote",
    forward=6541.25,
    contracts=30_104,
    gamma_field=-5e11,
    vanna_field=-2.1e11,
    charm_field=4.2e11,
    hedge_pressure=5e11,
    feedback_gain=0.25,
    amplification=4 / 3,
    books=Books(naive=_BOOK, flow=_BOOK, weighted=_BOOK),
    gamma_usd_per_1pct=-5e9,
    gamma_usd_per_point=-5e11 / 6520.125,
    vanna_usd_per_vol_point=-2.1e9,
    charm_usd_per_minute=4.2e11 / 525_600,
    zero_dte_gamma_share=0.41,
    kyle_lambda=5e-13,
    kyle_lambda_standard_error=1.2e-13,
    kyle_lambda_samples=214,
    kyle_lambda_source="regression",
    kyle_lambda_r_squared=0.31,
    kyle_lambda_to_usual=1.1,
    volume_to_usual=0.9,
    impact_intensity=5e-13 * 6520.125,
    amihud_illiquidity=7.7e-13,
    spot_vol_beta=0.0,
    spot_vol_beta_standard_error=None,
    feedback_gain_low=0.15,
    feedback_gain_high=0.35,
    amplification_low=1 / 0.85,
    amplification_high=1 / 0.65,
    interval_level=0.9,
    amplification_without_vanna=4 / 3,
    skew_stickiness=1.5,
    skew_stickiness_standard_error=0.5,
    dealer_share=1.0,
    gain_breach_share=None,
    decay_wind=-0.16,
    decay_wind_repriced=-0.11,
    decay_wind_amplified=-0.11 * 4 / 3,
    decay_wind_horizon_s=3600.0,
    gamma_flip=6570.4,
    gamma_flips=[6570.4],
    call_wall=6600.0,
    put_wall=6500.0,
    regime="normal",
    regime_confidence=0.8,
    market_regime="transition",
    protocol=None,
    short_protocol=None,
    dealer_risk="amplifying",
    tau_floor_s=300.0,
    panel_error=1e-9,
    open_interest=1_204_000.0,
    open_interest_estimate=1_236_400.0,
    open_interest_estimate_standard_error=6_100.0,
    open_interest_missing=12,
    opening_share=0.68,
    opening_share_standard_error=0.018,
    opening_share_source="estimate",
    clipped_series=3,
    clipped_contracts=410.0,
    quality=Quality(status="degraded", reasons=["beta_unknown"]),
    offsets=_OFFSETS,
    engine_version=_VERSION,
)

ALERT: Final = Alert(
    id="9b1f0c3e5a7d4e21",
    underlying="SPX",
    ts_event_ns=_TIME_NS,
    rule="bulldozer",
    from_state="normal",
    to_state="bulldozer",
    severity="warning",
    reason="Spot and vol move against each other in 97 of 100 bars while vol rises.",
    evidence={"spot_vol_correlation": -0.97, "vol_change_points": 0.8},
    thresholds={"spot_vol_correlation": -0.85, "vol_change_points": 0.5},
    feedback_gain=0.25,
    amplification=4 / 3,
    amplification_low=1 / 0.85,
    amplification_high=1 / 0.65,
    spot=6520.125,
    quality=Quality(status="degraded", reasons=["sequence_gap"]),
    offsets=_OFFSETS,
    engine_version=_VERSION,
)

TRADE_LABEL: Final = TradeLabel(
    underlying="SPX",
    ts_event_ns=_TIME_NS,
    symbol=_SYMBOL,
    price=119.1,
    size=10.0,
    side="buy",
    rule="feed",
    probability=1.0,
    lee_ready_side="buy",
    offset=1_204_551,
    quote_age_s=0.25,
)
