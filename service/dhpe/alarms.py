"""Alerts beside the regime's: a gain of 1, a gamma field that changed its sign, and numbers that cannot be so.

Each rule is a state with two names and comes back only beyond a second threshold, so that a value that trembles on
one of them is told once. Thresholds are settings; sources: MODEL.md section 4.
"""

from typing import Final, NamedTuple

from dhpe.feedback import CRITICAL_GAIN
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters
from dhpe.regime import Transition
from dhpe.regime_rules import Severity


class Facts(NamedTuple):
    """What the rules look at when a bar has closed; ``None`` is unknown and changes nothing.

    ``gain_usable`` is False where the gain is implausible and its book was never anchored. ``breach_share`` is the
    share of ``gain_time_s`` seconds with a gain beyond the risk rule.
    """

    end_ns: int
    spot: float | None
    gamma_field: float | None
    gamma_flip: float | None
    feedback_gain: float | None
    amplification: float | None
    gain_usable: bool
    breach_share: float | None
    gain_time_s: float


class Dwell:
    """Since when something has been so without a break."""

    def __init__(self) -> None:
        self._since_ns: int | None = None

    def reached(self, holds: bool, end_ns: int, dwell_s: float) -> bool:
        """Whether it has now held for ``dwell_s`` seconds of event time."""
        if not holds:
            self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = end_ns
        return end_ns - self._since_ns >= dwell_s * NS_PER_S


_BREACH_EXIT_SHARE: Final = 0.5
"""Of the limit: the share moves slowly and trembles long."""


class Alarms:
    """The rules of one underlying. ``on_bar`` says which changed with a closed bar."""

    def __init__(self, underlying: str, parameters: Parameters) -> None:
        self._parameters = parameters
        self._large_index = underlying in parameters.large_indices.split()
        self._critical = False
        self._doubtful = False
        self._breached = False
        self._short: bool | None = None
        self._doubt = Dwell()
        self._flip = Dwell()

    def on_bar(self, facts: Facts) -> list[Transition]:
        """The changes at the end of a bar, in a fixed order; at most one of each rule."""
        changes = (
            self._critical_gain(facts),
            self._gamma_flip(facts),
            self._data_quality(facts),
            self._gain_breach(facts),
        )
        return [change for change in changes if change is not None]

    def _critical_gain(self, facts: Facts) -> Transition | None:
        gain, leave = facts.feedback_gain, self._parameters.critical_gain_exit
        if gain is None or (gain < leave if self._critical else gain >= CRITICAL_GAIN) is False:
            return None
        self._critical = not self._critical
        limit = CRITICAL_GAIN if self._critical else leave
        states = ("subcritical", "critical") if self._critical else ("critical", "subcritical")
        reason = "The feedback gain has fallen back: amplification is finite again."
        if self._critical:
            reason = "The feedback gain has reached 1: each hedge calls for one as large, and nothing finite is left."
            if not facts.gain_usable:
                reason = "The feedback gain reads 1 or more on positions that nobody has confirmed: doubt them first."
        severity: Severity = "info"
        if self._critical:
            severity = "critical" if facts.gain_usable else "warning"
        evidence: dict[str, float | None] = {"feedback_gain": gain}
        return Transition("critical", *states, severity, reason, evidence, {"feedback_gain": limit}, 1.0)

    def _gamma_flip(self, facts: Facts) -> Transition | None:
        gamma, parameters = facts.gamma_field, self._parameters
        if gamma is None or facts.spot is None or gamma == 0.0:
            return None
        short = gamma < 0.0
        if self._short is None:
            self._short = short
        distance = None if facts.gamma_flip is None else abs(facts.spot / facts.gamma_flip - 1.0)
        clear = distance is None or distance >= parameters.gamma_flip_margin_share
        turned = short != self._short
        if not self._flip.reached(turned and clear, facts.end_ns, parameters.gamma_flip_dwell_s):
            return None
        self._flip.reached(False, facts.end_ns, 0.0)
        self._short = short
        states = ("long_gamma", "short_gamma") if short else ("short_gamma", "long_gamma")
        reason = "Dealers now hedge with the move." if short else "Dealers now hedge against the move."
        return Transition(
            "gamma_flip",
            *states,
            "warning" if short else "info",
            f"The gamma of the dealers has changed its sign. {reason}",
            {"gamma_field": gamma, "gamma_flip": facts.gamma_flip, "distance_share": distance},
            {"gamma_field": 0.0, "distance_share": parameters.gamma_flip_margin_share},
            1.0,
        )

    def _data_quality(self, facts: Facts) -> Transition | None:
        parameters = self._parameters
        if not self._large_index or facts.feedback_gain is None:
            self._doubt.reached(False, facts.end_ns, 0.0)
            return None
        # A gain of 1 and more has no amplification: it is beyond every limit.
        size = facts.amplification
        if self._doubtful:
            limit = parameters.data_quality_amplification_exit
            holds = size is not None and size < limit
        else:
            limit = parameters.data_quality_amplification
            holds = size is None or size > limit
        if not self._doubt.reached(holds, facts.end_ns, parameters.data_quality_dwell_s):
            return None
        self._doubt.reached(False, facts.end_ns, 0.0)
        self._doubtful = not self._doubtful
        states = ("plausible", "doubtful") if self._doubtful else ("doubtful", "plausible")
        reason = "The amplification is again one that a large index can have."
        if self._doubtful:
            reason = "A large index has been amplified for long: check positions, price impact and beta first."
        return Transition(
            "data_quality",
            *states,
            "warning" if self._doubtful else "info",
            reason,
            {"amplification": size, "feedback_gain": facts.feedback_gain},
            {"amplification": limit, "dwell_s": parameters.data_quality_dwell_s},
            1.0,
        )

    def _gain_breach(self, facts: Facts) -> Transition | None:
        parameters = self._parameters
        if facts.breach_share is None or facts.gain_time_s < parameters.gain_breach_time_min_s:
            return None
        limit = parameters.gain_breach_share_max
        if self._breached:
            limit *= _BREACH_EXIT_SHARE
        if (facts.breach_share < limit if self._breached else facts.breach_share > limit) is False:
            return None
        self._breached = not self._breached
        states = ("within", "breached") if self._breached else ("breached", "within")
        word = "more" if self._breached else "less"
        return Transition(
            "gain_breach",
            *states,
            "warning" if self._breached else "info",
            f"The gain stands beyond {parameters.gain_implausible:g} for {word} of the time than the risk rule allows.",
            {"gain_breach_share": facts.breach_share},
            {"gain_breach_share": limit},
            1.0,
        )
