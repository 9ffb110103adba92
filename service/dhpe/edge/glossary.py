"""What each published field means and its unit, in one sentence, for the schemas and whoever shows the numbers.

"USD" in a unit is the currency of the underlying. The same name has the same meaning wherever it stands, so one table
serves the outputs, their dealer books and the trade labels. MODEL.md holds the equations.
"""

from typing import Final, NamedTuple


class Meaning(NamedTuple):
    """``unit`` is None where the field is a word, a name or a structure; "none" is a number without a unit."""

    unit: str | None
    sentence: str


_FIELD_UNIT = "USD of delta per unit log return"
_TIME_UNIT = "ns since 1970-01-01T00:00:00Z"

REASONS: Final[dict[str, str]] = {
    "american_de_americanised": "American quotes were turned into vols by an American price, the greeks are European",
    "data_loss": "records that the log no longer had were skipped",
    "beta_unknown": "no smile with a measured slope, so that the vanna term is 0",
    "forward_by_default": "no pair of quotes and no record says a forward, rate and dividend yield alone do",
    "gain_implausible": "an absolute gain above the setting on positions that no report has confirmed",
    "gain_reaches_one": "the interval of a book holds gains of 1 and more",
    "lambda_from_depth": "impact from spread and touch size, a factor 2 either way",
    "lambda_unknown": "neither flow nor a touch to estimate the impact from",
    "no_contracts": "no open series",
    "no_positions": "no series is held, since neither open interest, nor trades, nor a report came",
    "no_vols": "no series has a vol",
    "one_expiry": "the surface is one smile, its term structure unknown",
    "open_interest_missing": "fewer than half of the open series have an open interest or a reported position",
    "overhedging": "a gain below -1 while hedging is slower than the bar",
    "rates_refused": "a told forward or discount is beyond 100 % a year and is not used",
    "spot_stale": "the last spot is too old",
    "spot_unknown": "no spot yet",
    "surface_behind_spot": "spot has moved far since the surface was fitted",
}
"""The words in ``quality.reasons``."""

MEANINGS: Final[dict[str, Meaning]] = {
    "underlying": Meaning(None, "The underlying; also the key of the message."),
    "ts_event_ns": Meaning(_TIME_UNIT, "Event time up to which the numbers speak."),
    "spot": Meaning("price", "Price of the underlying."),
    "spot_source": Meaning(None, "Where the spot comes from: the quote, the last trade, an index value or parity."),
    "forward": Meaning("price", "Forward of the nearest expiry, from put-call parity."),
    "contracts": Meaning("series", "Option series in the book."),
    "gamma_field": Meaning(_FIELD_UNIT, "Sum over series of dealer position, gamma, spot squared and multiplier."),
    "vanna_field": Meaning("USD of delta per 1.00 of vol", "Sum of dealer position, vanna, spot and multiplier."),
    "charm_field": Meaning("USD of delta per year", "Sum of dealer position, charm, spot and multiplier."),
    "hedge_pressure": Meaning(
        "USD of hedge flow per unit log return",
        "What dealers must buy per unit log return; above 0 they buy into a rise and sell into a fall.",
    ),
    "feedback_gain": Meaning("none", "Impact times hedge pressure: the share of a move that its own hedging adds."),
    "amplification": Meaning(
        "none",
        "1 / (1 - feedback gain): above 1 moves are amplified, below 1 damped; null where the gain is 1 or more.",
    ),
    "books": Meaning(None, "The same numbers for each of the three dealer books."),
    "naive": Meaning(None, "Open interest at the open: dealers long calls, short puts."),
    "flow": Meaning(None, "Naive at the open, then moved by every classified trade."),
    "weighted": Meaning(None, "As flow, each trade weighted by the probability that its side is right."),
    "gamma_usd_per_1pct": Meaning("USD of delta per 1 % move", "The gamma field times 0.01."),
    "gamma_usd_per_point": Meaning("USD of delta per price point", "The gamma field divided by the spot."),
    "vanna_usd_per_vol_point": Meaning("USD of delta per vol point", "The vanna field times 0.01."),
    "charm_usd_per_minute": Meaning("USD of delta per minute", "The charm field divided by 525,600."),
    "zero_dte_gamma_share": Meaning("none", "Share of the absolute gamma that settles on this exchange date."),
    "kyle_lambda": Meaning("log return per USD of signed flow", "Price impact of flow."),
    "kyle_lambda_standard_error": Meaning("log return per USD of signed flow", "Standard error of the price impact."),
    "kyle_lambda_samples": Meaning("bars", "Effective number of bars behind the regression, rounded down."),
    "kyle_lambda_source": Meaning(None, "How the price impact was found."),
    "kyle_lambda_r_squared": Meaning("none", "Share of the variance of returns that the regression on flow explains."),
    "kyle_lambda_to_usual": Meaning("none", "Price impact over its mean at this half hour of earlier days."),
    "volume_to_usual": Meaning("none", "Volume by bar with trades, this half hour so far over earlier days."),
    "impact_intensity": Meaning("price points per USD", "Spot times price impact."),
    "amihud_illiquidity": Meaning("log return per USD of volume", "Mean absolute return over volume, by bar."),
    "spot_vol_beta": Meaning("1.00 vol per unit log return", "Change of vol at a fixed strike, vanna-weighted mean."),
    "spot_vol_beta_standard_error": Meaning("1.00 vol per unit log return", "Standard error of the spot-vol beta."),
    "feedback_gain_low": Meaning("none", "Lower end of the feedback gain's interval."),
    "feedback_gain_high": Meaning("none", "Upper end of the feedback gain's interval."),
    "amplification_low": Meaning("none", "Lower end of the amplification's interval; null once its gain reaches 1."),
    "amplification_high": Meaning("none", "Upper end of the amplification's interval; null once its gain reaches 1."),
    "interval_level": Meaning("none", "Probability that the intervals claim."),
    "amplification_without_vanna": Meaning("none", "The amplification of the gamma term alone."),
    "skew_stickiness": Meaning("none", "1 is sticky strike, 0 sticky delta."),
    "skew_stickiness_standard_error": Meaning("none", "Standard error of the skew stickiness."),
    "skew_stickiness_source": Meaning(None, "Measured between fits of the surface, or the setting while it is surer."),
    "gamma_weight": Meaning("none", "Weight of gamma in the hedge pressure; 1 unless a backtest says otherwise."),
    "vanna_weight": Meaning("none", "Weight of vanna in the hedge pressure; 1 unless a backtest says otherwise."),
    "charm_weight": Meaning("none", "Weight of charm in the decay wind; 1 unless a backtest says otherwise."),
    "dealer_share": Meaning("none", "Share of the position that hedges; multiplies pressure and wind, not the fields."),
    "gain_breach_share": Meaning("none", "Share of time with an absolute gain above 0.8, over the last 20 sessions."),
    "decay_wind": Meaning("price points over the horizon", "Price drift from charm hedging: linear, before feedback."),
    "decay_wind_repriced": Meaning("price points over the horizon", "As decay_wind, from the exact change of delta."),
    "decay_wind_amplified": Meaning("price points over the horizon", "Amplification times decay_wind_repriced."),
    "decay_wind_horizon_s": Meaning("s", "Horizon of the decay winds, cut at the next settlement."),
    "gamma_flip": Meaning("price", "The zero of the re-priced gamma field nearest to spot; null where there is none."),
    "gamma_flips": Meaning("price", "All zeros of the re-priced gamma field on the landscape's grid."),
    "call_wall": Meaning("price", "Strike at or above spot with the largest absolute gamma of calls."),
    "put_wall": Meaning("price", "Strike at or below spot with the largest absolute gamma of puts."),
    "regime": Meaning(None, "State of the regime machine."),
    "regime_confidence": Meaning("none", "Share of the state's evidence that speaks for it, 0 to 1."),
    "market_regime": Meaning(None, "Slow state of the market."),
    "protocol": Meaning(None, "What the long-vol protocol says."),
    "short_protocol": Meaning(None, "What the short-side protocol says."),
    "dealer_risk": Meaning(None, "What the gain's interval says: surely amplifying, surely dampening, or not sure."),
    "quote_late_share": Meaning(
        "none", "Share of the last few hundred quotes that came late with news; the worse feed."
    ),
    "quote_age_mean_s": Meaning("s", "Mean age of the quotes that the last few hundred trades found; the worse feed."),
    "american_contracts": Meaning(
        "series", "Open series with American exercise: quotes de-Americanised, greeks European at that vol."
    ),
    "american_vol_error": Meaning(
        "1.00 of vol",
        "Largest error of de-Americanised vols out of the money up to the longest expiry; null beyond two years.",
    ),
    "american_gamma_error_share": Meaning(
        "none", "Largest share of a chain's gamma that European greeks get wrong, measured up to a year."
    ),
    "tau_floor_s": Meaning("s", "Shortest time to settlement that the fields use."),
    "panel_error": Meaning("none", "Relative error of the panel at its last self-check."),
    "open_interest": Meaning("contracts", "Sum of the last prints of the series that have not settled."),
    "open_interest_estimate": Meaning(
        "contracts", "The same now: prints, and the volume since times twice the opening share less one."
    ),
    "open_interest_estimate_standard_error": Meaning("contracts", "Standard error of that estimate."),
    "open_interest_missing": Meaning("series", "Series that have had no print and are not in those sums."),
    "opening_share": Meaning("none", "Probability that a side of an option trade opens a position."),
    "opening_share_standard_error": Meaning("none", "Standard error of the opening share."),
    "opening_share_source": Meaning(None, "Measured at the prints of open interest, or the setting."),
    "clipped_series": Meaning("series", "Series of the default book that held more than their last print allows."),
    "clipped_contracts": Meaning("contracts", "What they held beyond it, and was taken off."),
    "quality": Meaning(None, "How far the numbers beside it can be trusted."),
    "status": Meaning(None, "ok, degraded or stale."),
    "reasons": Meaning(None, "Short words, sorted: " + "; ".join(f"{word}: {said}" for word, said in REASONS.items())),
    "offsets": Meaning(None, "Input positions up to which (inclusive) the numbers were computed."),
    "partition": Meaning("number", "Partition of both input topics."),
    "chain": Meaning("offset", "Position in topic chain; -1 where nothing was read."),
    "ticks": Meaning("offset", "Position in topic ticks; -1 where nothing was read."),
    "engine_version": Meaning(None, "Fingerprint of program, libraries, CPU target and settings."),
    "id": Meaning(None, "Deterministic: the same input gives the same id."),
    "rule": Meaning(None, "What fired; of a trade label, what decided the side, after what was odd about its quote."),
    "from_state": Meaning(None, "State before."),
    "to_state": Meaning(None, "State after."),
    "severity": Meaning(None, "How much it matters."),
    "reason": Meaning(None, "One sentence."),
    "evidence": Meaning("by name", "The numbers that made it fire."),
    "thresholds": Meaning("by name", "What they were held against."),
    "symbol": Meaning(None, "The option series; null for a trade of the underlying."),
    "price": Meaning("price", "Price traded."),
    "size": Meaning("contracts or shares", "Size traded."),
    "side": Meaning(None, "The aggressor; null where no rule decided."),
    "probability": Meaning("none", "Calibrated probability that the side is right."),
    "lee_ready_side": Meaning(None, "What plain Lee-Ready says; the reference."),
    "offset": Meaning("offset", "Position of the trade in its topic or file."),
    "quote_age_s": Meaning("s", "Age of the quote in force strictly before the trade; 0 where the trade carries it."),
}
