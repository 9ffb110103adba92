"""Which sequence numbers came before."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel

_NS_PER_DAY: Final = 86_400_000_000_000


@kernel
def mark_repeats(
    sequences: NDArray[np.int64], ts_event_ns: NDArray[np.int64], seen: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """True where a sequence already stands in ``seen`` for the same UTC day; remembers all.

    ``seen`` is (memory, 2) of (sequence, day), addressed by sequence modulo memory. The day lets a source begin
    anew every session without its first numbers being taken for old ones.
    """
    repeated = np.zeros(len(sequences), np.bool_)
    for place in range(len(sequences)):
        slot = sequences[place] % len(seen)
        day = ts_event_ns[place] // _NS_PER_DAY
        if seen[slot, 0] == sequences[place] and seen[slot, 1] == day:
            repeated[place] = True
        seen[slot, 0] = sequences[place]
        seen[slot, 1] = day
    return repeated
