"""The rows behind the regime machine: a bar, its limits, what is remembered, and the evidence that comes out."""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
"""A structured array whose fields the kernels read and write."""

IV_SLOPE: Final = 4
DERIVATIVES: Final = 5

BAR: Final = np.dtype(
    [
        ("end_ns", "i8"),
        *[
            (name, "f8")
            for name in (
                "open",
                "high",
                "low",
                "close",
                "iv_index",
                "vvix",
                "spread",
                "bid_depth",
                "bid_depleted",
                "bid_refilled",
                "bid_cancelled",
                "bid_traded",
            )
        ],
        ("opposite_ticks", "i8"),
        ("joint_ticks", "i8"),
        ("feedback_gain", "f8"),
        ("feedback_gain_low", "f8"),
        ("feedback_gain_high", "f8"),
        ("amplification", "f8"),
        ("gain_usable", "?"),
        ("beta_vanna_field", "f8"),
        ("kyle_lambda", "f8"),
    ],
    align=True,
)

LIMITS: Final = np.dtype(
    [
        ("span_bars", "i8"),
        ("deviations", "f8"),  # of the calm scale, for a move over ``span_bars``
        ("spot_floor_log", "f8"),
        ("vol_floor_points", "f8"),
        ("vvix_floor_points", "f8"),
        ("divergence_floor_log", "f8"),
        ("calm_half_life_bars", "f8"),
        ("calm_bars_min", "i8"),
        ("realised_half_life_bars", "f8"),
    ],
    align=True,
)

TRACK: Final = np.dtype(
    [
        ("end_ns", "i8"),
        ("bars", "i8"),  # since the last break
        ("shortest_s", "f8"),
        ("log_close_mean", "f8"),
        ("acceleration", "f8"),
        ("quiet_bars", "i8"),
        ("bars_since_drive", "i8"),
        # sums of squares and the seconds they belong to, exponentially forgotten
        ("calm_bars", "i8"),
        ("calm_spot", "f8"),
        ("calm_spot_s", "f8"),
        ("calm_vol", "f8"),
        ("calm_vol_s", "f8"),
        ("calm_vvix", "f8"),
        ("calm_vvix_s", "f8"),
        ("realised", "f8"),
        ("realised_s", "f8"),
        # the calm best bid
        ("calm_books", "i8"),
        ("depth_median", "f8"),
        ("spread_median", "f8"),
        # the open episode
        ("episode", "i1"),
        ("episode_high", "f8"),
        ("episode_low", "f8"),
        ("episode_vol_start", "f8"),
        ("episode_vol_high", "f8"),
        ("close_at_vol_high", "f8"),
        ("bars_since_vol_high", "i8"),
        ("episode_squares", "f8"),
        ("episode_s", "f8"),
    ],
    align=True,
)

# Rows of the ring of bars.
CLOSE: Final = 0
IV: Final = 1
VVIX: Final = 2
RETURN: Final = 3
VOL_CHANGE: Final = 4
VVIX_CHANGE: Final = 5
SECONDS: Final = 6
DEVIATION: Final = 7
OPPOSITE: Final = 8
JOINT: Final = 9
DEPLETED: Final = 10
REFILLED: Final = 11
CANCELLED: Final = 12
TRADED: Final = 13
DEPTH: Final = 14
SPREAD: Final = 15
CALM: Final = 16
RING_ROWS: Final = 17
PRICE_ROWS: Final = (CLOSE, SPREAD)
SIZE_ROWS: Final = (DEPLETED, REFILLED, CANCELLED, TRADED, DEPTH)

CALM_BOOKS: Final = 128
"""Bars behind the medians of depth and spread; the ring of calm books is (3, CALM_BOOKS), the last row is scratch."""

EVIDENCE: Final = (
    "spot_return_log",
    "vol_change_points",
    "spot_move_log",
    "spot_move_limit_log",
    "vol_move_points",
    "vol_move_limit_points",
    "vvix_move_points",
    "vvix_move_limit_points",
    "spot_vol_correlation",
    "spot_vol_sync",
    "velocity",
    "acceleration",
    "acceleration_growth",
    "acceleration_limit",
    "jerk",
    "vol_slope",
    "vvix_slope",
    "refresh_rate",
    "cancel_share",
    "depth_ratio",
    "spread_ratio",
    "restoring_coefficient",
    "restoring_coefficient_standard_error",
    "vol_reversion_on_bounce",
    "realised_vol",
    "realised_to_implied",
    "episode_realised_to_implied",
    "spot_new_low",
    "bars_since_vol_high",
    "divergence_log",
    "divergence_limit_log",
    "rebound_share",
    "vol_retreat_share",
    "quiet_bars",
    "bars_since_drive",
    "feedback_gain",
    "feedback_gain_low",
    "feedback_gain_high",
    "amplification",
)
EVIDENCE_ROW: Final = np.dtype([(name, "f8") for name in EVIDENCE])


def new_track() -> Rows:
    """The memory before the first bar."""
    track = np.zeros(1, TRACK)
    for name in (
        "shortest_s",
        "log_close_mean",
        "acceleration",
        "depth_median",
        "spread_median",
        "episode_high",
        "episode_low",
        "episode_vol_start",
        "episode_vol_high",
        "close_at_vol_high",
    ):
        track[name] = math.nan
    return track
