"""What the engine says: the published facts, with the field names and the field order of the wire.

Money is in the underlying's currency, vol a fraction, time UTC nanoseconds of the event. A value that cannot be
known is ``None`` with a reason in ``quality``; it is never 0 and never the last one.
"""

from typing import Literal

import msgspec

Regime = Literal["normal", "bulldozer", "burnout", "phase_transition"]
DealerRisk = Literal["amplifying", "dampening", "neutral", "critical"]


class Quality(msgspec.Struct, frozen=True):
    """How far the numbers beside it can be trusted; ``reasons`` are short snake_case words, sorted."""

    status: Literal["ok", "degraded", "stale"]
    reasons: list[str]


class Offsets(msgspec.Struct, frozen=True):
    """The input positions up to which (inclusive) a number was computed; -1 where nothing was read."""

    partition: int
    chain: int
    ticks: int


class BookPressure(msgspec.Struct, frozen=True):
    """The fields and the feedback of one dealer book."""

    gamma_field: float | None
    vanna_field: float | None
    charm_field: float | None
    hedge_pressure: float | None
    feedback_gain: float | None
    amplification: float | None
    gamma_usd_per_1pct: float | None
    feedback_gain_low: float | None
    feedback_gain_high: float | None
    amplification_low: float | None
    amplification_high: float | None


class Books(msgspec.Struct, frozen=True):
    """The three dealer books, side by side."""

    naive: BookPressure
    flow: BookPressure
    weighted: BookPressure


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one underlying: topic ``pressure`` and ``GET /v1/{underlying}/status``."""

    underlying: str
    ts_event_ns: int
    spot: float | None
    spot_source: str | None
    forward: float | None
    contracts: int
    gamma_field: float | None
    vanna_field: float | None
    charm_field: float | None
    hedge_pressure: float | None
    feedback_gain: float | None
    amplification: float | None
    books: Books
    gamma_usd_per_1pct: float | None
    gamma_usd_per_point: float | None
    vanna_usd_per_vol_point: float | None
    charm_usd_per_minute: float | None
    zero_dte_gamma_share: float | None
    kyle_lambda: float | None
    kyle_lambda_standard_error: float | None
    kyle_lambda_samples: int
    kyle_lambda_source: Literal["regression", "depth", "setting"] | None
    kyle_lambda_r_squared: float | None = None
    kyle_lambda_to_usual: float | None = None
    volume_to_usual: float | None = None
    impact_intensity: float | None
    amihud_illiquidity: float | None
    spot_vol_beta: float | None
    spot_vol_beta_standard_error: float | None
    feedback_gain_low: float | None
    feedback_gain_high: float | None
    amplification_low: float | None
    amplification_high: float | None
    interval_level: float
    amplification_without_vanna: float | None
    skew_stickiness: float
    skew_stickiness_standard_error: float | None = None
    skew_stickiness_source: Literal["estimate", "setting"] = "setting"
    dealer_share: float
    gamma_weight: float = 1.0
    vanna_weight: float = 1.0
    charm_weight: float = 1.0
    gain_breach_share: float | None
    decay_wind: float | None
    decay_wind_repriced: float | None
    decay_wind_amplified: float | None
    decay_wind_horizon_s: float
    gamma_flip: float | None
    gamma_flips: list[float]
    call_wall: float | None
    put_wall: float | None
    regime: Regime
    regime_confidence: float
    market_regime: Literal["low_vol", "high_vol", "transition"] | None
    protocol: Literal["hold", "monetize_partial", "exit_full"] | None
    short_protocol: Literal["hold_short", "close_short"] | None
    dealer_risk: DealerRisk | None
    american_contracts: int = 0
    american_vol_error: float | None = None
    american_gamma_error_share: float | None = None
    tau_floor_s: float
    quote_late_share: float | None = None
    quote_age_mean_s: float | None = None
    panel_error: float | None
    open_interest: float | None = None
    open_interest_estimate: float | None = None
    open_interest_estimate_standard_error: float | None = None
    open_interest_missing: int = 0
    opening_share: float | None = None
    opening_share_standard_error: float | None = None
    opening_share_source: Literal["estimate", "setting"] | None = None
    clipped_series: int = 0
    clipped_contracts: float = 0.0
    quality: Quality
    offsets: Offsets
    engine_version: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A change that somebody should know of: topic ``alerts``."""

    id: str
    underlying: str
    ts_event_ns: int
    rule: str
    from_state: str
    to_state: str
    severity: Literal["info", "warning", "critical"]
    reason: str
    evidence: dict[str, float | None]
    thresholds: dict[str, float]
    feedback_gain: float | None
    amplification: float | None
    amplification_low: float | None
    amplification_high: float | None
    spot: float | None
    quality: Quality | None = None
    offsets: Offsets
    engine_version: str


class TradeLabel(msgspec.Struct, frozen=True, kw_only=True):
    """The side given to one trade: a line of ``trades.jsonl``. ``symbol`` is None for the underlying's trades.

    An option trade with the rule reverse_tick has no side yet: it moves the books when the next price has told.
    Before a slash the rule says what was odd about the quote: locked_quote, crossed_quote, one_sided_quote or
    stale_quote.
    ``quote_age_s`` is that of the quote in force strictly before the trade, None where there was none.
    """

    underlying: str
    ts_event_ns: int
    symbol: str | None
    price: float
    size: float
    side: Literal["buy", "sell"] | None
    rule: str
    probability: float
    lee_ready_side: Literal["buy", "sell"] | None
    offset: int
    quote_age_s: float | None


Output = Pressure | Alert
