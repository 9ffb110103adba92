"""VIX, VVIX and five sectors of the simulated market."""

import math
from typing import Final

import numpy as np

from dhpe.simulate.records import Recorder
from dhpe.simulate.scenario import Phase

SECTORS: Final = (("XLK", 1.25), ("XLY", 1.15), ("XLF", 1.05), ("XLV", 0.75), ("XLU", 0.55))
"""Names and betas to the index."""
_BETA: Final = np.array([beta for _, beta in SECTORS])
_VVIX_PER_VIX: Final = 1.5
_VVIX_NOISE_PER_SQRT_S: Final = 0.05
_VVIX_MIN: Final = 60.0


class Indices:
    """Levels that follow the index and its vol."""

    def __init__(self, vix: float, vvix: float) -> None:
        """Sectors start at 100."""
        self.vix, self._vvix = vix, vvix
        self._sectors = np.full(len(SECTORS), 100.0)

    def step(self, log_return: float, vix: float, phase: Phase, step_s: float, generator: np.random.Generator) -> None:
        """Move the VVIX with the VIX and back to the phase's goal, the sectors with the index and on their own."""
        reversion = phase.vvix_reversion_per_s * (phase.vvix_goal - self._vvix) * step_s
        noise = _VVIX_NOISE_PER_SQRT_S * math.sqrt(step_s) * generator.standard_normal()
        self._vvix = max(_VVIX_MIN, self._vvix + _VVIX_PER_VIX * (vix - self.vix) + reversion + noise)
        self.vix = vix
        own_share = math.sqrt(1.0 / phase.sector_correlation - 1.0)
        own = own_share * phase.volatility_per_sqrt_s * math.sqrt(step_s) * generator.standard_normal(len(SECTORS))
        lead = phase.high_beta_lead_per_s * step_s * (_BETA - 1.0)
        self._sectors *= np.exp(_BETA * log_return + own + lead)

    def publish(self, record: Recorder, ts_event_ns: int) -> None:
        """Write VIX and VVIX."""
        record.index_value(ts_event_ns, "VIX", self.vix)
        record.index_value(ts_event_ns, "VVIX", self._vvix)

    def publish_sectors(self, record: Recorder, ts_event_ns: int) -> None:
        """Write the sectors."""
        for (name, _), level in zip(SECTORS, self._sectors.tolist(), strict=True):
            record.index_value(ts_event_ns, name, level)
