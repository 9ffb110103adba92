"""Every rule against the ``tclf`` package, label by label; the calibration against a slow one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhpe.numerics.side_calibration import (
    ALL,
    KNOWN_ENOUGH,
    PACKAGE,
    POSITIONS,
    RULE_WEIGHT,
    SITUATION_WEIGHT,
    SITUATIONS,
    TICKS,
    WAITED,
    calibrate,
    empty_counts,
    situation,
)
from dhpe.numerics.trade_columns import TradeColumns, classify, next_prices, previous_prices, stack_rules
from dhpe.numerics.trade_side import PUBLISHED, RULE_NAMES, RULE_REVERSE_TICK
from golden import make_trade_sides, real_trades

GOLDEN = np.load(make_trade_sides.GOLDEN)
RULES = list(make_trade_sides.LAYERS)


def columns_of(trades: dict[str, np.ndarray], instrument: np.ndarray) -> TradeColumns:
    """The columns as the kernels take them."""
    count = len(instrument)
    before, after = np.empty(count), np.empty(count)
    codes = int(instrument.max()) + 1
    previous_prices(trades["price"], instrument, codes, before)
    next_prices(trades["price"], instrument, codes, after)
    given = {name: trades[name] for name in TradeColumns._fields if name in trades}
    return TradeColumns(**given, previous_price=before, next_price=after)


def labels(rule: str, trades: TradeColumns) -> np.ndarray:
    """What we say, with the tolerance of the reference."""
    sides = np.zeros(len(trades.price), np.int8)
    classify(RULE_NAMES.index(rule), trades, PUBLISHED, sides)
    return sides


@pytest.fixture(scope="module")
def random_trades() -> TradeColumns:
    """120,000 random trades, made anew from the seed."""
    trades = make_trade_sides.trades()
    np.testing.assert_array_equal(make_trade_sides.digest(trades), GOLDEN["digest"])
    return columns_of(trades, np.zeros(make_trade_sides.COUNT, np.int64))


@pytest.fixture(scope="module")
def recorded_trades(shared_data: Path) -> TradeColumns:
    """Binance, GOOG options and stock, and Deribit, with the quotes that we align."""
    trades = real_trades.real_columns(shared_data)
    return columns_of(trades, trades["instrument"])


@pytest.mark.parametrize("rule", RULES)
def test_random_trades_are_labelled_as_by_the_reference(rule: str, random_trades: TradeColumns) -> None:
    """Wide, locked, crossed, one-sided and absent quotes among them."""
    expected = make_trade_sides.unpack(GOLDEN[rule], make_trade_sides.COUNT)
    np.testing.assert_array_equal(labels(rule, random_trades), expected)


@pytest.mark.parametrize("rule", RULES)
def test_recorded_trades_are_labelled_as_by_the_reference(rule: str, recorded_trades: TradeColumns) -> None:
    """The same with prices from 0.0005 to 60,000."""
    count = int(GOLDEN["real_count"][0])
    expected = make_trade_sides.unpack(GOLDEN[f"real_{rule}"], count)
    np.testing.assert_array_equal(labels(rule, recorded_trades), expected)


def test_the_closest_different_price_is_that_of_the_whole_history() -> None:
    """Several instruments among each other, both directions."""
    random = np.random.default_rng(11)
    price, instrument = random.integers(1, 4, 500) * 0.25, random.integers(0, 5, 500)
    before, after = np.empty(500), np.empty(500)
    previous_prices(price, instrument, 5, before)
    next_prices(price, instrument, 5, after)
    np.testing.assert_array_equal(before, make_trade_sides.closest_different(price, instrument))
    turned = make_trade_sides.closest_different(price[::-1], instrument[::-1])[::-1]
    np.testing.assert_array_equal(after, turned)


def test_the_stack_is_its_layers_one_after_the_other(random_trades: TradeColumns) -> None:
    """The rule that is named is the first that speaks, and its own label is the stack's."""
    stack, made_by = labels("stack", random_trades), np.zeros(make_trade_sides.COUNT, np.int8)
    stack_rules(random_trades, PUBLISHED, made_by)
    names = np.array(RULE_NAMES)[made_by]
    assert set(names) == {"trade_size", "quote", "venue_quote", "depth", "venue_depth", "reverse_tick"}
    for rule in ("quote", "depth", "reverse_tick"):
        np.testing.assert_array_equal(stack[names == rule], labels(rule, random_trades)[names == rule])
    assert (made_by == RULE_REVERSE_TICK).mean() < 0.1


TRADES = st.lists(
    st.tuples(
        st.sampled_from([-1, 0, 1]),
        st.sampled_from([-1, 0, 1]),
        st.integers(1, 6),
        st.integers(0, 2),
        st.integers(2, 4),
    ),
    max_size=60,
)


def slow_probability(seen: list[tuple[int, ...]], trade: tuple[int, ...], start: float) -> float:
    """The same estimate from the list of all earlier trades."""
    side, _, place, group, rule = trade
    if side == 0:
        return 0.5
    own = [one for one in seen if one[3] == group and one[4] == rule and one[0] != 0 and one[1] != 0]
    mean = start
    if place != PACKAGE:
        wide = [one[0] == one[1] for one in own if one[2] != PACKAGE]
        mean = (RULE_WEIGHT * start + sum(wide)) / (RULE_WEIGHT + len(wide))
    near = [one[0] == one[1] for one in own if one[2] == place]
    mean = (SITUATION_WEIGHT * mean + sum(near)) / (SITUATION_WEIGHT + len(near))
    return min(max(mean, 0.5), 0.99)


@given(TRADES)
def test_a_probability_is_that_of_the_trades_before_alone(trades: list[tuple[int, ...]]) -> None:
    """Streamed counts against the whole history, classes and rules apart, without the trade itself."""
    sides, truth, places, groups, rules = (
        [np.array(column, kind) for column, kind in zip(
            zip(*trades, strict=True), (np.int8, np.int8, np.int64, np.int8, np.int8), strict=True
        )]
        if trades
        else [np.zeros(0, kind) for kind in (np.int8, np.int8, np.int64, np.int8, np.int8)]
    )  # fmt: skip
    worth = np.empty(len(trades))
    starts = np.array([0.52, 0.62, 0.67])
    calibrate(sides, truth, places, groups, rules, starts, empty_counts(len(RULE_NAMES)), worth)
    expected = [slow_probability(trades[:i], trade, starts[trade[3]]) for i, trade in enumerate(trades)]
    np.testing.assert_allclose(worth, expected, rtol=1e-12)


def test_a_class_is_clipped_until_a_thousand_of_its_sides_are_known() -> None:
    """A rule that is always wrong is a coin at first, and then worth its opposite."""
    count = 2 * KNOWN_ENOUGH
    sides, truth = np.ones(count, np.int8), -np.ones(count, np.int8)
    worth = np.empty(count)
    places, group, rule = np.full(count, 7), np.zeros(count, np.int8), np.full(count, 2, np.int8)
    calibrate(sides, truth, places, group, rule, np.full(3, 0.6), empty_counts(len(RULE_NAMES)), worth)
    assert worth[: KNOWN_ENOUGH - 1].min() == 0.5
    assert worth[KNOWN_ENOUGH - 1 :].max() < 0.02


def test_situations_do_not_meet() -> None:
    """Each position, width, age, feed and word of the tick rule has a place of its own; no quote has no width."""
    places = {
        situation(position, bid, 1.0, age_ns, 60_000_000_000, late, word)
        for position in range(len(POSITIONS))
        for bid in (0.5, 0.99)
        for age_ns in (0, 2_000_000_000, 61_000_000_000)
        for late in (0.0, 0.5)
        for word in range(len(TICKS))
    }
    without_quote = 3 * 2 * len(TICKS)
    assert len(places) == (2 * len(POSITIONS) - 1) * without_quote
    assert min(places) == max(ALL, PACKAGE, WAITED + len(TICKS) - 1) + 1
    assert max(places) < SITUATIONS


def test_a_published_probability_is_calibrated_to_what_is_so() -> None:
    """On later blocks p scores no worse than the best constant, chosen in hindsight, where situations differ."""
    random = np.random.default_rng(3)
    count = 40_000
    places = random.integers(3, 9, count)
    right = random.random(count) < np.linspace(0.55, 0.9, 6)[places - 3]
    truth = random.choice([-1, 1], count).astype(np.int8)
    sides = np.where(right, truth, -truth).astype(np.int8)
    worth = np.empty(count)
    group, rule = np.zeros(count, np.int8), np.full(count, 2, np.int8)
    calibrate(sides, truth, places, group, rule, np.full(3, 0.67), empty_counts(len(RULE_NAMES)), worth)
    later = slice(count // 2, None)
    share = right[later].mean()
    assert np.mean((worth[later] - right[later]) ** 2) < share * (1 - share)
