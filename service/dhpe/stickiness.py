"""Which skew stickiness holds: the one measured between fits of the surface once it is the surer, else the setting's.

MODEL.md section 4: the default is 1.5 with an error of 0.5. A setting with an error of 0 is never replaced.
"""

import math
from typing import Final, Literal, NamedTuple

import numpy as np

from dhpe.numerics.revalue import ContractState
from dhpe.numerics.smile import BetaRule
from dhpe.numerics.state import NS_PER_S
from dhpe.numerics.stickiness import FIT, SAMPLES_MIN, aged_slope, skew_move
from dhpe.parameters import Parameters

OBSERVATIONS_MAX: Final = 2048
GAP_INTERVALS_MAX: Final = 30.0
"""Fits farther apart than so many surface intervals are not compared: a night or a break is another market."""


class Stickiness(NamedTuple):
    """The skew stickiness in force, with its standard error and where both come from."""

    value: float
    standard_error: float
    source: Literal["estimate", "setting"]


class SkewStickiness:
    """The moves of vol and spot between the fits of one underlying's surface, and what follows from them."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._times_ns = np.zeros(OBSERVATIONS_MAX, np.int64)
        self._by_skew = np.zeros(OBSERVATIONS_MAX)
        self._moved = np.zeros(OBSERVATIONS_MAX)
        self._observations = 0
        self._before = np.zeros(0, FIT)
        self.now = Stickiness(parameters.skew_stickiness, parameters.skew_stickiness_standard_error, "setting")

    def rule(self, now_ns: int) -> BetaRule:
        """How beta follows from the slope in a fit at ``now_ns``, by what the fits before it have shown."""
        self.now = self._chosen(now_ns)
        parallel = self._parameters.spot_vol_beta
        parallel_error = self._parameters.spot_vol_beta_standard_error
        return BetaRule(
            self.now.value,
            self.now.standard_error,
            np.nan if parallel is None else parallel,
            np.nan if parallel_error is None else parallel_error,
        )

    def rescale(self, shares: float) -> None:
        """Put the remembered fits on new shares, ``shares`` of them for each old one."""
        self._before["log_spot"] -= math.log(shares)

    def _chosen(self, now_ns: int) -> Stickiness:
        parameters = self._parameters
        told = Stickiness(parameters.skew_stickiness, parameters.skew_stickiness_standard_error, "setting")
        slope, error, samples = aged_slope(
            self._times_ns,
            self._by_skew,
            self._moved,
            self._observations % OBSERVATIONS_MAX,
            min(self._observations, OBSERVATIONS_MAX),
            now_ns,
            parameters.skew_stickiness_half_life_s * NS_PER_S,
        )
        # Of a NaN every comparison is false.
        if samples >= SAMPLES_MIN and error < told.standard_error:
            return Stickiness(slope, error, "estimate")
        return told

    def observe(self, state: ContractState, now_ns: int) -> None:
        """Take the fit just made at ``now_ns`` and compare each expiry with the fit that its quotes are new against."""
        market = state.market[0]
        count, spot = int(market["expiries"]), float(market["spot"])
        if not spot > 0.0:
            return
        if len(self._before) < count:
            grown = np.zeros(len(state.expiries), FIT)
            grown[: len(self._before)] = self._before
            self._before = grown
        by_skew, moved, known = skew_move(
            state.contracts,
            int(market["contracts"]),
            state.expiries[:count],
            self._before,
            math.log(spot),
            now_ns,
            GAP_INTERVALS_MAX * self._parameters.surface_interval_s * NS_PER_S,
        )
        if known > 0:
            at = self._observations % OBSERVATIONS_MAX
            self._times_ns[at] = now_ns
            self._by_skew[at] = by_skew
            self._moved[at] = moved
            self._observations += 1
