"""A feed that delivers quotes late makes worse labels, and they say so: p is lowered, and scores better for it."""

import numpy as np
import pytest

from dhpe.columns import OPTION_QUOTE
from dhpe.engine import Engine
from dhpe.parameters import Parameters
from dhpe.simulate import Simulated, SimulationSettings, simulate_with_truth

START_NS = 1_790_000_000_000_000_000
PHASES = ("known", "known", "orderly", "late", "late")
"""Ten seconds each: with known sides, without, and without them with quotes up to a second late."""


def shuffled(market: Simulated, generator: np.random.Generator) -> np.ndarray:
    """The records as they arrive when the option quotes take their time; each keeps its event time."""
    events = market.batch.events
    arrival_ns = events["ts_event_ns"].copy()
    quotes = events["kind"] == OPTION_QUOTE
    arrival_ns[quotes] += generator.integers(0, 10**9, int(quotes.sum()))
    return events[np.argsort(arrival_ns, kind="stable")]


@pytest.fixture(scope="module")
def labels() -> dict[str, np.ndarray]:
    """For each phase the probabilities of its labels, and whether they are right, as two rows."""
    engine, generator = Engine(Parameters()), np.random.default_rng(7)
    settings = SimulationSettings(chunk_ms=10_000, option_trades_per_s=60.0)
    found: dict[str, list[tuple[float, bool]]] = {phase: [] for phase in PHASES}
    for phase, market in zip(PHASES, simulate_with_truth(settings, START_NS), strict=False):
        truth = dict(zip(market.batch.events["offset"].tolist(), market.sides.tolist(), strict=True))
        if phase == "known":
            market.batch.events["side"] = market.sides
        events = shuffled(market, generator) if phase == "late" else market.batch.events
        result = engine.step(market.batch._replace(events=events[:0]), market.batch._replace(events=events))
        found[phase] += [
            (label.probability, truth[label.offset] == (1 if label.side == "buy" else -1))
            for label in result.labels
            if label.symbol and label.side
        ]
    return {phase: np.array(pairs, np.float64).T for phase, pairs in found.items()}


def test_late_quotes_make_worse_labels_and_a_lower_probability(labels: dict[str, np.ndarray]) -> None:
    """Without a known side to learn it from: by the share of late quotes alone."""
    (before, right_before), (worth, right) = labels["orderly"], labels["late"]
    assert len(right) > 800
    assert right.mean() < right_before.mean() - 0.05
    assert worth.mean() < before.mean() - 0.05


def test_the_lower_probability_scores_better(labels: dict[str, np.ndarray]) -> None:
    """Brier, against the probability that held while the quotes came in time."""
    worth, right = labels["late"]
    assert np.mean((worth - right) ** 2) < np.mean((labels["orderly"][0].mean() - right) ** 2) - 0.01
