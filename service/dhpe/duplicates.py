"""Records sent twice: dropped by (source, sequence) and by nothing else."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import Batch
from dhpe.numerics.repeats import mark_repeats

MEMORY: Final = 65_536
"""Sequences remembered for each source: a repetition further back than that is not noticed."""


class SequenceMemory:
    """The last sequences of each source."""

    def __init__(self) -> None:
        self._seen: dict[str, NDArray[np.int64]] = {}

    def repeated(self, batch: Batch) -> NDArray[np.bool_] | None:
        """Which events repeat a (source, sequence) already seen; ``None`` where no event carries a sequence."""
        events = batch.events
        carrying = events["sequence"] >= 0
        if not carrying.any():
            return None
        repeated = np.zeros(len(events), np.bool_)
        for code in np.unique(events["source"][carrying]):
            source = batch.names[code] if code >= 0 else ""
            if source not in self._seen:
                self._seen[source] = np.full((MEMORY, 2), -1, np.int64)
            rows = np.flatnonzero(carrying & (events["source"] == code))
            chosen = events[rows]
            repeated[rows] = mark_repeats(chosen["sequence"], chosen["ts_event_ns"], self._seen[source])
        return repeated
