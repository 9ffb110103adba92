"""Frozen and thawed in a real half day of GOOG, whose weekly options settle at its end."""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from dhpe.columns import Batch, empty_batch
from dhpe.edge import formats
from dhpe.engine import Engine
from dhpe.parameters import Parameters
from dhpe.snapshot import freeze, thaw
from dhpe.snapshot_bytes import decode, encode
from same_state import differences

CUTS = 24
PIECE = 2_000


class Cut(NamedTuple):
    """Where the day is cut, what the engine was then, and what it had said so far."""

    batch: int
    state: bytes
    outputs: int


class Day(NamedTuple):
    """A run through the day."""

    batches: list[Batch]
    outputs: list[bytes]
    cuts: list[Cut]
    hot_rows: list[int]


def pieces(batch: Batch) -> list[Batch]:
    """The same records in more batches."""
    starts = range(0, len(batch.events), PIECE)
    return [batch._replace(events=batch.events[start : start + PIECE]) for start in starts]


def said(engine: Engine, batch: Batch) -> list[bytes]:
    """The outputs of a batch as they go on the wire."""
    return [msgspec.json.encode(output) for output in engine.step(empty_batch(), batch).outputs]


def thawed(state: bytes) -> Engine:
    """An engine of its own in this state."""
    engine = Engine(Parameters())
    thaw(decode(state), engine)
    return engine


@pytest.fixture(scope="module")
def day(shared_data: Path) -> Day:
    """The day run through, its state kept at even distances."""
    read = formats.read(formats.plan([shared_data / "lean_goog_20151224"]))
    batches = [piece for one in read if isinstance(one, Batch) for piece in pieces(one)]
    places = {len(batches) * number // CUTS for number in range(1, CUTS + 1)}
    engine = Engine(Parameters())
    outputs: list[bytes] = []
    cuts, hot_rows = [], []
    for number, batch in enumerate(batches, 1):
        outputs += said(engine, batch)
        if number in places:
            cuts.append(Cut(number, encode(freeze(engine)), len(outputs)))
            hot_rows += [int(underlying.market["hot_rows"]) for underlying in engine.underlyings.values()]
    return Day(batches, outputs, cuts, hot_rows)


def test_each_piece_of_the_day_follows_from_the_state_at_its_beginning(day: Day) -> None:
    """Thawed at each cut and run to the next: the same outputs, and the next cut's state to the last bit."""
    assert len(day.cuts) == CUTS
    for cut, following in pairwise(day.cuts):
        engine = thawed(cut.state)
        outputs = [line for batch in day.batches[cut.batch : following.batch] for line in said(engine, batch)]
        assert outputs == day.outputs[cut.outputs : following.outputs]
        assert list(differences(engine, thawed(following.state))) == []


def test_the_cuts_meet_the_last_hour_before_a_settlement(day: Day) -> None:
    """Some of the states are kept while contracts near their expiry are summed exactly."""
    assert max(day.hot_rows) > 10
    assert day.hot_rows[0] == 0
