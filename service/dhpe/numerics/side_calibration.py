"""How often a label is right: counted from the trades whose side is known, one after the other.

For each instrument class, rule and situation, right labels and all labels are counted. The estimate is a Beta mean in
two layers: the rule's own share, drawn towards its published accuracy as if that stood for ``RULE_WEIGHT`` trades, and
the share in the situation, drawn towards the rule's as if that stood for ``SITUATION_WEIGHT``. It uses nothing but
what was counted before the trade, classes never cross, and the counts are whole numbers: any cut of a log gives the
same bits.

A situation is where the trade stands in its quote and what is wrong with that, how wide and how old the quote is,
whether the feed delivers late, and what the tick rule says of the label: two rules that agree are mostly right, and
the tick rule itself is better at a trade that moved the price than at one that repeated it. That a size matches a
quoted one is a rule of its own (trade_size).
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.trade_side import Tolerance, same

CLASSES: Final = ("index_option", "share_option", "underlying")
INDEX_OPTION: Final = 0
SHARE_OPTION: Final = 1
UNDERLYING: Final = 2

RULE_WEIGHT: Final = 25.0
SITUATION_WEIGHT: Final = 50.0
KNOWN_ENOUGH: Final = 1_000
"""Trades with known side of a class, before which an estimate is held between CLIP_LOW and CLIP_HIGH."""
CLIP_LOW: Final = 0.5
CLIP_HIGH: Final = 0.99

# Where a trade stands in the spread. A locked quote has no inside, a crossed one no sense, an only one no midpoint.
POSITIONS: Final = ("no_quote", "at_quote", "inside", "midpoint", "outside", "locked", "crossed", "one_sided")
NO_QUOTE, AT_QUOTE, INSIDE, MIDPOINT, OUTSIDE, LOCKED, CROSSED, ONE_SIDED = range(len(POSITIONS))
# What the tick rule says of a label.
TICKS: Final = ("no_tick", "own_tick", "same_price", "against_tick")
NO_TICK, OWN_TICK, SAME_PRICE, AGAINST_TICK = range(len(TICKS))
AGES: Final = 3  # fresh, older than FRESH_NS, stale
WIDE_SPREAD: Final = 0.1  # of the midpoint
FRESH_NS: Final = 1_000_000_000
LATE_FEED: Final = 0.05  # share of late quotes beyond which a feed is a situation of its own

ALL: Final = 0  # the place of a rule's own counts, over all situations but packages
PACKAGE: Final = 1  # one leg of a package
WAITED: Final = 2  # and the next places: labelled by the next price, whatever the quote, by what the tick rule says
_FIRST: Final = WAITED + len(TICKS)
SITUATIONS: Final = _FIRST + len(POSITIONS) * 2 * AGES * 2 * len(TICKS)


class Counts(NamedTuple):
    """What has been seen. ``known`` (classes,), ``right`` and ``labelled`` (classes, rules, SITUATIONS)."""

    known: NDArray[np.int64]
    right: NDArray[np.int32]
    labelled: NDArray[np.int32]


def empty_counts(rules: int) -> Counts:
    """Nothing seen yet of ``rules`` rules."""
    shape = (len(CLASSES), rules, SITUATIONS)
    return Counts(np.zeros(len(CLASSES), np.int64), np.zeros(shape, np.int32), np.zeros(shape, np.int32))


@kernel
def spread_position(price: float, bid: float, ask: float, tolerance: Tolerance) -> int:
    """Where in the spread a trade stands: a code of ``POSITIONS``."""
    if not bid > 0.0 and not ask > 0.0:
        return NO_QUOTE
    if not bid > 0.0 or not ask > 0.0:
        return ONE_SIDED
    if bid >= ask:
        return LOCKED if bid == ask else CROSSED
    if same(price, bid, tolerance) or same(price, ask, tolerance):
        return AT_QUOTE
    if price < bid or price > ask:
        return OUTSIDE
    if same(price, 0.5 * (bid + ask), tolerance):
        return MIDPOINT
    return INSIDE


@kernel
def tick_word(side: int, tick: int, moved: bool) -> int:
    """What the tick rule says of a label: a code of ``TICKS``.

    ``tick`` is the sign of the last change of price, this trade's own where it ``moved`` the price.
    """
    if side == 0 or tick == 0:
        return NO_TICK
    if side != tick:
        return AGAINST_TICK
    return OWN_TICK if moved else SAME_PRICE


@kernel
def situation(position: int, bid: float, ask: float, age_ns: int, stale_ns: int, late_share: float, word: int) -> int:
    """The place of a trade's counts, see the head of this file; ``word`` is that of the tick rule."""
    place = 2 * position
    if position != NO_QUOTE and ask - bid > WIDE_SPREAD * 0.5 * (ask + bid):
        place += 1
    place *= AGES
    if age_ns > stale_ns:
        place += 2
    elif age_ns > FRESH_NS:
        place += 1
    place = 2 * place + (1 if late_share > LATE_FEED else 0)
    return _FIRST + len(TICKS) * place + word


@kernel
def probability(instrument_class: int, rule: int, place: int, start: float, trust: float, counts: Any) -> float:
    """Probability that a label is right, from what was counted so far.

    ``start`` is the published accuracy of the rule, ``trust`` in 0 to 1 draws what is not known of the situation itself
    towards a half (old and late quotes).
    """
    mean = start
    if place != PACKAGE:
        right, labelled = counts.right[instrument_class, rule, ALL], counts.labelled[instrument_class, rule, ALL]
        mean = (RULE_WEIGHT * start + right) / (RULE_WEIGHT + labelled)
    mean = 0.5 + (mean - 0.5) * trust
    right, labelled = counts.right[instrument_class, rule, place], counts.labelled[instrument_class, rule, place]
    if labelled > 0:
        mean = (SITUATION_WEIGHT * mean + right) / (SITUATION_WEIGHT + labelled)
    if counts.known[instrument_class] < KNOWN_ENOUGH:
        if mean < CLIP_LOW:
            return CLIP_LOW
        if mean > CLIP_HIGH:
            return CLIP_HIGH
    return mean


@kernel
def learn(instrument_class: int, rule: int, place: int, right: int, labelled: int, counts: Any) -> None:
    """Count ``labelled`` labels of a rule in a situation, of which ``right`` were right."""
    counts.right[instrument_class, rule, place] += right
    counts.labelled[instrument_class, rule, place] += labelled
    if place != PACKAGE:
        counts.right[instrument_class, rule, ALL] += right
        counts.labelled[instrument_class, rule, ALL] += labelled


@kernel
def calibrate(
    sides: NDArray[np.int8],
    truth: NDArray[np.int8],
    places: NDArray[np.int64],
    instrument_class: NDArray[np.int8],
    rules: NDArray[np.int8],
    starts: NDArray[np.float64],
    counts: Counts,
    probabilities: NDArray[np.float64],
) -> None:
    """Estimate, then learn, trade by trade: ``probabilities`` (n,) of ``sides`` from the trades before each alone.

    ``truth`` is 0 where the side is not known, ``rules`` made the sides, ``starts`` are their published accuracy by
    class. An unclassified trade has probability 0.5.
    """
    for place in range(sides.shape[0]):
        group = instrument_class[place]
        if truth[place] != 0:
            counts.known[group] += 1
        if sides[place] == 0:
            probabilities[place] = 0.5
            continue
        rule = rules[place]
        probabilities[place] = probability(group, rule, places[place], starts[group], 1.0, counts)
        if truth[place] != 0:
            learn(group, rule, places[place], 1 if truth[place] == sides[place] else 0, 1, counts)
