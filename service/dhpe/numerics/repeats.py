"""How a source numbers its records: what came twice, what is missing, and where the numbering begins anew."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel

_NS_PER_DAY: Final = 86_400_000_000_000
_RESTARTS_MAX: Final = 1_024
_MISSING_MAX: Final = 1 << 40
STEPS_MIN: Final = 10
"""A source with fewer steps has not shown yet whether it leaves numbers out."""

NUMBERING: Final = np.dtype(
    [
        ("newest", "i8"),  # the highest sequence of the present numbering
        ("newest_ns", "i8"),  # the latest event time of any record, 0 before the first
        ("missing", "i8"),  # numbers below ``newest`` that never came, while that tells of a loss
        ("steps", "i8"),  # forward steps of the present numbering, and those among them by one
        ("single_steps", "i8"),
        ("restarts", "i8"),  # numberings begun within the day of ``newest_ns``, the last one at ``restarted_ns``
        ("restarted_ns", "i8"),
    ],
    align=True,
)

NEW: Final = 0
REPEATED: Final = 1
"""The sequence has come before, with the same content."""
CONFLICTING: Final = 2
"""The sequence has come before, with another content."""
GAP: Final = 4
"""Numbers before this one are missing, in a source that leaves none out."""
FILLED: Final = 8
"""This was the last number that was missing."""


@kernel
def _session(ts_event_ns: int, source: Any) -> int:
    """The numbering that a record belongs to: its UTC day, and where that day had several, which of them."""
    day = ts_event_ns // _NS_PER_DAY
    if day != source["newest_ns"] // _NS_PER_DAY or source["restarts"] == 0:
        return day * _RESTARTS_MAX
    earlier = 1 if ts_event_ns < source["restarted_ns"] else 0
    return day * _RESTARTS_MAX + min(source["restarts"] - earlier, _RESTARTS_MAX - 1)


@kernel
def _begin(sequence: int, source: Any) -> None:
    source["newest"] = sequence
    source["missing"] = 0
    source["steps"] = 0
    source["single_steps"] = 0


@kernel
def _restart(sequence: int, ts_event_ns: int, source: Any, pause_ns: int) -> None:
    """Begin a new numbering where the old one has plainly ended: the next day, or after a pause."""
    if source["newest_ns"] == 0:
        _begin(sequence, source)
        source["newest_ns"] = ts_event_ns
        return
    next_day = ts_event_ns // _NS_PER_DAY > source["newest_ns"] // _NS_PER_DAY
    if next_day:
        source["restarts"] = 0
    if sequence <= source["newest"] and (next_day or ts_event_ns >= source["newest_ns"] + pause_ns):
        if not next_day:
            source["restarts"] += 1
            source["restarted_ns"] = ts_event_ns
        _begin(sequence, source)
    source["newest_ns"] = max(source["newest_ns"], ts_event_ns)


@kernel
def _follow(sequence: int, source: Any, gapless_share: float) -> int:
    """Keep account of what is missing; ``sequence`` has not come before."""
    if sequence > source["newest"]:
        step = sequence - source["newest"]
        gapless = source["steps"] >= STEPS_MIN and source["single_steps"] >= gapless_share * source["steps"]
        source["newest"] = sequence
        source["steps"] += 1
        if step == 1:
            source["single_steps"] += 1
        elif gapless:
            source["missing"] = min(source["missing"] + step - 1, _MISSING_MAX)
            return GAP
    elif sequence < source["newest"]:
        source["single_steps"] = min(source["single_steps"] + 1, source["steps"])
        if source["missing"] > 0:
            source["missing"] -= 1
            return FILLED if source["missing"] == 0 else NEW
    return NEW


@kernel
def follow_numbering(
    records: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    numbering: NDArray[np.void],
    seen: NDArray[np.int64],
    pause_ns: int,
    gapless_share: float,
) -> NDArray[np.int8]:
    """What each of one source's ``records`` (sequences, event times, digests) is: one of the codes above.

    ``numbering`` is one row of NUMBERING. ``seen`` is (memory, 3) of (sequence, session, digest), addressed by sequence
    modulo memory; all zero is empty. A lower sequence begins a new numbering when its event time is of a later UTC
    day, or ``pause_ns`` after all that came before: a record that was merely late has an earlier time. Gaps are told
    of a source of whose steps at least ``gapless_share`` were by one: others number more than they send us.
    """
    sequences, times_ns, digests = records
    source = numbering[0]
    marks = np.zeros(len(sequences), np.int8)
    for place in range(len(sequences)):
        sequence = sequences[place]
        _restart(sequence, times_ns[place], source, pause_ns)
        session = _session(times_ns[place], source)
        slot = sequence % len(seen)
        if seen[slot, 0] == sequence and seen[slot, 1] == session:
            marks[place] = REPEATED if seen[slot, 2] == digests[place] else CONFLICTING
            continue
        seen[slot, 0] = sequence
        seen[slot, 1] = session
        seen[slot, 2] = digests[place]
        if session == _session(source["newest_ns"], source):
            marks[place] = _follow(sequence, source, gapless_share)
    return marks
