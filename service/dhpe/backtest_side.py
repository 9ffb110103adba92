"""Whose side the aggressor was on: the trade side rules scored on recorded trades whose side is known.

Every rule sees the same quotes: those in force strictly before the trade in exchange time, or carried by it. One line
shows what happens where a quote of the trade's own instant is let in, two what it does to let the later parts of a
sweep take the decision of the first. The probability of each label is estimated from the trades before it alone.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import MULTI_LEG, OPTION_TRADE
from dhpe.numerics.side_calibration import (
    CLASSES,
    INDEX_OPTION,
    PACKAGE,
    POSITIONS,
    SHARE_OPTION,
    UNDERLYING,
    calibrate,
    empty_counts,
)
from dhpe.numerics.state import NS_PER_S
from dhpe.numerics.trade_columns import (
    TradeColumns,
    classify,
    price_moves,
    situations,
    spread_positions,
    stack_rules,
    sweep_firsts,
)
from dhpe.numerics.trade_side import EXACT, RULE_NAMES, RULE_REVERSE_TICK, Tolerance
from dhpe.parameters import Parameters
from dhpe.recorded_trades import Floats, Longs, Recording, aligned, before

RULES: Final = (
    "tick", "reverse_tick", "quote", "lee_ready", "emo", "clnv", "depth", "trade_size", "stack"
)  # fmt: skip
SAME_INSTANT: Final = "lee_ready_same_instant"
SWEEPS: Final = ("lee_ready_sweeps", "stack_sweeps")
LINES: Final = (*RULES, *SWEEPS, SAME_INSTANT)
"""What is scored, in the order of the table."""
HINDSIGHT: Final = frozenset(("reverse_tick", "stack", "stack_sweeps"))
"""Rules that wait for the next price in the instrument."""
BLOCKS: Final = 20
_NS_PER_MS: Final = 1_000_000


class RuleScore(NamedTuple):
    """How right a rule was on the trades that it classified. ``later`` speaks of the second half by time.

    The best constant is chosen with hindsight, on the trades that it is held against. The standard error is that of
    the difference of both Brier scores, between ``BLOCKS`` blocks of time: that of a bootstrap of whole blocks.
    """

    accuracy: float | None
    classified: int
    coverage: float
    brier: float | None
    brier_later: float | None
    brier_later_best_constant: float | None
    brier_later_standard_error: float | None


class Bin(NamedTuple):
    """Labels whose probability lay between ``low`` and ``high``."""

    low: float
    high: float
    labels: int
    probability: float
    right: float


class SideScore(NamedTuple):
    """The answer of ``score``. ``by``: dimension, group, rule, then (accuracy, classified)."""

    trades: int
    without_side: int
    rejected: int
    sweep_parts: int
    rules: dict[str, RuleScore]
    by: dict[str, dict[str, dict[str, tuple[float | None, int]]]]
    reliability: dict[str, list[Bin]]
    quote_late_share: float | None
    quote_age_median_s: float | None


def sides_by(rule: str, trades: TradeColumns, tolerance: Tolerance = EXACT) -> NDArray[np.int8]:
    """The side of each trade by a rule of ``trade_side.RULE_NAMES``."""
    sides = np.zeros(len(trades.price), np.int8)
    classify(RULE_NAMES.index(rule), trades, tolerance, sides)
    return sides


class _Scene(NamedTuple):
    """What all rules have in common: the trades, their truth, and what is so about each."""

    recording: Recording
    truth: NDArray[np.int8]
    instrument_class: NDArray[np.int8]
    moved: NDArray[np.bool_]
    packages: NDArray[np.bool_]
    parameters: Parameters


class _Labels(NamedTuple):
    """The sides by one line of the table, their probabilities, and which of them are later parts of a sweep."""

    sides: NDArray[np.int8]
    worth: Floats
    parts: int


def score(recording: Recording, parameters: Parameters, lag_ns: int = 0) -> SideScore:
    """Accuracy, coverage and Brier score of every rule on the trades whose side is known."""
    truth = np.ascontiguousarray(recording.trades["side"])
    known = truth != 0
    views = {same: aligned(recording, lag_ns, same_instant=same) for same in (False, True)}
    trades, age_ns = views[False]
    moved = np.empty(len(truth), np.bool_)
    price_moves(trades.price, recording.instrument, recording.instruments, moved)
    packages = (recording.trades["flags"] & MULTI_LEG) != 0
    scene = _Scene(recording, truth, _classes(recording), moved, packages, parameters)
    groups = _groups(recording, trades, scene.instrument_class)
    rules: dict[str, RuleScore] = {}
    reliability: dict[str, list[Bin]] = {}
    by: dict[str, dict[str, dict[str, tuple[float | None, int]]]] = {name: {} for name in groups}
    parts = 0
    for name in LINES:
        labels = _labels(name, *views[name == SAME_INSTANT], scene)
        parts = max(parts, labels.parts)
        judged = known & (labels.sides != 0)
        right = labels.sides[judged] == truth[judged]
        rules[name] = _rule_score(labels.worth[judged], right, int(known.sum()))
        reliability[name] = _reliability(labels.worth[judged], right)
        for dimension, (words, group) in groups.items():
            for number, word in enumerate(words):
                mine = judged & (group == number)
                if (known & (group == number)).any():
                    share = float(np.mean(labels.sides[mine] == truth[mine])) if mine.any() else None
                    by[dimension].setdefault(word, {})[name] = (share, int(mine.sum()))
    ages = age_ns[known & (age_ns >= 0)]
    return SideScore(
        int(known.sum()), int((~known).sum()), recording.rejected, parts, rules, by, reliability,
        recording.late_share, float(np.median(ages)) / NS_PER_S if len(ages) else None,
    )  # fmt: skip


def _labels(name: str, trades: TradeColumns, age_ns: Longs, scene: _Scene) -> _Labels:
    """The labels of one line of the table, each probability from the trades before it."""
    rule = "lee_ready" if name == SAME_INSTANT else name.removesuffix("_sweeps")
    sides = sides_by(rule, trades)
    made_by = np.full(len(sides), RULE_NAMES.index(rule), np.int8)
    if rule == "stack":
        stack_rules(trades, EXACT, made_by)
    parameters = scene.parameters
    places = np.zeros(len(sides), np.int64)
    situations(trades, sides, made_by, scene.moved, age_ns, int(parameters.quote_stale_s * NS_PER_S), places)
    places[scene.packages] = PACKAGE
    firsts = np.arange(len(sides))
    if name in SWEEPS:
        decided = np.where(made_by == RULE_REVERSE_TICK, 0, sides).astype(np.int8)  # what waits decides nothing
        recording = scene.recording
        sweep_ns = parameters.sweep_window_ms * _NS_PER_MS
        sweep_firsts(recording.trades, recording.instrument, recording.instruments, decided, sweep_ns, firsts)
    # Each part of a sweep counts for the rule and the situation of its first: p is the share of trades that are right.
    sides, worth = sides[firsts], np.empty(len(sides))
    calibrate(
        sides, scene.truth, places[firsts], scene.instrument_class, made_by[firsts], _starts(rule, parameters),
        empty_counts(len(RULE_NAMES)), worth,
    )  # fmt: skip
    return _Labels(sides, worth[firsts], int(np.count_nonzero(firsts != np.arange(len(sides)))))


def _classes(recording: Recording) -> NDArray[np.int8]:
    of_code = {code: SHARE_OPTION if fact.american else INDEX_OPTION for code, fact in recording.contracts.items()}
    option = recording.trades["kind"] == OPTION_TRADE
    codes = recording.instrument.tolist()
    return np.array(
        [of_code.get(code, INDEX_OPTION) if own else UNDERLYING for code, own in zip(codes, option, strict=True)],
        np.int8,
    )


def _starts(rule: str, parameters: Parameters) -> Floats:
    """The published accuracy of a rule in each class."""
    if rule == "stack":
        return np.array([parameters.stack_probability] * 3)
    if rule in ("tick", "reverse_tick"):
        return np.array([parameters.tick_probability] * 3)
    return np.array(
        [parameters.index_lee_ready_probability, parameters.lee_ready_probability, parameters.lee_ready_probability]
    )


def _rule_score(worth: Floats, right: NDArray[np.bool_], trades: int) -> RuleScore:
    classified = len(right)
    if classified == 0:
        return RuleScore(None, 0, 0.0, None, None, None, None)
    errors = (worth - right) ** 2
    later = slice(classified // 2, None)
    share = float(np.mean(right[later]))
    error = None
    if classified >= 4 * BLOCKS:
        blocks = np.array_split(errors[later] - (share - right[later]) ** 2, BLOCKS)
        error = float(np.std([np.mean(block) for block in blocks], ddof=1)) / math.sqrt(BLOCKS)
    return RuleScore(
        float(np.mean(right)), classified, classified / trades, float(np.mean(errors)),
        float(np.mean(errors[later])), share * (1.0 - share), error,
    )  # fmt: skip


def _reliability(worth: Floats, right: NDArray[np.bool_], width: float = 0.05) -> list[Bin]:
    bins = []
    place = np.minimum((worth / width).astype(np.int64), round(1 / width) - 1)
    for number in np.unique(place).tolist():
        mine = place == number
        bins.append(
            Bin(
                round(number * width, 2),
                round((number + 1) * width, 2),
                int(mine.sum()),
                float(np.mean(worth[mine])),
                float(np.mean(right[mine])),
            )
        )
    return bins


def _groups(
    recording: Recording, trades: TradeColumns, instrument_class: NDArray[np.int8]
) -> dict[str, tuple[list[str], Any]]:
    """Dimensions of the score: labels, and the number of its label for each trade."""
    events = recording.trades
    position = np.zeros(len(events), np.int64)
    spread_positions(trades, position)
    size = trades.size
    edges = np.unique(np.quantile(size, [1 / 3, 2 / 3])) if len(size) else np.zeros(0)
    sizes = [f"up to {edge:g}" for edge in edges] + [f"above {edges[-1]:g}" if len(edges) else "all"]
    hour = (events["ts_event_ns"] // (3_600 * NS_PER_S)) % 24
    return {
        "instrument_class": (list(CLASSES), instrument_class),
        "spread_position": (list(POSITIONS), position),
        "size": (sizes, np.searchsorted(edges, size)),
        "moneyness": (list(MONEYNESS), _moneyness(recording)),
        "time_of_day": ([f"{number:02d}:00 UTC" for number in range(24)], hour),
    }


MONEYNESS: Final = ("out of the money", "at the money", "in the money", "no option or no spot")
AT_THE_MONEY: Final = 0.01  # of the spot, either side


def _moneyness(recording: Recording) -> Longs:
    """Strike against the last spot before the trade."""
    answer = np.full(len(recording.trades), len(MONEYNESS) - 1, np.int64)
    found = before(
        np.ascontiguousarray(recording.trades["ts_event_ns"]), recording.underlying, recording.spot_ns,
        recording.spot_of, same_instant=True,
    )  # fmt: skip
    option = (recording.trades["kind"] == OPTION_TRADE) & (found >= 0)
    for row in np.flatnonzero(option).tolist():
        fact = recording.contracts.get(int(recording.instrument[row]))
        if fact is not None:
            inside = fact.right * (float(recording.spot[found[row]]) / fact.strike - 1.0)
            answer[row] = 1 if abs(inside) <= AT_THE_MONEY else (2 if inside > 0.0 else 0)
    return answer
