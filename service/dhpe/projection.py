"""The pictures of the landscape: the fields over prices, over prices and time to the close, by strike and by expiry.

For reading: pure functions of the rows, called when somebody asks. All three books, sticky strike.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.landscape import Rows
from dhpe.numerics.projection import field_profiles, grouped_fields
from dhpe.numerics.state import BOOKS, FIELDS

GRID_INSTANTS: Final = 9
Fields = NDArray[np.float64]


class LandscapeGrid(NamedTuple):
    """The fields over time and price. ``fields`` (FIELDS, books, instants, points) as ``numerics.state`` counts them.

    Units as in MODEL.md section 1: USD per unit log return, per 1.00 of vol, per year; the fourth has beta inside.
    """

    ts_ns: NDArray[np.int64]  # (instants,) rising, from now to just before the next settlement
    spots: NDArray[np.float64]  # (points,) rising
    fields: NDArray[np.float64]


class FieldSums(NamedTuple):
    """The fields at the present spot by strike (price) or by settlement (ns): ``fields`` (FIELDS, books, …, keys)."""

    keys: NDArray[np.float64] | NDArray[np.int64]  # (keys,) rising
    fields: Fields


def profiles(rows: Rows, log_grid: NDArray[np.float64], ts_ns: int, tau_floor_ns: int) -> NDArray[np.float64]:
    """The fields of all books over an even grid of log spot, (FIELDS, books, points)."""
    out = np.empty((FIELDS, len(BOOKS), len(log_grid)))
    tails = np.empty((len(BOOKS), len(log_grid) + 1))
    field_profiles(rows.contracts, len(rows.contracts), rows.expiries, ts_ns, tau_floor_ns, log_grid, tails, out)
    return out


def landscape_grid(
    rows: Rows,
    log_grid: NDArray[np.float64],
    ts_ns: int,
    close_ns: int,
    tau_floor_ns: int,
    instants_count: int = GRID_INSTANTS,
) -> LandscapeGrid:
    """The fields from now to one nanosecond before ``close_ns``, the session's next settlement (MODEL.md section 5)."""
    instants = instants_between(ts_ns, close_ns, instants_count)
    fields = np.stack([profiles(rows, log_grid, instant, tau_floor_ns) for instant in instants], axis=2)
    spots = np.array([math.exp(x) for x in log_grid.tolist()])
    return LandscapeGrid(np.array(instants, np.int64), spots, fields)


def instants_between(ts_ns: int, close_ns: int, count: int) -> list[int]:
    """Even instants from now to the last one at which what settles at ``close_ns`` is still open."""
    last_ns = max(close_ns - 1, ts_ns)
    return [ts_ns + (last_ns - ts_ns) * step // (count - 1) for step in range(count)]


def _sums(rows: Rows, groups: NDArray[np.int64], count: int, spot: float, ts_ns: int, tau_floor_ns: int) -> Fields:
    out = np.empty((FIELDS, len(BOOKS), count))
    grouped_fields(rows.contracts, rows.expiries, groups, math.log(spot), ts_ns, tau_floor_ns, out)
    return out


def by_strike(rows: Rows, spot: float, ts_ns: int, tau_floor_ns: int) -> FieldSums:
    """What each strike adds to the fields now, all its expiries: (FIELDS, books, 2, keys), calls before puts."""
    strikes, places = np.unique(rows.contracts["strike"], return_inverse=True)
    groups = places.astype(np.int64) + len(strikes) * (rows.contracts["right"] < 0)
    sums = _sums(rows, groups, 2 * len(strikes), spot, ts_ns, tau_floor_ns)
    return FieldSums(strikes, sums.reshape(FIELDS, len(BOOKS), 2, len(strikes)))


def by_expiry(rows: Rows, spot: float, ts_ns: int, tau_floor_ns: int) -> FieldSums:
    """What each settlement adds to the fields now."""
    settlements, places = np.unique(rows.contracts["settles_ns"], return_inverse=True)
    sums = _sums(rows, places.astype(np.int64), len(settlements), spot, ts_ns, tau_floor_ns)
    return FieldSums(settlements, sums)
