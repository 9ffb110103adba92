"""What the simulated market lives through: calm, crash, burnout, phase transition, recovery, and again.

A phase scripts only what comes from outside the dealers: how the customers press, how fear answers the price, how
much the order book holds. The price itself follows from the hedging (``market``), so a crash is driven by the
feedback and not painted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Phase(NamedTuple):
    """One act. Speeds are per second, prices log distances from the anchor, depths shares of a normal touch."""

    name: str
    duration_s: float
    goal_log: float  # where the price stands at the end
    acceleration: float  # -1 brakes to a stand, 0 goes evenly, 1 starts from a stand
    pull_per_s: float  # how hard value investors hold the price to its path
    volatility_per_sqrt_s: float  # of the customers' pressure, before feedback
    vol_response: float  # multiple of the skew stickiness with which vols answer the price
    panic_points: float  # of VIX, for its far puts, per unit of log return on top of the vols at the money
    vol_reversion_per_s: float  # back to the calm term structure
    vol_noise_per_sqrt_s: float  # of the 30-day vol
    vvix_goal: float
    vvix_reversion_per_s: float
    impact: float  # Kyle's lambda as a multiple of what a calm book shows
    bid_depth: float
    ask_depth: float
    spread_ticks: int
    liquidity_lag_s: float  # how fast the book follows a change of phase
    refill_per_s: float  # how fast the book comes back to its depth at an unchanged price
    pulls: float  # best bids cancelled ahead of the sellers, a step
    option_spread: float  # multiple of a calm option spread
    put_buying: float  # probability that an option customer takes the side that leaves dealers shorter
    sector_correlation: float
    high_beta_lead_per_s: float


CALM = Phase(
    name="calm", duration_s=40.0, goal_log=0.0, acceleration=0.0, pull_per_s=0.10, volatility_per_sqrt_s=4.5e-5,
    vol_response=1.0, panic_points=0.0, vol_reversion_per_s=0.05, vol_noise_per_sqrt_s=1.2e-4,
    vvix_goal=88.0, vvix_reversion_per_s=0.05,
    impact=1.0, bid_depth=1.0, ask_depth=1.0, spread_ticks=1, liquidity_lag_s=1.2,
    refill_per_s=12.0, pulls=0.0, option_spread=1.0, put_buying=0.60,
    sector_correlation=0.35, high_beta_lead_per_s=0.0,
)  # fmt: skip
_CRASH = CALM._replace(
    name="crash", duration_s=16.0, goal_log=-0.044, acceleration=0.75, pull_per_s=0.25, volatility_per_sqrt_s=8e-5,
    vol_response=1.4, panic_points=260.0, vol_reversion_per_s=0.0, vol_noise_per_sqrt_s=3e-4,
    vvix_goal=165.0, vvix_reversion_per_s=0.06,
    impact=2.6, bid_depth=0.12, ask_depth=0.60, spread_ticks=3, liquidity_lag_s=2.5,
    refill_per_s=1.5, pulls=3.5, option_spread=3.0, put_buying=0.80,
    sector_correlation=0.95,
)  # fmt: skip
_BURNOUT = CALM._replace(
    name="burnout", duration_s=11.0, goal_log=-0.051, acceleration=-0.8, pull_per_s=0.25, volatility_per_sqrt_s=6e-5,
    vol_response=0.0, vol_reversion_per_s=0.01, vol_noise_per_sqrt_s=6e-4,
    vvix_goal=150.0, vvix_reversion_per_s=0.02,
    impact=2.2, bid_depth=0.30, ask_depth=0.60, spread_ticks=2, liquidity_lag_s=1.2,
    refill_per_s=3.0, pulls=0.7, option_spread=2.5,
    sector_correlation=0.85,
)  # fmt: skip
_PHASE_TRANSITION = CALM._replace(
    name="phase_transition", duration_s=13.0, goal_log=-0.0515, acceleration=-0.9, pull_per_s=0.15,
    volatility_per_sqrt_s=4e-5, vol_response=0.5, vol_reversion_per_s=0.06, vol_noise_per_sqrt_s=4e-4,
    vvix_goal=105.0, vvix_reversion_per_s=0.08,
    impact=1.6, bid_depth=0.80, ask_depth=0.80, spread_ticks=1, liquidity_lag_s=1.2,
    refill_per_s=10.0, pulls=0.0, option_spread=1.5, put_buying=0.50,
    sector_correlation=0.20, high_beta_lead_per_s=2e-4,
)  # fmt: skip
_RECOVERY = CALM._replace(
    name="recovery", duration_s=22.0, goal_log=0.0, acceleration=-0.6, volatility_per_sqrt_s=5e-5,
    vol_response=0.8, vol_reversion_per_s=0.08, vol_noise_per_sqrt_s=2e-4,
    vvix_goal=90.0, vvix_reversion_per_s=0.10,
    put_buying=0.55, sector_correlation=0.40,
)  # fmt: skip
CYCLE = (CALM, _CRASH, _BURNOUT, _PHASE_TRANSITION, _RECOVERY)
"""About 90 s. The fall of 5 % in half a minute is that of a flash crash."""

DURATION_SPREAD = 0.05
GOAL_SPREAD = 0.06


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """The simulated market. The same settings and start give the same records, however they are cut into batches."""

    seed: int = 20_240_805
    underlyings: tuple[str, ...] = ("SIM",)
    chunk_ms: int = 100
    phases: tuple[Phase, ...] = CYCLE
    calm_gain: float = -0.12  # kappa Psi at the first record: fixes the scale of the open interest
    spot: float = 5000.0
    rate: float = 0.045
    dividend_yield: float = 0.013
    same_day_settles_s: float = 4 * 3600.0
    news_share: float = 0.1  # part of the price's variance that moves without a trade
    option_quotes_per_s: float = 300.0
    option_trades_per_s: float = 20.0
    publishes_side: bool = False  # of the aggressor, on every trade
    publishes_dealer_position: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        checks = {
            "underlyings must be named, each once": len(set(self.underlyings)) == len(self.underlyings) > 0,
            f"chunk_ms must be a positive multiple of {STEP_MS}": self.chunk_ms > 0 and self.chunk_ms % STEP_MS == 0,
            "phases must not be empty": len(self.phases) > 0,
            "spot must be positive": self.spot > 0,
            "calm_gain must lie between -0.7 and 0.7": abs(self.calm_gain) <= GAIN_MAX,
            "news_share must lie between 0 and 1": 0 <= self.news_share < 1,
            "same_day_settles_s must be positive": self.same_day_settles_s > 0,
            "rates per second must not be negative": min(self.option_quotes_per_s, self.option_trades_per_s) >= 0,
        }
        for sentence, holds in checks.items():
            if not holds:
                msg = f"SimulationSettings: {sentence}"
                raise ValueError(msg)


STEP_MS = 50
"""The inner step: hedgers answer one step after a move. Chunks are whole steps, so their size changes nothing."""
STEP_S = STEP_MS / 1000
GAIN_MAX = 0.7
"""Liquidity providers come in before the loop becomes critical (the risk rule of MODEL.md section 4 is 0.8)."""


class Act(NamedTuple):
    """A phase as it is played this time: its own duration and goal."""

    phase: Phase
    duration_s: float
    goal_log: float

    def path(self, start_log: float, elapsed_s: float) -> tuple[float, float]:
        """Where the price should stand, and its speed per second, ``elapsed_s`` after the beginning."""
        share = min(elapsed_s / self.duration_s, 1.0)
        distance = self.goal_log - start_log
        bend = self.phase.acceleration
        level = start_log + distance * (share + bend * (share * share - share))
        return level, distance * (1.0 + bend * (2.0 * share - 1.0)) / self.duration_s


def acts(phases: tuple[Phase, ...], generator: np.random.Generator) -> Iterator[Act]:
    """Play the phases for ever, each time a little longer or shorter, deeper or shallower."""
    while True:
        depth = 1.0 + GOAL_SPREAD * generator.uniform(-1.0, 1.0)
        for phase in phases:
            stretch = 1.0 + DURATION_SPREAD * generator.uniform(-1.0, 1.0)
            yield Act(phase, phase.duration_s * stretch, phase.goal_log * depth)
