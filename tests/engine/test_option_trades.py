"""Option trades in the books: the stack's labels, waiting for the next price, cancels, and odd trades."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_records import START_NS, contract, open_interest, positions, step, trade
from dhpe.engine import Engine
from dhpe.numerics.side_labels import counts_of
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters

WEEKLY = contract() | {"exercise": "american"}
ALONE = Parameters(sweep_window_ms=0)
"""Each trade is its own decision: the records here have one exchange time."""
QUOTE = {"bid": 0.8, "bid_size": 5, "ask": 1.2, "ask_size": 9}


def unknown(size: float, price: float, **more: object) -> dict[str, object]:
    """A trade whose aggressor the feed does not know, with the quote that stood before it."""
    record = trade(size, "buy") | {"price": price} | QUOTE | more
    del record["side"]
    return record


@pytest.mark.parametrize(
    ("record", "label"),
    [
        (unknown(5, 0.8), ("buy", "trade_size", "sell")),
        (unknown(9, 1.2), ("sell", "trade_size", "buy")),
        (unknown(7, 1.2), ("buy", "quote", "buy")),
        (unknown(7, 1.0, venue_bid=0.7, venue_ask=1.1), ("buy", "venue_quote", None)),
        (unknown(7, 1.0), ("buy", "depth", None)),
        (unknown(7, 1.0, ask_size=2), ("sell", "depth", None)),
        (unknown(7, 1.0, ask_size=5), (None, "reverse_tick", None)),
        (unknown(7, 1.2) | {"side": "sell"}, ("sell", "aggressor", "buy")),
    ],
    ids="bid_size ask_size ask venue deeper_ask deeper_bid equal aggressor".split(),
)
def test_the_stack_speaks_in_its_order(record: dict[str, object], label: tuple[str | None, ...]) -> None:
    """Size, best quote, venue's quote, depth; the aggressor before all of them, Lee-Ready beside them."""
    result = step(Engine(ALONE), WEEKLY, record)
    assert [(made.side, made.rule, made.lee_ready_side) for made in result.labels] == [label]


def test_probabilities_start_at_the_published_ones() -> None:
    """The stack 0.67; on index options a quote is worth 0.52; one leg of a package a coin; no sizes: Lee-Ready."""
    legs = unknown(7, 1.2, multi_leg=True)
    bare = unknown(7, 1.2)
    del bare["bid_size"], bare["ask_size"]
    share = step(Engine(ALONE), WEEKLY, unknown(7, 1.2), legs, bare, unknown(5, 1.2))
    assert [label.probability for label in share.labels] == [0.67, 0.5, 0.62, 0.67]
    index = step(Engine(ALONE), contract(), unknown(7, 1.2), legs, bare, unknown(5, 1.2))
    assert [label.probability for label in index.labels] == [0.52, 0.5, 0.52, 0.67]


def test_a_trade_without_a_quote_waits_for_the_next_price() -> None:
    """The reverse tick rule: what is followed by a higher price was a sale. All that waited move together."""
    engine = Engine(ALONE)
    bare = [unknown(size, 1.0) for size in (3, 4)]
    for record in bare:
        for name in QUOTE:
            del record[name]
    result = step(engine, WEEKLY, open_interest(100), *bare)
    assert positions(engine) == [100, 100, 100]
    assert result.flags["trade_without_quote"] == 2
    step(engine, unknown(6, 1.2, ts_event_ns=START_NS + 1))
    assert positions(engine)[1] == 100 + 7 - 6


def test_old_and_late_quotes_are_worth_less() -> None:
    """Twice the stale age halves a label's edge; a feed that delivers late loses the share that is late."""
    engine = Engine(Parameters(quote_stale_s=10.0, sweep_window_ms=0))
    quote = {"kind": "option_quote", "symbol": "C100"} | QUOTE
    bare = {"kind": "option_trade", "symbol": "C100", "price": 1.2, "size": 7}
    first = step(engine, WEEKLY, quote, bare | {"ts_event_ns": START_NS + 20 * NS_PER_S})
    assert [(label.probability, label.quote_age_s) for label in first.labels] == [(0.5 + 0.17 / 2, 20.0)]
    late_ns = START_NS + 60 * NS_PER_S
    behind = quote | {"ts_event_ns": late_ns - 1}
    step(engine, quote | {"ts_event_ns": late_ns}, *[behind | {"ask": 1.3}] * 100)
    label = step(engine, bare | {"ts_event_ns": late_ns + 1}).labels[0]
    share = float(engine.underlyings["XYZ"].market["option_late_share"])
    assert share == pytest.approx(1 - (255 / 256) ** 100)
    assert label.probability == pytest.approx(0.5 + 0.17 * (1 - share))


def test_known_sides_teach_their_own_class_alone() -> None:
    """Beta means drawn to the published accuracy, held in 0.5 to 0.99 until a thousand sides are known."""
    engine = Engine(ALONE)
    wrong = unknown(7, 1.2) | {"side": "sell"}
    step(engine, WEEKLY, *[wrong] * 999)
    assert step(engine, unknown(7, 1.2)).labels[0].probability == 0.5
    step(engine, wrong)
    told = step(engine, unknown(7, 1.2)).labels[0].probability
    assert told == pytest.approx(50 * (25 * 0.67 / 1025) / 1050)
    counts = counts_of(engine.underlyings["XYZ"].market)
    assert counts.known.tolist() == [0, 1000, 0]
    index = step(engine, contract("C200", strike=200.0), unknown(7, 1.2, symbol="C200")).labels[0]
    assert index.probability == 0.52


def test_a_cancelled_trade_leaves_the_books_as_they_were() -> None:
    """Exactly, also where it was only one of several; a correction is a cancel and a new trade."""
    engine = Engine(ALONE)
    step(engine, WEEKLY, open_interest(100), unknown(7, 1.2, sequence=1))
    before = positions(engine)
    cancel = unknown(3, 0.8, cancels=2, sequence=3)
    done = step(engine, unknown(3, 0.8, sequence=2), cancel)
    assert positions(engine) == before
    assert done.flags["trade_cancelled"] == 1
    assert len(done.labels) == 1
    again = step(engine, cancel | {"sequence": 4})
    assert positions(engine) == before
    assert again.flags["cancel_of_unknown_trade"] == 1


def test_a_report_replaces_what_was_traded_before_it() -> None:
    """A trade before a dealer_position moves nothing any more, neither by waiting nor by being taken back."""
    engine = Engine(ALONE)
    report = {"kind": "dealer_position", "symbol": "C100", "position": -25}
    step(engine, WEEKLY, open_interest(100), unknown(3, 1.2, sequence=1), unknown(7, 1.0, ask_size=5, sequence=2))
    step(engine, report, unknown(3, 1.2, cancels=1), unknown(7, 1.0, cancels=2))
    assert positions(engine) == [100, -25, -25]
    step(engine, unknown(4, 1.2, ask_size=5))
    assert positions(engine)[1] == -29


ANY_TRADE = st.tuples(
    st.integers(1, 300), st.sampled_from([0.8, 0.9, 1.0, 1.1, 1.2]), st.sampled_from(["buy", "sell", None])
)


@given(st.lists(ANY_TRADE, max_size=12), st.lists(ANY_TRADE, min_size=1, max_size=6), st.data())
def test_trades_and_their_cancels_leave_no_trace_in_the_books(
    kept: list[tuple[int, float, str | None]], taken: list[tuple[int, float, str | None]], data: st.DataObject
) -> None:
    """Whatever comes between, and in any order; the waiting ones too, once a last price has told them."""

    def record(number: int, made: tuple[int, float, str | None]) -> dict[str, object]:
        size, price, side = made
        plain = unknown(size, price, sequence=number, ask_size=5)
        return plain if side is None else plain | {"side": side}

    first = [record(number, made) for number, made in enumerate(kept)]
    wrong = [record(100 + number, made) for number, made in enumerate(taken)]
    order = data.draw(st.permutations(range(len(wrong))))
    cancels = [wrong[place] | {"cancels": 100 + place, "sequence": 200 + place} for place in order]
    for record_ in cancels:
        record_.pop("side", None)
    last = unknown(1, 2.0, sequence=300)
    whole, clean = Engine(ALONE), Engine(ALONE)
    step(whole, WEEKLY, open_interest(1000), *first, last)
    step(clean, WEEKLY, open_interest(1000), *first, last)
    settled = positions(whole)
    step(whole, *wrong)
    step(whole, *cancels)
    assert positions(whole) == settled == positions(clean)


@given(st.lists(ANY_TRADE, min_size=2, max_size=30), st.data())
def test_labels_and_books_do_not_know_how_the_records_were_cut(
    trades: list[tuple[int, float, str | None]], data: st.DataObject
) -> None:
    """One step or two: the same labels, positions and counts."""
    records = [
        unknown(size, price, sequence=number, ask_size=5) | ({"side": side} if side else {})
        for number, (size, price, side) in enumerate(trades)
    ]
    place = data.draw(st.integers(0, len(records)))
    whole, cut = Engine(ALONE), Engine(ALONE)
    step(whole, WEEKLY, open_interest(1000))
    step(cut, WEEKLY, open_interest(1000))
    labels = [label.side for label in step(whole, *records).labels]
    pieces = [step(cut, *piece).labels for piece in (records[:place], records[place:]) if piece]
    assert [label.side for piece in pieces for label in piece] == labels
    assert positions(whole) == positions(cut)
    assert bytes(whole.underlyings["XYZ"].market["side_right"]) == bytes(cut.underlyings["XYZ"].market["side_right"])
