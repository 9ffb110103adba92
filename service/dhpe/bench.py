"""What this machine does: each figure beside a named baseline of the same run, since machines are noisy.

A figure is the median of several repetitions; kernels are warm before the clock starts.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dhpe.book import Book
from dhpe.columns import OPTION_QUOTE, Batch, Contract, OpenInterest, empty_batch
from dhpe.edge.decode import content_type_of, decode
from dhpe.edge.encode import encode_batch, encode_packed
from dhpe.engine import Engine
from dhpe.numerics import panel
from dhpe.numerics.implied_vol import invert
from dhpe.numerics.jit import borrowing_kernel, kernel
from dhpe.numerics.panel_arrays import PanelRules
from dhpe.numerics.panel_check import largest_error
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.side_calibration import CLASSES, calibrate, empty_counts
from dhpe.numerics.state import NS_PER_S
from dhpe.numerics.trade_columns import TradeColumns, classify, next_prices, previous_prices, situations
from dhpe.numerics.trade_side import EXACT, RULE_LEE_READY, RULE_NAMES, RULE_STACK
from dhpe.parameters import Parameters
from dhpe.simulate import SimulationSettings, simulate
from dhpe.underlying import rules_of

CONTRACTS: Final = 20_000
REPETITIONS: Final = 7
HOT: Final = 200
_START_NS: Final = 1_790_000_000 * NS_PER_S
_DAY_NS: Final = 86_400 * NS_PER_S


class Figure(NamedTuple):
    """One measured figure; ``ratio`` is baseline over value where both are times, value over baseline for rates."""

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float


def median_s(action: Callable[[], object], calls: int = 1) -> float:
    """Median seconds of one call, over ``REPETITIONS`` runs of ``calls`` calls inside ``action``."""
    action()
    taken = []
    for _ in range(REPETITIONS):
        begin = time.perf_counter()
        action()
        taken.append((time.perf_counter() - begin) / calls)
    return statistics.median(taken)


def a_chain(parameters: Parameters, contracts: int = CONTRACTS, hot: int = 0) -> Book:
    """An index chain at 5000 over twelve expiries, every contract held and valued; nothing near its expiry.

    ``hot`` contracts more settle in five minutes, around the money.
    """
    random = np.random.default_rng(7)
    book = Book(parameters)
    for number in range(contracts):
        right = 1 if number % 2 == 0 else -1
        settles_ns = _START_NS + (2 + 9 * ((number // 2) % 12)) * _DAY_NS
        strike = 3000.0 + 5.0 * (number // 24)
        book.add(Contract(f"X{number}", right, strike, 100.0, american=False, settles_ns=settles_ns))
        book.open_interest(OpenInterest(f"X{number}", "2026-09-21", float(random.integers(1, 5000))))
    for number in range(hot):
        strike = 5000.0 + 0.1 * (number // 2 - hot // 4)
        right = 1 if number % 2 == 0 else -1
        book.add(Contract(f"H{number}", right, strike, 100.0, american=False, settles_ns=_START_NS + 300 * NS_PER_S))
        book.open_interest(OpenInterest(f"H{number}", "2026-09-21", float(random.integers(1, 5000))))
    contracts += hot
    book.state.contracts["vol"][:contracts] = random.uniform(0.12, 0.35, contracts)
    book.state.expiries["rate"][:13] = 0.04
    book.state.expiries["carry"][:13] = 0.03
    book.state.market["spot"] = 5000.0
    book.state.market["ts_ns"] = _START_NS
    return book


@borrowing_kernel
def _spot_ticks(state: ContractState, rules: PanelRules, ticks: int) -> None:
    """Move the spot up and down inside the window and read the fields each time."""
    market = state.market[0]
    center = market["spot"]
    for tick in range(ticks):
        market["spot"] = center * (1.0 + 1e-4 * (tick % 7 - 3))
        panel.evaluate(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)
    market["spot"] = center


@borrowing_kernel
def _option_events(state: ContractState, rules: PanelRules, events: int) -> None:
    """Give one contract after the other a new vol: off the nodes, on the nodes."""
    market = state.market[0]
    for event in range(events):
        row = event % market["contracts"]
        panel.take_off(row, market, state.contracts, state.expiries, state.panel)
        state.contracts[row]["vol"] *= 1.0 + 1e-9
        panel.put_on(row, market, state.contracts, state.expiries, state.panel, rules)


@kernel
def _inversions(mids: NDArray[np.float64], strikes: NDArray[np.float64]) -> float:
    total = 0.0
    for place in range(mids.shape[0]):
        vol, _ = invert(mids[place], 5000.0, strikes[place], 0.1, 1.0, 1)
        total += vol
    return total


def panel_figures(parameters: Parameters) -> list[Figure]:
    """Spot tick, option event and rebuild against the full recomputation over all contracts in numba."""
    book = a_chain(parameters)
    state, rules = book.state, rules_of(parameters)[1]
    market = state.market[0]

    def rebuild() -> None:
        panel.rebuild(market, state.contracts, state.expiries, state.panel, rules)

    full_s = median_s(lambda: panel.recompute(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns))
    rebuild_s = median_s(rebuild)
    ticks, events = 20_000, 20_000
    tick_s = median_s(lambda: _spot_ticks(state, rules, ticks), ticks)
    event_s = median_s(lambda: _option_events(state, rules, events), events)
    rebuild()
    market["spot"] *= 1.0 + 3e-4
    panel.evaluate(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)
    error = largest_error(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)
    full = f"full recomputation of {CONTRACTS:,} contracts"
    return [
        Figure("spot tick", tick_s * 1e9, "ns", full, full_s * 1e9, full_s / tick_s),
        Figure("option event", event_s * 1e6, "µs", full, full_s * 1e6, full_s / event_s),
        Figure("panel rebuild", rebuild_s * 1e3, "ms", full, full_s * 1e3, full_s / rebuild_s),
        Figure("panel error", error, "of the gross field", "limit of the model", 1e-7, 1e-7 / error),
    ]


def hot_figures(parameters: Parameters) -> list[Figure]:
    """Spot tick and error with 200 contracts in the hot set, five minutes before a same-day expiry."""
    book = a_chain(parameters, CONTRACTS - HOT, HOT)
    state, rules = book.state, rules_of(parameters)[1]
    market = state.market[0]
    panel.rebuild(market, state.contracts, state.expiries, state.panel, rules)
    full_s = median_s(lambda: panel.recompute(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns))
    ticks = 2_000
    tick_s = median_s(lambda: _spot_ticks(state, rules, ticks), ticks)
    market["spot"] *= 1.0 + 3e-4
    panel.evaluate(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)
    error = largest_error(market, state.contracts, state.expiries, state.panel, rules.tau_floor_ns)
    hot = f"{int(market['hot_rows'])} hot contracts"
    full = f"full recomputation of {CONTRACTS:,} contracts"
    return [
        Figure(f"spot tick, {hot}", tick_s * 1e9, "ns", full, full_s * 1e9, full_s / tick_s),
        Figure(f"panel error, {hot}", error, "of the gross field", "limit of the model", 1e-7, 1e-7 / error),
    ]


def inversion_figure() -> Figure:
    """Implied vols in one kernel call against the same kernel called from Python one at a time."""
    strikes = np.linspace(5000.0, 5800.0, 20_000)
    mids = np.linspace(120.0, 3.0, len(strikes))
    together_s = median_s(lambda: _inversions(mids, strikes), len(strikes))
    few = range(2_000)
    singly_s = median_s(lambda: [invert(mids[i], 5000.0, strikes[i], 0.1, 1.0, 1) for i in few], len(few))
    return Figure(
        "implied vol", together_s * 1e6, "µs", "one call from Python each", singly_s * 1e6, singly_s / together_s
    )


def side_figures(trades: int = 1_000_000) -> list[Figure]:
    """Trades labelled in one kernel call, and with each label's probability, against numpy's Lee-Ready."""
    random = np.random.default_rng(5)
    bid = random.integers(10, 400, trades).astype(np.float64) * 0.05
    ask = bid + random.integers(1, 5, trades) * 0.05
    price = bid + random.integers(0, 3, trades) * 0.5 * (ask - bid)
    sizes = random.integers(1, 100, (3, trades)).astype(np.float64)
    previous, following = np.empty(trades), np.empty(trades)
    previous_prices(price, np.zeros(trades, np.int64), 1, previous)
    next_prices(price, np.zeros(trades, np.int64), 1, following)
    absent = np.full(trades, np.nan)
    columns = TradeColumns(
        price, sizes[0], bid, sizes[1], ask, sizes[2], absent, absent, absent, absent, previous, following
    )
    sides, truth = np.zeros(trades, np.int8), random.choice([-1, 1], trades).astype(np.int8)
    places, fresh, worth = np.zeros(trades, np.int64), np.zeros(trades, np.int64), np.empty(trades)
    one_class, starts = np.zeros(trades, np.int8), np.full(len(CLASSES), 0.67)
    made_by = np.full(trades, RULE_STACK, np.int8)
    moved, counts = np.ones(trades, np.bool_), empty_counts(len(RULE_NAMES))

    def calibrated() -> None:
        classify(RULE_STACK, columns, EXACT, sides)
        situations(columns, sides, made_by, moved, fresh, 60 * NS_PER_S, places)
        calibrate(sides, truth, places, one_class, made_by, starts, counts, worth)

    def plain() -> None:
        middle = 0.5 * (bid + ask)
        np.where(price > middle, 1, np.where(price < middle, -1, np.sign(price - previous)))

    lee_ready_s = median_s(lambda: classify(RULE_LEE_READY, columns, EXACT, sides), trades)
    stack_s = median_s(lambda: classify(RULE_STACK, columns, EXACT, sides), trades)
    calibrated_s = median_s(calibrated, trades)
    numpy_s = median_s(plain, trades)
    return [
        Figure(name, 1 / taken_s, "trades/s", "numpy's Lee-Ready", 1 / numpy_s, numpy_s / taken_s)
        for name, taken_s in (
            ("trade side, Lee-Ready", lee_ready_s),
            ("trade side, stack", stack_s),
            ("trade side, stack with calibration", calibrated_s),
        )
    ]


def stream_figures(parameters: Parameters, seconds: int = 60) -> list[Figure]:
    """JSON to columns and columns to states, against msgspec's bare decode of the same messages."""
    batches = list(islice(simulate(SimulationSettings(), _START_NS), 10 * seconds))
    messages: list[Any] = [
        (offset, message.key, message.value, None, None)
        for offset, message in enumerate(message for batch in batches for message in encode_batch(batch))
    ]
    bare = msgspec.json.Decoder()
    bare_s = median_s(lambda: [bare.decode(message[2]) for message in messages], len(messages))
    decode_s = median_s(lambda: decode(messages, "ticks"), len(messages))

    def engine() -> None:
        fresh = Engine(parameters)
        for batch in batches:
            fresh.step(empty_batch(), batch)

    engine_s = median_s(engine, len(messages))
    baseline = "msgspec.json.decode alone"
    return [
        *packed_figures(decode(messages, "ticks").batch),
        Figure("JSON to columns", 1 / decode_s, "records/s", baseline, 1 / bare_s, bare_s / decode_s),
        Figure("engine, simulated market", 1 / engine_s, "records/s", baseline, 1 / bare_s, bare_s / engine_s),
    ]


def packed_figures(batch: Batch) -> list[Figure]:
    """Option quotes as packed columns, so many a message, against the same messages in JSON."""
    quotes = batch._replace(events=batch.events[batch.events["kind"] == OPTION_QUOTE])
    figures = []
    for each in (10, 100, 1_000):
        rates = []
        for encode in (encode_batch, encode_packed):
            messages: list[Any] = [
                (0, message.key, message.value, content_type_of(message.headers), None)
                for message in encode(quotes, records_per_message=each)
            ]
            rates.append(1 / median_s(partial(decode, messages, "ticks"), len(quotes.events)))
        baseline = f"JSON to columns, {each} a message"
        figures.append(
            Figure(f"packed columns, {each} a message", rates[1], "records/s", baseline, rates[0], rates[1] / rates[0])
        )
    return figures


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of a Markdown table."""
    lines = ["| what | measured | baseline | ratio |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {_short(value)} {unit} | {baseline}: {_short(baseline_value)} {unit} | {_short(ratio)} |"
        for name, value, unit, baseline, baseline_value, ratio in figures
    ]
    return "\n".join(lines)


def measure(parameters: Parameters) -> list[Figure]:
    """All figures of this machine."""
    return [
        *panel_figures(parameters),
        *hot_figures(parameters),
        inversion_figure(),
        *side_figures(),
        *stream_figures(parameters),
    ]
