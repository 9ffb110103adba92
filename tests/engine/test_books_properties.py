"""What holds in the three books whatever comes, in whatever order, and however the log is cut."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from book_records import START_NS, contract, open_interest, step, trade
from dhpe.engine import Engine
from dhpe.numerics.state import FLOW, NAIVE, NS_PER_DAY, WEIGHTED
from dhpe.parameters import Parameters

RIGHTS = {"C100": "C", "P100": "P"}
DATES = [f"2026-09-{day}" for day in range(21, 27)]
CONTRACTS = st.floats(0.0, 300.0).map(lambda size: round(size, 2))
SYMBOLS = st.sampled_from(sorted(RIGHTS))

TRADE = st.tuples(
    st.just("trade"), SYMBOLS, CONTRACTS.map(lambda size: size + 0.01), st.sampled_from(["buy", "sell", None])
)
PRINT = st.tuples(st.just("print"), SYMBOLS, CONTRACTS, st.integers(-1, 1))
CANCEL = st.tuples(st.just("cancel"), SYMBOLS, st.integers(0, 20), st.none())
REPORT = st.tuples(st.just("report"), SYMBOLS, st.floats(-200.0, 200.0), st.none())
NIGHT = st.tuples(st.just("night"), SYMBOLS, st.none(), st.none())
EVENTS = st.lists(st.one_of(TRADE, TRADE, TRADE, PRINT, CANCEL, REPORT, NIGHT), max_size=25)


def records_of(events: list[tuple[str, str, Any, Any]], *, known: bool) -> list[dict[str, object]]:
    """The events as records; with ``known`` every trade has its aggressor."""
    records = [contract(symbol, right) for symbol, right in RIGHTS.items()]
    day = 0
    for number, (kind, symbol, amount, more) in enumerate(events):
        at = {"ts_event_ns": START_NS + day * NS_PER_DAY + number}
        quote = {"bid": 0.8, "bid_size": 5, "ask": 1.2, "ask_size": 5, "price": (0.8, 1.0, 1.2)[number % 3]}
        if kind == "trade":
            record = trade(amount, more or "buy", symbol, sequence=number) | quote | at
            if more is None and not known:
                del record["side"]
            records.append(record)
        elif kind == "cancel":
            record = trade(1.0, "buy", symbol, cancels=amount, sequence=1000 + number) | at
            del record["side"]
            records.append(record)
        elif kind == "print":
            records.append(open_interest(amount, symbol, DATES[min(max(day + more, 0), 5)]))
        elif kind == "report":
            records.append({"kind": "dealer_position", "symbol": symbol, "position": amount} | at)
        else:
            day = min(day + 1, 4)
    return records


def rows(engine: Engine) -> np.ndarray:
    """The contracts, after which nothing is hidden."""
    book = engine.underlyings["XYZ"].book
    return book.state.contracts[: len(book)]


@settings(max_examples=60)
@given(EVENTS, st.sampled_from(["carry", "naive"]), st.data())
def test_books_do_not_know_how_the_log_was_cut(
    events: list[tuple[str, str, Any, Any]], anchor: str, data: st.DataObject
) -> None:
    """All that a contract remembers, and all sums over them, have the same bits for any cut."""
    records = records_of(events, known=False)
    whole, cut = Engine(Parameters(flow_anchor=anchor)), Engine(Parameters(flow_anchor=anchor))
    step(whole, *records)
    first = 0
    while first < len(records):
        last = first + data.draw(st.integers(1, 6))
        step(cut, *records[first:last])
        first = last
    for name in rows(whole).dtype.names:
        np.testing.assert_array_equal(rows(whole)[name], rows(cut)[name], err_msg=name)
    for name in ("flags", "clipped_contracts", "opening_sums", "opening_series"):
        np.testing.assert_array_equal(
            whole.underlyings["XYZ"].market[name], cut.underlyings["XYZ"].market[name], err_msg=name
        )


@settings(max_examples=40)
@given(EVENTS, st.booleans())
def test_what_holds_in_the_three_books_whatever_comes(events: list[tuple[str, str, Any, Any]], known: bool) -> None:
    """Naive is the last print; what a print left fits into it; where all sides are known two books are one."""
    engine = Engine(Parameters())
    for record in records_of(events, known=known):
        step(engine, record)
        for row in rows(engine):
            position, held = row["position"], row["held"]
            printed = 0.0 if np.isnan(row["open_interest"]) else row["open_interest"]
            assert position[NAIVE] == row["right"] * printed
            assert np.isfinite(position).all()
            assert min(row["volume"], row["day_volume"]) >= 0.0
            if not row["anchored"] and row["open_interest_date"]:
                assert np.abs(held[FLOW:]).max() <= printed
            if known:
                assert position[FLOW] == position[WEIGHTED]
            np.testing.assert_array_equal(position * 2.0**20 % 1.0, 0.0)
