"""The regime machine on paths with a known story: what it says, when it waits, and what it never says."""

import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.numerics.regime_rows import EVIDENCE
from dhpe.parameters import Parameters
from dhpe.regime import RegimeMachine
from dhpe.regime_rules import PROTOCOLS, STATES, SYMPTOMS, TRANSITIONS, thresholds
from dhpe.snapshot import freeze, thaw
from engine.regime_bars import DAY_NS, SECOND_NS, UNKNOWN, bars_of, calm, crash, run, simulated_bars, walk

WHOLE_PATH = [
    ("normal", "bulldozer"),
    ("bulldozer", "burnout"),
    ("burnout", "phase_transition"),
    ("phase_transition", "normal"),
]
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def test_a_crash_walks_the_whole_path() -> None:
    """Calm, fall with rising vol, new lows without vol, deceleration with falling vol, reversal."""
    said = run(bars_of(*crash()))
    assert walk(said) == WHOLE_PATH
    at = {transition.rule: i for i, transition in said}
    assert 60 <= at["bulldozer"] < 68
    assert 85 <= at["burnout"] < 90
    assert 97 <= at["phase_transition"] < 112


def test_the_protocol_of_a_crash_is_hold_then_monetize_then_exit() -> None:
    """Each advice once, in this order, and it is gone some time after the episode."""
    machine = RegimeMachine(Parameters())
    advice = [machine.protocol]
    for bar in bars_of(*crash()):
        machine.on_bar(bar)
        if machine.protocol != advice[-1]:
            advice.append(machine.protocol)
    assert advice == [None, "hold", "monetize_partial", "exit_full", None]


def test_the_simulated_market_walks_the_whole_path() -> None:
    """The crash of `dhpe demo`, made by dealers' hedging, is recognised without being told the phases."""
    assert walk(run(simulated_bars(105))) == WHOLE_PATH


@pytest.mark.parametrize("seed", range(5))
def test_a_calm_day_says_nothing(seed: int) -> None:
    """20,000 seconds at 15 vol points with vol leaning against spot."""
    assert run(bars_of(*calm(20_000, seed))) == []


def test_a_melt_up_is_no_bulldozer() -> None:
    """The seed rule marks a day on which spot and vol rise together; a fall is needed here."""
    spot, vol, vvix = crash()
    assert run(bars_of([5000.0**2 / price for price in spot], vol, vvix)) == []


def test_a_fall_without_vol_is_no_bulldozer() -> None:
    """Falling price alone may be anything."""
    spot, _, vvix = crash()
    assert run(bars_of(spot, [15.0 + 0.01 * (i % 2) for i in range(len(spot))], vvix)) == []


def test_without_a_vol_index_the_machine_stays_normal_and_sane() -> None:
    """A market without options, as the Binance file: no vol, no claim."""
    machine = RegimeMachine(Parameters())
    spot, _, _ = crash()
    for bar in bars_of(spot, [math.nan] * len(spot)):
        assert machine.on_bar(bar) == []
    assert machine.state == "normal"
    assert machine.protocol is None
    assert machine.market_regime is None
    assert 0.0 <= machine.confidence <= 1.0


def test_a_gap_over_night_is_not_a_move_of_one_bar() -> None:
    """The market opens 3 % lower with 8 points more vol, and is calm there."""
    spot, vol = calm(300)
    before = bars_of(spot, vol)
    after = [
        bar._replace(end_ns=bar.end_ns + 17 * 3600 * SECOND_NS, close=bar.close * 0.97, iv_index=bar.iv_index + 8.0)
        for bar in bars_of(spot, vol)
    ]
    assert run(before + after) == []


def test_a_bar_without_a_close_changes_nothing() -> None:
    """Before the first price there is nothing to judge."""
    machine = RegimeMachine(Parameters())
    for bar in bars_of(*calm(50)):
        machine.on_bar(bar)
    before = freeze(machine)
    assert machine.on_bar(UNKNOWN) == []
    assert freeze(machine) == before


def test_ticks_that_go_opposite_ways_stand_for_the_correlation() -> None:
    """Vol published by jumps spoils the correlation of bars; the ticks themselves do not lie."""
    spot, vol, vvix = crash()
    stepped = [vol[i - i % 4] for i in range(len(vol))]
    quiet = bars_of(spot, stepped, vvix)
    synced = bars_of(spot, stepped, vvix, opposite_ticks=9, joint_ticks=10)
    first = next(transition for _, transition in run(synced) if transition.rule == "bulldozer")
    assert first.evidence["spot_vol_sync"] == 0.9
    assert "went opposite ways" in first.reason
    assert run(quiet[:66]) == []


def test_burnout_does_not_wait_and_everything_else_does() -> None:
    """The short side must hear of the burnout at once; other states stand for their dwell."""
    machine = RegimeMachine(Parameters(regime_dwell_s=1000.0))
    short = [machine.short_protocol]
    said = []
    for bar in bars_of(*crash()):
        said += [(0, transition) for transition in machine.on_bar(bar)]
        if machine.short_protocol != short[-1]:
            short.append(machine.short_protocol)
    assert walk(said) == WHOLE_PATH[:2]
    assert short == [None, "hold_short", "close_short"]


def test_the_limits_stand_still_during_an_episode() -> None:
    """A crash does not raise its own threshold: it comes from the calm before, here a restless one."""
    restless = [5000.0 * math.exp(0.002 * math.sin(1.3 * i)) for i in range(200)]
    deep_fall = [price**4 / 5000.0**3 for price in crash()[0]]
    machine = RegimeMachine(Parameters())
    limits = set()
    for bar in bars_of(restless + deep_fall, [15.0] * 200 + crash()[1], [90.0] * 200 + crash()[2]):
        before = machine.state
        machine.on_bar(bar)
        if before != "normal" and machine.state != "normal":
            limits.add(float(machine._evidence[0]["spot_move_limit_log"]))
    assert len(limits) == 1
    assert limits.pop() < -0.002  # beyond the absolute floor: the scale of the calm decides


def test_every_alert_shows_numbers_that_meet_its_thresholds() -> None:
    """Take the rule from the table and compare evidence with thresholds again, as a reader of the alert would."""
    said = run(bars_of(*crash()))
    rules = {name: [r.conditions for r in TRANSITIONS if r.to_state == name] for name in STATES}
    rules |= {r.protocol: [q.conditions for q in PROTOCOLS if q.protocol == r.protocol] for r in PROTOCOLS}
    assert {transition.rule for _, transition in said} == {*STATES, "hold", "monetize_partial", "exit_full"}
    for _, transition in said:
        assert any(
            all(
                COMPARISONS[c.comparison](transition.evidence[c.evidence], transition.thresholds[c.evidence])
                if transition.evidence[c.evidence] is not None
                else c.where_known
                for c in conditions
            )
            and set(transition.thresholds) <= {c.evidence for c in conditions}
            for conditions in rules[transition.rule]
        ), transition
        assert transition.reason.endswith((".", "puts."))
        assert "nan" not in transition.reason
        assert 0.0 <= transition.confidence <= 1.0
        assert not any(value is not None and math.isnan(value) for value in transition.evidence.values())
        assert not any(math.isnan(value) for value in transition.thresholds.values())


def test_a_gain_that_quality_forbids_is_no_evidence() -> None:
    """kappa-psi speaks only where it may."""
    gain = {"feedback_gain": 0.4, "feedback_gain_low": 0.3, "feedback_gain_high": 0.5, "amplification": 1.7}
    usable = run(bars_of(*crash(), gain_usable=True, **gain))[0][1]
    forbidden = run(bars_of(*crash(), gain_usable=False, **gain))[0][1]
    assert usable.evidence["feedback_gain"] == 0.4
    assert usable.evidence["amplification"] == 1.7
    assert forbidden.evidence["feedback_gain"] is None
    assert forbidden.confidence < usable.confidence


def test_the_table_speaks_only_of_what_exists() -> None:
    """Every condition names evidence and a threshold, every state can be reached and left."""
    names = {*EVIDENCE, *thresholds(Parameters())}
    conditions = [c for rule in (*TRANSITIONS, *PROTOCOLS) for c in rule.conditions]
    conditions += [c for symptoms in SYMPTOMS.values() for c in symptoms]
    assert {c.evidence for c in conditions} <= set(EVIDENCE)
    assert {c.threshold for c in conditions} <= names
    assert {rule.to_state for rule in TRANSITIONS} == set(STATES)
    assert {state for rule in TRANSITIONS for state in rule.from_states} == set(STATES)
    unused = set(thresholds(Parameters())) - {c.threshold for c in conditions}
    assert unused == set()


def test_a_restored_machine_goes_on_bit_for_bit() -> None:
    """Cut the crash at every tenth bar: the same words and the same arrays afterwards."""
    bars = bars_of(*crash(), bid_depth=50.0, spread=0.25, bid_depleted=5.0, bid_refilled=4.0, kyle_lambda=1e-12)
    whole = run(bars)
    for cut in range(0, len(bars), 10):
        first, second = RegimeMachine(Parameters()), RegimeMachine(Parameters())
        said = [(i, t) for i, bar in enumerate(bars[:cut]) for t in first.on_bar(bar)]
        thaw(freeze(first), second)
        said += [(i, t) for i, bar in enumerate(bars[cut:], cut) for t in second.on_bar(bar)]
        for bar in bars[cut:]:
            first.on_bar(bar)
        assert said == whole
        assert freeze(first) == freeze(second)


@settings(max_examples=40)
@given(st.data())
def test_what_was_said_does_not_depend_on_what_comes(data: st.DataObject) -> None:
    """Random bars, with holes: a prefix says the prefix, no number is ever NaN in an alert."""
    n = data.draw(st.integers(30, 120))
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    spot = 100.0 * np.exp(np.cumsum(0.01 * generator.standard_t(3, n)))
    vol = np.where(generator.random(n) < 0.02, math.nan, np.maximum(5.0, 20.0 + np.cumsum(generator.standard_t(3, n))))
    bars = bars_of(spot.tolist(), vol.tolist(), (vol * 5).tolist(), DAY_NS)
    whole = run(bars)
    cut = data.draw(st.integers(0, n))
    assert run(bars[:cut]) == [(i, t) for i, t in whole if i < cut]
