"""The surface with what stands behind each number: quotes, sources of the vols, and the error of de-Americanising."""

from typing import Final

import numpy as np

from dhpe.field.copying import FieldCopy
from dhpe.field_outputs import ExpirySmile, FieldLimits, FieldSurface
from dhpe.surface import VOL_POINTS, american_vol_error, describe, vol_counts

DAYS_PER_YEAR: Final = 365.0


def surface_of(copy: FieldCopy, limits: FieldLimits) -> FieldSurface:
    """All open expiries, the nearest ``expiries_max`` of them in full."""
    spot, now_ns = float(copy.market["spot"]), int(copy.market["ts_ns"])
    contracts, expiries = copy.rows
    described = describe(contracts, len(contracts), expiries, len(expiries), spot, now_ns)
    contracts = contracts[(contracts["active"] == 1) & (contracts["settles_ns"] > now_ns)]
    american = int(np.count_nonzero(contracts["american"]))
    counted = vol_counts(contracts, len(contracts))
    smiles = []
    for expiry in described[: limits.expiries_max]:
        own = contracts[contracts["settles_ns"] == expiry.settles_ns]
        of_expiry = vol_counts(own, len(own))
        smiles.append(
            ExpirySmile(
                **expiry._asdict(),
                series=len(own),
                vol_sources=of_expiry.by_source,
                vol_reasons=of_expiry.by_reason,
                exercise_error_vol_points=_exercise_error(expiry.tau, american=bool(own["american"].any())),
            )
        )
    return FieldSurface(
        surface_phi=copy.parameters.surface_phi,
        exercise="european" if american == 0 else "american" if american == len(contracts) else "mixed",
        exercise_method="de_americanised" if american else "none",
        series=len(contracts),
        vol_sources=counted.by_source,
        vol_reasons=counted.by_reason,
        violations=sum(expiry.violations for expiry in described),
        expiries=smiles,
        expiries_left_out=len(described) - len(smiles),
    )


def _exercise_error(tau: float, *, american: bool) -> float | None:
    """0 where nothing was de-Americanised; ``None`` beyond what was measured."""
    if not american:
        return 0.0
    error = american_vol_error(tau * DAYS_PER_YEAR)
    return None if error is None else VOL_POINTS * error
