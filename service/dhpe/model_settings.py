"""The settings that change results, one for each field of ``Parameters``, with their limits.

``settings.py`` adds those of the surroundings and reads the environment and the file.
"""

from dataclasses import fields
from typing import Annotated, Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from dhpe.parameters import Parameters

PREFIX: Final = "DHPE_"

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0.5, le=1)]

_MODEL: Final = Parameters()


class ModelSettings(BaseSettings):
    """The settings that change results: field by field those of ``Parameters``, with their limits."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    pressure_interval_ms: int = Field(_MODEL.pressure_interval_ms, ge=0, description="event-time grid; 0 = every tick")
    revalue_interval_ms: int = Field(_MODEL.revalue_interval_ms, ge=0, description="grid on which quotes are revalued")
    surface_interval_s: Positive = Field(
        _MODEL.surface_interval_s, description="grid on which the surface is fitted anew"
    )
    landscape_interval_s: Positive = Field(_MODEL.landscape_interval_s, description="grid of new flips and walls")
    landscape_move_share: Positive = Field(_MODEL.landscape_move_share, description="move of spot that has them anew")
    screening_length: Positive = Field(_MODEL.screening_length, description="of the potential, in log price")
    bar_s: Positive = Field(_MODEL.bar_s, description="length of the regime's bars")
    future_limit_ms: int = Field(_MODEL.future_limit_ms, ge=0, description="event time may lead the append time so far")
    spot_max_age_s: Positive = Field(_MODEL.spot_max_age_s, description="an older spot is null")

    panel_nodes: int = Field(_MODEL.panel_nodes, ge=3, le=64, description="Chebyshev nodes in log spot")
    panel_half_width_log: Positive = Field(
        _MODEL.panel_half_width_log, description="half width of the panel in log spot"
    )
    panel_window_s: Positive = Field(_MODEL.panel_window_s, description="time between the panel's two instants")
    panel_rebuild_events: Count = Field(
        _MODEL.panel_rebuild_events, description="option events until a rebuild removes round-off"
    )
    hot_tau_s: NotNegative = Field(_MODEL.hot_tau_s, description="below it a contract near the spot is summed exactly")
    hot_width_deviations: NotNegative = Field(
        _MODEL.hot_width_deviations, description="what near means, in standard deviations"
    )
    tau_floor_s: Positive = Field(_MODEL.tau_floor_s, description="least time to settlement in the fields")
    quote_spread_max: Positive = Field(
        _MODEL.quote_spread_max, description="widest quote with a vol of its own: spread over mid, 2 and more for any"
    )

    default_book: Literal["naive", "flow", "weighted"] = Field("weighted", description="of the headline numbers")
    dealer_share: Share = Field(_MODEL.dealer_share, description="share of open interest that is hedged")
    gamma_weight: Finite = Field(_MODEL.gamma_weight, description="weight of gamma in the hedge pressure")
    vanna_weight: Finite = Field(_MODEL.vanna_weight, description="weight of vanna in the hedge pressure")
    charm_weight: Finite = Field(_MODEL.charm_weight, description="weight of charm in the decay wind")
    skew_stickiness: Finite = Field(_MODEL.skew_stickiness, description="1 = sticky strike, 0 = sticky delta")
    skew_stickiness_standard_error: NotNegative = Field(
        _MODEL.skew_stickiness_standard_error, description="of skew_stickiness; a smaller live error replaces both"
    )
    skew_stickiness_half_life_s: Positive = Field(
        _MODEL.skew_stickiness_half_life_s, description="weights of the live estimate halve in it"
    )
    spot_vol_beta: Finite | None = Field(_MODEL.spot_vol_beta, description="one value for all expiries")
    spot_vol_beta_standard_error: NotNegative | None = Field(
        _MODEL.spot_vol_beta_standard_error, description="of spot_vol_beta"
    )
    interval_level: float = Field(_MODEL.interval_level, gt=0, lt=1, description="probability of the intervals")
    gain_implausible: Positive = Field(
        _MODEL.gain_implausible, description="a larger gain on a never anchored book is degraded"
    )
    decay_wind_horizon_s: Positive = Field(_MODEL.decay_wind_horizon_s, description="cut at the next settlement")
    surface_phi: Literal["by_expiry", "power_law", "heston_like"] = Field(
        "by_expiry", description="SSVI: each expiry its own rho and phi, or one rho and phi a law of variance"
    )
    stickiness: Literal["strike", "delta"] = Field(
        "strike", description="what a vol holds to while spot moves: its strike, or its distance from the forward"
    )
    surface_move_max_log: Positive = Field(
        _MODEL.surface_move_max_log, description="move of spot since the last fit of the surface that degrades"
    )
    rate: Finite | None = Field(
        _MODEL.rate, description="per year, continuous, where no rates record speaks; unset it comes from the quotes"
    )
    dividend_yield: Finite = Field(_MODEL.dividend_yield, description="per year, continuous, where no record speaks")
    flow_anchor: Literal["carry", "naive"] = Field("carry", description="what open interest does to the flow books")
    opening_share: Share = Field(
        _MODEL.opening_share,
        description="of the sides of option trades that open; for the open interest estimate alone",
    )
    opening_share_standard_error: NotNegative = Field(
        _MODEL.opening_share_standard_error, description="of opening_share; a smaller live error replaces both"
    )

    liquidity_bar_s: Positive = Field(_MODEL.liquidity_bar_s, description="length of the bars of the impact regression")
    liquidity_half_life_s: Positive = Field(
        _MODEL.liquidity_half_life_s, description="weights of those bars halve in it"
    )
    liquidity_bars_max: Count = Field(_MODEL.liquidity_bars_max, description="bars that are kept")
    liquidity_samples_min: Positive = Field(
        _MODEL.liquidity_samples_min, description="effective bars before the regression counts"
    )
    kyle_lambda: NotNegative | None = Field(_MODEL.kyle_lambda, description="per USD; instead of the estimate")
    kyle_lambda_standard_error: NotNegative | None = Field(
        _MODEL.kyle_lambda_standard_error, description="of kyle_lambda"
    )
    flow_coverage: float = Field(_MODEL.flow_coverage, gt=0, le=1, description="this venue's share of hedging volume")
    hedging_delay: Literal["slower", "faster"] = Field(
        "slower", description="than liquidity_bar_s; faster hedging biases the plain impact, which is then corrected"
    )

    sequence_pause_s: Positive = Field(
        _MODEL.sequence_pause_s,
        description="a source whose numbers fall after such a silence begins anew",
    )
    sequence_gapless_share: Positive = Field(
        _MODEL.sequence_gapless_share,
        description="a source of whose steps so many are by one has lost what is missing; above 1 gaps are not told",
    )
    sources_max: Count = Field(_MODEL.sources_max, description="sources with sequences in a partition")
    underlyings_max: Count = Field(
        _MODEL.underlyings_max, description="underlyings of a partition, and those that the view and the metrics keep"
    )
    contracts_max: Count = Field(_MODEL.contracts_max, description="contracts of an underlying")

    critical_gain_exit: float = Field(
        _MODEL.critical_gain_exit, gt=0, lt=1, description="the alert of a gain of 1 ends below it"
    )
    gamma_flip_dwell_s: NotNegative = Field(
        _MODEL.gamma_flip_dwell_s, description="the gamma field has its new sign so long before the alert"
    )
    gamma_flip_margin_share: NotNegative = Field(
        _MODEL.gamma_flip_margin_share, description="and the spot is so far from the flip, as a share"
    )
    large_indices: str = Field(
        _MODEL.large_indices, pattern=r"^[^,;]*$", description="names with blanks between; data_quality watches them"
    )
    data_quality_amplification: float = Field(
        _MODEL.data_quality_amplification, gt=1, description="more than a large index can have for long"
    )
    data_quality_amplification_exit: float = Field(
        _MODEL.data_quality_amplification_exit, gt=1, description="the alert ends after as long a time below it"
    )
    data_quality_dwell_s: Positive = Field(_MODEL.data_quality_dwell_s, description="what long means")
    gain_breach_share_max: float = Field(
        _MODEL.gain_breach_share_max, gt=0, lt=1, description="the risk rule: share of time beyond gain_implausible"
    )
    gain_breach_time_min_s: NotNegative = Field(
        _MODEL.gain_breach_time_min_s, description="time with a known gain before the risk rule speaks"
    )

    stack_probability: Probability = Field(
        _MODEL.stack_probability, description="that the stack of rules is right on an option trade; this and the next "
        "four hold until trades of known side have told better"
    )  # fmt: skip
    index_lee_ready_probability: Probability = Field(
        _MODEL.index_lee_ready_probability,
        description="that a quote is right about a trade in a European option, which index options are",
    )
    lee_ready_probability: Probability = Field(
        _MODEL.lee_ready_probability, description="that the quote rule is right on the underlying, or without sizes"
    )
    tick_probability: Probability = Field(_MODEL.tick_probability, description="that the tick rule is right")
    multi_leg_probability: Probability = Field(
        _MODEL.multi_leg_probability, description="that the side of one leg of a package is right"
    )
    quote_stale_s: Positive = Field(
        _MODEL.quote_stale_s, description="age from which a quote says less and less about the side of a trade"
    )
    sweep_window_ms: int = Field(
        _MODEL.sweep_window_ms, ge=0, description="in it one order takes several venues: one side; 0 = each by itself"
    )
    session_gap_s: Positive = Field(
        _MODEL.session_gap_s, description="after so long without quote and trade no earlier one tells a side"
    )

    regime_window_bars: int = Field(
        _MODEL.regime_window_bars, ge=2, description="window of correlation, lows and highs"
    )
    regime_correlation: float = Field(
        _MODEL.regime_correlation, ge=-1, le=1, description="spot and vol below it move as one"
    )
    regime_vol_change_points: Finite = Field(
        _MODEL.regime_vol_change_points, description="vol change that accelerates, in vol points"
    )
    regime_kinematics_span_bars: Count = Field(
        _MODEL.regime_kinematics_span_bars, description="span of velocity and acceleration"
    )
    regime_dwell_s: NotNegative = Field(_MODEL.regime_dwell_s, description="least time in a regime")
    market_regime_dwell_s: NotNegative = Field(
        _MODEL.market_regime_dwell_s, description="least time in a market regime"
    )

    def parameters(self) -> Parameters:
        """Return the part of the settings that the engine sees."""
        return Parameters(**{field.name: getattr(self, field.name) for field in fields(Parameters)})
