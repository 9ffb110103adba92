"""The gamma profile under sticky delta: the smile moves with the forward, each contract keeps its distance from it.

sigma(S', K) = sigma_fit(k') * sigma_quote/sigma_fit, k' = ln(K/F') (MODEL.md section 5). The ratio is the contract's
own, taken at the present spot, and lives outside the fit: at S' = S this is the quoted vol exactly. A contract whose
expiry has no fit keeps its vol.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.black import INVERSE_ROOT_TWO_PI
from dhpe.numerics.jit import kernel
from dhpe.numerics.landscape import D1_CUT, FLIP_TOLERANCE, counts
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.smile import smile_vol
from dhpe.numerics.state import NS_PER_YEAR


@kernel
def fit_ratios(
    contracts: NDArray[np.void], expiries: NDArray[np.void], log_spot: float, ts_ns: int, out: NDArray[np.float64]
) -> None:
    """Write sigma_quote/sigma_fit of each contract at the present spot into ``out`` (count,); NaN where unfitted."""
    for row in range(out.shape[0]):
        contract = contracts[row]
        expiry = expiries[contract["expiry"]]
        k = contract["log_strike"] - log_spot - math.log(forward_ratio(expiry, ts_ns))
        out[row] = contract["vol"] / smile_vol(expiry, k)


@kernel
def moved_vol(contract: np.void, expiry: np.void, ratio: float, log_spot: float, ts_ns: int) -> float:
    """Vol of a contract when spot stands at another place; its present vol where the ratio is NaN."""
    if math.isnan(ratio):
        return float(contract["vol"])
    return ratio * smile_vol(expiry, contract["log_strike"] - log_spot - math.log(forward_ratio(expiry, ts_ns)))


@kernel
def gamma_profile_by_delta(
    contracts: NDArray[np.void],
    expiries: NDArray[np.void],
    ratios: NDArray[np.float64],
    book: int,
    ts_ns: int,
    tau_floor_ns: int,
    log_grid: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the gamma field at each log spot of a grid into ``out`` (points,), USD; ``ratios`` from ``fit_ratios``."""
    for point in range(log_grid.shape[0]):
        out[point] = 0.0
    for row in range(ratios.shape[0]):
        contract = contracts[row]
        if not counts(contract, book, ts_ns):
            continue
        expiry = expiries[contract["expiry"]]
        tau = max(contract["settles_ns"] - ts_ns, tau_floor_ns) / NS_PER_YEAR
        dividend_yield = expiry["rate"] - expiry["carry"]
        size = contract["position"][book] * contract["multiplier"] * math.exp(expiry["basis"] - dividend_yield * tau)
        offset = expiry["basis"] + expiry["carry"] * tau - contract["log_strike"]
        for point in range(log_grid.shape[0]):
            vol = moved_vol(contract, expiry, ratios[row], log_grid[point], ts_ns)
            deviation = vol * math.sqrt(tau)
            d1 = (log_grid[point] + offset) / deviation + 0.5 * deviation
            if abs(d1) <= D1_CUT:
                peak = INVERSE_ROOT_TWO_PI * size / deviation
                out[point] += peak * math.exp(log_grid[point] - 0.5 * d1 * d1)


@kernel
def refine_flip_by_delta(
    contracts: NDArray[np.void],
    expiries: NDArray[np.void],
    ratios: NDArray[np.float64],
    book: int,
    ts_ns: int,
    tau_floor_ns: int,
    low: float,
    high: float,
) -> float:
    """The zero of the gamma field between two log spots of opposite sign, by bisection to ``FLIP_TOLERANCE``."""
    at, value = np.empty(1), np.empty(1)
    at[0] = high
    gamma_profile_by_delta(contracts, expiries, ratios, book, ts_ns, tau_floor_ns, at, value)
    rising = value[0] > 0.0
    while high - low > FLIP_TOLERANCE:
        at[0] = 0.5 * (low + high)
        gamma_profile_by_delta(contracts, expiries, ratios, book, ts_ns, tau_floor_ns, at, value)
        if (value[0] > 0.0) == rising:
            high = at[0]
        else:
            low = at[0]
    return 0.5 * (low + high)
