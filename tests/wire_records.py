"""Records of every kind as hypothesis draws them: legal ones, so that the door lets all of them pass."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dhpe import columns
from dhpe.columns import Batch
from dhpe.edge import messages as wire

TIMES = st.integers(wire.TIME_FIRST_NS, wire.TIME_LAST_NS - 1)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda text: text != "*")
UNDERLYINGS = st.sampled_from(["SPX", "BRK.B", "BTC-USD", "ÅÄÖ", "日経"])
POSITIVE = st.floats(wire.SMALLEST, 1e9, exclude_max=True)
PRICES = st.just(0.0) | POSITIVE
SIZES = PRICES.filter(lambda size: size != 2.0**31 - 1)
TRADE_SIZES = SIZES.filter(lambda size: size > 0.0)
RATES = st.floats(-1.0, 1.0, exclude_min=True, exclude_max=True)
SIDES = st.sampled_from(["buy", "sell", None])
LEVELS = st.lists(st.tuples(POSITIVE, SIZES), max_size=4)
NUMBERED = {
    "sequence": st.none() | st.integers(0, 2**63 - 1),
    "source": st.none() | NAMES,
}


def _builds(record: type[wire.Stamped], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    common = {"underlying": UNDERLYINGS, "ts_event_ns": TIMES} | NUMBERED
    return st.builds(record, **(common | fields))


def _quoted(prefix: str) -> dict[str, st.SearchStrategy[Any]]:
    return {
        f"{prefix}bid": PRICES,
        f"{prefix}ask": PRICES,
        f"{prefix}bid_size": st.none() | SIZES,
        f"{prefix}ask_size": st.none() | SIZES,
    }


_QUOTE = {"bid": PRICES, "bid_size": SIZES, "ask": PRICES, "ask_size": SIZES}
_TRADE = {"price": POSITIVE, "size": TRADE_SIZES, "side": SIDES}
_OPTION_TRADE = {"symbol": NAMES, "price": PRICES, "size": TRADE_SIZES, "side": SIDES, "multi_leg": st.booleans()}
_INSTRUMENT = {"instrument": st.none() | NAMES}

CONTRACTS = _builds(
    wire.Contract,
    symbol=NAMES,
    right=st.sampled_from("CP"),
    strike=POSITIVE,
    multiplier=POSITIVE,
    exercise=st.sampled_from(["european", "american"]),
    settles_ns=st.just(wire.TIME_LAST_NS - 1),
    ts_event_ns=st.integers(wire.TIME_FIRST_NS, wire.TIME_LAST_NS - 2),
)
INDEX_VALUES = _builds(wire.IndexValue, name=NAMES, value=PRICES | POSITIVE.map(lambda value: -value)).filter(
    lambda record: record.name != record.underlying or record.value > 0.0
)

RECORDS: dict[str, st.SearchStrategy[Any]] = {
    "contract": CONTRACTS,
    "instrument": _builds(
        wire.Instrument,
        instrument=NAMES,
        role=st.sampled_from(["spot", "hedge"]),
        multiplier=POSITIVE,
        inverse=st.booleans(),
    ),
    "open_interest": _builds(
        wire.OpenInterest, symbol=NAMES, trading_date=st.dates().map(lambda day: day.isoformat()), open_interest=SIZES
    ),
    "rates": _builds(wire.Rates, rate=RATES, dividend_yield=st.none() | RATES)
    | _builds(
        wire.Rates,
        settles_ns=TIMES,
        forward=POSITIVE,
        discount=st.none() | st.floats(wire.SMALLEST, 2.0, exclude_max=True),
    ),
    "dealer_position": _builds(wire.DealerPosition, symbol=NAMES, position=st.floats(-1e9, 1e9)),
    "option_quote": _builds(wire.OptionQuote, symbol=NAMES, **_QUOTE),
    "option_trade": _builds(wire.OptionTrade, **_OPTION_TRADE)
    | _builds(wire.OptionTrade, **_OPTION_TRADE, **_quoted(""), **_quoted("venue_")),
    "trade": _builds(wire.Trade, **_TRADE, **_INSTRUMENT),
    "quote": _builds(wire.Quote, **_QUOTE, **_INSTRUMENT),
    "depth": _builds(wire.Depth, bids=LEVELS, asks=LEVELS, snapshot=st.booleans(), **_INSTRUMENT),
    "index_value": INDEX_VALUES,
    "clock": _builds(wire.Clock, underlying=UNDERLYINGS | st.just("*")),
}
ANY_RECORD = st.one_of(*RECORDS.values())


def canonical(batch: Batch) -> list[tuple[Any, ...]]:
    """The rows of a batch without the accidents of one batch: name numbers, places in levels, position in a log."""
    rows = []
    names = [*batch.names, None]
    for event in batch.events:
        start, bids, asks = (int(event[name]) for name in ("levels_start", "bid_levels", "ask_levels"))
        rows.append(
            (
                *(int(event[name]) for name in ("ts_event_ns", "sequence", "kind", "side", "flags")),
                *(names[event[name]] for name in ("underlying", "name", "source")),
                *(bits(event[name]) for name in columns.EVENT.names or () if columns.EVENT[name] == np.float64),
                bits(batch.levels[start : start + bids]),
                bits(batch.levels[start + bids : start + bids + asks]),
                canonical_fact(batch.reference[event["reference"]]) if event["reference"] >= 0 else None,
            )
        )
    return rows


def canonical_fact(fact: columns.Reference) -> tuple[Any, ...]:
    """A fact whose NaN equals NaN."""
    numbers = (None if isinstance(value, float) and math.isnan(value) else value for value in fact)
    return (type(fact), *numbers)


def bits(numbers: NDArray[np.float64] | np.float64) -> bytes:
    """The very bits: 0.0 is not -0.0."""
    return np.asarray(numbers, np.float64).tobytes()
