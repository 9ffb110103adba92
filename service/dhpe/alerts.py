"""When a bar closes: ask the regime machine and the other rules, and turn what they say into alerts with an id."""

import hashlib
import math
from typing import Final

from dhpe.alarms import Alarms, Facts
from dhpe.numerics.state import NS_PER_S
from dhpe.outputs import Alert, Offsets
from dhpe.reading import Reading, read
from dhpe.regime import Bar, RegimeMachine, Transition
from dhpe.surface import iv_index
from dhpe.underlying import Underlying
from dhpe.usual_liquidity import UsualLiquidity

SESSIONS: Final = 20
OWN_EPISODES: Final = frozenset({"critical", "gamma_flip", "data_quality", "gain_breach"})
"""Rules that count their own episodes; the others belong to one of the regime's."""
_NS_PER_DAY: Final = 86_400 * NS_PER_S


def alert_id(underlying: str, rule: str, ts_event_ns: int, episode: int) -> str:
    """The same input gives the same id on any log: no offset, no random number, no wall clock in it."""
    return hashlib.sha256(f"{underlying}|{rule}|{ts_event_ns}|{episode}".encode()).hexdigest()[:32]


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _known(value: float) -> float:
    return value if value > 0 else math.nan


class Judge:
    """The regime and the alarms of one underlying, and how often its feedback gain broke the risk rule."""

    def __init__(self, underlying: Underlying, engine_version: str) -> None:
        self.machine = RegimeMachine(underlying.parameters)
        self.usual = UsualLiquidity()
        self._alarms = Alarms(underlying.name, underlying.parameters)
        self._episodes: dict[str, int] = {}
        self._liquidity_slot = -1
        self._underlying = underlying
        self._engine_version = engine_version
        self._episode = 0
        self._breaches: dict[int, list[int]] = {}  # UTC day -> [bars in breach, bars with a gain]

    @property
    def gain_breach_share(self) -> float | None:
        """Share of bars with |gain| above the limit over the last 20 days with data; ``None`` before the first."""
        known = sum(total for _, total in self._breaches.values())
        return sum(breach for breach, _ in self._breaches.values()) / known if known else None

    def rescale(self, shares: float) -> None:
        """The underlying now stands in new shares, ``shares`` of them for each old one."""
        self.machine.rescale(shares)

    def close_bar(self, offsets: Offsets) -> list[Alert]:
        """Judge the bar that the next record ends. An alert makes the state be published right after it."""
        reading = read(self._underlying)
        bar = self._bar(reading)
        self._count_breach(bar)
        self._note_liquidity(reading.kyle_lambda.value)
        transitions = self.machine.on_bar(bar) + self._alarms.on_bar(self._facts(bar, reading))
        if transitions:
            self._underlying.market["pressure_slot"] = -1
        return [self._alert(transition, bar, reading, offsets) for transition in transitions]

    def _note_liquidity(self, kyle_lambda: float | None) -> None:
        """Hand the liquidity bars closed since the last call to the baseline by time of day."""
        market = self._underlying.market
        slot = int(market["liquidity_slot"])
        if slot <= self._liquidity_slot:
            return
        known = int(market["liquidity_count"])
        new = min(slot - self._liquidity_slot, known)
        self._liquidity_slot = slot
        volumes = self._underlying.tape.volumes
        bar_ns = int(self._underlying.parameters.liquidity_bar_s * NS_PER_S)
        for age in range(new - 1, -1, -1):
            at = (int(market["liquidity_head"]) - 1 - age) % len(volumes)
            self.usual.observe((slot - age) * bar_ns, kyle_lambda if age == 0 else None, float(volumes[at]))

    def _facts(self, bar: Bar, reading: Reading) -> Facts:
        landscape = self._underlying.landscape
        bars = sum(total for _, total in self._breaches.values())
        return Facts(
            end_ns=bar.end_ns,
            spot=reading.spot,
            gamma_field=reading.default.gamma_field,
            gamma_flip=landscape.gamma_flip if landscape else None,
            feedback_gain=reading.default.feedback_gain,
            amplification=reading.default.amplification,
            gain_usable=reading.gain_usable,
            breach_share=self.gain_breach_share,
            gain_time_s=bars * self._underlying.parameters.bar_s,
        )

    def _bar(self, reading: Reading) -> Bar:
        market = self._underlying.market
        state = self._underlying.book.state
        end_ns = int((market["bar_slot"] + 1) * int(self._underlying.parameters.bar_s * NS_PER_S))
        vix = float(market["vix"])
        default = reading.default
        return Bar(
            end_ns=end_ns,
            open=float(market["bar_open"]),
            high=float(market["bar_high"]),
            low=float(market["bar_low"]),
            close=float(market["bar_close"]),
            iv_index=vix if vix > 0 else iv_index(state.expiries, int(market["expiries"]), end_ns),
            vvix=_known(float(market["vvix"])),
            spread=_known(float(market["spread"])),
            bid_depth=_known(float(market["bid_size"])),
            bid_depleted=float(market["bid_depleted"]),
            bid_refilled=float(market["bid_refilled"]),
            bid_cancelled=float(market["bid_cancelled"]),
            bid_traded=float(market["bid_traded"]),
            opposite_ticks=int(market["opposite_ticks"]),
            joint_ticks=int(market["joint_ticks"]),
            feedback_gain=_number(default.feedback_gain),
            feedback_gain_low=_number(default.feedback_gain_low),
            feedback_gain_high=_number(default.feedback_gain_high),
            amplification=_number(default.amplification),
            gain_usable=reading.gain_usable,
            beta_vanna_field=_number(default.beta_vanna_field),
            kyle_lambda=_number(reading.kyle_lambda.value),
        )

    def _count_breach(self, bar: Bar) -> None:
        if math.isnan(bar.feedback_gain):
            return
        day = self._breaches.setdefault(bar.end_ns // _NS_PER_DAY, [0, 0])
        day[0] += abs(bar.feedback_gain) > self._underlying.parameters.gain_implausible
        day[1] += 1
        while len(self._breaches) > SESSIONS:
            del self._breaches[min(self._breaches)]

    def _alert(self, transition: Transition, bar: Bar, reading: Reading, offsets: Offsets) -> Alert:
        name = self._underlying.name
        if transition.from_state == "normal" and transition.to_state != "normal":
            self._episode += 1
        episode = self._episode
        if transition.rule in OWN_EPISODES:
            episode = self._episodes[transition.rule] = self._episodes.get(transition.rule, 0) + 1
        return Alert(
            id=alert_id(name, transition.rule, bar.end_ns, episode),
            underlying=name,
            ts_event_ns=bar.end_ns,
            rule=transition.rule,
            from_state=transition.from_state,
            to_state=transition.to_state,
            severity=transition.severity,
            reason=transition.reason,
            evidence=transition.evidence,
            thresholds=transition.thresholds,
            feedback_gain=reading.default.feedback_gain,
            amplification=reading.default.amplification,
            amplification_low=reading.band.amplification_low,
            amplification_high=reading.band.amplification_high,
            spot=reading.spot,
            quality=reading.quality,
            offsets=offsets,
            engine_version=self._engine_version,
        )
