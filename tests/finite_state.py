"""Which numbers of a state or of an output are none."""

from typing import Any

import numpy as np

from dhpe.engine import Engine
from dhpe.numerics.state import NAN_IS_UNKNOWN


def nans(engine: Engine) -> list[str]:
    """Names of the fields of the state that hold NaN and may not."""
    found = []
    for name, underlying in engine.underlyings.items():
        state, tape = underlying.book.state, underlying.tape
        live = {"contracts": len(underlying.book), "expiries": int(underlying.market["expiries"])}
        rows = {"market": state.market, "instruments": tape.instruments}
        rows |= {kind: getattr(state, kind)[:count] for kind, count in live.items()}
        for kind, values in rows.items():
            found += [
                f"{name}.{kind}.{field}" for field in nan_fields(values) if field.split(".")[-1] not in NAN_IS_UNKNOWN
            ]
        plain = {"returns": tape.returns, "flows": tape.flows, "volumes": tape.volumes, "depth": tape.depth}
        found += [f"{name}.{kind}" for kind, values in plain.items() if np.isnan(values).any()]
    return found


def nan_fields(values: np.ndarray, prefix: str = "") -> list[str]:
    """Paths of the float fields of structured rows that hold NaN."""
    found = []
    for field in values.dtype.names or ():
        column = values[field]
        if column.dtype.names:
            found += nan_fields(column, f"{prefix}{field}.")
        elif column.dtype.kind == "f" and np.isnan(column).any():
            found.append(prefix + field)
    return found


def numbers(value: Any) -> list[float]:
    """All numbers in a decoded record."""
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers(one)]
    return [value] if isinstance(value, int | float) else []
