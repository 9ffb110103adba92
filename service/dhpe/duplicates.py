"""What the sources' own numbers tell: records sent twice, and records that were lost before they reached the log.

Records are repeated by (source, sequence) and by nothing else. A number that is used again for another content is not
a repetition but a conflict. A gap is told of a source that has shown that it leaves no number out.
"""

from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import DEPTH, EVENT, Batch
from dhpe.numerics.repeats import GAP, NUMBERING, follow_numbering
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters

MEMORY: Final = 65_536
"""Sequences remembered for each source: a repetition further back than that is not noticed."""
_FLOATS: Final = tuple(name for name in EVENT.names or () if EVENT[name] == np.float64)
_INTEGERS: Final = ("cancels", "kind", "side", "flags")
SURPLUS: Final = 3
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)


class Marks(NamedTuple):
    """What the events of a batch are to their sources.

    ``codes`` says for each event what ``numerics.repeats`` says, ``SURPLUS`` where its source is not followed. ``told``
    names, for each place of a ``GAP`` or ``FILLED``, the underlyings of which that source has spoken so far.
    """

    codes: NDArray[np.int8]
    told: dict[int, list[str]]


class SourceNumbers(NamedTuple):
    """The numbering of one source, and of whom it has spoken."""

    numbering: NDArray[np.void]  # (1,) of NUMBERING
    seen: NDArray[np.int64]
    underlyings: dict[str, None]


def _new_source() -> SourceNumbers:
    # Pages of zeros that nobody has touched cost nothing: a source takes the memory of what it has sent.
    return SourceNumbers(np.zeros(1, NUMBERING), np.zeros((MEMORY, 3), np.int64), {})


class SequenceMemory:
    """The sources of one partition."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._sources: dict[str, SourceNumbers] = {}

    def marks(self, batch: Batch) -> Marks | None:
        """Follow the numbers of ``batch``; ``None`` where none of its events carries one."""
        events = batch.events
        carrying = np.flatnonzero(events["sequence"] >= 0)
        if len(carrying) == 0:
            return None
        marks = Marks(np.zeros(len(events), np.int8), {})
        digests = _digests(batch, carrying)
        sources = events["source"][carrying]
        numbers, firsts = np.unique(sources, return_index=True)
        for number in numbers[np.argsort(firsts)].tolist():  # in order of appearance, for the limit
            name = batch.names[number] if number >= 0 else ""
            chosen = np.flatnonzero(sources == number)
            rows = carrying[chosen]
            if name not in self._sources:
                if len(self._sources) >= self._parameters.sources_max:
                    marks.codes[rows] = SURPLUS
                    continue
                self._sources[name] = _new_source()
            source = self._sources[name]
            marks.codes[rows] = follow_numbering(
                (
                    np.ascontiguousarray(events["sequence"][rows]),
                    np.ascontiguousarray(events["ts_event_ns"][rows]),
                    digests[chosen],
                ),
                source.numbering,
                source.seen,
                int(self._parameters.sequence_pause_s * NS_PER_S),
                self._parameters.sequence_gapless_share,
            )
            _note_underlyings(source, batch, rows, marks)
        return marks


def _note_underlyings(source: SourceNumbers, batch: Batch, rows: NDArray[np.intp], marks: Marks) -> None:
    """Keep account of whom the source has spoken, and say it at each of its gaps as it was there."""
    spoken = batch.events["underlying"][rows]
    done = 0
    for place in (*np.flatnonzero(marks.codes[rows] >= GAP).tolist(), len(rows) - 1):
        numbers, firsts = np.unique(spoken[done : place + 1], return_index=True)
        for number in numbers[np.argsort(firsts)].tolist():
            source.underlyings.setdefault(batch.names[number])
        done = place + 1
        row = int(rows[place])
        if marks.codes[row] >= GAP:
            marks.told[row] = list(source.underlyings)


def _digests(batch: Batch, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """A 64-bit FNV-1a of what each of ``rows`` says, whatever batch it stands in and when it was stamped."""
    events = batch.events[rows]
    names = np.array([*(crc32(name.encode(errors="surrogatepass")) for name in batch.names), 0], np.uint64)
    words = [events[name].astype(np.int64).view(np.uint64) for name in _INTEGERS]
    words += [np.ascontiguousarray(events[name]).view(np.uint64) for name in _FLOATS]
    words += [names[events["underlying"]], names[events["name"]], _contents(batch, events)]
    digests = np.full(len(rows), _FNV_OFFSET)
    for word in words:
        digests = (digests ^ word) * _FNV_PRIME
        digests ^= digests >> np.uint64(32)
    return digests.view(np.int64)


def _contents(batch: Batch, events: NDArray[np.void]) -> NDArray[np.uint64]:
    """What stands beside the columns: the fact of a reference record, the levels of a depth record."""
    contents = np.zeros(len(events), np.uint64)
    for place in np.flatnonzero((events["reference"] >= 0) | (events["kind"] == DEPTH)).tolist():
        event = events[place]
        if event["reference"] >= 0:
            contents[place] = crc32(repr(batch.reference[event["reference"]]).encode(errors="surrogatepass"))
        else:
            start = int(event["levels_start"])
            levels = batch.levels[start : start + int(event["bid_levels"]) + int(event["ask_levels"])]
            contents[place] = crc32(levels.tobytes(), int(event["bid_levels"]))
    return contents
