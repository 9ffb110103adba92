"""The simulated market: what it promises to whoever reads its records."""

from itertools import islice

import numpy as np
import pytest

from dhpe.columns import (
    CLOCK,
    DEPTH,
    EVENT,
    INDEX_VALUE,
    OPTION_QUOTE,
    OPTION_TRADE,
    QUOTE,
    REFERENCE,
    TRADE,
    Batch,
    Contract,
    DealerPosition,
    Instrument,
    OpenInterest,
    Rates,
)
from dhpe.edge.door import check
from dhpe.simulate import CALM, SimulationSettings, simulate, simulate_with_truth

START_NS = 1_786_459_800 * 1_000_000_000  # 2026-08-11 14:50:00 UTC, a Tuesday in New York's session
SECOND_NS = 1_000_000_000
SEED = 7
CRASH_S = 52  # by then the first crash is on its way


def flat(batches: list[Batch]) -> list[tuple]:
    """Every record as plain values, with its names and facts written out."""
    rows = []
    for batch in batches:
        names = [*batch.names, None]
        for event in batch.events:
            values = {name: event[name].item() for name in batch.events.dtype.names}
            for field in ("underlying", "name", "source"):
                values[field] = names[values[field]]
            start, count = values.pop("levels_start"), values["bid_levels"] + values["ask_levels"]
            fact = batch.reference[values["reference"]] if values["reference"] >= 0 else None
            values["reference"] = repr(fact)
            rows.append((*map(repr, values.values()), batch.levels[start : start + count].tolist()))
    return rows


def seconds(settings: SimulationSettings, count: int) -> list[Batch]:
    """The batches of the first ``count`` seconds."""
    return list(islice(simulate(settings, START_NS), count * 1000 // settings.chunk_ms))


@pytest.fixture(scope="module")
def minute() -> list[Batch]:
    """Records up to the middle of the first crash."""
    return seconds(SimulationSettings(seed=SEED, chunk_ms=1000), CRASH_S)


@pytest.fixture(scope="module")
def facts(minute: list[Batch]) -> list:
    """The reference data of the market."""
    return minute[0].reference


def test_the_same_seed_gives_the_same_records():
    """Nothing but the settings and the start decides what happens."""
    assert flat(seconds(SimulationSettings(seed=SEED), 2)) == flat(seconds(SimulationSettings(seed=SEED), 2))


def test_another_seed_gives_another_market():
    """Seeds differ in prices, not only in sizes."""
    one, other = (seconds(SimulationSettings(seed=seed), 5)[-1].events for seed in (1, 2))
    assert one["bid"][one["kind"] == QUOTE].tolist() != other["bid"][other["kind"] == QUOTE].tolist()


@pytest.mark.parametrize("chunk_ms", [50, 250, 1000])
def test_the_cut_into_chunks_changes_no_record(chunk_ms: int):
    """A chunk is a window on the market, not a part of it."""
    assert flat(seconds(SimulationSettings(seed=SEED, chunk_ms=chunk_ms), 3)) == flat(
        seconds(SimulationSettings(seed=SEED, chunk_ms=100), 3)
    )


def test_records_come_in_event_time_with_running_offsets(minute: list[Batch]):
    """A log is filled in the order in which things happened."""
    events = np.concatenate([batch.events for batch in minute])
    assert (np.diff(events["ts_event_ns"]) >= 0).all()
    assert events["offset"].tolist() == list(range(len(events)))
    assert START_NS <= events["ts_event_ns"][0] <= events["ts_event_ns"][-1] < START_NS + CRASH_S * SECOND_NS


def test_every_record_passes_the_door_and_says_that_it_is_simulated(minute: list[Batch]):
    """Through calm and crash nothing impossible is sent, and nobody can mistake it for a real market."""
    for batch in minute:
        assert check(batch, None, 1000).rejects == []
        assert {batch.names[place] for place in np.unique(batch.events["source"])} == {"simulated"}


def test_all_kinds_of_records_appear(minute: list[Batch]):
    """The demo exercises every door of the engine, a few hundred times a second."""
    kinds = np.concatenate([batch.events["kind"] for batch in minute])
    assert set(kinds.tolist()) == {OPTION_QUOTE, OPTION_TRADE, TRADE, QUOTE, DEPTH, INDEX_VALUE, CLOCK, REFERENCE}
    assert 300 <= (kinds != REFERENCE).sum() / CRASH_S <= 1000
    assert (kinds == CLOCK).sum() == CRASH_S  # live feeds send one a second
    named = {batch.names[place] for batch in minute for place in np.unique(batch.events["name"]) if place >= 0}
    assert {"VIX", "VVIX", "XLK", "XLU"} <= named


def test_reference_data_comes_first_and_is_that_of_an_index(facts: list):
    """At least 500 contracts, from the same day to three months, each with open interest."""
    contracts = [fact for fact in facts if isinstance(fact, Contract)]
    interest = {fact.symbol: fact.open_interest for fact in facts if isinstance(fact, OpenInterest)}
    settlements = sorted({contract.settles_ns for contract in contracts})
    assert len(contracts) >= 500
    assert all(len(contract.symbol) == 21 for contract in contracts)
    assert len({contract.symbol for contract in contracts}) == len(contracts) == len(interest)
    assert 3 * 3600 <= (settlements[0] - START_NS) / SECOND_NS <= 6 * 3600
    assert len(settlements) >= 7
    assert settlements[-1] > START_NS + 80 * 86_400 * SECOND_NS
    assert [type(fact) for fact in facts[:2]] == [Instrument, Rates]
    puts = {c.strike: interest[c.symbol] for c in contracts if c.right < 0 and c.settles_ns == settlements[5]}
    calls = {c.strike: interest[c.symbol] for c in contracts if c.right > 0 and c.settles_ns == settlements[5]}
    assert 4600 < max(puts, key=puts.__getitem__) < 5000 < max(calls, key=calls.__getitem__) < 5200


def test_the_true_dealers_are_long_calls_and_short_puts():
    """Customers hold the puts below and have sold the calls above (MODEL.md section 3)."""
    truth = next(simulate_with_truth(SimulationSettings(seed=SEED), START_NS)).truths[0]
    for contract, position in zip(truth.contracts, truth.dealer_position, strict=True):
        assert position * contract.right >= -50.0  # up to a few trades of the first 100 ms
    assert truth.feedback_gain == pytest.approx(-0.12, abs=0.005)


def test_dealer_positions_are_published_only_when_asked():
    """The true book is the answer, not the question."""
    plain = next(simulate(SimulationSettings(seed=SEED), START_NS)).reference
    told = next(simulate(SimulationSettings(seed=SEED, publishes_dealer_position=True), START_NS)).reference
    assert not any(isinstance(fact, DealerPosition) for fact in plain)
    assert sum(isinstance(fact, DealerPosition) for fact in told) == sum(isinstance(fact, Contract) for fact in told)


def test_true_sides_stand_beside_the_stream_and_on_it_only_when_asked():
    """A classifier is scored against what it has not seen."""
    hidden = next(simulate_with_truth(SimulationSettings(seed=SEED, chunk_ms=2000), START_NS))
    shown = next(simulate_with_truth(SimulationSettings(seed=SEED, chunk_ms=2000, publishes_side=True), START_NS))
    trade = np.isin(hidden.batch.events["kind"], (TRADE, OPTION_TRADE))
    assert (hidden.batch.events["side"] == 0).all()
    assert (np.abs(hidden.sides) == trade).all()
    assert (shown.batch.events["side"] == hidden.sides).all()


def test_several_underlyings_have_markets_of_their_own():
    """Names, prices and chains do not mix; one more underlying leaves the first as it was."""
    one = seconds(SimulationSettings(seed=SEED), 1)
    two = seconds(SimulationSettings(seed=SEED, underlyings=("SIM", "SIX")), 1)
    place = EVENT.names.index("underlying")
    mine = [row for row in flat(two) if row[place] == repr("SIM")]
    assert {row[place] for row in flat(two)} == {repr("SIM"), repr("SIX")}
    assert [row[1:] for row in mine] == [row[1:] for row in flat(one)]  # but for the offset


def test_a_settled_expiry_is_neither_quoted_nor_traded():
    """The demo may run into the settlement of its same-day options."""
    start_ns = (START_NS // (3600 * SECOND_NS) + 1) * 3600 * SECOND_NS - 2 * SECOND_NS
    settings = SimulationSettings(seed=SEED, same_day_settles_s=1.0, chunk_ms=1000)
    batches = list(islice(simulate(settings, start_ns), 5))
    settles = {fact.symbol: fact.settles_ns for fact in batches[0].reference if isinstance(fact, Contract)}
    assert min(settles.values()) == start_ns + 2 * SECOND_NS
    seen = 0
    for batch in batches:
        for event in batch.events[np.isin(batch.events["kind"], (OPTION_QUOTE, OPTION_TRADE))]:
            assert event["ts_event_ns"] < settles[batch.names[event["name"]]]
            seen += 1
    assert seen > 1000


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"chunk_ms": 30}, "multiple of 50"),
        ({"underlyings": ()}, "must be named"),
        ({"underlyings": ("A", "A")}, "each once"),
        ({"phases": ()}, "phases"),
        ({"spot": 0.0}, "spot"),
        ({"calm_gain": 1.0}, "calm_gain"),
        ({"news_share": 1.0}, "news_share"),
    ],
)
def test_impossible_settings_are_refused_with_a_sentence(wrong: dict, sentence: str):
    """A wrong call is told before the first record."""
    with pytest.raises(ValueError, match=sentence):
        SimulationSettings(**wrong)


def test_a_phase_may_be_played_for_ever():
    """Scores want one state of the market, not the story."""
    settings = SimulationSettings(seed=SEED, phases=(CALM._replace(duration_s=0.5),), chunk_ms=1000)
    truths = [simulated.truths[0] for simulated in islice(simulate_with_truth(settings, START_NS), 3)]
    assert {truth.phase for truth in truths} == {"calm"}
