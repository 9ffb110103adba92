"""Sticky delta: the smile moves with the forward, each contract keeps its distance from it.

sigma(S', K) = sigma_fit(k') * sigma_quote/sigma_fit, k' = ln(K/F') (MODEL.md section 5); nothing is iterated. The ratio
is the contract's own and lives outside the fit, in its row: where it is known, all fields, profiles and winds take
the vol from here, and where it is 0 (sticky strike, or no fit) the vol stays where it is. Between two fits a quote
that is not renewed follows the fit; each new fit first brings those vols to the present spot and then measures the
ratios anew, so that nothing jumps by the refit alone.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import borrowing_kernel, kernel
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.smile import smile_vol


@borrowing_kernel
def vol_at(contract: np.void, expiry: np.void, log_forward: float) -> float:
    """Vol of a contract when the forward of its expiry stands at exp(log_forward)."""
    ratio = contract["fit_ratio"]
    if ratio == 0.0:
        return contract["vol"]
    return ratio * smile_vol(expiry, contract["log_strike"] - log_forward)


@kernel
def fit_ratio(vol: float, log_strike: float, expiry: np.void, spot: float, ts_ns: int) -> float:
    """sigma_quote/sigma_fit of a vol that was found when spot stood there; 0 without a vol or a fit."""
    ratio = vol / smile_vol(expiry, log_strike - math.log(spot * forward_ratio(expiry, ts_ns)))
    return ratio if ratio > 0.0 else 0.0


@kernel
def move_vols(contracts: NDArray[np.void], expiries: NDArray[np.void], spot: float, ts_ns: int) -> None:
    """Bring the vol of every open contract with a ratio to the present spot."""
    for row in range(contracts.shape[0]):
        contract = contracts[row]
        if contract["active"] == 1 and contract["fit_ratio"] > 0.0:
            expiry = expiries[contract["expiry"]]
            contract["vol"] = vol_at(contract, expiry, math.log(spot * forward_ratio(expiry, ts_ns)))


@kernel
def measure_ratios(contracts: NDArray[np.void], expiries: NDArray[np.void], spot: float, ts_ns: int) -> None:
    """Set the ratio of every contract to the fit as it stands, its vol taken as that at ``spot``."""
    for row in range(contracts.shape[0]):
        contract = contracts[row]
        expiry = expiries[contract["expiry"]]
        contract["fit_ratio"] = fit_ratio(contract["vol"], contract["log_strike"], expiry, spot, ts_ns)
