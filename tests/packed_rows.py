"""Messages of packed columns made by hand, so that what no encoder would write can be written."""

import struct
from typing import Any, Final

import numpy as np

from dhpe.edge.layouts import LEVEL, PACKED

NOW_NS: Final = 1_700_000_000_000_000_000


def rows(kind: str, *records: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Rows of a kind from their fields; numbers that are not named are 1, places of names 0."""
    made = np.zeros(len(records), PACKED[kind].row)
    for field in made.dtype.names or ():
        made[field] = {"ts_event_ns": NOW_NS, "sequence": -1, "cancels": -1, "source": -1}.get(field, 0)
        if made.dtype[field] == np.float64:
            made[field] = 1.0
    for row, record in enumerate(records):
        for field, value in record.items():
            made[field][row] = value
    return made


def value_of(made: np.ndarray[Any, Any], names: bytes = b'["SPX"]', levels: bytes = b"", /, **head: int) -> bytes:
    """A message's value by the document; ``head`` overwrites what its head should say."""
    told = {"version": 1, "records": len(made), "levels": len(levels) // LEVEL.itemsize, "names_bytes": len(names)}
    return struct.pack("<4I", *(told | head).values()) + made.tobytes() + levels + names
