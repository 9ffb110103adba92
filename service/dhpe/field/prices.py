"""The field over prices: profiles under both kinds of stickiness, flips and walls, the time grid and the potential."""

import math

import numpy as np
from numpy.typing import NDArray

from dhpe.field.copying import FieldCopy
from dhpe.field.holdings import at_their_delta, merged
from dhpe.field_outputs import (
    BookProfile,
    BookProfiles,
    FieldGrid,
    FieldLandscape,
    FieldLimits,
    FieldPotential,
)
from dhpe.landscape import Rows, log_grid
from dhpe.numerics.landscape import refine_flip, same_day_share, sign_changes, strike_gammas, wall
from dhpe.numerics.smile import IV_INDEX_TAU, atm_vol_at
from dhpe.numerics.state import BOOKS, CHARM, GAMMA, NS_PER_S, VANNA
from dhpe.potential import lambda_profile, potential, source
from dhpe.projection import (
    Fields,
    LandscapeGrid,
    instants_between,
    landscape_grid,
    profiles,
)


class PriceReading:
    """The re-priced fields of one copy, made once for all that is read off them.

    ``rows`` are the held contracts as they stand, ``pairs`` the same fields from half as many rows.
    """

    def __init__(self, copy: FieldCopy, rows: Rows, limits: FieldLimits) -> None:
        self._copy = copy
        self._rows = rows
        self._limits = limits
        self._spot = float(copy.market["spot"])
        self._now_ns = int(copy.market["ts_ns"])
        self._close_ns = int(copy.market["next_settlement_ns"])
        self._tau_floor_ns = int(copy.parameters.tau_floor_s * NS_PER_S)
        self._book = BOOKS.index(copy.parameters.default_book)
        self._pairs = merged(rows, math.log(self._spot))
        atm_vol = atm_vol_at(rows.expiries, len(rows.expiries), self._now_ns, IV_INDEX_TAU)
        self._grid = _thinned(log_grid(self._spot, atm_vol), limits.points_max)
        self._profiles = profiles(self._pairs, self._grid, self._now_ns, self._tau_floor_ns)

    def landscape(self) -> FieldLandscape:
        """Profiles, flips, walls and the time grid."""
        by_delta = at_their_delta(self._pairs, self._spot, self._now_ns)
        moved = profiles(by_delta, self._grid, self._now_ns, self._tau_floor_ns)
        books = BookProfiles(*(self._book_profile(book, by_delta, moved) for book in range(len(BOOKS))))
        default = getattr(books, BOOKS[self._book])
        sticky_delta = self._copy.parameters.stickiness == "delta"
        flips = default.gamma_flips_sticky_delta if sticky_delta else default.gamma_flips
        return FieldLandscape(
            stickiness="delta" if sticky_delta else "strike",
            log_step=float(self._grid[1] - self._grid[0]),
            prices=_prices(self._grid),
            profiles=books,
            vanna_profile=self._profiles[VANNA, self._book].tolist(),
            vanna_profile_sticky_delta=moved[VANNA, self._book].tolist(),
            charm_profile=self._profiles[CHARM, self._book].tolist(),
            charm_profile_sticky_delta=moved[CHARM, self._book].tolist(),
            gamma_flip=min(flips, key=lambda flip: abs(flip - self._spot), default=None),
            gamma_flips=flips,
            call_wall=default.call_wall,
            put_wall=default.put_wall,
            zero_dte_gamma_share=_known(same_day_share(self._rows.contracts, self._gammas(self._book), self._now_ns)),
            grid=self._time_grid(),
        )

    def potential(self) -> FieldPotential | None:
        """The potential of the default book; ``None`` where the impact is unknown or nothing."""
        copy = self._copy
        impact = copy.kyle_lambda
        if impact.value is None or not impact.value > 0.0:
            return None
        ts_ns = instants_between(self._now_ns, self._close_ns, self._limits.grid_instants)[:2]
        later = profiles(self._pairs, self._grid, ts_ns[1], self._tau_floor_ns)
        grid = LandscapeGrid(
            np.array(ts_ns, np.int64), np.array(_prices(self._grid)), np.stack([self._profiles, later], 2)
        )
        lambdas = lambda_profile(self._grid, copy.tape, impact.value, copy.amihud_illiquidity)
        found = potential(grid, self._book, lambdas, impact.value, copy.parameters)
        return FieldPotential(
            prices=found.spots.tolist(),
            hedge_pressure_by_price=source(self._profiles, self._book, copy.parameters).tolist(),
            potential_by_price=found.potential.tolist(),
            force_by_price=found.force.tolist(),
            potential_slope_per_s=found.slope_per_s.tolist() if ts_ns[1] > ts_ns[0] else None,
            kyle_lambda_by_price=found.kyle_lambda.tolist(),
            kyle_lambda=impact.value,
            kyle_lambda_source=impact.source,
            screening_length=found.screening_length,
            solver=found.solver,
        )

    def _gammas(self, book: int) -> NDArray[np.float64]:
        gammas = np.zeros(len(self._rows.contracts))
        contracts, expiries = self._rows
        log_spot = math.log(self._spot)
        strike_gammas(contracts, len(contracts), expiries, book, log_spot, self._now_ns, self._tau_floor_ns, gammas)
        return gammas

    def _book_profile(self, book: int, by_delta: Rows, moved: Fields) -> BookProfile:
        gammas = self._gammas(book)
        by_strike = np.argsort(self._rows.contracts["strike"], kind="stable")
        return BookProfile(
            gamma_profile=self._profiles[GAMMA, book].tolist(),
            gamma_profile_sticky_delta=moved[GAMMA, book].tolist(),
            gamma_flips=self._flips(self._pairs, self._profiles[GAMMA, book], book),
            gamma_flips_sticky_delta=self._flips(by_delta, moved[GAMMA, book], book),
            call_wall=_known(wall(self._rows.contracts, by_strike, gammas, self._spot, 1)),
            put_wall=_known(wall(self._rows.contracts, by_strike, gammas, self._spot, -1)),
        )

    def _flips(self, rows: Rows, profile: NDArray[np.float64], book: int) -> list[float]:
        """All prices at which the profile changes sign, rising."""
        contracts, expiries = rows
        brackets = np.zeros((len(self._grid), 2), np.int64)
        found = sign_changes(profile, brackets)
        now_ns, floor_ns = self._now_ns, self._tau_floor_ns
        ends = [(float(self._grid[low]), float(self._grid[high])) for low, high in brackets[:found]]
        return [
            math.exp(refine_flip(contracts, len(contracts), expiries, book, now_ns, floor_ns, low, high))
            for low, high in ends
        ]

    def _time_grid(self) -> FieldGrid:
        coarse = _thinned(self._grid, self._limits.grid_points_max)
        found = landscape_grid(
            self._pairs, coarse, self._now_ns, self._close_ns, self._tau_floor_ns, self._limits.grid_instants
        )
        return FieldGrid(
            close_ns=self._close_ns,
            instants_ns=found.ts_ns.tolist(),
            prices=found.spots.tolist(),
            gamma_field=found.fields[GAMMA, self._book].tolist(),
            vanna_field=found.fields[VANNA, self._book].tolist(),
            charm_field=found.fields[CHARM, self._book].tolist(),
        )


def _thinned(grid: NDArray[np.float64], points_max: int) -> NDArray[np.float64]:
    """Every nth point of a grid, its middle among them, so that at most ``points_max`` are left."""
    half = len(grid) // 2
    stride = math.ceil(half / ((points_max - 1) // 2))
    return grid[half % stride :: stride]


def _prices(grid: NDArray[np.float64]) -> list[float]:
    return [math.exp(x) for x in grid.tolist()]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
