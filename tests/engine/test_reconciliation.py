"""What a print of open interest does to the carried books, when it comes, and what a cancel does across it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_records import SETTLES_NS, START_NS, contract, open_interest, positions, step, trade
from dhpe.engine import Engine
from dhpe.numerics.state import BOOKS, NS_PER_DAY
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters

TODAY, TOMORROW, AFTER = "2026-09-21", "2026-09-22", "2026-09-23"
NEXT_DAY = {"ts_event_ns": START_NS + NS_PER_DAY}
SPOT = {"kind": "quote", "bid": 99.99, "bid_size": 5, "ask": 100.01, "ask_size": 5}


def cancel(sequence: int, **more: object) -> dict[str, object]:
    """Take back the trade with that sequence."""
    record = trade(1, "buy", cancels=sequence) | more
    del record["side"]
    return record


def published(engine: Engine) -> Pressure:
    """What the next quote of the underlying makes the engine publish."""
    outputs = step(engine, SPOT | {"ts_event_ns": int(engine.underlyings["XYZ"].market["ts_ns"]) + 10**9}).outputs
    return [output for output in outputs if isinstance(output, Pressure)][-1]


def test_a_print_that_comes_after_the_open_leaves_the_trades_of_its_day_alone() -> None:
    """It speaks of yesterday's close: before the open or after, the books of the day are the same."""
    early, late = Engine(Parameters()), Engine(Parameters())
    for engine in (early, late):
        step(engine, contract(), open_interest(100), trade(80, "buy"))
    today = [trade(size, side, **NEXT_DAY) for size, side in ((150, "buy"), (30, "sell"))]
    step(early, open_interest(15, date=TOMORROW), *today)
    told = step(late, *today, open_interest(15, date=TOMORROW))
    assert positions(early) == positions(late) == [15, 15 - 120, 15 - 120]
    assert (told.flags["open_interest_late"], told.flags["position_clipped"]) == (1, 2)


def test_a_print_that_flaps_takes_nothing_for_good() -> None:
    """A first wrong print of 0 and the right one after it: what was carried is bounded by the right one."""
    flapping, steady = Engine(Parameters()), Engine(Parameters())
    for engine in (flapping, steady):
        step(engine, contract(), open_interest(100), trade(30, "buy"))
    step(flapping, open_interest(0, date=TOMORROW))
    assert positions(flapping) == [0, 0, 0]
    step(flapping, trade(5, "sell", **NEXT_DAY), open_interest(110, date=TOMORROW))
    step(steady, open_interest(110, date=TOMORROW), trade(5, "sell", **NEXT_DAY))
    assert positions(flapping) == positions(steady) == [110, 75, 75]


def test_yesterdays_open_interest_after_todays_is_refused() -> None:
    """Nothing moves and it is a dead letter; where today's is still to come, it counts as the print of its date."""
    engine = Engine(Parameters())
    step(engine, contract(), open_interest(100), open_interest(90, date=AFTER))
    result = step(engine, open_interest(40, date=TOMORROW))
    assert [reject.reason for reject in result.rejects] == ["open_interest_older"]
    assert positions(engine) == [90, 90, 90]
    waiting = Engine(Parameters())
    two_days_on = {"ts_event_ns": START_NS + 2 * NS_PER_DAY}
    step(waiting, contract(), open_interest(100), trade(7, "buy", **two_days_on), open_interest(40, date=TOMORROW))
    assert positions(waiting) == [40, 33, 33]


def test_naive_re_anchors_at_the_print_of_a_new_trading_date_and_only_there() -> None:
    """Not at a revised print, not at midnight; what that date has already traded stays."""
    engine = Engine(Parameters(flow_anchor="naive"))
    step(engine, contract(), open_interest(100), trade(30, "buy"), open_interest(104))
    assert positions(engine) == [104, 74, 74]
    step(engine, trade(4, "buy", **NEXT_DAY))
    assert positions(engine) == [104, 70, 70]
    step(engine, open_interest(120, date=TOMORROW))
    assert positions(engine) == [120, 116, 116]


def test_a_series_without_a_print_starts_at_nothing_and_is_counted() -> None:
    """Its trades move it; the sums leave it out and say so; without any print they are null with a reason."""
    engine = Engine(Parameters())
    step(engine, contract(), contract("C110", strike=110.0), SPOT, trade(3, "sell", "C110"))
    assert positions(engine, "C110") == [0, 3, 3]
    blind = published(engine)
    assert (blind.open_interest, blind.open_interest_estimate, blind.open_interest_missing) == (None, None, 2)
    assert "open_interest_unknown" in blind.quality.reasons
    step(engine, open_interest(50))
    seen = published(engine)
    assert (seen.open_interest, seen.open_interest_missing) == (50, 1)
    assert "open_interest_unknown" not in seen.quality.reasons


def test_the_excess_over_open_interest_is_published() -> None:
    """Series and contracts of the default book, as of each series' last print."""
    engine = Engine(Parameters(default_book="flow"))
    step(engine, contract(), contract("P100", "P"), open_interest(100), open_interest(80, "P100"), SPOT)
    step(engine, trade(150, "sell"), open_interest(120, date=TOMORROW), open_interest(60, "P100", TOMORROW))
    state = published(engine)
    assert (state.clipped_series, state.clipped_contracts) == (2, 130 + 20)
    step(engine, open_interest(260, date=TOMORROW))
    assert (published(engine).clipped_series, published(engine).clipped_contracts) == (1, 20)


def test_positions_leave_the_books_at_the_settlement_instant() -> None:
    """One nanosecond before they are in the fields; at the instant the fields are those of the other series alone."""
    neighbour = contract("C101", strike=101.0) | {"settles_ns": SETTLES_NS + NS_PER_DAY}
    quotes = [
        {"kind": "option_quote", "symbol": symbol, "bid": 1.9, "bid_size": 5, "ask": 2.1, "ask_size": 5}
        | {"ts_event_ns": SETTLES_NS - 10**12}
        for symbol in ("C100", "C101")
    ]
    spot = SPOT | {"ts_event_ns": SETTLES_NS - 10**12}
    both, alone = Engine(Parameters()), Engine(Parameters())
    step(both, contract(), neighbour, spot, open_interest(100), open_interest(70, "C101"), trade(5, "buy"), *quotes)
    step(alone, neighbour, spot, open_interest(70, "C101"), quotes[1])

    def fields(engine: Engine, ts_event_ns: int) -> np.ndarray:
        step(engine, SPOT | {"ts_event_ns": ts_event_ns})
        engine.underlyings["XYZ"].refresh()
        return engine.underlyings["XYZ"].market["fields"].copy()

    before = fields(both, SETTLES_NS - 1), fields(alone, SETTLES_NS - 1)
    assert abs(before[0][0, 0]) > 1.5 * abs(before[1][0, 0]) > 0
    after = fields(both, SETTLES_NS), fields(alone, SETTLES_NS)
    np.testing.assert_allclose(after[0], after[1], rtol=1e-14)
    assert published(both).open_interest == 70
    late = step(both, cancel(1, ts_event_ns=SETTLES_NS + 10**10), open_interest(3, date="2026-09-29"))
    assert [reject.reason for reject in late.rejects] == ["expired_contract"] * 2


def test_a_cancel_that_comes_for_a_settled_series_still_sets_its_position_right() -> None:
    """The record is of a time before settlement but comes after it: the series' last position is the true one."""
    engine = Engine(Parameters())
    other = contract("C200", strike=200.0) | {"settles_ns": SETTLES_NS + NS_PER_DAY}
    step(engine, contract(), other, open_interest(100), trade(9, "buy", sequence=5), SPOT | {"ts_event_ns": SETTLES_NS})
    step(engine, cancel(5, ts_event_ns=SETTLES_NS - 1))
    assert positions(engine) == [100, 100, 100]


def test_a_trade_in_an_unknown_contract_is_kept_as_a_dead_letter_and_not_in_the_books() -> None:
    """Refused and counted; a definition that comes later starts naive, and the same trade sent again is applied."""
    engine = Engine(Parameters())
    early = trade(10, "buy", sequence=1, source="opra")
    refused = step(engine, early)
    assert [(reject.reason, reject.offset) for reject in refused.rejects] == [("unknown_contract", 0)]
    step(engine, contract(), open_interest(100))
    assert positions(engine) == [100, 100, 100]
    step(engine, early | {"sequence": 2})
    assert positions(engine) == [100, 90, 90]


def test_a_trade_is_told_by_its_source_and_its_number() -> None:
    """The same (source, sequence) again is dropped and counted; a cancel takes back only its own source's trade."""
    engine = Engine(Parameters())
    ours, theirs = {"source": "a", "sequence": 7}, {"source": "b", "sequence": 7}
    result = step(
        engine, contract(), open_interest(100), trade(10, "buy", **ours), trade(4, "buy", **theirs),
        trade(10, "buy", **ours),
    )  # fmt: skip
    assert [reject.reason for reject in result.rejects] == ["duplicate"]
    assert positions(engine) == [100, 86, 86]
    step(engine, cancel(7, source="c"))
    assert positions(engine) == [100, 86, 86]
    step(engine, cancel(7, source="b"))
    assert positions(engine) == [100, 90, 90]


TRADES = st.lists(st.tuples(st.floats(0.1, 400.0), st.sampled_from(["buy", "sell", None])), max_size=6)


def labelled(number: int, size: float, side: str | None, day: int) -> dict[str, object]:
    """A trade with the quote before it; with a side unknown it is labelled, or waits for the next price."""
    quote = {"bid": 0.8, "bid_size": 5, "ask": 1.2, "ask_size": 5, "price": (0.8, 1.0, 1.2)[number % 3]}
    record = trade(size, "buy", sequence=number) | quote | {"ts_event_ns": START_NS + day * NS_PER_DAY + number}
    if side is None:
        del record["side"]
        return record
    return record | {"side": side}


@given(TRADES, TRADES, st.floats(0.0, 500.0), st.integers(0, 1), st.sampled_from(["carry", "naive"]), st.data())
def test_books_are_as_if_a_cancelled_trade_had_never_been(
    yesterday: list[tuple[float, str | None]],
    today: list[tuple[float, str | None]],
    printed: float,
    late: int,
    anchor: str,
    data: st.DataObject,
) -> None:
    """To the bit, in all three books: fractions of contracts, before and after a print that clips, early or late."""
    rows = [(day, *made) for day, trades in ((0, yesterday), (1, today)) for made in trades]
    records = [labelled(number, size, side, day) for number, (day, size, side) in enumerate(rows)]
    # Aggressors alone: without one, what a label is worth depends on the trades before it.
    gone = {n for n, (_, _, side) in enumerate(rows) if side is not None and data.draw(st.booleans())}
    place = len(yesterday) + late * len(today)
    histories = []
    for left_out in (set(), gone):
        kept = [[r for n, r in enumerate(records) if n not in left_out and (n < place) is early] for early in (1, 0)]
        # The last price of each day tells the sides of the trades that waited, in both histories alike.
        ends = [labelled(900 + day, 1.0, "buy", day) | {"price": 2.0 + day} for day in (0, 1)]
        today_from = len([r for r in kept[0] if r["ts_event_ns"] < START_NS + NS_PER_DAY])
        kept[0].insert(today_from, ends[0])
        histories.append([*kept[0], open_interest(printed, date=TOMORROW), *kept[1], ends[1]])
    whole, clean = (Engine(Parameters(flow_anchor=anchor)) for _ in range(2))
    for engine, history in zip((whole, clean), histories, strict=True):
        step(engine, contract(), open_interest(300.0), *history)
    for number in gone:
        step(whole, cancel(number, ts_event_ns=START_NS + NS_PER_DAY + 1000))
    known = [book for book, name in enumerate(BOOKS) if name != "weighted" or None not in {row[2] for row in rows}]
    assert [positions(whole)[book] for book in known] == [positions(clean)[book] for book in known]
    if all(side is not None for _, _, side in rows):
        assert positions(whole) == positions(clean)


@pytest.mark.parametrize("size", [0.1, 1 / 3, 12345.678])
def test_fractions_of_contracts_come_back_to_the_bit(size: float) -> None:
    """Books move by 2^-20 contracts: 0.1 is none of them, and yet nothing is left of it."""
    engine = Engine(Parameters())
    step(engine, contract(), open_interest(100.7), trade(3.3, "sell", sequence=1))
    before = engine.underlyings["XYZ"].book.state.contracts["position"][0].tobytes()
    step(engine, trade(size, "buy", sequence=2), trade(7.7, "sell", sequence=3), cancel(2), cancel(3))
    assert engine.underlyings["XYZ"].book.state.contracts["position"][0].tobytes() == before
