"""The numbers that the model depends on: frozen at start, hashed into every output.

Whatever stands here changes results; whatever does not (addresses, ports, sizes of queues) stands in
``settings.py``, which builds this from the environment and the config file.
"""

import hashlib
from dataclasses import asdict, dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class Parameters:
    """Units are the last word of each name; vol as a fraction, shares and weights without a unit."""

    # publication and event-time grids
    pressure_interval_ms: int = 100
    revalue_interval_ms: int = 50
    surface_interval_s: float = 10.0
    landscape_interval_s: float = 60.0
    landscape_move_share: float = 0.001
    screening_length: float = 0.01  # of the potential, in log price
    bar_s: float = 1.0
    future_limit_ms: int = 1000
    spot_max_age_s: float = 60.0

    # the panel
    panel_nodes: int = 8
    panel_half_width_log: float = 5e-4
    panel_window_s: float = 1.0
    panel_rebuild_events: int = 100_000
    hot_tau_s: float = 3600.0
    hot_width_deviations: float = 6.0
    tau_floor_s: float = 300.0
    quote_spread_max: float = 2.0

    # feedback
    default_book: str = "weighted"
    dealer_share: float = 1.0
    gamma_weight: float = 1.0
    vanna_weight: float = 1.0
    charm_weight: float = 1.0
    skew_stickiness: float = 1.5
    skew_stickiness_standard_error: float = 0.5
    skew_stickiness_half_life_s: float = 7200.0
    spot_vol_beta: float | None = None
    spot_vol_beta_standard_error: float | None = None
    interval_level: float = 0.90
    gain_implausible: float = 0.8
    decay_wind_horizon_s: float = 3600.0
    surface_phi: str = "by_expiry"
    stickiness: str = "strike"
    surface_move_max_log: float = 0.03
    rate: float | None = None
    dividend_yield: float = 0.0
    flow_anchor: str = "carry"
    opening_share: float = 0.69
    opening_share_standard_error: float = 0.29

    # liquidity
    liquidity_bar_s: float = 10.0
    liquidity_half_life_s: float = 1800.0
    liquidity_bars_max: int = 1440
    liquidity_samples_min: float = 60.0
    kyle_lambda: float | None = None
    kyle_lambda_standard_error: float | None = None
    flow_coverage: float = 1.0
    hedging_delay: str = "slower"

    # the numbers that sources give their records, and how much of a market is followed
    sequence_pause_s: float = 10.0
    sequence_gapless_share: float = 0.9
    sources_max: int = 4_096
    underlyings_max: int = 10_000
    contracts_max: int = 100_000

    # alerts beside the regime's
    critical_gain_exit: float = 0.9
    gamma_flip_dwell_s: float = 30.0
    gamma_flip_margin_share: float = 5e-4
    large_indices: str = "SPX NDX RUT DJX XSP"
    data_quality_amplification: float = 1.5
    data_quality_amplification_exit: float = 1.4
    data_quality_dwell_s: float = 600.0
    gain_breach_share_max: float = 0.01
    gain_breach_time_min_s: float = 3600.0

    # trade side: published out-of-sample accuracies until calibrated (MODEL.md section 8)
    stack_probability: float = 0.67
    index_lee_ready_probability: float = 0.52
    lee_ready_probability: float = 0.62
    tick_probability: float = 0.59
    multi_leg_probability: float = 0.5
    quote_stale_s: float = 60.0
    sweep_window_ms: int = 500
    session_gap_s: float = 14_400.0

    # regime machine
    regime_window_bars: int = 20
    regime_correlation: float = -0.85
    regime_vol_change_points: float = 0.5
    regime_kinematics_span_bars: int = 5
    regime_dwell_s: float = 10.0
    market_regime_dwell_s: float = 300.0

    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256 of all values, in the order of their names."""
        return hashlib.sha256(msgspec.json.encode(asdict(self), order="sorted")).hexdigest()[:12]
