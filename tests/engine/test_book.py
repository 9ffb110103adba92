"""The three dealer books: signs, open interest, re-anchoring, settlement (MODEL.md section 3)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_records import SETTLES_NS, contract, open_interest, positions, step, trade
from dhpe.engine import Engine
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters


def test_naive_dealers_are_long_calls_and_short_puts() -> None:
    """Calls + open interest, puts - open interest; the flow books start there."""
    engine = Engine(Parameters())
    step(engine, contract(), contract("P100", "P"), open_interest(500), open_interest(300, "P100"))
    assert positions(engine) == [500, 500, 500]
    assert positions(engine, "P100") == [-300, -300, -300]


def test_a_customer_who_buys_makes_the_dealer_shorter() -> None:
    """N falls by the size at the ask and rises at the bid; naive does not follow trades."""
    engine = Engine(Parameters())
    step(engine, contract(), open_interest(500), trade(40, "buy"), trade(10, "sell"))
    assert positions(engine) == [500, 470, 470]


def test_the_weighted_book_moves_by_what_the_label_is_worth() -> None:
    """A trade labelled by the quote rule with p moves the weighted book by (2p - 1) of its size."""
    parameters = Parameters(index_lee_ready_probability=0.62)
    engine = Engine(parameters)
    quote = {"bid": 0.8, "bid_size": 5, "ask": 1.0, "ask_size": 5}
    unknown = trade(50, "buy", **quote)
    del unknown["side"]
    result = step(engine, contract(), open_interest(500), unknown)
    assert [(label.side, label.rule, label.probability) for label in result.labels] == [("buy", "quote", 0.62)]
    assert positions(engine) == pytest.approx([500, 450, 500 - 0.24 * 50])


@pytest.mark.parametrize(
    ("anchor", "expected"), [("carry", [60, 60, 60]), ("naive", [60, 60, 60])], ids=["carry", "naive"]
)
def test_a_new_print_clips_the_carried_books_to_it(anchor: str, expected: list[float]) -> None:
    """|n| cannot exceed the open interest; what is cut off is counted."""
    engine = Engine(Parameters(flow_anchor=anchor))
    result = step(engine, contract(), open_interest(100), trade(10, "buy"), open_interest(60, date="2026-09-22"))
    assert positions(engine) == expected
    assert result.flags.get("position_clipped", 0) == (2 if anchor == "carry" else 0)
    assert engine.underlyings["XYZ"].market["clipped_contracts"] == (60 if anchor == "carry" else 0)


def test_flow_anchor_naive_forgets_the_flow_at_each_print() -> None:
    """Carry keeps what was traded; naive starts anew."""
    carried, anew = Engine(Parameters()), Engine(Parameters(flow_anchor="naive"))
    for engine in (carried, anew):
        step(engine, contract(), open_interest(100), trade(30, "buy"), open_interest(120, date="2026-09-22"))
    assert positions(carried) == [120, 70, 70]
    assert positions(anew) == [120, 120, 120]


def test_open_interest_that_repeats_or_flaps_is_not_counted_twice() -> None:
    """The same print changes nothing, another one for the same date bounds anew, an older date is refused."""
    engine = Engine(Parameters())
    step(engine, contract(), open_interest(100), trade(30, "buy"))
    result = step(
        engine, open_interest(100), open_interest(50), open_interest(100), open_interest(9, date="2026-09-20")
    )
    assert positions(engine) == [100, 70, 70]
    assert result.flags == {"open_interest_revised": 2}
    assert [reject.reason for reject in result.rejects] == ["open_interest_older"]


def test_a_reported_position_re_anchors_the_flow_books() -> None:
    """dealer_position replaces n in flow and weighted; later trades go on from there."""
    engine = Engine(Parameters())
    report = {"kind": "dealer_position", "symbol": "C100", "position": -25}
    step(engine, contract(), open_interest(100), report, trade(5, "sell"))
    assert positions(engine) == [100, -20, -20]


def test_trades_before_the_first_print_stand_on_top_of_it() -> None:
    """Open interest is yesterday's: what was traded today is not in it."""
    engine = Engine(Parameters())
    step(engine, contract(), trade(30, "buy"), open_interest(100))
    assert positions(engine) == [100, 70, 70]


def test_a_settled_series_leaves_the_books() -> None:
    """At its settlement instant, not at midnight; its later records are refused, its neighbour stays."""
    engine = Engine(Parameters())
    late = {"ts_event_ns": SETTLES_NS}
    other = contract("C200", strike=200.0) | {"settles_ns": SETTLES_NS + NS_PER_S}
    step(engine, contract(), open_interest(100), other, {"kind": "clock", "ts_event_ns": SETTLES_NS - 1})
    active = engine.underlyings["XYZ"].book.state.contracts["active"]
    assert active[:2].tolist() == [1, 1]
    result = step(engine, {"kind": "clock"} | late, trade(1, "buy") | late, contract("C300"))
    assert active[:2].tolist() == [0, 1]
    assert [reject.reason for reject in result.rejects] == ["expired_contract", "expired_contract"]


def test_a_contract_is_defined_once() -> None:
    """The same definition again changes nothing, another one for the same symbol is refused."""
    engine = Engine(Parameters())
    result = step(engine, contract(), contract(), contract(strike=101.0))
    assert [reject.reason for reject in result.rejects] == ["contract_conflict"]
    assert len(engine.underlyings["XYZ"].book) == 1


def test_rights_at_one_strike_find_each_other() -> None:
    """Call and put of one strike and settlement are a pair, in whatever order they come."""
    engine = Engine(Parameters())
    many = [contract(f"{right}{strike}", right, float(strike)) for strike in range(50, 150) for right in "CP"]
    step(engine, *many)
    book = engine.underlyings["XYZ"].book
    rows = book.state.contracts[: len(book)]
    assert len(rows) == 200
    pairs = rows["pair"]
    np.testing.assert_array_equal(pairs[pairs], np.arange(200))
    np.testing.assert_array_equal(rows["strike"][pairs], rows["strike"])
    np.testing.assert_array_equal(rows["right"][pairs], -rows["right"])


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["buy", "sell"])), max_size=20), st.data())
def test_any_split_of_the_trades_gives_the_same_books(trades: list[tuple[int, str]], data: st.DataObject) -> None:
    """Whole numbers of contracts move the books exactly, however the records are cut into steps."""
    records = [contract(), open_interest(1000), *(trade(size, side) for size, side in trades)]
    whole, pieces = Engine(Parameters()), Engine(Parameters())
    step(whole, *records)
    place = data.draw(st.integers(2, len(records)))
    step(pieces, *records[:place])
    if records[place:]:
        step(pieces, *records[place:])
    assert positions(whole) == positions(pieces)
    sold = sum(size if side == "sell" else -size for size, side in trades)
    assert positions(whole) == [1000, 1000 + sold, 1000 + sold]
