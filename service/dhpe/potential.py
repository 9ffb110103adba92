"""The hedging potential of a book: where its hedging pins the price, and how hard it pulls (MODEL.md section 5)."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.potential import amihud_profile, force, green_potential, tridiagonal_potential
from dhpe.numerics.state import BETA_VANNA, GAMMA, NS_PER_S
from dhpe.parameters import Parameters
from dhpe.projection import LandscapeGrid


class Potential(NamedTuple):
    """Low potential pins; ``force`` is its fall per unit of log price, ``slope_per_s`` its change with time alone."""

    spots: NDArray[np.float64]  # (points,) rising
    potential: NDArray[np.float64]  # (points,) no unit
    force: NDArray[np.float64]
    slope_per_s: NDArray[np.float64]
    kyle_lambda: NDArray[np.float64]  # (points,) log return per USD
    screening_length: float  # log price
    solver: Literal["transform", "tridiagonal"]


class Tape(NamedTuple):
    """The closed liquidity bars, rings as in ``numerics.liquidity``, and the log price at the end of the newest."""

    returns: NDArray[np.float64]
    volumes_usd: NDArray[np.float64]
    head: int
    bars: int
    log_mid: float


def source(fields: NDArray[np.float64], book: int, parameters: Parameters) -> NDArray[np.float64]:
    """The hedge pressure over the grid, from ``fields`` (FIELDS, books, points), USD per unit log return."""
    gamma = parameters.gamma_weight * fields[GAMMA, book]
    vanna = parameters.vanna_weight * fields[BETA_VANNA, book]
    pressure: NDArray[np.float64] = -parameters.dealer_share * (gamma + vanna)
    return pressure


def lambda_profile(
    log_grid: NDArray[np.float64], tape: Tape, kyle_lambda: float, mean_amihud: float | None
) -> NDArray[np.float64]:
    """Price impact along the grid: Amihud's ratio by price, scaled so that its mean is ``kyle_lambda``, the value now.

    Where no bar with volume ended, and where a bar did not move the price, it is ``kyle_lambda``.
    """
    ratios = np.empty(len(log_grid))
    bars = np.empty(len(log_grid), np.int64)
    amihud_profile(tape.returns, tape.volumes_usd, tape.head, tape.bars, tape.log_mid, log_grid, ratios, bars)
    if mean_amihud is None or not mean_amihud > 0:
        return np.full(len(log_grid), kyle_lambda)
    return np.where(ratios > 0, ratios * (kyle_lambda / mean_amihud), kyle_lambda)


def _direct(
    load: NDArray[np.float64], lambdas: NDArray[np.float64], step: float, screening: float
) -> NDArray[np.float64]:
    out, work = np.empty(len(load)), np.empty(len(load))
    tridiagonal_potential(load, lambdas, step, screening, work, out)
    return out


def potential(
    grid: LandscapeGrid,
    book: int,
    lambdas: NDArray[np.float64],
    kyle_lambda: float,
    parameters: Parameters,
) -> Potential:
    """The potential of one book over the grid's prices, from its first two instants.

    ``lambdas`` (points,) is the impact by price, ``kyle_lambda`` its value now, from which the screening is taken.
    Where it is the same at every price the solution is a convolution, else a tridiagonal system (MODEL.md section 5).
    """
    length = parameters.screening_length
    log_spots = [math.log(spot) for spot in grid.spots.tolist()]
    step = (log_spots[-1] - log_spots[0]) / (len(log_spots) - 1)
    screening = 1.0 / (kyle_lambda * length * length)
    constant = bool((lambdas == kyle_lambda).all())

    def solved(instant: int) -> NDArray[np.float64]:
        load = source(grid.fields[:, :, instant], book, parameters)
        if constant:
            return green_potential(load, step, kyle_lambda, length)
        return _direct(load, lambdas, step, screening)

    now, later = solved(0), solved(1)
    pull = np.empty(len(now))
    force(now, step, pull)
    apart_s = int(grid.ts_ns[1] - grid.ts_ns[0]) / NS_PER_S
    slope = (later - now) / apart_s if apart_s > 0 else np.full(len(now), np.nan)
    return Potential(grid.spots, now, pull, slope, lambdas, length, "transform" if constant else "tridiagonal")
