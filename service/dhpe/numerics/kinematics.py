"""Kinematics of a price, and the two regime rules of the seeds, one bar at a time.

The reference rules stand on pandas' definitions (rolling with ``min_periods`` = window, ``ewm(adjust=True,
ignore_na=False)``), and are written as the step from one bar to the next: the batch form is the loop over the same
step, so both give the same bits and neither can look ahead. Source: MODEL.md section 10.
"""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dhpe.numerics.jit import kernel
from dhpe.numerics.rolling import correlation, highest, lowest

Rows = npt.NDArray[Any]
"""A structured array whose fields the kernel reads and writes."""
Floats = npt.NDArray[np.float64]

SMOOTHED_DERIVATIVE: Final = np.dtype([("previous", "f8"), ("mean", "f8"), ("old_weight", "f8")], align=True)
"""The change per bar of a series, smoothed: ``series.diff().ewm(span).mean()``."""
VELOCITY: Final = 0
ACCELERATION: Final = 1
JERK: Final = 2
VVIX_SLOPE: Final = 3

VANNA_RULE: Final = np.dtype(
    [("bars", "i8"), ("close", "f8"), ("iv_index", "f8"), ("accelerating", "i1"), ("near", "i1")], align=True
)
"""``accelerating`` is the ACCELERATION mask of the previous bar, not its label: burnout looks at the mask."""
CLOSE_ROW: Final = 0
IV_ROW: Final = 1
RETURN_ROW: Final = 2
VOL_CHANGE_ROW: Final = 3
VANNA_RING_ROWS: Final = 4

NORMAL: Final = 0
BULLDOZER: Final = 1
BURNOUT: Final = 2

NO_SIGNAL: Final = 0
CRASH_ACCELERATION: Final = 1
CRASH_PHASE_TRANSITION: Final = 2

CORRELATION_LIMIT: Final = -0.85
VOL_CHANGE_LIMIT: Final = 0.5
"""Vol points per bar."""
NEAR: Final = 1e-10
"""Within this distance of a threshold the order of a sum may decide the label: such bars are listed."""


def new_derivatives(count: int) -> Rows:
    """Smoothed derivatives that have not seen a value."""
    rows = np.zeros(count, SMOOTHED_DERIVATIVE)
    rows["previous"] = math.nan
    rows["mean"] = math.nan
    rows["old_weight"] = 1.0
    return rows


def new_vanna_rule(window: int) -> tuple[Rows, Floats]:
    """State and ring (VANNA_RING_ROWS, window) of the vanna rule before its first bar."""
    state = np.zeros(1, VANNA_RULE)
    state["close"] = math.nan
    state["iv_index"] = math.nan
    return state, np.full((VANNA_RING_ROWS, window), math.nan)


@kernel
def derivative_advance(rows: Rows, index: int, value: float, span: int) -> float:
    """``series.diff(1).ewm(span=span).mean()`` one value further; units of the series per bar.

    The arithmetic is that of pandas' ``ewma``, step by step, so the result is the same to the last bit.
    """
    row = rows[index]
    change = value - row["previous"]
    row["previous"] = value
    decay = 1.0 - 1.0 / (1.0 + (span - 1) / 2.0)
    if math.isnan(row["mean"]):
        if not math.isnan(change):
            row["mean"] = change
        return row["mean"]
    row["old_weight"] *= decay
    if not math.isnan(change):
        if row["mean"] != change:  # pandas: a constant series stays exactly constant
            row["mean"] = (row["old_weight"] * row["mean"] + change) / (row["old_weight"] + 1.0)
        row["old_weight"] += 1.0
    return row["mean"]


@kernel
def vanna_advance(state: Rows, ring: Floats, close: float, iv_index: float) -> int:
    """One bar of ``analyze_vanna_regime``; returns NORMAL, BULLDOZER or BURNOUT and sets ``state["near"]``."""
    row = state[0]
    spot_return = close / row["close"] - 1.0
    vol_change = iv_index - row["iv_index"]
    slot = row["bars"] % ring.shape[1]
    ring[CLOSE_ROW, slot] = close
    ring[IV_ROW, slot] = iv_index
    ring[RETURN_ROW, slot] = spot_return
    ring[VOL_CHANGE_ROW, slot] = vol_change
    row["bars"] += 1
    row["close"] = close
    row["iv_index"] = iv_index
    oldest = row["bars"] % ring.shape[1]
    rho, defined = correlation(ring[RETURN_ROW], ring[VOL_CHANGE_ROW], oldest)
    was_accelerating = row["accelerating"] == 1
    accelerating = rho < CORRELATION_LIMIT and vol_change > VOL_CHANGE_LIMIT
    # A window with a constant side is all values and no correlation: pandas divides two round-offs there.
    row["near"] = 1 if abs(rho - CORRELATION_LIMIT) < NEAR or abs(vol_change - VOL_CHANGE_LIMIT) < NEAR else 0
    if defined and math.isnan(rho):
        row["near"] = 1
    row["accelerating"] = 1 if accelerating else 0
    if was_accelerating and close <= lowest(ring[CLOSE_ROW]) and iv_index < highest(ring[IV_ROW]):
        return BURNOUT
    return BULLDOZER if accelerating else NORMAL


@kernel
def vanna_series(state: Rows, ring: Floats, close: Floats, iv_index: Floats, labels: Rows, near: Rows) -> None:
    """The vanna rule over arrays of bars; writes ``labels`` and ``near``."""
    for i in range(close.shape[0]):
        labels[i] = vanna_advance(state, ring, close[i], iv_index[i])
        near[i] = state[0]["near"]


@kernel
def crash_advance(rows: Rows, close: float, vvix: float, span: int) -> tuple[int, bool]:
    """One bar of ``CrashPhysicsDetector.detect_regime``; returns the code and whether a threshold is near."""
    velocity = derivative_advance(rows, VELOCITY, close, span)
    acceleration = derivative_advance(rows, ACCELERATION, velocity, span)
    derivative_advance(rows, JERK, acceleration, span)
    vvix_slope = derivative_advance(rows, VVIX_SLOPE, vvix, span)
    near = abs(velocity) < NEAR or abs(acceleration) < NEAR or abs(vvix_slope) < NEAR
    if velocity < 0.0 and acceleration < 0.0:
        return CRASH_ACCELERATION, near
    if velocity < 0.0 and acceleration > 0.0 and vvix_slope < 0.0:
        return CRASH_PHASE_TRANSITION, near
    return NO_SIGNAL, near


@kernel
def crash_series(rows: Rows, close: Floats, vvix: Floats, span: int, labels: Rows, near: Rows) -> None:
    """The crash rule over arrays of bars; writes ``labels`` and ``near``."""
    for i in range(close.shape[0]):
        code, is_near = crash_advance(rows, close[i], vvix[i], span)
        labels[i] = code
        near[i] = is_near
