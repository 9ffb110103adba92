"""What must hold for the engine whatever it is fed: the five properties, on the simulated market."""

from collections.abc import Sequence
from itertools import islice, pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.columns import Batch, empty_batch
from dhpe.engine import Engine
from dhpe.numerics.state import NS_PER_S
from dhpe.outputs import Alert, Output, Pressure
from dhpe.parameters import Parameters
from dhpe.simulate import SimulationSettings, simulate
from slow_book import slow_fields

START_NS = 1_790_000_000 * NS_PER_S
PARAMETERS = Parameters(pressure_interval_ms=500, landscape_interval_s=5.0)


@pytest.fixture(scope="module")
def market() -> Batch:
    """Twenty-five seconds of the simulated market as one batch."""
    batches = list(islice(simulate(SimulationSettings(), START_NS), 250))
    return joined(batches)


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch of several, names and references re-indexed."""
    names: list[str] = []
    known: dict[str, int] = {}
    events, reference, levels = [], [], []
    level_count = 0
    for batch in batches:
        for name in batch.names:
            if name not in known:
                known[name] = len(names)
                names.append(name)
        lookup = np.array([known[name] for name in batch.names] + [-1], np.int32)
        rows = batch.events.copy()
        for field in ("underlying", "name", "source", "file"):
            rows[field] = lookup[rows[field]]
        rows["reference"][rows["reference"] >= 0] += len(reference)
        rows["levels_start"] += level_count
        level_count += len(batch.levels)
        reference.extend(batch.reference)
        events.append(rows)
        levels.append(batch.levels)
    return Batch(np.concatenate(events), names, reference, np.concatenate(levels))


def cut(batch: Batch, places: Sequence[int]) -> list[Batch]:
    """The batch in pieces, cut before each of ``places``."""
    edges = [0, *sorted(places), len(batch.events)]
    return [batch._replace(events=batch.events[a:b]) for a, b in pairwise(edges)]


def outputs(batches: Sequence[Batch], parameters: Parameters = PARAMETERS) -> list[Output]:
    """What a new engine says to ``batches``."""
    engine = Engine(parameters)
    said: list[Output] = []
    for batch in batches:
        said.extend(engine.step(empty_batch(), batch).outputs)
    return said


def as_bytes(said: Sequence[Output]) -> list[bytes]:
    """Each output as it goes on the wire."""
    return [msgspec.json.encode(output) for output in said]


@pytest.fixture(scope="module")
def whole(market: Batch) -> list[bytes]:
    """What the engine says to the market handed over in one step."""
    return as_bytes(outputs([market]))


@settings(max_examples=8)
@given(data=st.data())
def test_the_cut_into_steps_changes_no_bit(data: st.DataObject, market: Batch, whole: list[bytes]) -> None:
    """Independent of the batch split: any cuts give the same bytes in the same order."""
    places = data.draw(st.lists(st.integers(1, len(market.events) - 1), max_size=60, unique=True))
    assert as_bytes(outputs(cut(market, places))) == whole


def test_one_record_a_step_changes_no_bit(market: Batch) -> None:
    """The finest split there is, over the first thousand hot records."""
    first = int(np.flatnonzero(market.events["reference"] < 0)[0])
    head = market._replace(events=market.events[: first + 1000])
    singly = cut(head, range(first, first + 1000))
    assert as_bytes(outputs(singly)) == as_bytes(outputs([head]))


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_the_result_of_a_prefix_is_a_prefix_of_the_result(market: Batch, whole: list[bytes], share: float) -> None:
    """No look-ahead: what was said does not depend on what came later."""
    prefix = market._replace(events=market.events[: int(share * len(market.events))])
    said = as_bytes(outputs([prefix]))
    assert 5 < len(said) < len(whole)
    assert whole[: len(said)] == said


def test_a_replay_is_bit_equal(market: Batch, whole: list[bytes]) -> None:
    """A second engine in the same process says the same bytes."""
    assert as_bytes(outputs([market])) == whole


def test_the_incremental_fields_are_those_of_the_full_recomputation(market: Batch) -> None:
    """After 25 seconds of quotes and trades the panel is within 1e-7 of the gross field of a slow recomputation."""
    engine = Engine(PARAMETERS)
    engine.step(empty_batch(), market)
    underlying = engine.underlyings["SIM"]
    underlying.refresh()
    net, gross = slow_fields(underlying.book, int(PARAMETERS.tau_floor_s * NS_PER_S))
    assert (np.abs(underlying.market["fields"] - net) / gross).max() < 1e-7
    assert len(underlying.book) >= 500


def test_states_are_published_once_an_interval_and_with_every_alert(market: Batch) -> None:
    """Event time never stands still between two states, and an alert is followed by the state it belongs to."""
    said = outputs([market], Parameters(pressure_interval_ms=1000))
    for before, after in pairwise(said):
        if isinstance(before, Alert):
            assert isinstance(after, (Alert, Pressure))
    states = [output for output in said if isinstance(output, Pressure)]
    slots = [state.ts_event_ns // NS_PER_S for state in states]
    assert slots == sorted(set(slots))
    assert len(states) == 25
