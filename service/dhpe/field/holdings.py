"""The contracts that make the field: open, held by some book, with a vol; and what their vols hold to."""

import numpy as np
from numpy.typing import NDArray

from dhpe.landscape import Rows
from dhpe.numerics.sticky_delta import measure_ratios, move_vols

_STRIKE = ("expiry", "strike", "vol", "multiplier")
_SHARE_LOG_STRIKE = -50.0


def held(rows: Rows, ts_ns: int) -> Rows:
    """The rows that add something to the fields of any book."""
    contracts = rows.contracts
    alive = (contracts["active"] == 1) & (contracts["settles_ns"] > ts_ns) & (contracts["vol"] > 0.0)
    return Rows(contracts[alive & (contracts["position"] != 0.0).any(axis=1)], rows.expiries)


def at_their_strikes(rows: Rows, spot: float, ts_ns: int) -> Rows:
    """A copy under sticky strike: each vol as it is at ``spot``, and staying there."""
    contracts = rows.contracts.copy()
    move_vols(contracts, rows.expiries, spot, ts_ns)
    contracts["fit_ratio"] = 0.0
    return Rows(contracts, rows.expiries)


def at_their_delta(rows: Rows, spot: float, ts_ns: int) -> Rows:
    """A copy of rows at their strikes under sticky delta: the smile moves with the forward from where it stands."""
    contracts = rows.contracts.copy()
    measure_ratios(contracts, rows.expiries, spot, ts_ns)
    return Rows(contracts, rows.expiries)


def merged(rows: Rows, log_spot: float) -> Rows:
    """The same fields at every spot and time from half as many rows: call and put of a strike as one.

    Both have one vol, so that gamma and vanna are the same; the charm of the put is that of the call less the dividends
    of a share (MODEL.md section 2). So a put is written as its call less a call that is as good as a share, struck at
    e^-50 of the spot: one such row for each expiry.
    """
    contracts = rows.contracts
    if len(contracts) == 0:
        return rows
    calls = _summed(contracts, _STRIKE)
    calls["right"] = 1
    shares = _summed(contracts[contracts["right"] == -1], ("expiry", "multiplier"))
    shares["position"] *= -1.0
    shares["right"] = 1
    shares["log_strike"] = log_spot + _SHARE_LOG_STRIKE
    return Rows(np.concatenate([calls, shares]), rows.expiries)


def _summed(contracts: NDArray[np.void], keys: tuple[str, ...]) -> NDArray[np.void]:
    """One row for all that agree in ``keys``, with the sum of their positions."""
    if len(contracts) == 0:
        return contracts.copy()
    ordered = contracts[np.lexsort([contracts[key] for key in reversed(keys)])]
    begins = np.ones(len(ordered), np.bool_)
    begins[1:] = False
    for key in keys:
        begins[1:] |= ordered[key][1:] != ordered[key][:-1]
    starts = np.flatnonzero(begins)
    summed = ordered[starts]
    summed["position"] = np.add.reduceat(ordered["position"], starts, axis=0)
    return summed
