"""Low vol, high vol or between: what dealers' hedging makes of the market on the scale of days.

``low_vol``: the gain is surely negative, realised below implied vol, impact not above its 20-day median. ``high_vol``:
the gain is surely positive, realised above implied, and impact doubled or the vanna term in its own worst tenth. The
20 days are a ring of samples taken while no episode is open, and a bar is compared with the samples before it
(MODEL.md section 10).
"""

import math
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dhpe.numerics.rolling import quantile

Array = npt.NDArray[Any]
Name = Literal["low_vol", "high_vol", "transition"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)

SAMPLE_NS: Final = 1200 * 10**9
MEMORY_NS: Final = 20 * 86_400 * 10**9
SAMPLES_MAX: Final = MEMORY_NS // SAMPLE_NS
SAMPLES_MIN: Final = 3
IMPACT_HIGH: Final = 2.0
VANNA_QUANTILE: Final = 0.10
UNKNOWN: Final = -1
LOW_VOL: Final = NAMES.index("low_vol")
HIGH_VOL: Final = NAMES.index("high_vol")
TRANSITION: Final = NAMES.index("transition")

SAMPLE: Final = np.dtype([("ts_ns", "i8"), ("impact", "f8"), ("beta_vanna", "f8")], align=True)


class Reading(NamedTuple):
    """What one bar contributes; NaN where unknown. ``impact_intensity`` in price points per USD."""

    end_ns: int
    feedback_gain_low: float
    feedback_gain_high: float
    realised_to_implied: float
    impact_intensity: float
    beta_vanna_field: float


class MarketRegime:
    """The market regime of one underlying with its dwell and its twenty days of samples."""

    def __init__(self, dwell_s: float) -> None:
        self._dwell_ns = round(dwell_s * 1e9)
        self._name = UNKNOWN
        self._candidate = UNKNOWN
        self._candidate_since_ns = 0
        self._taken = 0
        self._next_sample_ns = 0
        self._impact_median = math.nan
        self._vanna_quantile = math.nan
        self._samples = np.zeros(SAMPLES_MAX, SAMPLE)
        self._scratch = np.empty(SAMPLES_MAX)

    @property
    def name(self) -> Name | None:
        """The regime that has stood for its dwell; None before anything was known."""
        return None if self._name == UNKNOWN else NAMES[self._name]

    def on_bar(self, reading: Reading, *, frozen: bool) -> None:
        """One bar; ``frozen`` while an episode is open, which is not learnt from."""
        code = self._classify(reading)
        if code != self._candidate:
            self._candidate, self._candidate_since_ns = code, reading.end_ns
        waited = reading.end_ns - self._candidate_since_ns >= self._dwell_ns
        if code != UNKNOWN and (waited or self._name == UNKNOWN):
            self._name = code
        if not frozen and reading.end_ns >= self._next_sample_ns:
            self._sample(reading)

    def rescale(self, shares: float) -> None:
        """Put the remembered impact, in price points per USD, on new shares, ``shares`` of them for each old one."""
        self._samples["impact"] /= shares
        self._impact_median /= shares

    def _classify(self, reading: Reading) -> int:
        low, high, vol_ratio = reading.feedback_gain_low, reading.feedback_gain_high, reading.realised_to_implied
        if math.isnan(low) or math.isnan(high) or math.isnan(vol_ratio):
            return UNKNOWN
        impact = reading.impact_intensity
        if high < 0.0 and vol_ratio < 1.0 and impact <= self._impact_median:
            return LOW_VOL
        vanna_at_worst = reading.beta_vanna_field < min(0.0, self._vanna_quantile)
        strained = impact > IMPACT_HIGH * self._impact_median or vanna_at_worst
        if low > 0.0 and vol_ratio > 1.0 and strained:
            return HIGH_VOL
        return TRANSITION

    def _sample(self, reading: Reading) -> None:
        if math.isnan(reading.impact_intensity) and math.isnan(reading.beta_vanna_field):
            return
        self._samples[self._taken % SAMPLES_MAX] = (
            reading.end_ns,
            reading.impact_intensity,
            reading.beta_vanna_field,
        )
        self._taken += 1
        self._next_sample_ns = reading.end_ns + SAMPLE_NS
        taken = self._samples[: min(self._taken, SAMPLES_MAX)]
        recent = taken[taken["ts_ns"] > reading.end_ns - MEMORY_NS]
        if recent.shape[0] >= SAMPLES_MIN:
            self._impact_median = self._quantile(recent["impact"], 0.5)
            self._vanna_quantile = self._quantile(recent["beta_vanna"], VANNA_QUANTILE)

    def _quantile(self, values: Array, probability: float) -> float:
        return float(quantile(np.ascontiguousarray(values), values.shape[0], probability, self._scratch))
