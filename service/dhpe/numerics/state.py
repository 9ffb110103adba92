"""The state of one underlying as rows of structured arrays: what the kernels read and write.

Everything that a replay must restore bit for bit stands in these rows, so a copy of the arrays is a copy of the
state. Times are UTC nanoseconds, vols fractions, rates continuously compounded per year.
"""

from typing import Final

import numpy as np

NS_PER_S: Final = 1_000_000_000
NS_PER_YEAR: Final = 365 * 86_400 * NS_PER_S
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

TICK: Final = np.dtype([("price", "f8"), ("previous_price", "f8"), ("direction", "i1")], align=True)
"""What the tick rule remembers: last price, last different price, and the sign of the last change."""

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
        ("active", "i1"),  # 0 once settled
        ("hot", "i1"),  # summed exactly at each tick instead of through the panel
        ("dirty", "i1"),  # has a quote that is not yet in its vol
        ("anchored", "i1"),  # a dealer_position has been seen
        ("vol_source", "i1"),
        ("vol_reason", "i1"),  # why the last quote gave no vol: a code of numerics.implied_vol
        ("open_interest_date", "i4"),  # yyyymmdd, 0 none
        ("open_interest", "f8"),  # contracts, NaN until known
        ("position", "f8", (len(BOOKS),)),  # dealers' contracts, + = long
        ("vol", "f8"),  # as used in the fields, NaN where unknown
        ("quote_spot", "f8"),  # spot at the time of the last quote
        ("quote", QUOTE),
        ("earlier_quote", QUOTE),  # the last quote with an earlier time than ``quote``
        ("tick", TICK),
    ],
    align=True,
)

EXPIRY: Final = np.dtype(
    [
        ("settles_ns", "i8"),
        ("forward_source", "i1"),  # a code of numerics.parity
        ("rate", "f8"),
        ("carry", "f8"),  # forward = spot * exp(carry * tau); dividend yield = rate - carry
        ("given_forward", "f8"),  # from a rates record, NaN none
        ("given_forward_spot", "f8"),
        ("given_discount", "f8"),
        ("quotes", "i4"),  # usable quotes in the last smile fit
        ("atm_vol", "f8"),  # NaN where no fit
        ("skew_slope", "f8"),  # d vol / d k at k = 0, k = ln(strike/forward)
        ("skew_slope_standard_error", "f8"),
        ("curvature", "f8"),  # d2 vol / d k2 / 2
        ("fit_width", "f8"),  # largest |k| in the fit: beyond it the smile is held flat
        ("beta", "f8"),  # fixed-strike d vol / d ln spot; 0 where unknown
        ("beta_standard_error", "f8"),  # NaN where unknown
    ],
    align=True,
)
