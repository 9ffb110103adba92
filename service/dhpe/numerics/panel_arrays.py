"""Storage of the panel: two windows with their sums, and what hangs on them."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.panel_units import TERM
from dhpe.numerics.state import BOOKS, FIELDS, INSTANTS, UNIT_FIELDS

SIDES: Final = 2
"""Windows there is room for: the present one and the next."""
LANES: Final = FIELDS * len(BOOKS)

# Where a contract stands in a window.
OFF: Final = 0
ON_NODES: Final = 1
HOT: Final = 2


class PanelRules(NamedTuple):
    """Widths and floors of the panel, and which quotes enter it; see ``parameters.Parameters``."""

    half_width: float
    window_ns: int
    tau_floor_ns: int
    hot_tau_ns: int
    hot_width: float
    rebuild_events: int
    spread_max: float
    by_delta: bool = False  # the smile moves with the forward, else each vol stays at its strike


class PanelArrays(NamedTuple):
    """Storage of the panel.

    What the hot kernels touch lies in rows of fixed shape: a row is a pointer, where an array in a tuple costs
    counting references and an unknown length.
    """

    windows: NDArray[np.void]  # (SIDES,) of ``window_dtype``; ``market.panel_side`` is the present one
    grid: NDArray[np.void]  # (1,) of ``grid_dtype``: nodes and scratch
    places: NDArray[np.int8]  # (SIDES, contracts): OFF, ON_NODES or HOT
    hot_rows: NDArray[np.int32]  # (SIDES, contracts)
    terms: NDArray[np.void]  # (SIDES, expiries, INSTANTS) of TERM


def window_dtype(nodes: int) -> np.dtype[np.void]:
    """A window: where it stands, its sums, and what was counted as the contracts were taken in."""
    return np.dtype(
        [
            ("center", "f8"),  # log spot
            ("half_width", "f8"),  # of log spot
            ("low_spot", "f8"),  # outside these two the next window is due
            ("high_spot", "f8"),
            ("start_ns", "i8"),
            ("end_ns", "i8"),
            ("in_work", "i1"),  # 1: the next window, being prepared
            ("rows", "i4"),  # contracts taken in so far
            ("hot_rows", "i4"),
            ("live", "i4"),
            ("valued", "i4"),
            ("held", "i4"),
            ("american", "i4"),
            ("anchored", "i4"),
            ("informed", "i4"),
            ("sums", "f8", (INSTANTS, nodes, LANES)),  # a lane is field * books + book
        ],
        align=True,
    )


def grid_dtype(nodes: int) -> np.dtype[np.void]:
    """The nodes in [-1, 1] with their barycentric weights, and scratch of the kernels."""
    return np.dtype(
        [
            ("nodes", "f8", (nodes,)),
            ("weights", "f8", (nodes,)),
            ("units", "f8", (INSTANTS, UNIT_FIELDS, nodes)),  # one contract
            ("blend", "f8", (nodes,)),  # weights of the nodes at the present spot
            ("lanes", "f8", (LANES,)),
            ("exact", "f8", (FIELDS, len(BOOKS))),  # the fields recomputed for the self-check
            ("gross", "f8", (FIELDS, len(BOOKS))),  # sums of |contribution|, what the error is measured against
        ],
        align=True,
    )


def panel_arrays(contracts: int, nodes: int) -> PanelArrays:
    """Allocate a panel for up to ``contracts`` contracts at ``nodes`` Chebyshev points of the second kind."""
    places = [math.cos(math.pi * j / (nodes - 1)) for j in range(nodes)]
    grid = np.zeros(1, grid_dtype(nodes))
    grid["nodes"] = places
    grid["weights"] = [1.0 / math.prod(at - other for other in places if other != at) for at in places]
    return PanelArrays(
        windows=np.zeros(SIDES, window_dtype(nodes)),
        grid=grid,
        places=np.zeros((SIDES, contracts), np.int8),
        hot_rows=np.zeros((SIDES, contracts), np.int32),
        terms=np.zeros((SIDES, contracts, INSTANTS), TERM),
    )
