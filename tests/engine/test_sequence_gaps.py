"""Lost records are told of the underlyings that they could have concerned, until what is known is whole again."""

from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.columns import empty_batch
from dhpe.engine import Engine, StepResult
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from option_chain import MS, NAME, START_NS, batch, chain, option_quotes, spot_quote

EVERY_TICK = Parameters(pressure_interval_ms=0, revalue_interval_ms=1, surface_interval_s=0.01)
STRIKES = (95.0, 100.0, 105.0)
SNAPSHOT = {"kind": "depth", "bids": [[99.9, 10]], "asks": [[100.1, 10]], "snapshot": True}
CHANGE = SNAPSHOT | {"snapshot": False}


def numbered(numbers: list[int], start: int = 2_000, **more: Any) -> list[dict[str, Any]]:
    """Quotes of the underlying with these sequences, ten milliseconds apart."""
    return [
        spot_quote(
            100.0 + number / 1_000, sequence=number, source="feed", ts_event_ns=START_NS + (start + 10 * at) * MS
        )
        | more
        for at, number in enumerate(numbers)
    ]


def qualities(result: StepResult, underlying: str = NAME) -> list[bool]:
    """For each published state, whether it tells of a gap."""
    states = [one for one in result.outputs if isinstance(one, Pressure) and one.underlying == underlying]
    for state in states:
        if "sequence_gap" in state.quality.reasons:
            assert state.quality.status == "degraded"
    return ["sequence_gap" in state.quality.reasons for state in states]


def run(*records: dict[str, Any]) -> StepResult:
    """One step on a market of three strikes."""
    engine = Engine(EVERY_TICK)
    engine.step(empty_batch(), batch(chain(100.0, STRIKES)))
    return engine.step(empty_batch(), batch(list(records)))


GAPLESS = list(range(1, 13))


def test_a_missing_number_degrades_from_the_next_record_on() -> None:
    """Of a gap of 1 and of 10**6 alike; it is counted once."""
    for jump in (2, 1_000_001):
        result = run(*numbered([*GAPLESS, 12 + jump, 13 + jump]))
        assert qualities(result) == [False] * 12 + [True] * 2
        assert result.flags["sequence_gap"] == 1
        assert result.rejects == []


def test_a_snapshot_of_depth_ends_it_and_a_change_of_depth_does_not() -> None:
    """The order book stands anew, and with it what is known of the underlying."""
    times = [{"ts_event_ns": START_NS + at * MS} for at in (3_000, 3_010)]
    result = run(*numbered([*GAPLESS, 14]), CHANGE | times[0], SNAPSHOT | times[1])
    assert qualities(result) == [False] * 12 + [True, True, False]
    snapshot_first = numbered([14], 2_500)[0] | SNAPSHOT
    del snapshot_first["bid"], snapshot_first["ask"], snapshot_first["bid_size"], snapshot_first["ask_size"]
    assert qualities(run(*numbered(GAPLESS), snapshot_first)) == [False] * 13


def test_the_missing_record_ends_it_when_it_comes_after_all() -> None:
    """Out of order within a topic and across them: nothing was lost."""
    assert qualities(run(*numbered([*GAPLESS, 15, 13, 14, 16]))) == [False] * 12 + [True, True, False, False]
    engine = Engine(EVERY_TICK)
    ahead = batch(numbered([*GAPLESS, 16]))
    late = batch(numbered([13, 14, 15, 17], 2_600))
    assert qualities(engine.step(ahead, late)) == [False] * 12 + [True] * 3 + [False] * 2


def test_a_complete_requote_ends_it() -> None:
    """Once the spot and every series that had a quote have a later one, at the next fit of the surface."""
    later = START_NS + 5_000 * MS
    quotes = option_quotes(STRIKES, 100.0, later, lambda _: 0.2, ts_event_ns=later)
    spot = spot_quote(100.0, ts_event_ns=later)
    clocks = [{"kind": "clock", "ts_event_ns": later + at * MS} for at in (200, 400)]
    assert qualities(run(*numbered([*GAPLESS, 14]), spot, *quotes, *clocks))[-1] is False
    assert qualities(run(*numbered([*GAPLESS, 14]), spot, *quotes[1:], *clocks))[-1] is True
    assert qualities(run(*numbered([*GAPLESS, 14]), *quotes, *clocks))[-1] is True


def test_all_underlyings_of_the_source_are_degraded_and_nobody_else() -> None:
    """Of whom the lost record spoke nobody knows; another source's underlying has lost nothing."""
    start = spot_quote(50.0, ts_event_ns=START_NS)
    others = [start | {"underlying": "SAME", "source": "feed", "sequence": 1}, start | {"underlying": "ELSE"}]
    clock = {"kind": "clock", "underlying": "*", "ts_event_ns": START_NS + 9_000 * MS}
    result = run(*others, *numbered([*GAPLESS[1:], 14]), clock)
    assert [qualities(result, name)[-1] for name in (NAME, "SAME", "ELSE")] == [True, True, False]
    assert result.flags["sequence_gap"] == 1


def test_a_new_numbering_and_sparse_numbers_are_no_gap() -> None:
    """The legitimate reset at the open; a feed that numbers more than it sends us."""
    reopened = numbered([1, 2, 3], 60_000)
    assert not any(qualities(run(*numbered(GAPLESS), *reopened)))
    assert not any(qualities(run(*numbered(list(range(0, 90, 3))))))


def test_the_same_number_for_another_content_is_refused_as_a_conflict() -> None:
    """It is dropped like a repetition, and unlike one it is kept as a dead letter."""
    first, second = numbered([7, 7])
    again = first | {"bid": 90.0}
    result = run(first, second | {"bid": first["bid"], "ask": first["ask"]}, again)
    assert [reject.reason for reject in result.rejects] == ["duplicate", "sequence_conflict"]


def test_limits_refuse_what_comes_beyond_them_and_touch_nothing_else() -> None:
    """Underlyings, sources with sequences, contracts: the first ones stay, in the order of the log."""
    engine = Engine(Parameters(pressure_interval_ms=0, underlyings_max=2, sources_max=2, contracts_max=3))
    clocks = [{"kind": "clock", "underlying": name, "ts_event_ns": START_NS} for name in ("A", "B", "C", "A", "*")]
    assert [(r.offset, r.reason) for r in engine.step(empty_batch(), batch(clocks)).rejects] == [
        (2, "too_many_underlyings")
    ]
    assert set(engine.underlyings) == {"A", "B"}
    sources = [spot_quote(9.0, underlying="A", source=name, sequence=1) for name in ("x", "y", "z", "x")]
    rejects = engine.step(empty_batch(), batch(sources)).rejects
    assert [(r.offset, r.reason) for r in rejects] == [(2, "too_many_sources"), (3, "duplicate")]
    listed = [one | {"underlying": "A"} for one in chain(1.0, (9.0, 10.0)) if one["kind"] == "contract"]
    rejects = engine.step(empty_batch(), batch(listed)).rejects
    assert [(r.offset, r.reason) for r in rejects] == [(3, "too_many_contracts")]


def test_a_rate_that_is_left_out_stays_as_it_was() -> None:
    """A record of the dividend yield alone makes no NaN of the rate."""
    engine = Engine(EVERY_TICK)
    records = [{"kind": "rates", "rate": 0.05, "dividend_yield": 0.01}, {"kind": "rates", "dividend_yield": 0.02}]
    engine.step(empty_batch(), batch([*chain(100.0, STRIKES), *records, {"kind": "rates", "rate": 0.04}]))
    book = engine.underlyings[NAME].book
    assert (book.rate, book.dividend_yield) == (0.04, 0.02)
    assert np.isfinite(book.state.expiries["carry"][:1]).all()


@settings(max_examples=30, derandomize=True)
@given(st.lists(st.sampled_from([1, 1, 1, 1, 2, -1, -2, 0, 4]), min_size=5, max_size=40), st.data())
def test_gaps_do_not_depend_on_the_cut_into_steps(steps: list[int], data: st.DataObject) -> None:
    """Numbers that jump, fall and repeat, snapshots among them, on two underlyings: any cut gives the same bytes."""
    numbers = np.maximum(np.cumsum([*[1] * 12, *steps]), 0).tolist()
    records = numbered(numbers)
    for place in data.draw(st.lists(st.integers(0, len(records) - 1), max_size=12)):
        records[place] = records[place] | {"underlying": "SAME"}
    for place in data.draw(st.lists(st.integers(0, len(records) - 1), max_size=3)):
        records.insert(place, SNAPSHOT | {"ts_event_ns": records[place]["ts_event_ns"]})
    whole = batch(records)
    cut = data.draw(st.integers(0, len(whole.events)))
    said = []
    for pieces in ([whole.events], [whole.events[:cut], whole.events[cut:]]):
        engine = Engine(EVERY_TICK)
        outputs = [one for piece in pieces for one in engine.step(empty_batch(), whole._replace(events=piece)).outputs]
        said.append([[msgspec.json.encode(o) for o in outputs if o.underlying == name] for name in (NAME, "SAME")])
    assert said[0] == said[1]
