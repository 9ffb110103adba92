"""Every quote gets a vol or a named reason, in the book as it runs."""

import math

import numpy as np
import pytest

from dhpe.book import Book
from dhpe.columns import Contract
from dhpe.numerics.american import american_price
from dhpe.numerics.implied_vol import REASON_NAMES
from dhpe.numerics.revalue import mark_dirty, revalue_dirty
from dhpe.numerics.state import NS_PER_S, NS_PER_YEAR, VOL_NONE, VOL_OWN_QUOTE, VOL_PAIR_QUOTE
from dhpe.parameters import Parameters
from dhpe.underlying import rules_of

NOW_NS = 1_700_000_000 * NS_PER_S
SPOT, RATE, YIELD, TAU = 100.0, 0.05, 0.01, 0.5
PARAMETERS = Parameters(rate=RATE, dividend_yield=YIELD, quote_spread_max=1.9)


def quoted_book(call: tuple[float, float] | None, put: tuple[float, float] | None, strike: float, late: bool = False):
    """An American call and put of one strike with these (bid, ask), revalued."""
    book = Book(PARAMETERS)
    settles_ns = NOW_NS + int(TAU * NS_PER_YEAR)
    for symbol, right in (("C", 1), ("P", -1)):
        book.add(Contract(symbol, right, strike, 100.0, True, settles_ns))
    market = book.state.market[0]
    market["spot"] = SPOT
    market["ts_ns"] = NOW_NS
    for row, quote in enumerate((call, put)):
        if quote is not None:
            contract = book.state.contracts[row]
            contract["quote"]["ts_ns"] = settles_ns if late else NOW_NS
            contract["quote"]["bid"], contract["quote"]["ask"] = quote
            contract["quote_spot"] = SPOT
            mark_dirty(row, book.state)
    revalue_dirty(book.state, rules_of(PARAMETERS)[1])
    return book.state.contracts[:2]


def around(strike: float, right: int, vol: float = 0.3, half: float = 0.05) -> tuple[float, float]:
    """A quote around the American price."""
    mid = american_price(SPOT, strike, TAU, RATE, YIELD, vol, right)
    return mid - half, mid + half


@pytest.mark.parametrize("strike", [80.0, 100.0, 105.0, 120.0])
def test_both_rights_take_the_vol_of_the_side_out_of_the_money(strike: float) -> None:
    """American prices go in, the vol that made them comes out."""
    pair = quoted_book(around(strike, 1), around(strike, -1), strike)
    assert list(pair["vol"]) == pytest.approx([0.3, 0.3], abs=1e-5)
    assert sorted(pair["vol_source"]) == [VOL_OWN_QUOTE, VOL_PAIR_QUOTE]
    assert {REASON_NAMES[code] for code in pair["vol_reason"]} == {"solved"}


def test_without_a_bid_the_side_in_the_money_serves_by_its_american_price() -> None:
    """A put 20 % in the money, whose early exercise is a good part of what it is worth beyond exercise."""
    pair = quoted_book((0.0, 0.4), around(120.0, -1, half=0.001), 120.0)
    assert list(pair["vol"]) == pytest.approx([0.3, 0.3], abs=1e-5)
    assert list(pair["vol_source"]) == [VOL_PAIR_QUOTE, VOL_OWN_QUOTE]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ((0.0, 0.4), "zero_bid"),
        ((0.6, 0.4), "crossed_quote"),
        ((0.01, 0.9), "wide_quote"),
        ((0.4, 0.0), "no_ask"),
        ((0.4, math.inf), "no_ask"),
        ((math.nan, 0.4), "zero_bid"),
        ((0.4, math.nan), "no_ask"),
        (None, "no_quote"),
        ((100.0, 101.0), "above_maximum"),
    ],
)
def test_a_quote_without_a_vol_has_a_reason(call: tuple[float, float] | None, reason: str) -> None:
    """The put has no bid either, so that only the surface could help, and it is not there yet."""
    pair = quoted_book(call, (0.0, 30.0), 120.0)
    assert {REASON_NAMES[code] for code in pair["vol_reason"]} == {reason}
    assert np.isnan(pair["vol"]).all()
    assert set(pair["vol_source"]) == {VOL_NONE}


def test_a_quote_of_a_settled_series_and_one_below_its_exercise_have_reasons() -> None:
    """No time; and a put at the price of its exercise, with no call to help."""
    pair = quoted_book((1.0, 1.1), (1.0, 1.1), 105.0, late=True)
    assert {REASON_NAMES[code] for code in pair["vol_reason"]} == {"no_time"}
    pair = quoted_book((0.0, 0.4), (19.9, 20.0), 120.0)
    assert np.isnan(pair["vol"]).all()
    assert {REASON_NAMES[code] for code in pair["vol_reason"]} == {"zero_bid"}
