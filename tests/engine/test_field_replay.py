"""The field of an engine at work: reading it moves nothing, and a replay writes it the same twice."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import sample_market
from dhpe.columns import empty_batch
from dhpe.edge import formats
from dhpe.edge.encode import encode_field, encode_output
from dhpe.edge.fields import FIELD_BYTES_MAX
from dhpe.engine import Engine
from dhpe.field import copy_of, field_of
from dhpe.field_outputs import Field
from dhpe.parameters import Parameters
from dhpe.replay import FIELDS, replay
from dhpe.settings import Settings
from worker_room import market

LIMITS = Settings().field_limits()


def played(folder: Path, source: Path, parameters: Parameters) -> tuple[Field, dict[str, Any]]:
    """The field at the end of a replay, and the last state of the same replay."""
    replay(formats.plan([source]), folder, parameters, fields=LIMITS)
    (line,) = (folder / FIELDS).read_bytes().splitlines()
    return msgspec.json.decode(line, type=Field), json.loads((folder / "pressure.jsonl").read_bytes().splitlines()[-1])


def outputs(*, looked_at: bool) -> list[bytes]:
    """What an engine publishes, with or without its field being read between any two steps."""
    engine = Engine(Parameters())
    said = []
    for batch in market(12, ("SIMA",)):
        said += [encode_output(output).value for output in engine.step(empty_batch(), batch).outputs]
        if looked_at:
            field_of(copy_of(engine.underlyings["SIMA"], engine.offsets, engine.engine_version), LIMITS)
    return said


def test_what_is_published_is_the_same_whether_anybody_looks_or_not() -> None:
    """To the byte: the copy is taken without bringing anything up to date."""
    assert outputs(looked_at=True) == outputs(looked_at=False)


def test_a_copy_stays_while_the_engine_goes_on() -> None:
    """Its field a moment or many steps later is the same."""
    engine = Engine(Parameters())
    batches = market(6, ("SIMA",))
    for batch in batches[:3]:
        engine.step(empty_batch(), batch)
    copy = copy_of(engine.underlyings["SIMA"], engine.offsets, engine.engine_version)
    before = encode_field(field_of(copy, LIMITS))
    for batch in batches[3:]:
        engine.step(empty_batch(), batch)
    assert encode_field(field_of(copy, LIMITS)) == before


def test_a_replay_writes_the_field_of_its_end_the_same_twice_and_only_where_asked(tmp_path: Path) -> None:
    """Byte for byte; the numbers of the last published state among them."""
    field, state = played(tmp_path / "one", sample_market.SAMPLE, Parameters())
    played(tmp_path / "two", sample_market.SAMPLE, Parameters())
    assert (tmp_path / "one" / FIELDS).read_bytes() == (tmp_path / "two" / FIELDS).read_bytes()
    replay(formats.plan([sample_market.SAMPLE]), tmp_path / "three", Parameters())
    assert not (tmp_path / "three" / FIELDS).exists()
    assert (field.underlying, field.ts_event_ns, field.spot) == ("TOY", state["ts_event_ns"], state["spot"])
    assert field.engine_version == state["engine_version"]
    assert field.at_spot is not None
    for name in ("gamma_field", "vanna_field", "charm_field", "hedge_pressure", "feedback_gain"):
        assert getattr(field.at_spot, name) == pytest.approx(state[name], rel=1e-6), name


def test_the_real_spx_chain_fits_into_a_message_and_agrees_with_its_state(shared_data: Path, tmp_path: Path) -> None:
    """30,000 contracts: every part, below the limit of a record, with the flips and walls of the headline."""
    parameters = Parameters(kyle_lambda=5e-13)
    field, state = played(tmp_path, shared_data / "spx_chain" / "2026-08-20.csv.gz", parameters)
    assert 100_000 < (tmp_path / FIELDS).stat().st_size < FIELD_BYTES_MAX / 2
    assert field.at_spot is not None
    assert field.at_spot.gamma_field == pytest.approx(state["gamma_field"], rel=1e-6)
    assert field.at_spot.feedback_gain == pytest.approx(state["feedback_gain"], rel=1e-6)
    assert (field.at_spot.by_strike.strikes_left_out, field.at_spot.by_expiry.expiries_left_out) == (0, 0)
    landscape = field.landscape
    assert landscape is not None
    assert landscape.gamma_flips == pytest.approx(state["gamma_flips"], rel=1e-8)
    assert (landscape.call_wall, landscape.put_wall) == (state["call_wall"], state["put_wall"])
    assert landscape.zero_dte_gamma_share == pytest.approx(state["zero_dte_gamma_share"])
    assert field.potential is not None
    surface = field.surface
    assert surface is not None
    assert surface.series == state["contracts"] == sum(surface.vol_sources.values())
    assert surface.violations == 0
    assert "none" not in surface.vol_sources, "the fit fills what nobody quotes"
    assert {expiry.forward_source for expiry in surface.expiries} == {"parity"}
    assert field.quality.reasons == state["quality"]["reasons"]
