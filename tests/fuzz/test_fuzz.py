"""Fuzzing with a grammar of our own: records, bytes of the wire, files.

Each round is a seed: what failed is repeated with ``FUZZ_SEED=<seed> FUZZ_SECONDS=0 pytest tests/fuzz``. CI fuzzes for
a few seconds with the same seeds every time; ``make fuzz`` for ten minutes, with seeds of the day.
"""

import gzip
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest

from damage import damaged, files, message, record
from dhpe.columns import Batch, Reject
from dhpe.edge import formats
from dhpe.edge.dead_letters import HEADER_ROOM_BYTES
from dhpe.edge.formats import ChainFacts, InputError
from dhpe.edge.log import LogRecord
from dhpe.edge.steps import Outcome, Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from finite_state import nans, numbers
from fuzz_rounds import rounds
from wild_columns import columns_message

SETTINGS = Settings(pressure_interval_ms=0, revalue_interval_ms=1, surface_interval_s=0.5, message_records_max=200)
NAMES = TopicNames.of(SETTINGS)
NOW_MS = 1_800_000_000_000
MESSAGES = 60
ROUNDS_OF_ONE_STATE = 20

Made = tuple[bytes | None, tuple[tuple[str, bytes], ...]]
"""Value and headers of a message."""


def log_records(messages: list[Made], topic: str) -> list[LogRecord]:
    """Values with their headers as messages of the only partition."""
    return [LogRecord(topic, 0, place, None, *message, NOW_MS) for place, message in enumerate(messages)]


def check(stepper: Stepper, outcome: Outcome, wire: list[LogRecord]) -> None:
    """Outputs and state hold only numbers; each refused message has one dead letter, of bounded size."""
    for one in outcome.records:
        if one.topic in (NAMES.pressure, NAMES.alerts):
            assert one.value is not None
            # what is infinite or NaN would be null on the wire: it is looked for in the record itself
            msgspec.json.decode(one.value)
    for output in outcome.outputs:
        assert all(-1e300 < number < 1e300 for number in numbers(msgspec.to_builtins(output)))
    letters = [one for one in outcome.records if one.topic in (NAMES.chain_dead, NAMES.ticks_dead)]
    places = [(dict(one.headers)["topic"], dict(one.headers)["offset"]) for one in letters]
    assert len(set(places)) == len(places) <= len(wire)
    assert all(sum(len(name) + len(value) for name, value in one.headers) <= 2 * HEADER_ROOM_BYTES for one in letters)
    assert nans(stepper._engine) == []


def fuzz_steps(make: Callable[[random.Random], Made], seeds: Iterable[tuple[int, random.Random]] | None = None) -> None:
    """Steps of made messages on a state that lives for some rounds."""
    stepper = Stepper(SETTINGS, NAMES, 0, 1)
    for number, (seed, dice) in enumerate(rounds() if seeds is None else seeds):
        if number % ROUNDS_OF_ONE_STATE == 0:
            stepper = Stepper(SETTINGS, NAMES, 0, 1)
            head = random.Random(seed // ROUNDS_OF_ONE_STATE)
            stepper.apply(
                log_records([(msgspec.json.encode(record(head, "contract")), ()) for _ in range(30)], "chain"), []
            )
        chain = log_records([make(dice) for _ in range(MESSAGES // 10)], "chain")
        ticks = log_records([make(dice) for _ in range(MESSAGES)], "ticks")
        try:
            check(stepper, stepper.apply(chain, ticks), [*chain, *ticks])
        except Exception as error:
            error.add_note(
                f"FUZZ_SEED={seed - number % ROUNDS_OF_ONE_STATE} fails after {number % ROUNDS_OF_ONE_STATE} rounds"
            )
            raise


@pytest.mark.parametrize(("seed", "count"), [(1_795_289_704, 11)])
def test_rounds_that_failed_once_hold(seed: int, count: int) -> None:
    """A rate that one expiry lent to a much longer one, where it made the forward infinite."""
    seeds = ((number, random.Random(number)) for number in range(seed, seed + count))
    fuzz_steps(lambda dice: (msgspec.json.encode(record(dice)), ()), seeds)


@pytest.mark.timeout(1800)
def test_records_of_possible_and_impossible_numbers_never_raise_or_make_a_nan() -> None:
    """Any kind in any order, names that meet, values at every limit."""
    fuzz_steps(lambda dice: (msgspec.json.encode(record(dice)), ()))


@pytest.mark.timeout(1800)
def test_damaged_messages_never_raise_or_make_a_nan() -> None:
    """Records alone and in arrays, then bytes and pieces of them lost, doubled, exchanged and nested."""
    fuzz_steps(lambda dice: (message(dice), ()))


@pytest.mark.timeout(1800)
def test_damaged_columns_among_records_never_raise_or_make_a_nan() -> None:
    """Rows with impossible fields, heads that lie, bytes lost and exchanged; every tenth message is JSON."""
    fuzz_steps(lambda dice: (message(dice), ()) if dice.random() < 0.1 else columns_message(dice))


@pytest.mark.timeout(1800)
def test_damaged_files_raise_nothing_but_their_one_line(tmp_path: Path) -> None:
    """Every format, truncated, random, its compression broken, under its own name and under another's."""
    samples = files(tmp_path / "samples")
    for seed, dice in rounds():
        path = dice.choice(samples)
        content = path.read_bytes()
        packed = dice.random() < 0.3 and path.suffix != ".zip"
        if packed and dice.random() < 0.5:
            content = damaged(dice, gzip.compress(damaged(dice, content)))
        else:
            content = gzip.compress(damaged(dice, content)) if packed else damaged(dice, content)
        target = tmp_path / path.name
        target.write_bytes(content)
        try:
            named = dice.choice((None, None, *formats.FORMATS))
            for item in formats.read(formats.plan([target], format_name=named, told=ChainFacts(spot=6500.0))):
                assert isinstance(item, Batch | Reject)
        except InputError as error:
            if "\n" in str(error):
                raise
        except Exception as error:
            error.add_note(f"FUZZ_SEED={seed}: {path.name}")
            raise
