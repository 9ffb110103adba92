"""How a source numbers its records, against sets, and told as stories."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dhpe.numerics.repeats import (
    CONFLICTING,
    FILLED,
    GAP,
    NEW,
    NUMBERING,
    REPEATED,
    STEPS_MIN,
    follow_numbering,
)

S = 1_000_000_000
DAY_S = 86_400
NOON_S = 19_700 * DAY_S + DAY_S // 2
PAUSE_S = 10
GAPLESS = list(range(STEPS_MIN + 1))
"""Enough of a source to see that it leaves nothing out; the next number is ``NEXT``."""
NEXT = STEPS_MIN + 1


class Source:
    """One source under test."""

    def __init__(self, memory: int = 64) -> None:
        self.numbering = np.zeros(1, NUMBERING)
        self.seen = np.zeros((memory, 3), np.int64)

    def marks(self, sequences: list[int], at_s: float = NOON_S, digests: list[int] | None = None) -> list[int]:
        """What these records, all of one time, are."""
        columns = (
            np.array(sequences, np.int64),
            np.full(len(sequences), round(at_s * S), np.int64),
            np.array(digests or [0] * len(sequences), np.int64),
        )
        return follow_numbering(columns, self.numbering, self.seen, PAUSE_S * S, 0.9).tolist()

    @property
    def missing(self) -> int:
        """Numbers that never came."""
        return int(self.numbering["missing"][0])


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1)), max_size=80))
def test_a_sequence_is_repeated_when_it_came_before(records: list[tuple[int, int]]) -> None:
    """Within the memory and one day: a dictionary of first contents says which are repeated and which in conflict."""
    first: dict[int, int] = {}
    expected = []
    for sequence, digest in records:
        known = first.setdefault(sequence, digest) if sequence in first else None
        first.setdefault(sequence, digest)
        expected.append(NEW if known is None else REPEATED if known == digest else CONFLICTING)
    marks = Source().marks([record[0] for record in records], digests=[record[1] for record in records])
    assert [mark if mark in (REPEATED, CONFLICTING) else NEW for mark in marks] == expected


@given(st.integers(1, 40), st.data())
def test_what_is_missing_is_what_a_set_misses(length: int, data: st.DataObject) -> None:
    """After one gap the missing numbers come in any order and steps: as many are missing as a set says."""
    source = Source()
    source.marks(GAPLESS)
    assert source.marks([NEXT + length]) == [GAP]
    missing = set(range(NEXT, NEXT + length))
    for number in data.draw(st.lists(st.sampled_from(sorted(missing)), max_size=60)):
        (mark,) = source.marks([number])
        assert mark == (REPEATED if number not in missing else FILLED if missing == {number} else NEW)
        missing.discard(number)
        assert source.missing == len(missing)


def test_a_gap_is_told_once_and_is_over_when_the_missing_numbers_have_come() -> None:
    """Late records close it, in any order."""
    source = Source()
    assert source.marks(GAPLESS) == [NEW] * len(GAPLESS)
    assert source.marks([NEXT + 2, NEXT + 3]) == [GAP, NEW]
    assert source.missing == 2
    assert source.marks([NEXT + 1, NEXT + 1, NEXT]) == [NEW, REPEATED, FILLED]
    assert source.missing == 0


def test_a_gap_of_a_million_is_told_like_one_of_one() -> None:
    """The size is kept, and costs nothing."""
    source = Source()
    source.marks(GAPLESS)
    assert source.marks([NEXT + 10**6]) == [GAP]
    assert source.missing == 10**6
    assert source.marks([2**63 - 1]) == [GAP]


def test_a_source_that_leaves_numbers_out_has_no_gaps() -> None:
    """Trade numbers that also count other instruments; and nothing is said of the first few records."""
    assert set(Source().marks(list(range(0, 3_000, 3)))) == {NEW}
    assert set(Source().marks([0, 1, 2, 3, 50])) == {NEW}


def test_numbers_that_fall_on_another_day_or_after_a_silence_begin_anew() -> None:
    """At the open: the same numbers again are new, and no gap; also twice in one day."""
    for later_s in (DAY_S // 2, PAUSE_S):
        source = Source()
        source.marks(GAPLESS)
        assert source.marks([1, 2, 3], NOON_S + later_s) == [NEW] * 3
        assert source.marks([3], NOON_S + later_s) == [REPEATED]
        assert source.marks([5], NOON_S) == [REPEATED]  # of the earlier numbering, sent once more
        assert source.marks([1, 2], NOON_S + later_s + PAUSE_S) == [NEW] * 2
        assert source.missing == 0


def test_numbers_that_fall_without_a_silence_are_late_or_in_conflict() -> None:
    """A record that was overtaken is no new beginning."""
    source = Source()
    source.marks([100, 101, 103])
    assert source.marks([102, 101], NOON_S + PAUSE_S - 1, [0, 7]) == [NEW, CONFLICTING]
