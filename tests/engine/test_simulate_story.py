"""The story of the simulated market as the real engine tells it, scored against the truth."""

from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest

from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.outputs import Alert, Pressure, TradeLabel
from dhpe.parameters import Parameters
from dhpe.simulate import CALM, SimulationSettings, Truth, simulate_with_truth

START_NS = 1_786_459_800 * 1_000_000_000
SECOND_NS = 1_000_000_000
STATES = ("normal", "bulldozer", "burnout", "phase_transition")
PROTOCOL = ("hold", "monetize_partial", "exit_full")
CYCLE_S = 98
SEEDS = (20_240_805, 1, 2, 3)  # the first is that of the demo


class Told(NamedTuple):
    """What the engine said of a market, and what was so."""

    alerts: list[Alert]
    pressures: list[Pressure]
    labels: list[TradeLabel]
    rejects: int
    truths: list[Truth]
    side_of_offset: dict[int, int]


def tell(settings: SimulationSettings, duration_s: int) -> Told:
    """Run ``duration_s`` of market time through the engine, in batches of 100 ms."""
    engine = Engine(Parameters())
    told = Told([], [], [], 0, [], {})
    rejects = 0
    for simulated in islice(simulate_with_truth(settings, START_NS), duration_s * 1000 // settings.chunk_ms):
        result = engine.step(empty_batch(), simulated.batch)
        told.alerts.extend(output for output in result.outputs if isinstance(output, Alert))
        told.pressures.extend(output for output in result.outputs if isinstance(output, Pressure))
        told.labels.extend(result.labels)
        told.truths.extend(simulated.truths)
        rejects += len(result.rejects)
        trade = simulated.sides != 0
        offsets = simulated.batch.events["offset"][trade].tolist()
        told.side_of_offset.update(zip(offsets, simulated.sides[trade].tolist(), strict=True))
    return told._replace(rejects=rejects)


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed {seed}")
def story(request: pytest.FixtureRequest) -> Told:
    """One cycle, from the calm to the calm."""
    return tell(SimulationSettings(seed=request.param), CYCLE_S)


@pytest.fixture(scope="module")
def calm() -> Told:
    """Five minutes in which nothing happens."""
    phases = (CALM._replace(duration_s=1e6),)
    return tell(SimulationSettings(seed=8, phases=phases, option_quotes_per_s=40.0, option_trades_per_s=2.0), 300)


def test_the_regime_walks_from_normal_through_all_states_and_back(story: Told):
    """Within a cycle of about 90 s every state is met, once and in order."""
    walk = [(alert.from_state, alert.to_state) for alert in story.alerts if alert.rule in STATES]
    assert walk == [
        ("normal", "bulldozer"),
        ("bulldozer", "burnout"),
        ("burnout", "phase_transition"),
        ("phase_transition", "normal"),
    ]
    assert story.rejects == 0


def test_each_state_is_called_in_the_act_that_plays_it(story: Told):
    """The first alert comes within the demo's first minute, and none before the crash has begun."""
    acts = {}
    for alert in story.alerts:
        if alert.rule in STATES:
            truth = next(truth for truth in story.truths if truth.ts_event_ns >= alert.ts_event_ns)
            acts[alert.rule] = truth.phase
            if alert.rule == "bulldozer":
                assert 35 <= (alert.ts_event_ns - START_NS) / SECOND_NS <= 55
    assert acts == {
        "bulldozer": "crash",
        "burnout": "burnout",
        "phase_transition": "phase_transition",
        "normal": "recovery",
    }


def test_the_protocol_holds_first_then_takes_a_part_then_all(story: Told):
    """The advice to the owner of long vol, in its order."""
    assert [alert.rule for alert in story.alerts if alert.rule in PROTOCOL] == [
        "hold",
        "monetize_partial",
        "exit_full",
    ]


def test_the_engine_finds_the_true_gamma_field(story: Told):
    """From quotes and open interest alone: the sign always, the size within the share that dealers do not hold."""
    truths = {(truth.ts_event_ns - START_NS) // (SECOND_NS // 10): truth for truth in story.truths}
    largest = max(abs(truth.greeks.gamma_field) for truth in story.truths)
    compared = 0
    for pressure in story.pressures[10:]:
        truth = truths.get((pressure.ts_event_ns - START_NS) // (SECOND_NS // 10))
        if truth is not None:
            assert pressure.gamma_field is not None
            assert abs(pressure.gamma_field - truth.greeks.gamma_field) < 0.25 * largest
            compared += 1
    assert compared > 900


def test_dealers_dampen_the_calm_and_amplify_the_crash(story: Told):
    """Amplification below 1 before, clearly above 1 in burnout, and an honest interval around it."""
    by_regime: dict[str, list[float]] = {}
    for pressure in story.pressures:
        if pressure.amplification is not None and (pressure.ts_event_ns - START_NS) < 75 * SECOND_NS:
            by_regime.setdefault(pressure.regime, []).append(pressure.amplification)
            assert pressure.amplification_low is not None
            assert pressure.amplification_low <= pressure.amplification
    assert max(by_regime["normal"]) < 1.0
    assert np.mean(by_regime["burnout"]) > 1.2
    assert {pressure.dealer_risk for pressure in story.pressures} >= {"dampening", "amplifying"}


def test_the_sides_of_trades_are_found(story: Told):
    """Strictly-before Lee-Ready on the underlying nearly always, on options nearly as often."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    for label in story.labels:
        true = {1: "buy", -1: "sell"}[story.side_of_offset[label.offset]]
        right[label.symbol is None].append(label.lee_ready_side == true)
    assert np.mean(right[True]) > 0.99
    assert np.mean(right[False]) > 0.9
    assert len(right[False]) > 1000


def test_a_calm_market_raises_no_alarm(calm: Told):
    """Five minutes of breath: no alert, and hedgers seen to dampen."""
    assert calm.alerts == []
    assert {pressure.regime for pressure in calm.pressures} == {"normal"}
    gains = [pressure.feedback_gain for pressure in calm.pressures if pressure.feedback_gain is not None]
    assert -0.3 < np.mean(gains) < 0.0


def test_labels_speak_of_option_trades_too(calm: Told):
    """Even where options trade little."""
    assert sum(label.symbol is not None for label in calm.labels) > 100
