"""Whose side the aggressor was on: the trade side rules scored on recorded trades whose side is known.

Every rule sees the same quotes: those in force strictly before the trade in exchange time, or carried by it. One line
shows what happens where a quote of the trade's own instant is let in. The probability of each label is estimated from
the trades before it alone.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import (
    CARRIES_QUOTE,
    INDEX_VALUE,
    MULTI_LEG,
    OPTION_QUOTE,
    OPTION_TRADE,
    QUOTE,
    REFERENCE,
    TRADE,
    Batch,
    Contract,
    Reject,
    empty_events,
)
from dhpe.duplicates import SequenceMemory
from dhpe.numerics.side_calibration import (
    CLASSES,
    INDEX_OPTION,
    PACKAGE,
    POSITIONS,
    SHARE_OPTION,
    SITUATIONS,
    UNDERLYING,
    Counts,
    calibrate,
)
from dhpe.numerics.state import NS_PER_S
from dhpe.numerics.trade_columns import (
    TradeColumns,
    classify,
    next_prices,
    previous_prices,
    situations,
    spread_positions,
    stack_rules,
)
from dhpe.numerics.trade_side import EXACT, RULE_NAMES, Tolerance
from dhpe.parameters import Parameters

RULES: Final = (
    "tick", "reverse_tick", "quote", "lee_ready", "emo", "clnv", "depth", "trade_size", "stack"
)  # fmt: skip
SAME_INSTANT: Final = "lee_ready_same_instant"
HINDSIGHT: Final = frozenset(("reverse_tick", "stack"))
"""Rules that wait for the next price in the instrument."""
_QUOTE_FIELDS: Final = ("bid", "bid_size", "ask", "ask_size")
_VENUE_FIELDS: Final = ("venue_bid", "venue_bid_size", "venue_ask", "venue_ask_size")

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


class Recording(NamedTuple):
    """What stood in the inputs, in event time: trades and quotes as rows of columns.EVENT.

    Instruments and underlyings are codes; the spots are (time, underlying, price).
    """

    trades: NDArray[np.void]
    instrument: Longs
    underlying: Longs
    quotes: NDArray[np.void]
    quoted: Longs  # the instrument of each quote
    late_share: float | None
    spot_ns: Longs
    spot_of: Longs
    spot: Floats
    contracts: dict[int, Contract]
    rejected: int


class RuleScore(NamedTuple):
    """How right a rule was on the trades that it classified. ``later`` speaks of the second half by time."""

    accuracy: float | None
    classified: int
    coverage: float
    brier: float | None
    brier_later: float | None
    brier_later_best_constant: float | None


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
    rules: dict[str, RuleScore]
    by: dict[str, dict[str, dict[str, tuple[float | None, int]]]]
    reliability: dict[str, list[Bin]]
    quote_late_share: float | None
    quote_age_median_s: float | None


def gather(items: Iterable[Batch | Reject]) -> Recording:
    """The trades and quotes of some inputs, repeated sequences left out."""
    memory, codes = SequenceMemory(), dict[tuple[str, str], int]()
    rejected = 0
    contracts: dict[int, Contract] = {}
    pieces: list[tuple[NDArray[np.void], Longs, Longs]] = []
    for item in items:
        if isinstance(item, Reject):
            rejected += 1
            continue
        events = item.events
        repeated = memory.repeated(item)
        if repeated is not None and repeated.any():
            rejected += int(repeated.sum())
            events = events[~repeated]
        for event in events[events["kind"] == REFERENCE]:
            fact = item.reference[event["reference"]]
            if isinstance(fact, Contract):
                key = (item.names[event["underlying"]], fact.symbol)
                contracts[codes.setdefault(key, len(codes))] = fact
        hot = events[np.isin(events["kind"], (OPTION_QUOTE, OPTION_TRADE, TRADE, QUOTE, INDEX_VALUE))]
        pairs, inverse = np.unique(np.stack([hot["underlying"], hot["name"]]), axis=1, return_inverse=True)
        names = [*item.names, ""]
        of_pair = np.array(
            [codes.setdefault((names[one], names[other]), len(codes)) for one, other in pairs.T.tolist()], np.int64
        )
        of_underlying = np.array(
            [codes.setdefault((names[one], names[one]), len(codes)) for one in pairs[0].tolist()], np.int64
        )
        place = inverse.reshape(-1)
        pieces.append((hot, of_pair[place], of_underlying[place]))
    return _recording(pieces, contracts, rejected)


def _recording(
    pieces: list[tuple[NDArray[np.void], Longs, Longs]], contracts: dict[int, Contract], rejected: int
) -> Recording:
    pieces = pieces or [(empty_events(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    events = np.concatenate([piece[0] for piece in pieces])
    instrument = np.concatenate([piece[1] for piece in pieces])
    underlying = np.concatenate([piece[2] for piece in pieces])
    quote = np.isin(events["kind"], (OPTION_QUOTE, QUOTE))
    quoted = instrument[quote]
    late = _late_share(events["ts_event_ns"][quote], quoted)
    order = np.argsort(events["ts_event_ns"], kind="stable")
    events, instrument, underlying, quote = events[order], instrument[order], underlying[order], quote[order]
    trade = np.isin(events["kind"], (OPTION_TRADE, TRADE))
    good = (events["kind"] == QUOTE) & (events["bid"] > 0.0) & (events["bid"] <= events["ask"])
    spot = good | ((events["kind"] == INDEX_VALUE) & (instrument == underlying))
    mid = np.where(events["kind"] == INDEX_VALUE, events["price"], 0.5 * (events["bid"] + events["ask"]))
    return Recording(
        events[trade], instrument[trade], underlying[trade], events[quote], instrument[quote], late,
        events["ts_event_ns"][spot], underlying[spot], mid[spot], contracts, rejected,
    )  # fmt: skip


def _late_share(time_ns: Longs, instrument: Longs) -> float | None:
    """Share of quotes older than one of the same instrument that came before them."""
    if len(time_ns) == 0:
        return None
    late = 0
    for code in np.unique(instrument):
        own = time_ns[instrument == code]
        late += int(np.count_nonzero(own < np.maximum.accumulate(own)))
    return late / len(time_ns)


def before(time_ns: Longs, group: Longs, of_ns: Longs, of_group: Longs, *, same_instant: bool = False) -> Longs:
    """For each (time, group) the row of the last of the others strictly before it in its group; -1 where none.

    ``of_ns`` never falls. With ``same_instant`` others of the same time count too.
    """
    answer = np.full(len(time_ns), -1, np.int64)
    order = np.argsort(of_group, kind="stable")
    sorted_groups = of_group[order]
    for code in np.unique(group):
        rows = order[np.searchsorted(sorted_groups, code) : np.searchsorted(sorted_groups, code, side="right")]
        mine = np.flatnonzero(group == code)
        place = np.searchsorted(of_ns[rows], time_ns[mine], side="right" if same_instant else "left") - 1
        found = place >= 0
        answer[mine[found]] = rows[place[found]]
    return answer


def aligned(recording: Recording, lag_ns: int = 0, *, same_instant: bool = False) -> tuple[TradeColumns, Longs]:
    """The trades with the quote in force before each (``lag_ns`` earlier still), and its age in ns, -1 where none."""
    trades = recording.trades
    time_ns = np.ascontiguousarray(trades["ts_event_ns"])
    found = before(
        time_ns - lag_ns,
        recording.instrument,
        np.ascontiguousarray(recording.quotes["ts_event_ns"]),
        recording.quoted,
        same_instant=same_instant,
    )
    carries = (trades["flags"] & CARRIES_QUOTE) != 0
    known = found >= 0
    quotes: dict[str, Floats] = {}
    for name in _QUOTE_FIELDS:
        column = np.full(len(trades), np.nan)
        column[known] = recording.quotes[name][found[known]]
        quotes[name] = np.where(carries, trades[name], column)
    quotes["ask"][quotes["ask"] == 0.0] = np.nan  # nobody offers
    age_ns = np.full(len(trades), -1, np.int64)
    age_ns[known] = time_ns[known] - recording.quotes["ts_event_ns"][found[known]]
    age_ns[carries] = 0
    price = np.ascontiguousarray(trades["price"])
    instruments = int(recording.instrument.max(initial=0)) + 1
    previous, following = np.empty(len(price)), np.empty(len(price))
    previous_prices(price, recording.instrument, instruments, previous)
    next_prices(price, recording.instrument, instruments, following)
    columns = TradeColumns(
        price,
        np.ascontiguousarray(trades["size"]),
        **quotes,
        **{name: np.ascontiguousarray(trades[name]) for name in _VENUE_FIELDS},
        previous_price=previous,
        next_price=following,
    )
    return columns, age_ns


def sides_by(rule: str, trades: TradeColumns, tolerance: Tolerance = EXACT) -> NDArray[np.int8]:
    """The side of each trade by a rule of ``trade_side.RULE_NAMES``."""
    sides = np.zeros(len(trades.price), np.int8)
    classify(RULE_NAMES.index(rule), trades, tolerance, sides)
    return sides


def score(recording: Recording, parameters: Parameters, lag_ns: int = 0) -> SideScore:
    """Accuracy, coverage and Brier score of every rule on the trades whose side is known."""
    truth = np.ascontiguousarray(recording.trades["side"])
    known = truth != 0
    trades, age_ns = aligned(recording, lag_ns)
    instrument_class = _classes(recording)
    places = np.zeros(len(truth), np.int64)
    situations(trades, age_ns, places)
    places[(recording.trades["flags"] & MULTI_LEG) != 0] = PACKAGE
    groups = _groups(recording, trades)
    rules: dict[str, RuleScore] = {}
    reliability: dict[str, list[Bin]] = {}
    by: dict[str, dict[str, dict[str, tuple[float | None, int]]]] = {name: {} for name in groups}
    for name in (*RULES, SAME_INSTANT):
        rule = "lee_ready" if name == SAME_INSTANT else name
        seen = aligned(recording, lag_ns, same_instant=True)[0] if name == SAME_INSTANT else trades
        sides = sides_by(rule, seen)
        made_by = np.full(len(sides), RULE_NAMES.index(rule), np.int8)
        if rule == "stack":
            stack_rules(seen, EXACT, made_by)
        worth = np.empty(len(sides))
        counts = Counts(
            np.zeros(len(CLASSES), np.int64),
            np.zeros((len(CLASSES), len(RULE_NAMES), SITUATIONS), np.int64),
            np.zeros((len(CLASSES), len(RULE_NAMES), SITUATIONS), np.int64),
        )
        calibrate(sides, truth, places, instrument_class, made_by, _starts(rule, parameters), counts, worth)
        judged = known & (sides != 0)
        right = sides[judged] == truth[judged]
        rules[name] = _rule_score(worth[judged], right, int(known.sum()))
        reliability[name] = _reliability(worth[judged], right)
        for dimension, (labels, group) in groups.items():
            for number, label in enumerate(labels):
                mine = judged & (group == number)
                if (known & (group == number)).any():
                    share = float(np.mean(sides[mine] == truth[mine])) if mine.any() else None
                    by[dimension].setdefault(label, {})[name] = (share, int(mine.sum()))
    ages = age_ns[known & (age_ns >= 0)]
    return SideScore(
        int(known.sum()), int((~known).sum()), recording.rejected, rules, by, reliability,
        recording.late_share, float(np.median(ages)) / NS_PER_S if len(ages) else None,
    )  # fmt: skip


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
        return RuleScore(None, 0, 0.0, None, None, None)
    errors = (worth - right) ** 2
    later = slice(classified // 2, None)
    share = float(np.mean(right[later]))
    return RuleScore(
        float(np.mean(right)), classified, classified / trades, float(np.mean(errors)),
        float(np.mean(errors[later])), share * (1.0 - share),
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


def _groups(recording: Recording, trades: TradeColumns) -> dict[str, tuple[list[str], Any]]:
    """Dimensions of the score: labels, and the number of its label for each trade."""
    events = recording.trades
    position = np.zeros(len(events), np.int64)
    spread_positions(trades, position)
    size = trades.size
    edges = np.unique(np.quantile(size, [1 / 3, 2 / 3])) if len(size) else np.zeros(0)
    sizes = [f"up to {edge:g}" for edge in edges] + [f"above {edges[-1]:g}" if len(edges) else "all"]
    hour = (events["ts_event_ns"] // (3_600 * NS_PER_S)) % 24
    return {
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
