"""Frozen and thawed: at any cut of a log, the engine goes on as if nothing had happened, to the last bit."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe import snapshot_bytes
from dhpe.columns import Batch, empty_batch
from dhpe.engine import Engine
from dhpe.parameters import Parameters
from dhpe.simulate import SimulationSettings, simulate
from dhpe.snapshot import FACTS, REMADE, freeze, thaw
from dhpe.snapshot_bytes import StateRefused, decode, encode
from same_state import differences

PARAMETERS = Parameters(pressure_interval_ms=500, landscape_interval_s=5.0, panel_window_s=0.5)
START_NS = 1_790_000_000 * 10**9
CHUNKS = 120


@pytest.fixture(scope="module")
def market() -> list[Batch]:
    """Twelve seconds of two underlyings."""
    return list(islice(simulate(SimulationSettings(underlyings=("SIMA", "SIMB")), START_NS), CHUNKS))


@pytest.fixture(scope="module")
def through(market: list[Batch]) -> tuple[list[list[bytes]], Engine]:
    """What one engine says to each batch, and how it ends."""
    engine = Engine(PARAMETERS)
    return said(engine, market), engine


def said(engine: Engine, batches: Sequence[Batch]) -> list[list[bytes]]:
    """The outputs of each batch as they go on the wire."""
    return [[msgspec.json.encode(one) for one in engine.step(empty_batch(), batch).outputs] for batch in batches]


def reborn(engine: Engine, parameters: Parameters = PARAMETERS) -> Engine:
    """The same state in another engine, by way of bytes."""
    other = Engine(parameters)
    thaw(decode(encode(freeze(engine))), other)
    return other


def part(batch: Batch, begin: int, end: int | None = None) -> Batch:
    """Some of a batch's records."""
    return batch._replace(events=batch.events[begin:end])


@settings(max_examples=12)
@given(cuts=st.dictionaries(st.integers(0, CHUNKS - 1), st.floats(0.0, 1.0), min_size=1, max_size=3))
def test_a_thawed_engine_goes_on_bit_for_bit(
    cuts: dict[int, float], market: list[Batch], through: tuple[list[list[bytes]], Engine]
) -> None:
    """Cut anywhere, within a batch too, up to three times: the same outputs, and the same bits in the end."""
    outputs, end = through
    engine = Engine(PARAMETERS)
    for number, batch in enumerate(market):
        place = int(cuts.get(number, 0.0) * len(batch.events))
        found = said(engine, [part(batch, 0, place)])[0] if place else []
        if number in cuts:
            before, engine = engine, reborn(engine)
            assert list(differences(before, engine)) == []
        found += said(engine, [part(batch, place)])[0]
        assert found == outputs[number]
    assert list(differences(end, engine)) == []


def test_the_cuts_meet_what_is_hard_to_keep(market: list[Batch]) -> None:
    """Somewhere in this market: a valid panel, waiting quotes, a window being prepared, sums, fits and a landscape."""
    engine = Engine(PARAMETERS)
    met: dict[str, bool] = {}
    for batch in market:
        for start in range(0, len(batch.events), 7):
            engine.step(empty_batch(), part(batch, start, start + 7))
            for underlying in engine.underlyings.values():
                row = underlying.market
                now = {
                    "panel": bool(row["panel_valid"]),
                    "waiting quotes": bool(row["dirty_rows"]),
                    "window in work": bool(underlying.book.state.panel.windows["in_work"].any()),
                    "landscape": underlying.landscape is not None,
                    "surface": row["surface_slot"] >= 0,
                    "liquidity bar": bool(row["liquidity_volume"]),
                }
                met = {name: met.get(name, False) or holds for name, holds in now.items()}
    assert met == dict.fromkeys(met, True)


def test_a_field_that_is_not_known_is_refused_and_not_forgotten(market: list[Batch]) -> None:
    """Whoever adds a field of a new kind to the state hears of it in the first snapshot."""
    engine = Engine(PARAMETERS)
    engine.step(empty_batch(), market[0])
    engine.underlyings["SIMA"].stickiness.added = object()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="added is a object, which a snapshot does not know"):
        freeze(engine)


def test_a_field_that_is_known_is_carried_without_a_word(market: list[Batch]) -> None:
    """Numbers, words, arrays and their containers need no registration: only what is made anew is listed."""
    engine, other = Engine(PARAMETERS), Engine(PARAMETERS)
    for one in (engine, other):
        one.step(empty_batch(), market[0])
        one.underlyings["SIMA"].stickiness.added = [0.5, np.zeros(3), ("a", {7: None})]  # type: ignore[attr-defined]
    engine.underlyings["SIMA"].stickiness.added[1][0] = -0.0  # type: ignore[attr-defined]
    thaw(freeze(engine), other)
    assert list(differences(engine, other)) == []


def test_what_is_made_anew_exists() -> None:
    """A name in the table that nobody has any more would hide a new field of that name."""
    engine = Engine(PARAMETERS)
    engine.meet("SIMA")
    frozen = str(freeze(engine).tree)
    for kind in REMADE:
        assert f"'{kind.__name__}'" in frozen
    assert {fact for fact in FACTS if f"'{fact}'" in frozen} >= {"ContractState", "PanelArrays", "TapeState"}
    (underlying, judge), *_ = engine._underlyings.values()
    parts = (engine, underlying, underlying.book, underlying.stickiness, judge, judge.machine, judge._alarms)
    for thing in (*parts, judge.machine._market):
        assert REMADE[type(thing)] <= vars(thing).keys()


def test_rows_beyond_those_in_use_are_not_kept(market: list[Batch]) -> None:
    """The room for more contracts costs nothing in a snapshot."""
    engine = Engine(PARAMETERS)
    engine.step(empty_batch(), market[0])
    state = engine.underlyings["SIMA"].book.state
    count = len(engine.underlyings["SIMA"].book)
    assert count < len(state.contracts)
    kept = [array.kept for array in freeze(engine).arrays if array.dtype == state.contracts.dtype]
    assert kept == [(count,), (count,)]


def frozen_bytes(market: list[Batch]) -> bytes:
    """A state after the first batch."""
    engine = Engine(PARAMETERS)
    engine.step(empty_batch(), market[0])
    return encode(freeze(engine))


def test_another_format_is_refused_with_its_number(market: list[Batch], monkeypatch: pytest.MonkeyPatch) -> None:
    """A state of a later program is not read as one of ours."""
    monkeypatch.setattr(snapshot_bytes, "FORMAT", 2)
    data = frozen_bytes(market)
    monkeypatch.undo()
    with pytest.raises(StateRefused, match="written in format 2, this program reads 1"):
        decode(data)


def test_rows_of_another_layout_are_refused(market: list[Batch]) -> None:
    """A dtype with one more field, or in another order, is noticed."""
    frozen = decode(frozen_bytes(market))
    arrays = list(frozen.arrays)
    place = next(n for n, array in enumerate(arrays) if array.dtype.names and "strike" in array.dtype.names)
    rows = arrays[place].dtype
    dtype = np.dtype([(name, "f4" if name == "strike" else rows[name]) for name in rows.names or ()])
    content = np.zeros(arrays[place].kept, dtype).tobytes()
    arrays[place] = arrays[place]._replace(dtype=dtype, content=content)
    with pytest.raises(StateRefused, match=r"the rows of .*contracts are laid out in another way"):
        thaw(frozen._replace(arrays=arrays), Engine(PARAMETERS))


@settings(max_examples=25)
@given(data=st.data())
def test_bytes_that_are_no_state_are_refused(data: st.DataObject, market: list[Batch]) -> None:
    """Cut short, grown, or with other bytes in the header: a refusal with a reason, never another error."""
    good = frozen_bytes(market)
    spoilt = bytearray(good)
    match data.draw(st.sampled_from(("shorter", "longer", "other"))):
        case "shorter":
            del spoilt[data.draw(st.integers(0, len(good) - 1)) :]
        case "longer":
            spoilt += b"x"
        case _:
            for _ in range(data.draw(st.integers(1, 20))):
                spoilt[data.draw(st.integers(0, 4_000))] = data.draw(st.integers(0, 255))
    with suppress(StateRefused):
        thaw(decode(bytes(spoilt)), Engine(PARAMETERS))
