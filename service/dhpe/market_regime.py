"""Low vol, high vol or between: what dealers' hedging makes of the market on the scale of days.

``low_vol``: the gain is surely negative, realised below implied vol, impact not above its 20-day median. ``high_vol``:
the gain is surely positive, realised above implied, and impact doubled or the vanna term in its own worst tenth. The
20 days are a ring of samples taken while no episode is open, and a bar is compared with the samples before it
(MODEL.md section 10).
"""

import math
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from dhpe.numerics.rolling import quantile

Name = Literal["low_vol", "high_vol", "transition"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)

SAMPLE_NS: Final = 1200 * 10**9
MEMORY_NS: Final = 20 * 86_400 * 10**9
SAMPLES_MAX: Final = MEMORY_NS // SAMPLE_NS
SAMPLES_MIN: Final = 3
IMPACT_HIGH: Final = 2.0
VANNA_QUANTILE: Final = 0.10
UNKNOWN: Final = -1

CLOCK: Final = np.dtype(
    [
        ("name", "i1"),
        ("candidate", "i1"),
        ("candidate_since_ns", "i8"),
        ("samples", "i8"),
        ("sampled_ns", "i8"),
        ("impact_median", "f8"),
        ("vanna_quantile", "f8"),
    ],
    align=True,
)
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
        self.clock = np.zeros(1, CLOCK)
        self.clock["name"] = UNKNOWN
        self.clock["candidate"] = UNKNOWN
        self.clock["impact_median"] = math.nan
        self.clock["vanna_quantile"] = math.nan
        self.samples = np.zeros(SAMPLES_MAX, SAMPLE)
        self._scratch = np.empty(SAMPLES_MAX)

    @property
    def name(self) -> Name | None:
        """The regime that has stood for its dwell; None before anything was known."""
        code = int(self.clock[0]["name"])
        return None if code == UNKNOWN else NAMES[code]

    def on_bar(self, reading: Reading, *, frozen: bool) -> None:
        """One bar; ``frozen`` while an episode is open, which is not learnt from."""
        clock = self.clock[0]
        code = self._classify(reading, float(clock["impact_median"]), float(clock["vanna_quantile"]))
        if code != clock["candidate"]:
            clock["candidate"] = code
            clock["candidate_since_ns"] = reading.end_ns
        waited = reading.end_ns - int(clock["candidate_since_ns"]) >= self._dwell_ns
        if code != UNKNOWN and (clock["name"] == UNKNOWN or waited):
            clock["name"] = code
        if not frozen:
            self._sample(reading)

    def _classify(self, reading: Reading, impact_median: float, vanna_quantile: float) -> int:
        known = not (
            math.isnan(reading.feedback_gain_low)
            or math.isnan(reading.feedback_gain_high)
            or math.isnan(reading.realised_to_implied)
        )
        if not known:
            return UNKNOWN
        impact, vanna = reading.impact_intensity, reading.beta_vanna_field
        if reading.feedback_gain_high < 0.0 and reading.realised_to_implied < 1.0 and impact <= impact_median:
            return NAMES.index("low_vol")
        strained = impact > IMPACT_HIGH * impact_median or vanna < min(0.0, vanna_quantile)
        if reading.feedback_gain_low > 0.0 and reading.realised_to_implied > 1.0 and strained:
            return NAMES.index("high_vol")
        return NAMES.index("transition")

    def _sample(self, reading: Reading) -> None:
        clock = self.clock[0]
        if clock["samples"] and reading.end_ns - int(clock["sampled_ns"]) < SAMPLE_NS:
            return
        if math.isnan(reading.impact_intensity) and math.isnan(reading.beta_vanna_field):
            return
        slot = int(clock["samples"]) % SAMPLES_MAX
        self.samples[slot] = (reading.end_ns, reading.impact_intensity, reading.beta_vanna_field)
        clock["samples"] += 1
        clock["sampled_ns"] = reading.end_ns
        count = min(int(clock["samples"]), SAMPLES_MAX)
        recent = self.samples[:count][self.samples["ts_ns"][:count] > reading.end_ns - MEMORY_NS]
        if recent.shape[0] >= SAMPLES_MIN:
            clock["impact_median"] = self._quantile(recent["impact"], 0.5)
            clock["vanna_quantile"] = self._quantile(recent["beta_vanna"], VANNA_QUANTILE)

    def _quantile(self, values: npt.NDArray[np.float64], probability: float) -> float:
        return float(quantile(np.ascontiguousarray(values), values.shape[0], probability, self._scratch))
