"""The state of one underlying as rows of structured arrays: what the kernels read and write.

Everything that a replay must restore bit for bit stands in these rows, so a copy of the arrays is a copy of the
state. Times are UTC nanoseconds, vols fractions, rates continuously compounded per year.
"""

from typing import Final

import numpy as np

from dhpe.numerics.side_calibration import CLASSES, SITUATIONS
from dhpe.numerics.trade_side import LABEL_RULES

NS_PER_S: Final = 1_000_000_000
SLOT_NEVER: Final = -1
SLOT_ASKED: Final = -2
"""Of ``surface_slot``: what the fit rests on has changed, so that it is due without a new quote."""
NS_PER_DAY: Final = 86_400 * NS_PER_S
NS_PER_YEAR: Final = 365 * NS_PER_DAY
"""ACT/365F, the one clock for implied vol and greeks (MODEL.md section 9)."""

BOOKS: Final = ("naive", "flow", "weighted")
NAIVE: Final = 0
FLOW: Final = 1
WEIGHTED: Final = 2

GAMMA: Final = 0
VANNA: Final = 1
CHARM: Final = 2
BETA_VANNA: Final = 3
"""The vanna field with each contract's own spot-vol beta inside: the vanna term of the hedge pressure."""
UNIT_FIELDS: Final = 3
FIELDS: Final = 4

INSTANTS: Final = 2
"""The panel holds the fields at the beginning and at the end of its time window."""

QUOTE: Final = np.dtype(
    [("ts_ns", "i8"), ("bid", "f8"), ("bid_size", "f8"), ("ask", "f8"), ("ask_size", "f8")], align=True
)
"""A best quote; ts_ns 0 where there is none yet."""

TICK: Final = np.dtype([("ts_ns", "i8"), ("price", "f8"), ("previous_price", "f8"), ("direction", "i1")], align=True)
"""What the tick rule remembers: time of the last trade, last price, last different price, sign of the last change."""

SWEEP: Final = np.dtype([("first_ns", "i8"), ("source", "i4"), ("side", "i1"), ("probability", "f8")], align=True)
"""The decision that the last trade began or belongs to: its first part, and what was decided of it; side 0 nothing."""

OPENING_SUMS: Final = 5
OPEN_INTEREST_TOTALS: Final = 10
"""Places of the sums of ``dhpe.open_interest`` and of the totals of ``numerics.open_interest``."""

# Why a contract has the vol it has.
VOL_NONE: Final = 0
VOL_OWN_QUOTE: Final = 1
VOL_PAIR_QUOTE: Final = 2
VOL_SURFACE: Final = 3

CONTRACT: Final = np.dtype(
    [
        ("strike", "f8"),
        ("log_strike", "f8"),
        ("multiplier", "f8"),
        ("settles_ns", "i8"),
        ("expiry", "i4"),  # row of EXPIRY
        ("pair", "i4"),  # row of the other right at the same strike and settlement, -1 none
        ("right", "i1"),  # +1 call, -1 put
        ("american", "i1"),
        ("active", "i1"),  # 0 once settled, or retired
        ("retired", "i1"),  # 1: an adjustment has carried its holdings to another series
        ("dirty", "i1"),  # has a quote that is not yet in its vol
        ("anchored", "i1"),  # a dealer_position has been seen
        ("vol_source", "i1"),
        ("vol_reason", "i1"),  # why the last quote gave no vol: a code of numerics.implied_vol
        ("open_interest_date", "i4"),  # yyyymmdd, 0 none
        ("open_interest", "f8"),  # contracts, NaN until known
        ("position", "f8", (len(BOOKS),)),  # dealers' contracts, + = long
        # A position is what was held at the last print, plus what was traded after the close that it spoke of.
        ("carried", "f8", (len(BOOKS),)),  # into that close, before clipping; NaN: began there as naive
        ("held", "f8", (len(BOOKS),)),  # the same as it stands in the position: clipped, or naive
        ("prints", "i4"),  # trading dates whose open interest was taken
        ("kept_day", "i4"),  # UTC day whose trades came before that print and yet belong after its close
        ("day", "i4"),  # UTC day of the newest trade
        ("day_moves", "f8", (len(BOOKS),)),  # contracts by which the trades of that day moved the position
        ("volume", "f8"),  # contracts traded since that close
        ("earlier_open_interest", "f8"),  # of the trading date before, NaN none
        ("earlier_volume", "f8"),  # contracts traded between those two closes
        ("day_volume", "f8"),  # of them on that day
        ("vol", "f8"),  # of its quote or of the surface, NaN where unknown
        ("fit_ratio", "f8"),  # vol over the fit's under sticky delta; 0: the vol stays at its strike
        ("quote_spot", "f8"),  # spot at the time of the last quote
        ("quote", QUOTE),
        ("earlier_quote", QUOTE),  # the last quote with an earlier time than ``quote``
        ("tick", TICK),
        ("sweep", SWEEP),
        ("anchors", "i4"),  # times that the flow books were replaced: earlier trades are no longer in them
        # Trades that wait for the next different price in the contract. All of them have the price of the last one.
        ("waiting_size", "f8"),
        ("waiting_weight", "f8"),  # contracts by which the weighted book will move if they were sales
        ("waiting_buy_extra", "f8"),  # and by how many more if they were buys
        ("waiting_buys", "i4"),  # of them with known side, for the calibration
        ("waiting_sells", "i4"),
        ("waiting_slot", "i4"),  # 1 + slot in the memory of trades of the last one that can be cancelled, 0 none
    ],
    align=True,
)

EXPIRY: Final = np.dtype(
    [
        ("settles_ns", "i8"),
        ("forward_source", "i1"),  # a code of numerics.parity
        ("rate", "f8"),
        ("carry", "f8"),  # growth of the forward per year; dividend yield = rate - carry
        ("basis", "f8"),  # forward = spot * exp(basis + carry * tau): what the quotes' spot is ahead of ours, 0 unknown
        ("given_forward", "f8"),  # from a rates record, NaN none
        ("given_forward_spot", "f8"),
        ("given_discount", "f8"),
        ("given_refused", "i1"),  # 1: the record is absurd, and the last fit did without it
        ("given_ts_ns", "i8"),  # time of that rates record, 0 none: rate and carry are taken over the tau it spoke of
        ("quotes", "i4"),  # usable quotes in the last smile fit
        ("atm_vol", "f8"),  # NaN where no fit
        ("skew_slope", "f8"),  # d vol / d k at k = 0, k = ln(strike/forward)
        ("skew_slope_standard_error", "f8"),
        # The SSVI slice (numerics.ssvi), NaN where no fit.
        ("atm_total_variance", "f8"),  # theta = atm_vol^2 * fit_tau
        ("ssvi_rho", "f8"),
        ("curvature", "f8"),  # phi
        ("fit_tau", "f8"),  # years to settlement at the fit: the smile's vol is sqrt(w/fit_tau)
        ("phi_scale", "f8"),  # eta or lambda, NaN where each expiry has its own phi
        ("phi_power", "f8"),  # gamma
        ("beta", "f8"),  # fixed-strike d vol / d ln spot; 0 where unknown
        ("beta_standard_error", "f8"),  # NaN where unknown
        ("vanna_weight", "f8"),  # sum of |position * vanna * S * M| of the default book at the last refit
    ],
    align=True,
)

INSTRUMENT: Final = np.dtype(
    [
        ("multiplier", "f8"),
        ("inverse", "i1"),
        ("hedge", "i1"),  # 1: its trades are flow, its quotes are not the spot
        ("quote", QUOTE),
        ("earlier_quote", QUOTE),
        ("tick", TICK),
        ("sweep", SWEEP),
        ("sold_at_bid", "f8"),  # size sold since the last quote: what left the bid by trading, not by cancelling
    ],
    align=True,
)

SPOT_NONE: Final = 0
SPOT_QUOTE: Final = 1
SPOT_TRADE: Final = 2
SPOT_INDEX: Final = 3
SPOT_PARITY: Final = 4
SPOT_SOURCES: Final = (None, "quote", "trade", "index", "parity")

FLAGS: Final = (
    "crossed_quote",
    "locked_quote",
    "zero_bid",
    "no_ask",
    "late_quote",
    "time_backwards",
    "quote_without_spot",
    "unclassified_trade",
    "position_clipped",
    "open_interest_revised",
    "trade_without_quote",
    "far_trade",
    "trade_cancelled",
    "cancel_of_unknown_trade",
    "sweep_part",
    "session_break",
    "waited_over_break",
    "open_interest_late",
    "open_interest_beyond_volume",
    "series_adjusted",
    "sequence_gap",
    "wide_quote",
    "vol_unsolved",
)
(
    CROSSED_QUOTE,
    LOCKED_QUOTE,
    ZERO_BID,
    NO_ASK,
    LATE_QUOTE,
    TIME_BACKWARDS,
    QUOTE_WITHOUT_SPOT,
    UNCLASSIFIED_TRADE,
    POSITION_CLIPPED,
    OPEN_INTEREST_REVISED,
    TRADE_WITHOUT_QUOTE,
    FAR_TRADE,
    TRADE_CANCELLED,
    CANCEL_OF_UNKNOWN_TRADE,
    SWEEP_PART,
    SESSION_BREAK,
    WAITED_OVER_BREAK,
    OPEN_INTEREST_LATE,
    OPEN_INTEREST_BEYOND_VOLUME,
    SERIES_ADJUSTED,
    SEQUENCE_GAP,
    WIDE_QUOTE,
    VOL_UNSOLVED,
) = range(len(FLAGS))

MARKET: Final = np.dtype(
    [
        ("ts_ns", "i8"),  # event time: the latest of all records so far
        ("contracts", "i4"),
        ("expiries", "i4"),
        ("next_settlement_ns", "i8"),
        # spot and indices
        ("spot", "f8"),  # 0 until known, as are vix and vvix
        ("spot_ns", "i8"),
        ("spot_source", "i1"),
        ("vix", "f8"),
        ("vvix", "f8"),
        # grids of event time: number of the last interval for which the work was done, -1 never
        ("revalue_slot", "i8"),
        ("surface_slot", "i8"),
        ("surface_spot", "f8"),  # at the last fit, 0 before the first
        ("landscape_slot", "i8"),
        ("landscape_spot", "f8"),  # where the landscape was last drawn
        ("pressure_slot", "i8"),
        ("dirty_rows", "i4"),
        # panel
        ("panel_valid", "i1"),
        ("panel_side", "i1"),  # which of the two windows is the present one
        ("panel_events", "i8"),
        ("panel_rebuilds", "i8"),
        ("hot_rows", "i4"),
        # counted at the last rebuild, among the contracts that have not settled
        ("live_contracts", "i4"),
        ("valued_contracts", "i4"),  # with a vol
        ("held_contracts", "i4"),  # with a position in any book
        ("american_contracts", "i4"),
        ("anchored_contracts", "i4"),
        ("informed_contracts", "i4"),  # with an open interest or a reported position
        ("fields_valid", "i1"),
        ("fields", "f8", (FIELDS, len(BOOKS))),  # at spot and ts_ns
        # the open regime bar
        ("bar_slot", "i8"),  # -1: none open
        ("bar_open", "f8"),
        ("bar_high", "f8"),
        ("bar_low", "f8"),
        ("bar_close", "f8"),
        ("bid_depleted", "f8"),
        ("bid_refilled", "f8"),
        ("bid_cancelled", "f8"),
        ("bid_traded", "f8"),
        ("opposite_ticks", "i8"),
        ("joint_ticks", "i8"),
        ("joint_spot", "f8"),  # spot at the last change of the VIX
        # the open liquidity bar
        ("liquidity_slot", "i8"),
        ("liquidity_mid", "f8"),  # at the end of the last closed bar
        ("liquidity_flow", "f8"),
        ("liquidity_volume", "f8"),
        ("liquidity_pressure", "f8"),  # hedge pressure of the default book at the beginning of the bar, USD
        ("liquidity_head", "i8"),
        ("liquidity_count", "i8"),
        ("spread_sum", "f8"),
        ("touch_sum", "f8"),
        ("touch_quotes", "i8"),
        ("spread_mean", "f8"),
        ("touch_mean", "f8"),
        ("spread", "f8"),  # of the last good quote
        ("bid_size", "f8"),
        ("touch_from_quotes", "i1"),  # 1 once a best quote came; until then the depth serves
        ("flags", "i8", (len(FLAGS),)),
        ("clipped_contracts", "f8"),  # of all prints so far
        # open interest during the day, as numerics.open_interest keeps it
        ("opening_date", "i4"),  # trading date of the newest print that the sums have seen, yyyymmdd
        ("opening_series", "i8"),
        ("opening_sums", "f8", (OPENING_SUMS,)),
        ("open_interest_valid", "i1"),  # 0: the totals are older than the last trade or print
        ("open_interest_totals", "f8", (OPEN_INTEREST_TOTALS,)),
        # labels against known sides, as numerics.side_calibration counts them
        ("side_known", "i8", (len(CLASSES),)),
        ("side_right", "i4", (len(CLASSES), LABEL_RULES, SITUATIONS)),
        ("side_labelled", "i4", (len(CLASSES), LABEL_RULES, SITUATIONS)),
        ("option_late_share", "f8"),  # of quotes, see numerics.quotes.late_share
        ("underlying_late_share", "f8"),
        ("option_quote_age_ns", "f8"),  # mean over the last few hundred trades that found a quote, -1 none yet
        ("underlying_quote_age_ns", "f8"),
        ("active_ns", "i8"),  # time of the last quote or trade
        ("session_ns", "i8"),  # since when there was no break in them, 0 from the beginning
        ("labels", "i8"),
    ],
    align=True,
)

NAN_IS_UNKNOWN: Final = frozenset(
    {
        "open_interest",
        "earlier_open_interest",
        "carried",
        "vol",
        "quote_spot",
        "given_forward",
        "given_forward_spot",
        "given_discount",
        "atm_vol",
        "skew_slope",
        "skew_slope_standard_error",
        "atm_total_variance",
        "ssvi_rho",
        "curvature",
        "fit_tau",
        "phi_scale",
        "phi_power",
        "beta_standard_error",
    }
)
"""The columns in which a NaN says that nobody knows. Any other number of the state is finite, whatever came in."""

TRADE_MEMORY: Final = np.dtype(
    [
        ("sequence", "i8"),
        ("source", "i4"),  # number of the source that numbered it
        ("row", "i4"),
        ("waiting", "i1"),  # 1: not yet in the books
        ("earlier", "i4"),  # 1 + slot of the trade that waits beside this one, 0 none
        ("size", "f8"),
        ("flow", "f8"),  # contracts by which the trade moved each book; while it waits, by which it will
        ("weighted", "f8"),
        ("buy_extra", "f8"),  # while it waits: by how much more the weighted book will move if it was a buy
        ("anchors", "i4"),  # of the contract when the trade was made
        ("prints", "i4"),  # likewise
        ("day", "i4"),  # UTC day of the trade
        ("moved_prints", "i4"),  # of the contract when the trade moved the books, later than the trade if it waited
        ("moved_day", "i4"),
    ],
    align=True,
)
"""What a trade did, for the case that it is cancelled."""

LABEL: Final = np.dtype(
    [
        ("event", "i4"),
        ("side", "i1"),
        ("rule", "i1"),
        ("quote_state", "i1"),  # a code of numerics.side_labels.QUOTE_STATES
        ("lee_ready", "i1"),
        ("probability", "f8"),
        ("quote_age_ns", "i8"),  # -1 where no quote stood before the trade
    ],
    align=True,
)
"""The side of one trade; ``event`` is its row in the batch that was handed in."""
