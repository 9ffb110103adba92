"""Lee-Ready and the quote memory, against a slow reading of the paper."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dhpe.numerics.quotes import keep_quote
from dhpe.numerics.state import CONTRACT, TICK
from dhpe.numerics.trade_side import best_before, lee_ready_side, remember_tick

PRICES = st.integers(1, 12).map(lambda cents: cents / 4)


def slow_lee_ready(prices: list[float], quotes: list[tuple[float, float]]) -> list[int]:
    """Label each trade from the whole history, as Lee and Ready (1991) put it."""
    labels = []
    for place, price in enumerate(prices):
        bid, ask = quotes[place]
        side = 0
        if ask > 0 and 0 <= bid <= ask:
            side = int(np.sign(2 * price - (bid + ask)))
        if side == 0:
            different = [earlier for earlier in prices[:place] if earlier != price]
            runs = [p for i, p in enumerate(prices[: place + 1]) if i == 0 or p != prices[i - 1]]
            side = int(np.sign(runs[-1] - runs[-2])) if different and len(runs) > 1 else 0
        labels.append(side)
    return labels


@given(st.lists(st.tuples(PRICES, PRICES, PRICES), min_size=1, max_size=40))
def test_streamed_labels_are_those_of_the_whole_history(trades: list[tuple[float, float, float]]) -> None:
    """Quote rule, then the last change of price; crossed quotes are no quotes."""
    tick = np.zeros(1, TICK)
    streamed = []
    for price, bid, ask in trades:
        streamed.append(lee_ready_side(price, bid, ask, tick[0])[0])
        remember_tick(1, price, tick[0])
    assert streamed == slow_lee_ready([t[0] for t in trades], [(t[1], t[2]) for t in trades])


@given(st.lists(st.tuples(st.integers(1, 8), PRICES), min_size=1, max_size=30), st.integers(1, 9))
def test_the_quote_in_force_is_strictly_before_the_trade(quotes: list[tuple[int, float]], trade_ns: int) -> None:
    """With quotes in time order and two of them remembered, the last with an earlier time is always found."""
    rows = np.zeros(1, CONTRACT)
    seen = sorted((quote for quote in quotes if quote[0] <= trade_ns), key=lambda quote: quote[0])
    for ts_ns, bid in seen:
        assert keep_quote(ts_ns, (bid, 1.0, bid + 1, 1.0), rows[0])
    (bid, _, _, _), age_ns = best_before(trade_ns, rows[0]["quote"], rows[0]["earlier_quote"])
    earlier = [quote for quote in seen if quote[0] < trade_ns]
    if earlier:
        assert (bid, age_ns) == (earlier[-1][1], trade_ns - earlier[-1][0])
    else:
        assert np.isnan(bid)


def test_a_late_quote_does_not_replace_a_newer_one() -> None:
    """It is refused as the present quote, but may serve as the earlier one."""
    rows = np.zeros(1, CONTRACT)
    keep_quote(10, (1.0, 1.0, 2.0, 1.0), rows[0])
    assert not keep_quote(7, (3.0, 1.0, 4.0, 1.0), rows[0])
    assert rows[0]["quote"]["bid"] == 1.0
    assert best_before(9, rows[0]["quote"], rows[0]["earlier_quote"])[0][0] == 3.0
