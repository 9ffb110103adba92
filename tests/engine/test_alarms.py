"""Alerts beside the regime's: asserted as lists of (old, new), with hysteresis, dwell and ids that never change."""

from typing import Any

import pytest

from dhpe.alarms import Alarms, Facts
from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.outputs import Alert, Pressure
from dhpe.parameters import Parameters
from option_chain import START_NS, batch, chain

SECOND_NS = 1_000_000_000
CALM = Facts(
    end_ns=START_NS,
    spot=100.0,
    gamma_field=1e9,
    gamma_flip=95.0,
    feedback_gain=0.1,
    amplification=1 / 0.9,
    gain_usable=True,
    breach_share=0.0,
    gain_time_s=7200.0,
)


def gained(gain: float) -> Facts:
    """A bar at this gain."""
    return CALM._replace(feedback_gain=gain, amplification=1 / (1 - gain) if gain < 1 else None)


def told(bars: list[Facts], name: str = "SPX", **settings: Any) -> list[tuple[int, str, str, str]]:
    """(bar, rule, old, new) of what bars of a second each raise."""
    alarms = Alarms(name, Parameters(**settings))
    return [
        (place, change.rule, change.from_state, change.to_state)
        for place, bar in enumerate(bars)
        for change in alarms.on_bar(bar._replace(end_ns=START_NS + place * SECOND_NS))
    ]


def test_a_gain_of_one_is_told_once_until_it_has_fallen_back() -> None:
    """In at 1, out below 0.9; trembling around 1 says nothing more."""
    gains = [0.99, 1.0, 0.95, 1.2, 0.9, 0.89, 0.95, 1.0]
    assert told([gained(gain) for gain in gains], name="XYZ") == [
        (1, "critical", "subcritical", "critical"),
        (5, "critical", "critical", "subcritical"),
        (7, "critical", "subcritical", "critical"),
    ]


@pytest.mark.parametrize(("usable", "severity"), [(True, "critical"), (False, "warning")])
def test_a_gain_of_one_on_unconfirmed_positions_is_doubted(usable: bool, severity: str) -> None:
    """MODEL.md section 4: an implausible gain is no evidence."""
    (change,) = Alarms("XYZ", Parameters()).on_bar(gained(1.3)._replace(gain_usable=usable))
    assert change.severity == severity
    assert ("doubt" in change.reason) is not usable


def test_an_unknown_gain_changes_nothing() -> None:
    """Neither in nor out."""
    unknown = CALM._replace(feedback_gain=None, amplification=None)
    bars = [gained(1.0), unknown, unknown, gained(1.0)]
    assert told(bars, name="XYZ") == [(0, "critical", "subcritical", "critical")]


def test_the_gamma_flip_waits_for_margin_and_dwell() -> None:
    """Short gamma for 5 s without a break and 5 bp away from the flip; then back the same way."""
    short = CALM._replace(gamma_field=-1e9, gamma_flip=101.0)
    near = short._replace(gamma_flip=100.04)
    bars = [CALM, short, short, CALM, *[near] * 10, *[short] * 7, *[CALM] * 7]
    assert told(bars, name="XYZ", gamma_flip_dwell_s=5.0) == [
        (19, "gamma_flip", "long_gamma", "short_gamma"),
        (26, "gamma_flip", "short_gamma", "long_gamma"),
    ]


def test_a_market_that_begins_short_has_not_flipped() -> None:
    """The first sign is where it starts, not a change; no flip price is an answer too."""
    short = CALM._replace(gamma_field=-1e9, gamma_flip=None)
    assert told([short] * 100, name="XYZ") == []
    assert told([CALM, *[short] * 40], name="XYZ") == [(31, "gamma_flip", "long_gamma", "short_gamma")]


@pytest.mark.parametrize("high", [gained(0.4), gained(1.5)], ids=["above 1.5", "no finite amplification"])
def test_a_large_index_amplified_for_long_is_a_question_of_data(high: Facts) -> None:
    """Longer than the dwell without a break; the same dwell below 1.4 takes it back."""
    bars = [*[high] * 9, CALM, *[high] * 11, gained(0.31), *[CALM] * 11]
    changes = [change for change in told(bars, data_quality_dwell_s=10.0) if change[1] == "data_quality"]
    assert changes == [(20, "data_quality", "plausible", "doubtful"), (32, "data_quality", "doubtful", "plausible")]
    assert [c for c in told(bars, "XYZ", data_quality_dwell_s=10.0) if c[1] == "data_quality"] == []
    assert [c for c in told(bars, "XYZ", data_quality_dwell_s=10.0, large_indices="ABC XYZ") if c[1] == "data_quality"]


def test_the_risk_rule_speaks_above_one_per_cent_of_the_time() -> None:
    """After an hour with a gain, and back below half of it."""
    shares = [0.005, 0.011, 0.02, 0.0099, 0.004]
    bars = [CALM._replace(breach_share=share) for share in shares]
    assert told(bars) == [(1, "gain_breach", "within", "breached"), (4, "gain_breach", "breached", "within")]
    assert told([bar._replace(gain_time_s=3599.0) for bar in bars]) == []


def flipped(chunk: int) -> tuple[list[Alert], list[Pressure]]:
    """Dealers are reported long, then short, through a whole engine that is fed ``chunk`` records at a time."""
    records = chain(200.0, (95.0, 100.0, 105.0))
    records += [{"kind": "clock", "ts_event_ns": START_NS + second * SECOND_NS} for second in range(2, 6)]
    short = [record | {"position": -4000.0} for record in records if record["kind"] == "dealer_position"]
    late = {"ts_event_ns": START_NS + 6 * SECOND_NS}
    records += [record | late for record in short]
    records += [{"kind": "clock", "ts_event_ns": START_NS + second * SECOND_NS} for second in range(7, 50)]
    whole = batch(records)
    engine = Engine(Parameters(kyle_lambda=3e-9, kyle_lambda_standard_error=0.0, spot_vol_beta=0.0))
    outputs = []
    for first in range(0, len(whole.events), chunk):
        outputs += engine.step(empty_batch(), whole._replace(events=whole.events[first : first + chunk])).outputs
    alerts = [output for output in outputs if isinstance(output, Alert)]
    return alerts, [output for output in outputs if isinstance(output, Pressure)]


def test_the_engine_raises_them_with_the_same_ids_however_the_log_is_cut() -> None:
    """Long to short gamma at a gain above 1: critical at once, the flip after its dwell, a state with each."""
    alerts, pressures = flipped(10_000)
    raised = [(alert.rule, alert.from_state, alert.to_state) for alert in alerts]
    assert raised == [("critical", "subcritical", "critical"), ("gamma_flip", "long_gamma", "short_gamma")]
    assert alerts[0].feedback_gain is not None
    assert alerts[0].feedback_gain >= 1
    assert alerts[0].amplification is None
    assert alerts[0].severity == "critical"
    assert [alert.id for alert in flipped(7)[0]] == [alert.id for alert in alerts]
    assert len({alert.id for alert in alerts}) == 2
    published = [state.ts_event_ns for state in pressures]
    assert all(any(alert.ts_event_ns <= at <= alert.ts_event_ns + SECOND_NS for at in published) for alert in alerts)
