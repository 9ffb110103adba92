"""Bars for the regime machine: hand-written paths of spot and vol, and the simulated market cut into seconds."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from dhpe.columns import INDEX_VALUE, QUOTE
from dhpe.parameters import Parameters
from dhpe.regime import Bar, RegimeMachine, Transition
from dhpe.simulate import SimulationSettings, simulate

SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
START_NS = 1_700_000_000 * SECOND_NS
STATE_RULES = ("normal", "bulldozer", "burnout", "phase_transition")
UNKNOWN = Bar(START_NS, *[math.nan] * 12, 0, 0, *[math.nan] * 4, False, math.nan, math.nan)


def bars_of(
    closes: Iterable[float],
    ivs: Iterable[float],
    vvixs: Iterable[float] | None = None,
    step_ns: int = SECOND_NS,
    **fields: float,
) -> list[Bar]:
    """Bars of equal length with these closes and vols (points); what is not given is unknown."""
    closes = list(closes)
    vvix = [math.nan] * len(closes) if vvixs is None else list(vvixs)
    return [
        UNKNOWN._replace(
            end_ns=START_NS + i * step_ns, open=close, high=close, low=close, close=close, iv_index=iv, vvix=v, **fields
        )
        for i, (close, iv, v) in enumerate(zip(closes, ivs, vvix, strict=True), 1)
    ]


def calm(bars: int, seed: int = 3) -> tuple[list[float], list[float]]:
    """An index at 5000 that trembles at 15 vol points, and its vol, which leans against it."""
    steps = 6.2e-5 * np.random.default_rng(seed).standard_normal(bars)
    spot = 5000.0 * np.exp(np.cumsum(steps))
    return spot.tolist(), (15.0 - 100.0 * np.cumsum(steps)).tolist()


def crash(seed: int = 3) -> tuple[list[float], list[float], list[float]]:
    """60 s of calm; 25 s down 3 % with 10 points more vol; new lows that vol does not follow; the end; a V."""
    spot, vol = calm(60, seed)
    vvix = [90.0] * 60
    legs = (  # seconds, spot at the end, vol at the end, vvix at the end
        (25, 4850.0, 25.0, 140.0),
        (12, 4825.0, 24.9, 138.0),
        (15, 4822.0, 20.0, 110.0),
        (30, 4990.0, 16.0, 92.0),
        (30, 4992.0, 15.5, 90.0),
    )
    for seconds, spot_end, vol_end, vvix_end in legs:
        spot += np.linspace(spot[-1], spot_end, seconds + 1)[1:].tolist()
        vol += np.linspace(vol[-1], vol_end, seconds + 1)[1:].tolist()
        vvix += np.linspace(vvix[-1], vvix_end, seconds + 1)[1:].tolist()
    return spot, vol, vvix


def run(bars: Iterable[Bar], parameters: Parameters | None = None) -> list[tuple[int, Transition]]:
    """Everything a new machine says about the bars, each with the number of its bar."""
    machine = RegimeMachine(parameters or Parameters())
    return [(i, transition) for i, bar in enumerate(bars) for transition in machine.on_bar(bar)]


def walk(said: Iterable[tuple[int, Transition]]) -> list[tuple[str, str]]:
    """The changes of state as (old, new)."""
    return [(t.from_state, t.to_state) for _, t in said if t.rule in STATE_RULES]


def simulated_bars(seconds: int) -> list[Bar]:
    """Bars of one second of the simulated market: mid, VIX and VVIX as last published."""
    return list(islice(_simulated(), seconds))


def _simulated() -> Iterator[Bar]:
    last = {"mid": math.nan, "VIX": math.nan, "VVIX": math.nan}
    end_ns = START_NS + SECOND_NS
    for batch in simulate(SimulationSettings(), START_NS):
        for event in batch.events[np.isin(batch.events["kind"], (QUOTE, INDEX_VALUE))]:
            while event["ts_event_ns"] >= end_ns:
                mid = last["mid"]
                yield UNKNOWN._replace(
                    end_ns=end_ns, open=mid, high=mid, low=mid, close=mid, iv_index=last["VIX"], vvix=last["VVIX"]
                )
                end_ns += SECOND_NS
            if event["kind"] == QUOTE:
                last["mid"] = float(event["bid"] + event["ask"]) / 2
            else:
                last[batch.names[event["name"]]] = float(event["price"])
