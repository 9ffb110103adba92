"""What a closed bar says about the regime: the numbers that the machine compares, one bar at a time.

Three memories stand behind them, all bounded: a ring of the last bars; the calm scale of spot, vol and the best bid,
which learns from bars only after they have left the ring, only while the machine is ``normal`` and never from an
episode (so a crash does not raise its own threshold); and the track of the episode that is open. NaN is unknown, and
stays unknown in whatever stands on it. Moves are logs of price, vols in points (MODEL.md section 10).
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from dhpe.numerics.jit import kernel
from dhpe.numerics.kinematics import ACCELERATION, JERK, VELOCITY, VVIX_SLOPE, derivative_advance
from dhpe.numerics.regime_rows import (
    CALM,
    CALM_BOOKS,
    CANCELLED,
    CLOSE,
    DEPLETED,
    DEPTH,
    DEVIATION,
    IV,
    IV_SLOPE,
    JOINT,
    OPPOSITE,
    REFILLED,
    RETURN,
    SECONDS,
    SPREAD,
    TRADED,
    VOL_CHANGE,
    VVIX,
    VVIX_CHANGE,
    Rows,
)
from dhpe.numerics.rolling import correlation, quantile, slope

Floats = npt.NDArray[np.float64]

NS_PER_S: Final = 1e9
SESSION_S: Final = 23_400.0
YEAR_S: Final = 252 * SESSION_S
"""Realised vol counts trading time: one bar is never longer than a session, so days and nights are 252 a year."""
HIGHEST: Final = 1.0
LOWEST: Final = -1.0
GAP_S: Final = 3600.0
GAP_BARS: Final = 10.0
"""A pause longer than both is a break: what happened over it is not a move of one bar."""


@kernel
def _scale(squares: float, seconds: float, over_s: float) -> float:
    """Standard deviation over ``over_s`` from a sum of squares that belongs to ``seconds``; NaN without data."""
    return math.sqrt(squares / seconds * over_s) if seconds > 0.0 and over_s > 0.0 else math.nan


@kernel
def _floor(scaled: float, floor: float) -> float:
    """The larger of the two; the floor where the scale is unknown."""
    return scaled if scaled > floor else floor


@kernel
def _learn_books(track: Rows, calm_books: Floats, depth: float, spread: float) -> None:
    """Medians of depth and spread over the last calm bars."""
    row = track[0]
    slot = row["calm_books"] % CALM_BOOKS
    calm_books[0, slot] = depth
    calm_books[1, slot] = spread
    row["calm_books"] += 1
    count = min(row["calm_books"], CALM_BOOKS)
    row["depth_median"] = quantile(calm_books[0], count, 0.5, calm_books[2])
    row["spread_median"] = quantile(calm_books[1], count, 0.5, calm_books[2])


@kernel
def _learn_calm(track: Rows, ring: Floats, slot: int, calm_books: Floats, half_life_bars: float) -> None:
    """Take the bar that leaves the ring into the calm scale."""
    row = track[0]
    keep = math.exp(-math.log(2.0) / half_life_bars)
    seconds = ring[SECONDS, slot]
    if math.isfinite(ring[RETURN, slot]):
        row["calm_spot"] = row["calm_spot"] * keep + ring[RETURN, slot] * ring[RETURN, slot]
        row["calm_spot_s"] = row["calm_spot_s"] * keep + seconds
        row["calm_bars"] += 1
    if math.isfinite(ring[VOL_CHANGE, slot]):
        row["calm_vol"] = row["calm_vol"] * keep + ring[VOL_CHANGE, slot] * ring[VOL_CHANGE, slot]
        row["calm_vol_s"] = row["calm_vol_s"] * keep + seconds
    if math.isfinite(ring[VVIX_CHANGE, slot]):
        row["calm_vvix"] = row["calm_vvix"] * keep + ring[VVIX_CHANGE, slot] * ring[VVIX_CHANGE, slot]
        row["calm_vvix_s"] = row["calm_vvix_s"] * keep + seconds
    _learn_books(track, calm_books, ring[DEPTH, slot], ring[SPREAD, slot])


@kernel
def _elapsed(track: Rows, derivatives: Rows, ring: Floats, end_ns: int) -> float:
    """Trading seconds since the last bar; a break empties the ring. 0 at the first bar."""
    row = track[0]
    if row["end_ns"] == 0:
        return 0.0
    elapsed_s = (end_ns - row["end_ns"]) / NS_PER_S
    if not row["shortest_s"] <= elapsed_s:
        row["shortest_s"] = elapsed_s
    if elapsed_s > max(GAP_S, GAP_BARS * row["shortest_s"]):
        row["bars"] = 0
        row["log_close_mean"] = math.nan
        ring[:, :] = math.nan
        for i in range(derivatives.shape[0]):
            derivatives[i]["previous"] = math.nan
    return min(elapsed_s, SESSION_S)


@kernel
def _push(track: Rows, ring: Floats, bar: Rows, span_bars: int, seconds: float) -> int:
    """Write the bar over the oldest of the ring; returns its slot."""
    row = track[0]
    b = bar[0]
    n = ring.shape[1]
    slot = row["bars"] % n
    last = (row["bars"] - 1) % n
    first = row["bars"] == 0
    log_close = math.log(b["close"])
    ring[RETURN, slot] = math.nan if first else log_close - math.log(ring[CLOSE, last])
    ring[VOL_CHANGE, slot] = math.nan if first else b["iv_index"] - ring[IV, last]
    ring[VVIX_CHANGE, slot] = math.nan if first else b["vvix"] - ring[VVIX, last]
    ring[DEVIATION, slot] = math.nan if first else math.log(ring[CLOSE, last]) - row["log_close_mean"]
    ring[CLOSE, slot] = b["close"]
    ring[IV, slot] = b["iv_index"]
    ring[VVIX, slot] = b["vvix"]
    ring[SECONDS, slot] = math.nan if first else seconds
    ring[OPPOSITE, slot] = b["opposite_ticks"]
    ring[JOINT, slot] = b["joint_ticks"]
    ring[DEPLETED, slot] = b["bid_depleted"]
    ring[REFILLED, slot] = b["bid_refilled"]
    ring[CANCELLED, slot] = b["bid_cancelled"]
    ring[TRADED, slot] = b["bid_traded"]
    ring[DEPTH, slot] = b["bid_depth"]
    ring[SPREAD, slot] = b["spread"]
    ring[CALM, slot] = 0.0 if row["episode"] == 1 else 1.0
    alpha = 2.0 / (span_bars + 1.0)
    if math.isnan(row["log_close_mean"]):
        row["log_close_mean"] = log_close
    row["log_close_mean"] += alpha * (log_close - row["log_close_mean"])
    return slot


@kernel
def _extreme(values: Floats, newest: int, count: int, side: float) -> float:
    """Highest (side 1) or lowest (side -1) known of the ``count`` newest values of a ring; NaN where none is known."""
    n = values.shape[0]
    found = math.nan
    for j in range(min(count, n)):
        value = values[(newest - j) % n]
        if math.isfinite(value) and not side * value <= side * found:
            found = value
    return found


@kernel
def _total(values: Floats, newest: int, count: int) -> float:
    """Sum of the known of the ``count`` newest values of a ring; 0 where none is known."""
    n = values.shape[0]
    total = 0.0
    for j in range(min(count, n)):
        value = values[(newest - j) % n]
        if math.isfinite(value):
            total += value
    return total


@kernel
def _mean(values: Floats, newest: int, count: int) -> float:
    """Mean of the known of the ``count`` newest values of a ring; NaN where none is known."""
    n = values.shape[0]
    total = 0.0
    known = 0
    for j in range(min(count, n)):
        value = values[(newest - j) % n]
        if math.isfinite(value):
            total += value
            known += 1
    return total / known if known > 0 else math.nan


@kernel
def _moves(track: Rows, ring: Floats, slot: int, limits: Rows, evidence: Rows) -> None:
    """How far spot fell and vol rose over the last bars, against the limits from the calm before."""
    row = track[0]
    limit = limits[0]
    e = evidence[0]
    bars = min(limit["span_bars"] + 1, row["bars"])
    e["spot_return_log"] = ring[RETURN, slot]
    e["vol_change_points"] = ring[VOL_CHANGE, slot]
    e["spot_move_log"] = math.log(ring[CLOSE, slot] / _extreme(ring[CLOSE], slot, bars, HIGHEST))
    e["vol_move_points"] = ring[IV, slot] - _extreme(ring[IV], slot, bars, LOWEST)
    e["vvix_move_points"] = ring[VVIX, slot] - _extreme(ring[VVIX], slot, bars, LOWEST)
    seconds = _total(ring[SECONDS], slot, limit["span_bars"])
    ready = row["calm_bars"] >= limit["calm_bars_min"]
    spot_scale = limit["deviations"] * _scale(row["calm_spot"], row["calm_spot_s"], seconds)
    vol_scale = limit["deviations"] * _scale(row["calm_vol"], row["calm_vol_s"], seconds)
    vvix_scale = limit["deviations"] * _scale(row["calm_vvix"], row["calm_vvix_s"], seconds)
    e["spot_move_limit_log"] = -_floor(spot_scale, limit["spot_floor_log"]) if ready else math.nan
    e["vol_move_limit_points"] = _floor(vol_scale, limit["vol_floor_points"]) if ready else math.nan
    e["vvix_move_limit_points"] = _floor(vvix_scale, limit["vvix_floor_points"]) if ready else math.nan
    loud = (
        2.0 * e["spot_move_log"] <= e["spot_move_limit_log"] or 2.0 * e["vol_move_points"] >= e["vol_move_limit_points"]
    )
    row["quiet_bars"] = 0 if loud else row["quiet_bars"] + 1
    e["quiet_bars"] = row["quiet_bars"]
    driven = e["spot_move_log"] <= e["spot_move_limit_log"] and e["vol_move_points"] >= e["vol_move_limit_points"]
    row["bars_since_drive"] = 0 if driven else row["bars_since_drive"] + 1
    e["bars_since_drive"] = row["bars_since_drive"]


@kernel
def _coupling(ring: Floats, slot: int, evidence: Rows) -> None:
    """How tightly spot and vol move together, and whether price still pulls back to its mean."""
    e = evidence[0]
    n = ring.shape[1]
    oldest = (slot + 1) % n
    e["spot_vol_correlation"], _ = correlation(ring[RETURN], ring[VOL_CHANGE], oldest)
    joint = _total(ring[JOINT], slot, n)
    e["spot_vol_sync"] = _total(ring[OPPOSITE], slot, n) / joint if joint > 0.0 else math.nan
    reversion, error = slope(ring[DEVIATION], ring[RETURN], oldest)
    e["restoring_coefficient"] = -reversion
    e["restoring_coefficient_standard_error"] = error
    gained = 0.0
    returned = 0.0
    for i in range(n):
        if ring[RETURN, i] < 0.0 and math.isfinite(ring[VOL_CHANGE, i]):
            gained += ring[VOL_CHANGE, i]
        elif ring[RETURN, i] > 0.0 and math.isfinite(ring[VOL_CHANGE, i]):
            returned -= ring[VOL_CHANGE, i]
    e["vol_reversion_on_bounce"] = returned / gained if gained > 0.0 else math.nan


@kernel
def _kinematics(track: Rows, derivatives: Rows, bar: Rows, limits: Rows, seconds: float, evidence: Rows) -> None:
    """Velocity, acceleration, jerk in price per bar, bar², bar³; slopes of vol and vvix in points per bar."""
    row = track[0]
    b = bar[0]
    e = evidence[0]
    span = limits[0]["span_bars"]
    e["velocity"] = derivative_advance(derivatives, VELOCITY, b["close"], span)
    e["acceleration"] = derivative_advance(derivatives, ACCELERATION, e["velocity"], span)
    e["jerk"] = derivative_advance(derivatives, JERK, e["acceleration"], span)
    if math.isfinite(b["iv_index"]):
        derivative_advance(derivatives, IV_SLOPE, b["iv_index"], span)
    if math.isfinite(b["vvix"]):
        derivative_advance(derivatives, VVIX_SLOPE, b["vvix"], span)
    e["vol_slope"] = derivatives[IV_SLOPE]["mean"] if math.isfinite(b["iv_index"]) else math.nan
    e["vvix_slope"] = derivatives[VVIX_SLOPE]["mean"] if math.isfinite(b["vvix"]) else math.nan
    e["acceleration_growth"] = abs(e["acceleration"]) - abs(row["acceleration"])
    row["acceleration"] = e["acceleration"]
    # The smoothed second difference of a random walk has about a fifth of its step as deviation.
    e["acceleration_limit"] = -0.4 * b["close"] * _scale(row["calm_spot"], row["calm_spot_s"], seconds)


@kernel
def _breathing(track: Rows, ring: Floats, slot: int, limits: Rows, evidence: Rows) -> None:
    """Does the best bid come back after it was hit, or is it pulled; depth and spread against the calm ones."""
    row = track[0]
    e = evidence[0]
    bars = limits[0]["span_bars"]
    depleted = _total(ring[DEPLETED], slot, bars)
    gone = _total(ring[CANCELLED], slot, bars) + _total(ring[TRADED], slot, bars)
    e["refresh_rate"] = _total(ring[REFILLED], slot, bars) / depleted if depleted > 0.0 else math.nan
    e["cancel_share"] = _total(ring[CANCELLED], slot, bars) / gone if gone > 0.0 else math.nan
    # One quote is an accident: the mean of the last bars is compared.
    depth, spread = _mean(ring[DEPTH], slot, bars), _mean(ring[SPREAD], slot, bars)
    e["depth_ratio"] = depth / row["depth_median"] if row["depth_median"] > 0.0 else math.nan
    e["spread_ratio"] = spread / row["spread_median"] if row["spread_median"] > 0.0 else math.nan


@kernel
def _realised(track: Rows, ring: Floats, slot: int, limits: Rows, evidence: Rows) -> None:
    """Realised vol as a fraction per √year of trading time, and its ratio to the implied one."""
    row = track[0]
    e = evidence[0]
    spot_return = ring[RETURN, slot]
    if math.isfinite(spot_return):
        keep = math.exp(-math.log(2.0) / limits[0]["realised_half_life_bars"])
        row["realised"] = row["realised"] * keep + spot_return * spot_return
        row["realised_s"] = row["realised_s"] * keep + ring[SECONDS, slot]
        if row["episode"] == 1:
            row["episode_squares"] += spot_return * spot_return
            row["episode_s"] += ring[SECONDS, slot]
    implied = ring[IV, slot] / 100.0
    e["realised_vol"] = _scale(row["realised"], row["realised_s"], YEAR_S) if row["bars"] >= ring.shape[1] else math.nan
    e["realised_to_implied"] = e["realised_vol"] / implied if implied > 0.0 else math.nan
    episode = _scale(row["episode_squares"], row["episode_s"], YEAR_S)
    e["episode_realised_to_implied"] = episode / implied if row["episode"] == 1 and implied > 0.0 else math.nan


@kernel
def _episode(track: Rows, ring: Floats, slot: int, limits: Rows, evidence: Rows) -> None:
    """Follow the open episode: its low, the high of vol, and how far spot fell on without vol following."""
    row = track[0]
    e = evidence[0]
    close = ring[CLOSE, slot]
    vol = ring[IV, slot]
    e["spot_new_low"] = 1.0 if close <= row["episode_low"] else 0.0
    row["episode_low"] = min(row["episode_low"], close)
    # A high by a hair is no new high: vol quotes tremble.
    tolerance = 0.02 * (row["episode_vol_high"] - row["episode_vol_start"])
    if vol > row["episode_vol_high"] + tolerance:
        row["episode_vol_high"] = vol
        row["close_at_vol_high"] = close
        row["bars_since_vol_high"] = 0
    elif math.isfinite(vol):
        row["bars_since_vol_high"] += 1
    bars = max(1, row["bars_since_vol_high"])
    seconds = ring[SECONDS, slot] if math.isfinite(ring[SECONDS, slot]) else 0.0
    e["bars_since_vol_high"] = row["bars_since_vol_high"]
    e["divergence_log"] = math.log(close / row["close_at_vol_high"])
    scale = _scale(row["calm_spot"], row["calm_spot_s"], seconds * min(bars, limits[0]["span_bars"]))
    e["divergence_limit_log"] = -_floor(scale, limits[0]["divergence_floor_log"])
    fall = row["episode_high"] - row["episode_low"]
    rise = row["episode_vol_high"] - row["episode_vol_start"]
    e["rebound_share"] = (close - row["episode_low"]) / fall if fall > 0.0 else math.nan
    e["vol_retreat_share"] = (row["episode_vol_high"] - vol) / rise if rise > 0.0 else math.nan


@kernel
def open_episode(track: Rows, ring: Floats) -> None:
    """Begin an episode at the newest bar: its high and the calm vol come from the bars of the ring."""
    row = track[0]
    n = ring.shape[1]
    slot = (row["bars"] - 1) % n
    row["episode"] = 1
    row["episode_high"] = _extreme(ring[CLOSE], slot, n, HIGHEST)
    row["episode_low"] = _extreme(ring[CLOSE], slot, n, LOWEST)
    row["episode_vol_start"] = _extreme(ring[IV], slot, n, LOWEST)
    row["episode_vol_high"] = ring[IV, slot]
    row["close_at_vol_high"] = ring[CLOSE, slot]
    row["bars_since_vol_high"] = 0
    row["episode_squares"] = 0.0
    row["episode_s"] = 0.0
    ring[CALM, :] = 0.0  # what led here is not calm either


@kernel
def close_episode(track: Rows) -> None:
    """The machine is normal again: the calm scale learns from here on."""
    track[0]["episode"] = 0


@kernel
def advance(
    track: Rows, derivatives: Rows, ring: Floats, calm_books: Floats, bar: Rows, limits: Rows, evidence: Rows
) -> None:
    """One closed bar with a known close: moves all memories and writes ``evidence``."""
    row = track[0]
    b = bar[0]
    e = evidence[0]
    seconds = _elapsed(track, derivatives, ring, b["end_ns"])
    slot = row["bars"] % ring.shape[1]
    if row["bars"] >= ring.shape[1] and row["episode"] == 0 and ring[CALM, slot] == 1.0:
        _learn_calm(track, ring, slot, calm_books, limits[0]["calm_half_life_bars"])
    _push(track, ring, bar, limits[0]["span_bars"], seconds)
    row["end_ns"] = b["end_ns"]
    row["bars"] += 1
    _moves(track, ring, slot, limits, evidence)
    _coupling(ring, slot, evidence)
    _kinematics(track, derivatives, bar, limits, seconds, evidence)
    _breathing(track, ring, slot, limits, evidence)
    _realised(track, ring, slot, limits, evidence)
    e["spot_new_low"] = math.nan
    e["bars_since_vol_high"] = math.nan
    e["divergence_log"] = math.nan
    e["divergence_limit_log"] = math.nan
    e["rebound_share"] = math.nan
    e["vol_retreat_share"] = math.nan
    if row["episode"] == 1:
        _episode(track, ring, slot, limits, evidence)
    e["feedback_gain"] = b["feedback_gain"] if b["gain_usable"] else math.nan
    e["feedback_gain_low"] = b["feedback_gain_low"] if b["gain_usable"] else math.nan
    e["feedback_gain_high"] = b["feedback_gain_high"] if b["gain_usable"] else math.nan
    e["amplification"] = b["amplification"] if b["gain_usable"] else math.nan
