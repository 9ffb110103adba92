"""The regime machine of one underlying: closed bars in, transitions with their evidence out.

A crash that dealers' hedging drives walks normal → bulldozer → burnout → phase_transition → normal. The rules are the
table of ``regime_rules``; this file holds what a table cannot: dwell, the memory between bars, and the market regime
with its twenty days. Bars may be of any length. Only event time exists here.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dhpe.market_regime import MarketRegime, Name, Reading
from dhpe.numerics import kinematics, regime_evidence, regime_rows
from dhpe.parameters import Parameters
from dhpe.regime_rules import (
    PROTOCOLS,
    STATES,
    SYMPTOMS,
    TRANSITIONS,
    Condition,
    Protocol,
    ProtocolRule,
    Rule,
    Severity,
    State,
    thresholds,
)

Array = npt.NDArray[Any]
ShortProtocol = Literal["hold_short", "close_short"]
SHORT_PROTOCOL: Final[Mapping[State, ShortProtocol]] = {"bulldozer": "hold_short", "burnout": "close_short"}
SPOT_FLOOR_LOG: Final = 0.002
VVIX_FLOOR_POINTS: Final = 2.0
DIVERGENCE_FLOOR_LOG: Final = 0.0005
DEVIATIONS: Final = 3.0
CALM_HALF_LIFE_BARS: Final = 60.0
REALISED_HALF_LIFE_BARS: Final = 60.0
LIMIT_NAMES: Final = frozenset(name for name in regime_rows.EVIDENCE if "_limit" in name)


class Bar(NamedTuple):
    """One closed event-time bar of the underlying; NaN where unknown. Vols in points, sizes within the bar."""

    end_ns: int
    open: float
    high: float
    low: float
    close: float
    iv_index: float
    vvix: float
    spread: float
    bid_depth: float
    bid_depleted: float
    bid_refilled: float
    bid_cancelled: float
    bid_traded: float
    opposite_ticks: int
    joint_ticks: int
    feedback_gain: float
    feedback_gain_low: float
    feedback_gain_high: float
    amplification: float
    gain_usable: bool
    beta_vanna_field: float
    kyle_lambda: float


class Transition(NamedTuple):
    """A change of state or of the protocol: what changed, why, and the numbers on both sides of each comparison.

    ``thresholds`` has the name of the evidence that was compared with it; the table says in which direction.
    """

    rule: str
    from_state: str
    to_state: str
    severity: Severity
    reason: str
    evidence: dict[str, float | None]
    thresholds: dict[str, float]
    confidence: float


class _Comparison(NamedTuple):
    """A condition with its names resolved to positions among the numbers of a bar."""

    left: int
    comparison: str
    right: int
    where_known: bool


class RegimeMachine:
    """States, protocol and market regime of one underlying, moved by its closed bars."""

    def __init__(self, parameters: Parameters) -> None:
        self._thresholds = thresholds(parameters)
        self._constants = tuple(self._thresholds.values())
        self._positions = {name: i for i, name in enumerate((*regime_rows.EVIDENCE, *self._thresholds))}
        self._dwell_ns = round(parameters.regime_dwell_s * 1e9)
        self._market = MarketRegime(parameters.market_regime_dwell_s)
        self._limits = np.zeros(1, regime_rows.LIMITS)
        self._limits[0] = (
            parameters.regime_kinematics_span_bars,
            DEVIATIONS,
            SPOT_FLOOR_LOG,
            parameters.regime_vol_change_points,
            VVIX_FLOOR_POINTS,
            DIVERGENCE_FLOOR_LOG,
            CALM_HALF_LIFE_BARS,
            max(2, parameters.regime_window_bars // 2),
            REALISED_HALF_LIFE_BARS,
        )
        self._bar = np.zeros(1, regime_rows.BAR)
        self._evidence = np.full(1, math.nan, regime_rows.EVIDENCE_ROW)
        self._track = regime_rows.new_track()
        self._derivatives = kinematics.new_derivatives(regime_rows.DERIVATIVES)
        self._ring = np.full((regime_rows.RING_ROWS, parameters.regime_window_bars), math.nan)
        self._calm_books = np.full((3, regime_rows.CALM_BOOKS), math.nan)
        self._state: State = "normal"
        self._state_since_ns = 0
        self._protocol: Protocol | None = None
        self._protocol_since_ns = 0
        self._confidence = 0.5
        self._transitions = {
            state: tuple((rule, self._resolve(rule.conditions)) for rule in TRANSITIONS if state in rule.from_states)
            for state in STATES
        }
        self._protocols = tuple((rule, self._resolve(rule.conditions)) for rule in PROTOCOLS)
        self._symptoms = {state: self._resolve(conditions) for state, conditions in SYMPTOMS.items()}

    @property
    def state(self) -> State:
        """The regime."""
        return self._state

    @property
    def confidence(self) -> float:
        """Share of the checks of this state that agree, 0 to 1; an unknown one counts half."""
        return self._confidence

    @property
    def market_regime(self) -> Name | None:
        """``low_vol``, ``high_vol`` or ``transition``; None before gain, realised and implied vol were known."""
        return self._market.name

    @property
    def protocol(self) -> Protocol | None:
        """Advice to the owner of long vol; None outside an episode."""
        return self._protocol

    @property
    def short_protocol(self) -> ShortProtocol | None:
        """Advice to the short side."""
        return SHORT_PROTOCOL.get(self._state)

    def on_bar(self, bar: Bar) -> list[Transition]:
        """One closed bar; bars come in order of time. A bar without a close says nothing and changes nothing."""
        if not bar.close > 0.0:
            return []
        self._bar[0] = bar
        regime_evidence.advance(
            self._track,
            self._derivatives,
            self._ring,
            self._calm_books,
            self._bar,
            self._limits,
            self._evidence,
        )
        numbers: tuple[float, ...] = (*self._evidence[0].item(), *self._constants)
        in_episode = self._state != "normal"
        # Within an episode the advice comes before the step that may end it.
        transitions = self._advise(bar.end_ns, numbers) if in_episode else []
        transitions += self._walk(bar.end_ns, numbers)
        if not in_episode and self._state != "normal":
            transitions += self._advise(bar.end_ns, numbers)
        if self._state == "normal" and bar.end_ns - self._protocol_since_ns >= self._dwell_ns:
            self._protocol = None
        self._confidence = self._score(numbers)
        self._market.on_bar(self._reading(bar), frozen=in_episode)
        return transitions

    def rescale(self, shares: float) -> None:
        """Put remembered prices and sizes on new shares, ``shares`` of them for each old one."""
        for name in ("episode_high", "episode_low", "close_at_vol_high", "acceleration", "spread_median"):
            self._track[name] /= shares
        self._track["log_close_mean"] -= math.log(shares)
        self._track["depth_median"] *= shares
        self._ring[list(regime_rows.PRICE_ROWS)] /= shares
        self._ring[list(regime_rows.SIZE_ROWS)] *= shares
        depths, spreads, _ = self._calm_books
        depths *= shares
        spreads /= shares
        for name in ("previous", "mean"):
            self._derivatives[name][: kinematics.JERK + 1] /= shares
        self._market.rescale(shares)

    def _walk(self, end_ns: int, numbers: tuple[float, ...]) -> list[Transition]:
        """At most one change of state per bar: the first rule of the table that holds."""
        waited = end_ns - self._state_since_ns >= self._dwell_ns
        for rule, comparisons in self._transitions[self._state]:
            if (waited or not rule.waits) and _hold(comparisons, numbers):
                from_state, self._state, self._state_since_ns = self._state, rule.to_state, end_ns
                if rule.to_state == "normal":
                    regime_evidence.close_episode(self._track)
                elif from_state == "normal":
                    regime_evidence.open_episode(self._track, self._ring)
                return [self._say(rule.to_state, from_state, rule, numbers)]
        return []

    def _advise(self, end_ns: int, numbers: tuple[float, ...]) -> list[Transition]:
        """The first protocol that holds; where none does, the last advice stands."""
        waited = self._protocol is None or end_ns - self._protocol_since_ns >= self._dwell_ns
        for rule, comparisons in self._protocols:
            if not _hold(comparisons, numbers):
                continue
            if rule.protocol == self._protocol or (rule.waits and not waited):
                return []
            self._protocol = rule.protocol
            self._protocol_since_ns = end_ns
            return [self._say(rule.protocol, self._state, rule, numbers)]
        return []

    def _say(self, name: str, from_state: State, rule: Rule | ProtocolRule, numbers: tuple[float, ...]) -> Transition:
        named = {evidence: numbers[i] for i, evidence in enumerate(regime_rows.EVIDENCE)}
        return Transition(
            rule=name,
            from_state=from_state,
            to_state=self._state,
            severity=rule.severity,
            reason=rule.reason.format_map(named),
            evidence={
                evidence: None if math.isnan(number) else number
                for evidence, number in named.items()
                if evidence not in LIMIT_NAMES
            },
            # A left-out condition (unknown evidence) has nothing to be compared with.
            thresholds={
                condition.evidence: numbers[self._positions[condition.threshold]]
                for condition in rule.conditions
                if not math.isnan(named[condition.evidence])
            },
            confidence=self._score(numbers),
        )

    def _score(self, numbers: tuple[float, ...]) -> float:
        if self._state == "normal":
            return 1.0 - _agreement(self._symptoms["bulldozer"], numbers)
        return _agreement(self._symptoms[self._state], numbers)

    def _reading(self, bar: Bar) -> Reading:
        usable = bar.gain_usable
        return Reading(
            bar.end_ns,
            bar.feedback_gain_low if usable else math.nan,
            bar.feedback_gain_high if usable else math.nan,
            float(self._evidence[0]["realised_to_implied"]),
            bar.kyle_lambda * bar.close,
            bar.beta_vanna_field,
        )

    def _resolve(self, conditions: tuple[Condition, ...]) -> tuple[_Comparison, ...]:
        return tuple(
            _Comparison(self._positions[c.evidence], c.comparison, self._positions[c.threshold], c.where_known)
            for c in conditions
        )


def _compare(comparison: _Comparison, numbers: tuple[float, ...]) -> bool | None:
    """Whether the comparison holds; None where a side is unknown."""
    left, right = numbers[comparison.left], numbers[comparison.right]
    if math.isnan(left) or math.isnan(right):
        return None
    match comparison.comparison:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case _:
            return left >= right


def _hold(comparisons: tuple[_Comparison, ...], numbers: tuple[float, ...]) -> bool:
    for comparison in comparisons:
        holds = _compare(comparison, numbers)
        if holds is False or (holds is None and not comparison.where_known):
            return False
    return True


def _agreement(comparisons: tuple[_Comparison, ...], numbers: tuple[float, ...]) -> float:
    total = 0.0
    for comparison in comparisons:
        holds = _compare(comparison, numbers)
        total += 0.5 if holds is None else float(holds)
    return total / len(comparisons)
