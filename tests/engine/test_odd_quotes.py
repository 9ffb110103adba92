"""Trades against odd quotes, late quotes and silence: each has its rule, its name and its count."""

import pytest

from book_records import START_NS, batch, contract, open_interest, positions, step, trade
from dhpe.columns import empty_batch
from dhpe.edge.decode import decode
from dhpe.engine import Engine, StepResult
from dhpe.numerics.state import NS_PER_S
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters

WEEKLY = contract() | {"exercise": "american"}
PLAIN = {"bid": 0.8, "bid_size": 5, "ask": 1.2, "ask_size": 9}


def unknown(price: float, size: float = 7, **quote: object) -> dict[str, object]:
    """A trade of unknown side that carries a quote."""
    record = trade(size, "buy") | {"price": price} | PLAIN | quote
    del record["side"]
    return record


def bare(price: float, after_s: float = 0.0) -> dict[str, object]:
    """A trade of unknown side without a quote."""
    record = trade(7, "buy") | {"price": price, "ts_event_ns": START_NS + round(after_s * NS_PER_S)}
    del record["side"]
    return record


def quoted(after_s: float, bid: float = 0.8, ask: float = 1.2) -> dict[str, object]:
    """A quote of the option."""
    times = {"ts_event_ns": START_NS + round(after_s * NS_PER_S)}
    return {"kind": "option_quote", "symbol": "C100", "bid": bid, "bid_size": 5, "ask": ask, "ask_size": 9} | times


@pytest.mark.parametrize(
    ("record", "label"),
    [
        (unknown(1.3, bid=1.0, ask=1.0), ("buy", "locked_quote/quote")),
        (unknown(0.9, bid=1.0, ask=1.0), ("sell", "locked_quote/quote")),
        (unknown(1.0, bid=1.0, ask=1.0), ("buy", "locked_quote/depth")),
        (unknown(1.0, bid=1.0, ask=1.0, ask_size=5), (None, "locked_quote/reverse_tick")),
        (unknown(1.2, bid=1.1, ask=0.9), (None, "crossed_quote/reverse_tick")),
        (unknown(1.2, bid=1.1, ask=0.9, size=5), ("buy", "crossed_quote/trade_size")),
        (unknown(1.0, bid=1.1, ask=0.9, venue_bid=0.7, venue_ask=1.1), ("buy", "crossed_quote/venue_quote")),
        (unknown(1.2, bid=0.0, bid_size=0), ("buy", "one_sided_quote/quote")),
        (unknown(0.5, bid=0.0, bid_size=0), ("sell", "one_sided_quote/quote")),
        (unknown(0.8, ask=0.0, ask_size=0), ("sell", "one_sided_quote/quote")),
        (unknown(1.0, ask=0.0, ask_size=0), (None, "one_sided_quote/reverse_tick")),
        (unknown(12.5), (None, "far_trade")),
        (unknown(0.05), (None, "far_trade")),
    ],
    ids=(
        "above_lock below_lock at_lock at_equal_lock crossed crossed_size crossed_venue no_bid_at_ask no_bid_low "
        "no_ask_at_bid no_ask_above far_above far_below"
    ).split(),
)
def test_an_odd_quote_names_the_rule_that_can_still_speak(
    record: dict[str, object], label: tuple[str | None, str]
) -> None:
    """Before the slash stands why, after it who."""
    result = step(Engine(Parameters()), WEEKLY, record)
    assert [(made.side, made.rule) for made in result.labels] == [label]
    assert result.flags.get("far_trade", 0) == (label[1] == "far_trade")


@pytest.mark.parametrize(
    ("bid", "ask", "price", "label"),
    [
        (100.0, 100.0, 101.0, ("buy", "locked_quote/quote")),
        (100.0, 100.0, 100.0, (None, "locked_quote/none")),
        (101.0, 99.0, 101.0, (None, "crossed_quote/none")),
        (100.0, 0.0, 100.0, ("sell", "one_sided_quote/quote")),
        (99.0, 101.0, 1011.0, (None, "far_trade")),
    ],
    ids="above_lock at_lock crossed no_ask far".split(),
)
def test_odd_quotes_of_the_underlying_have_the_same_names(
    bid: float, ask: float, price: float, label: tuple[str | None, str]
) -> None:
    """Without a price before it the tick rule has no answer."""
    quote = {"kind": "quote", "bid": bid, "bid_size": 1, "ask": ask, "ask_size": 1}
    sold = {"kind": "trade", "price": price, "size": 1, "ts_event_ns": START_NS + 1}
    assert [(made.side, made.rule) for made in step(Engine(Parameters()), quote, sold).labels] == [label]


def test_a_stale_quote_is_named_and_worth_less() -> None:
    """From quote_stale_s on, in proportion to its age."""
    result = step(Engine(Parameters()), WEEKLY, quoted(0), bare(1.2, 60), bare(1.2, 120))
    assert [(made.side, made.rule, made.quote_age_s) for made in result.labels] == [
        ("buy", "quote", 60.0),
        ("buy", "stale_quote/quote", 120.0),
    ]
    fresh, stale = (made.probability for made in result.labels)
    assert stale - 0.5 == pytest.approx((fresh - 0.5) / 2)


def test_a_trade_before_any_quote_has_no_quote_age() -> None:
    """It waits for the next price; the missing quote is counted."""
    result = step(Engine(Parameters()), WEEKLY, bare(1.2))
    assert [(made.side, made.rule, made.quote_age_s) for made in result.labels] == [(None, "reverse_tick", None)]
    assert result.flags["trade_without_quote"] == 1


def test_a_trade_of_size_0_stops_at_the_door() -> None:
    """It is no trade, and a dead letter."""
    with pytest.raises(AssertionError):
        batch(unknown(1.0, size=0))
    from msgspec import json  # noqa: PLC0415 - what book_records.batch does, with the reject kept

    message = json.encode({"underlying": "XYZ", "ts_event_ns": START_NS} | unknown(1.0, size=0))
    decoded = decode([(0, None, message, None, None)], "ticks")
    assert [reject.reason for reject in decoded.rejects] == ["bad_size"]
    assert len(decoded.batch.events) == 0


def test_a_repeated_trade_id_moves_nothing_and_is_counted() -> None:
    """By (source, sequence); another source may use the same number."""
    engine = Engine(Parameters())
    sold = unknown(0.8, sequence=5, source="A")
    step(engine, WEEKLY, open_interest(1000), sold)
    before = positions(engine)
    result = step(engine, sold, sold | {"price": 1.2})
    assert [reject.reason for reject in result.rejects] == ["duplicate", "sequence_conflict"]
    assert result.labels == []
    assert positions(engine) == before
    assert len(step(engine, sold | {"source": "B"}).labels) == 1


def late_shares(engine: Engine) -> tuple[float, float]:
    """Of options and of the underlying."""
    market = engine.underlyings["XYZ"].market
    return float(market["option_late_share"]), float(market["underlying_late_share"])


def test_a_quote_is_late_behind_a_newer_one_or_behind_a_trade() -> None:
    """Of the same contract; what comes at the same time is in order. The share counts those of another price."""
    engine = Engine(Parameters())
    result = step(engine, WEEKLY, quoted(1), quoted(1), quoted(2), bare(1.2, 5))
    assert late_shares(engine) == (0.0, 0.0)
    assert "late_quote" not in result.flags
    for behind in (quoted(1.5, ask=1.3), quoted(4, ask=1.4)):
        assert step(engine, behind).flags["late_quote"] == 1
    assert step(engine, quoted(3, ask=1.4)).flags["late_quote"] == 1  # tells nothing that does not stand
    assert late_shares(engine) == (pytest.approx((1 - (255 / 256) ** 2) * 255 / 256), 0.0)
    assert "late_quote" not in step(engine, quoted(5)).flags


def published(result: StepResult) -> Pressure:
    """The last state of a step."""
    return next(made for made in reversed(result.outputs) if isinstance(made, Pressure))


def test_a_late_feed_is_published_and_degrades() -> None:
    """Beyond 5 % late quotes; the mean age of the quotes that trades found stands beside it."""
    engine = Engine(Parameters())
    clock = {"kind": "clock", "ts_event_ns": START_NS + 20 * NS_PER_S}
    spot = {"kind": "quote", "bid": 99.0, "bid_size": 1, "ask": 101.0, "ask_size": 1}
    orderly = published(step(engine, WEEKLY, spot, quoted(9), bare(1.2, 10), clock))
    assert (orderly.quote_late_share, orderly.quote_age_mean_s) == (0.0, 1.0)
    assert "quotes_late" not in orderly.quality.reasons
    late = [quoted(8, ask=1.3)] * 20
    told = published(step(engine, *late, clock | {"ts_event_ns": START_NS + 21 * NS_PER_S}))
    assert told.quote_late_share == pytest.approx(1 - (255 / 256) ** 20)
    assert "quotes_late" in told.quality.reasons
    assert told.quality.status != "ok"


def test_nothing_is_known_of_the_quotes_before_the_first() -> None:
    """Null, not 0."""
    engine = Engine(Parameters())
    result = engine.step(empty_batch(), batch(WEEKLY, {"kind": "clock"}))
    assert (published(result).quote_late_share, published(result).quote_age_mean_s) == (None, None)


NIGHT_S = 17 * 3600.0


def test_nothing_is_remembered_over_a_break() -> None:
    """Yesterday's quote and price tell nothing of today's first trade; today's tell of the second."""
    engine = Engine(Parameters())
    spot = {"kind": "trade", "price": 100.0, "size": 1}
    higher = spot | {"price": 101.0, "ts_event_ns": START_NS + round(NIGHT_S * NS_PER_S)}
    evening = [WEEKLY, quoted(0), bare(1.2, 1), spot]
    result = step(engine, *evening, bare(1.2, NIGHT_S), higher, bare(1.2, NIGHT_S + 3600))
    assert [(made.side, made.rule, made.quote_age_s) for made in result.labels] == [
        ("buy", "quote", 1.0),
        (None, "none", None),
        (None, "reverse_tick", None),
        (None, "none", None),
        (None, "reverse_tick", None),
    ]
    assert result.flags["session_break"] == 1
    rule = step(engine, higher | {"price": 102.0}).labels[0].rule
    assert rule == "tick"


def test_a_quiet_contract_keeps_its_memory_while_the_market_goes_on() -> None:
    """A break is a silence of the whole underlying, and the clock does not end it."""
    engine = Engine(Parameters())
    hours = [
        {"kind": "trade", "price": 100.0, "size": 1, "ts_event_ns": START_NS + h * 3600 * NS_PER_S} for h in range(9)
    ]
    result = step(engine, WEEKLY, quoted(0), *hours, bare(1.2, 8.5 * 3600))
    assert result.labels[-1].rule == "stale_quote/quote"
    clocks = [{"kind": "clock", "ts_event_ns": START_NS + h * 3600 * NS_PER_S} for h in range(9, 24)]
    later = step(engine, *clocks, bare(1.2, 24 * 3600))
    assert (later.flags["session_break"], later.labels[-1].quote_age_s) == (1, None)


def test_trades_that_wait_are_let_go_at_a_break() -> None:
    """Tomorrow's price says nothing of today's side: they stay unclassified, and a cancel finds nothing to undo."""
    engine = Engine(Parameters())
    step(engine, WEEKLY, open_interest(1000), bare(1.0, 0) | {"sequence": 1})
    result = step(engine, bare(1.2, NIGHT_S), bare(1.2, NIGHT_S + 1) | {"cancels": 1})
    assert (result.flags["waited_over_break"], result.flags["trade_cancelled"]) == (1, 1)
    assert positions(engine) == [1000, 1000, 1000]
    step(engine, bare(1.3, NIGHT_S + 2))
    assert positions(engine)[1] == 1000 + 7
