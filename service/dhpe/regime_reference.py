"""The two regime rules of the seed documents, exactly as written there: a reference and a baseline.

``analyze_vanna_regime`` marks some 15 % of all days as bulldozer, up days among them; the service's own machine is
in ``regime.py``. Both rules exist over arrays and one bar at a time, and both forms are the same step (MODEL.md
section 10). Missing values are NaN, and every comparison with NaN is false.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dhpe.numerics import kinematics

Floats = npt.NDArray[np.float64]

VANNA_LABELS: Final = ("Normal", "Vanna_Bulldozer", "Vanna_Burnout")
"""The seed's words, in the order of the codes NORMAL, BULLDOZER, BURNOUT."""
CRASH_LABELS: Final = ("NO_SIGNAL", "REGIME_ACCELERATION (HODL)", "PHASE_TRANSITION (MONETIZE)")
"""The seed's words, in the order of the codes NO_SIGNAL, CRASH_ACCELERATION, CRASH_PHASE_TRANSITION."""


class Labels(NamedTuple):
    """One code per bar (n), and per bar whether a threshold lay within 1e-10 of the number it was compared with."""

    codes: npt.NDArray[np.int8]
    near_threshold: npt.NDArray[np.bool_]


class VannaRule:
    """``analyze_vanna_regime`` of seed 000, one bar at a time."""

    def __init__(self, window: int = 20) -> None:
        self._state, self._ring = kinematics.new_vanna_rule(window)

    def on_bar(self, close: float, iv_index: float) -> str:
        """Label of the bar that has just closed; ``iv_index`` in vol points."""
        return VANNA_LABELS[kinematics.vanna_advance(self._state, self._ring, close, iv_index)]


class CrashRule:
    """``CrashPhysicsDetector`` of seed 001, one bar at a time."""

    def __init__(self, span: int = 5) -> None:
        self._rows = kinematics.new_derivatives(4)
        self._span = span

    def on_bar(self, close: float, vvix: float) -> str:
        """Label of the bar that has just closed; ``vvix`` in vol points."""
        code, _ = kinematics.crash_advance(self._rows, close, vvix, self._span)
        return CRASH_LABELS[code]

    @property
    def derivatives(self) -> tuple[float, float, float]:
        """Velocity, acceleration and jerk of the last bar, price points per bar, per bar² and per bar³."""
        velocity, acceleration, jerk = self._rows["mean"][:3].tolist()
        return velocity, acceleration, jerk


def vanna_regime(close: Floats, iv_index: Floats, window: int = 20) -> Labels:
    """``analyze_vanna_regime`` of seed 000 over bars (n); codes index VANNA_LABELS."""
    state, ring = kinematics.new_vanna_rule(window)
    labels = np.empty(close.shape[0], np.int8)
    near = np.empty(close.shape[0], np.bool_)
    kinematics.vanna_series(state, ring, close, iv_index, labels, near)
    return Labels(labels, near)


def crash_regime(close: Floats, vvix: Floats, span: int = 5) -> Labels:
    """``CrashPhysicsDetector`` of seed 001 over bars (n); codes index CRASH_LABELS."""
    rows = kinematics.new_derivatives(4)
    labels = np.empty(close.shape[0], np.int8)
    near = np.empty(close.shape[0], np.bool_)
    kinematics.crash_series(rows, close, vvix, span, labels, near)
    return Labels(labels, near)
