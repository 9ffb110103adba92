"""The order of the two inputs, told by the journal, is the order of a restart."""

from collections.abc import AsyncIterator, Sequence

import pytest

from dhpe.edge.journal import JournalEntry, Leg, Positions, decode_entry, encode_entry, legs


async def each(entries: Sequence[JournalEntry]) -> AsyncIterator[JournalEntry]:
    """The entries as they are read."""
    for entry in entries:
        yield entry


def entry(chain_from: int, chain_to: int, ticks_at: int) -> JournalEntry:
    """An entry of one step."""
    return JournalEntry(chain_from, chain_to, ticks_at, "digest")


def chain(end: int) -> Leg:
    """A stretch of the chain."""
    return Leg(of_chain=True, end=end)


def ticks(end: int) -> Leg:
    """A stretch of the ticks."""
    return Leg(of_chain=False, end=end)


@pytest.mark.parametrize(
    ("entries", "begin", "committed", "expected"),
    [
        ([], (0, 0), (0, 0), []),
        ([], (0, 0), (0, 9), [ticks(9)]),
        ([entry(0, 5, 0)], (0, 0), (5, 9), [chain(5), ticks(9)]),
        ([entry(0, 5, 0), entry(5, 7, 0)], (0, 0), (7, 9), [chain(7), ticks(9)]),
        ([entry(0, 5, 0), entry(5, 7, 4)], (0, 0), (7, 9), [chain(5), ticks(4), chain(7), ticks(9)]),
        ([entry(0, 5, 3)], (0, 0), (5, 3), [ticks(3), chain(5)]),
        # retention has taken the first records of both inputs: what is left is applied in the same order
        ([entry(0, 5, 0), entry(5, 7, 4)], (6, 5), (7, 9), [chain(7), ticks(9)]),
        # the journal has lost its beginning: the chain records that it no longer tells of come first, as contracts must
        ([entry(5, 7, 4)], (0, 0), (7, 9), [chain(5), ticks(4), chain(7), ticks(9)]),
        ([], (0, 0), (7, 9), [chain(7), ticks(9)]),
    ],
)
async def test_the_stretches_follow_the_journal(
    entries: list[JournalEntry], begin: tuple[int, int], committed: tuple[int, int], expected: list[Leg]
) -> None:
    """Each chain record is applied before the tick that followed it live."""
    found = [leg async for leg in legs(each(entries), Positions(*begin), Positions(*committed))]
    assert found == expected


def test_an_entry_reads_back_as_written() -> None:
    """Entries of older versions, without the last field, are read too."""
    one = JournalEntry(3, 9, 27, "0123456789ab", lost=True)
    assert decode_entry(encode_entry(one)) == one
    assert decode_entry(b'{"chain_from":1,"chain_to":2,"ticks_at":3,"settings":"s"}') == JournalEntry(1, 2, 3, "s")
