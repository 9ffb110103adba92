"""The surface as the outside sees it: forward, smile and beta of each expiry, and how well the fit meets the quotes."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.american import VOL_ERRORS
from dhpe.numerics.implied_vol import REASON_NAMES
from dhpe.numerics.parity import FORWARD_SOURCES, forward_ratio, years
from dhpe.numerics.smile import IV_INDEX_TAU, atm_vol_at, fit_quality
from dhpe.numerics.ssvi import count_violations

VOL_POINTS = 100.0
VOL_SOURCES: Final = ("none", "own_quote", "pair_quote", "surface")
"""The words for ``state.VOL_NONE`` to ``VOL_SURFACE``: what gave a contract its vol."""


class VolCounts(NamedTuple):
    """Open contracts by what gave them their vol, and by why the out-of-the-money quote of their strike gave none.

    Each adds up to all open contracts; the reason of a strike whose quotes have a vol is "solved".
    """

    by_source: dict[str, int]
    by_reason: dict[str, int]


class ExpirySurface(NamedTuple):
    """One expiry. Vols are fractions, slope and beta per unit of log price; ``None`` where there is no fit.

    ``atm_total_variance``, ``ssvi_rho`` and ``curvature`` (phi) are the SSVI slice; ``violations`` the points of a wide
    grid at which it has arbitrage, alone or against the expiry before.
    """

    settles_ns: int
    tau: float
    forward: float
    forward_source: str
    rate: float
    carry: float
    atm_vol: float | None
    skew_slope: float | None
    skew_slope_standard_error: float | None
    atm_total_variance: float | None
    ssvi_rho: float | None
    curvature: float | None
    spot_vol_beta: float | None
    spot_vol_beta_standard_error: float | None
    quotes: int
    rmse_vol_points: float | None
    inside_bid_ask_share: float | None
    violations: int


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def describe(
    contracts: NDArray[np.void], count: int, expiries: NDArray[np.void], expiry_count: int, spot: float, ts_ns: int
) -> list[ExpirySurface]:
    """The open expiries in the order of their settlement; ``quotes`` are the out-of-the-money quotes judged."""
    rows = expiries[:expiry_count]
    quality = np.zeros((expiry_count, 3))
    fit_quality(contracts, count, rows, spot, ts_ns, quality)
    violations = np.zeros(expiry_count, np.int64)
    count_violations(rows, expiry_count, violations)
    surfaces = []
    for row in np.argsort(rows["settles_ns"], kind="stable"):
        expiry = rows[row]
        tau = years(expiry["settles_ns"], ts_ns)
        if tau <= 0.0:
            continue
        error = _known(expiry["beta_standard_error"])
        surfaces.append(
            ExpirySurface(
                settles_ns=int(expiry["settles_ns"]),
                tau=tau,
                forward=spot * forward_ratio(expiry, ts_ns),
                forward_source=FORWARD_SOURCES[expiry["forward_source"]],
                rate=float(expiry["rate"]),
                carry=float(expiry["carry"]),
                atm_vol=_known(expiry["atm_vol"]),
                skew_slope=_known(expiry["skew_slope"]),
                skew_slope_standard_error=_known(expiry["skew_slope_standard_error"]),
                atm_total_variance=_known(expiry["atm_total_variance"]),
                ssvi_rho=_known(expiry["ssvi_rho"]),
                curvature=_known(expiry["curvature"]),
                spot_vol_beta=None if expiry["beta"] == 0.0 and error is None else float(expiry["beta"]),
                spot_vol_beta_standard_error=error,
                quotes=int(quality[row, 0]),
                rmse_vol_points=_known(VOL_POINTS * quality[row, 1]),
                inside_bid_ask_share=_known(quality[row, 2]),
                violations=int(violations[row]),
            )
        )
    return surfaces


def vol_counts(contracts: NDArray[np.void], count: int) -> VolCounts:
    """Count the first ``count`` rows of state.CONTRACT that have not settled; only words that occur are listed."""
    rows = contracts[:count]
    rows = rows[rows["active"] == 1]

    def counted(column: str, words: tuple[str, ...]) -> dict[str, int]:
        codes, counts = np.unique(rows[column], return_counts=True)
        return {words[code]: int(number) for code, number in zip(codes, counts, strict=True)}

    return VolCounts(counted("vol_source", VOL_SOURCES), counted("vol_reason", REASON_NAMES))


def american_vol_error(days: float) -> float | None:
    """Largest error of de-Americanised vols out of the money, 1.00 of vol; ``None`` beyond what was measured."""
    return next((error for limit, error in VOL_ERRORS if days <= limit), None)


def iv_index(expiries: NDArray[np.void], expiry_count: int, ts_ns: int) -> float:
    """30-day at-the-money vol in vol points, total variance interpolated between expiries; NaN without a fit."""
    return VOL_POINTS * atm_vol_at(expiries, expiry_count, ts_ns, IV_INDEX_TAU)
