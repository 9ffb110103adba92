"""A grammar of packed columns: rows that meet each other, values at every limit, and accidents to their bytes."""

import random
from typing import Any, Final

import msgspec
import numpy as np

from damage import PRICES, SIZES, START_NS, SYMBOLS, damaged
from dhpe import columns
from dhpe.edge import packed
from dhpe.edge.layouts import PACKED
from packed_rows import rows, value_of

NAMES: Final = ["SPX", *SYMBOLS, "VIX", "ES", "a", "", "x" * 65]
_NASTY: Final = [float("nan"), float("inf"), -1.0, -0.0, 1e9, 1e12, 5e-324, 2.0**31 - 1]
_CODES: Final = {"underlying": [0], "source": [-1, len(SYMBOLS) + 3], "instrument": [-1, -1, len(SYMBOLS) + 2]}
_CODES["symbol"] = list(range(1, len(SYMBOLS) + 1))
_CODES["name"] = [0, len(SYMBOLS) + 1]
_WHOLE: Final[dict[str, list[int]]] = {
    "sequence": [-1, *range(40)],
    "cancels": [-1, -1, 1, 2],
    "side": [-1, 0, 1],
    "multi_leg": [0, 1],
    "snapshot": [0, 0, 1],
}


def columns_message(dice: random.Random) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Value and headers of a message, most of them damaged: in a field, in the head or in any byte."""
    kind = dice.choice(columns.HOT_KINDS)
    made = rows(kind, *[_row(dice, kind) for _ in range(dice.choice((1, 1, 2, 5, 50)))])
    levels = b""
    if kind == "depth":
        made["bid_levels"] = [dice.randrange(3) for _ in made]
        made["ask_levels"] = [dice.randrange(3) for _ in made]
        many = int(made["bid_levels"].sum() + made["ask_levels"].sum())
        levels = np.array([[_price(dice), dice.choice(SIZES)] for _ in range(many)]).tobytes()
    head = {dice.choice(packed.HEAD): dice.randrange(2**32)} if dice.random() < 0.05 else {}
    value = value_of(made, msgspec.json.encode(NAMES), levels, **head)
    headers = packed.headers(kind if dice.random() < 0.95 else dice.choice(["", "contract", *columns.HOT_KINDS]))
    return damaged(dice, value) if dice.random() < 0.4 else value, headers


def _row(dice: random.Random, kind: str) -> dict[str, Any]:
    row: dict[str, Any] = {}
    layout = PACKED[kind].row
    for field in layout.names or ():
        if field == "ts_event_ns":
            row[field] = START_NS + round(dice.uniform(-5, 60) * 1e9)
        elif layout[field] == np.float64:
            row[field] = _price(dice) if dice.random() < 0.98 else dice.choice(_NASTY)
        else:
            row[field] = dice.choice(_CODES.get(field) or _WHOLE.get(field, [0]))
    if dice.random() < 0.05:
        field = dice.choice(layout.names or ())
        row[field] = np.frombuffer(dice.randbytes(8), layout[field])[0]
    return row


def _price(dice: random.Random) -> float:
    return round(dice.uniform(0.01, 120), 2) if dice.random() < 0.8 else float(dice.choice(PRICES))
