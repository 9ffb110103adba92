"""A market with a known truth: seeded, synchronous, in event time, and said to be simulated in every record.

``simulate`` yields Batches for ever, the first with the reference data; ``simulate_with_truth`` yields beside each
batch what is really so: lambda, the dealers' book, the vols, the aggressor of every trade.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import Batch
from dhpe.simulate.market import Market, Truth
from dhpe.simulate.records import merged
from dhpe.simulate.scenario import CALM, CYCLE, STEP_MS, Phase, SimulationSettings

__all__ = ["CALM", "CYCLE", "Phase", "Simulated", "SimulationSettings", "Truth", "simulate", "simulate_with_truth"]


class Simulated(NamedTuple):
    """A batch and the truth after it: ``sides`` by record (0 where it is no trade), ``truths`` by underlying."""

    batch: Batch
    sides: NDArray[np.int8]
    truths: tuple[Truth, ...]


def simulate(settings: SimulationSettings, start_ns: int) -> Iterator[Batch]:
    """Yield the records of the simulated market from ``start_ns`` (UTC) on, in event time, ``chunk_ms`` a batch."""
    for simulated in simulate_with_truth(settings, start_ns):
        yield simulated.batch


def simulate_with_truth(settings: SimulationSettings, start_ns: int) -> Iterator[Simulated]:
    """Yield the same batches, each with what is really so at its end."""
    seeds = np.random.SeedSequence(settings.seed).spawn(len(settings.underlyings))
    markets = [Market(name, settings, start_ns, seed) for name, seed in zip(settings.underlyings, seeds, strict=True)]
    for market in markets:
        market.open()
    steps = settings.chunk_ms // STEP_MS
    offset = 0
    while True:
        # The open is the first step of the first chunk.
        for market in markets:
            for _ in range(steps - (offset == 0)):
                market.step()
        chunk = merged([market.recorder.take() for market in markets], offset)
        if settings.publishes_side:
            chunk.batch.events["side"] = chunk.sides
        offset += len(chunk.batch.events)
        yield Simulated(chunk.batch, chunk.sides, tuple(market.truth() for market in markets))
