"""The landscape of one dealer book: where its gamma changes sign, where it stands thickest, and what time alone does.

Everything is re-priced on a grid of log spot (MODEL.md section 5), each contract with the vol that it has there.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.landscape import (
    delta_change_usd,
    gamma_profile,
    refine_flip,
    same_day_share,
    sign_changes,
    strike_gammas,
    wall,
)
from dhpe.numerics.smile import IV_INDEX_TAU, atm_vol_at
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters

GRID_STEP: Final = 1e-3
GRID_HALF_WIDTH_MIN: Final = 0.10
GRID_DEVIATIONS: Final = 4.0


class Landscape(NamedTuple):
    """Prices in price points; ``None`` where there is no such place."""

    gamma_flips: tuple[float, ...]
    gamma_flip: float | None
    call_wall: float | None
    put_wall: float | None
    zero_dte_gamma_share: float | None
    delta_change_usd: float


class Rows(NamedTuple):
    """The rows of one underlying, cut to those in use."""

    contracts: NDArray[np.void]
    expiries: NDArray[np.void]


def log_grid(spot: float, atm_vol: float) -> NDArray[np.float64]:
    """Even grid of log spot around ``spot``: +-max(10 %, four 30-day deviations) in steps of 10 bp, (points,).

    ``atm_vol`` is the 30-day at-the-money vol as a fraction, NaN where unknown.
    """
    half_width = GRID_HALF_WIDTH_MIN
    if atm_vol > 0.0:
        half_width = max(half_width, GRID_DEVIATIONS * atm_vol * math.sqrt(IV_INDEX_TAU))
    steps = math.ceil(half_width / GRID_STEP - 1e-9)
    center = math.log(spot)
    return np.array([center + GRID_STEP * step for step in range(-steps, steps + 1)])


def _flips(rows: Rows, book: int, spot: float, ts_ns: int, tau_floor_ns: int) -> tuple[float, ...]:
    """All prices at which the gamma field changes sign, rising."""
    contracts, expiries = rows
    grid = log_grid(spot, atm_vol_at(expiries, len(expiries), ts_ns, IV_INDEX_TAU))
    profile = np.empty(len(grid))
    gamma_profile(contracts, len(contracts), expiries, book, ts_ns, tau_floor_ns, grid, profile)
    brackets = np.zeros((len(grid), 2), np.int64)
    found = sign_changes(profile, brackets)
    return tuple(
        math.exp(
            refine_flip(contracts, len(contracts), expiries, book, ts_ns, tau_floor_ns, grid[low], grid[high]),
        )
        for low, high in brackets[:found]
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def landscape(
    contracts: NDArray[np.void],
    count: int,
    expiries: NDArray[np.void],
    expiry_count: int,
    book: int,
    spot: float,
    ts_ns: int,
    parameters: Parameters,
) -> Landscape:
    """Re-price ``book`` (a column of ``position``) around ``spot`` at ``ts_ns``; rows of state.CONTRACT and EXPIRY."""
    rows = Rows(contracts[:count], expiries[:expiry_count])
    tau_floor_ns = int(parameters.tau_floor_s * NS_PER_S)
    horizon_ns = int(parameters.decay_wind_horizon_s * NS_PER_S)
    flips = _flips(rows, book, spot, ts_ns, tau_floor_ns)
    gammas = np.zeros(count)
    strike_gammas(rows.contracts, count, rows.expiries, book, math.log(spot), ts_ns, tau_floor_ns, gammas)
    by_strike = np.argsort(rows.contracts["strike"], kind="stable")
    return Landscape(
        gamma_flips=flips,
        gamma_flip=min(flips, key=lambda flip: abs(flip - spot), default=None),
        call_wall=_known(wall(rows.contracts, by_strike, gammas, spot, 1)),
        put_wall=_known(wall(rows.contracts, by_strike, gammas, spot, -1)),
        zero_dte_gamma_share=_known(same_day_share(rows.contracts, gammas, ts_ns)),
        delta_change_usd=delta_change_usd(rows.contracts, count, rows.expiries, book, spot, ts_ns, horizon_ns),
    )
