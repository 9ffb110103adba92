"""Two engines, or parts of them, compared bit by bit: the slow obvious way, which knows no snapshot."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from dhpe.parameters import Parameters

SCRATCH = frozenset(("MarketRegime._scratch", "Engine._flags_before", "Engine._result"))
"""Written before it is read, in every step or call."""
SCRATCH_FIELDS = frozenset(("labels",))
"""Rows of a market that only a step under way looks at."""


def differences(one: Any, other: Any, path: str = "", *, met: set[int] | None = None) -> Iterator[str]:
    """Where ``one`` and ``other`` are not the same to the last bit, whatever they consist of."""
    met = set() if met is None else met
    if id(one) in met:
        return
    if type(one) is not type(other):
        yield f"{path}: {type(one).__name__} and {type(other).__name__}"
    elif isinstance(one, np.ndarray):
        yield from _arrays(one, other, path)
    elif isinstance(one, (list, tuple, deque)):
        if len(one) != len(other) or getattr(one, "maxlen", None) != getattr(other, "maxlen", None):
            yield f"{path}: of different lengths"
            return
        for place, (mine, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(mine, theirs, f"{path}[{place}]", met=met)
    elif isinstance(one, dict):
        if list(one) != list(other):
            yield f"{path}: {list(one)[:9]} and {list(other)[:9]}"
            return
        for key in one:
            yield from differences(one[key], other[key], f"{path}[{key!r}]", met=met)
    elif hasattr(one, "__dict__") and not isinstance(one, Parameters):
        met.add(id(one))
        if vars(one).keys() != vars(other).keys():
            yield f"{path}: {vars(one).keys() ^ vars(other).keys()}"
            return
        for name, value in vars(one).items():
            if f"{type(one).__name__}.{name}" not in SCRATCH:
                yield from differences(value, vars(other)[name], f"{path}.{name}", met=met)
    elif repr(one) != repr(other):
        yield f"{path}: {one!r} and {other!r}"


def _arrays(one: np.ndarray, other: np.ndarray, path: str) -> Iterator[str]:
    if one.dtype != other.dtype or one.shape != other.shape or one.dtype.isalignedstruct != other.dtype.isalignedstruct:
        yield f"{path}: {one.dtype}{one.shape} and {other.dtype}{other.shape}"
    elif one.dtype.names is None:
        if one.tobytes() != other.tobytes():
            yield f"{path}: other values"
    else:
        # field by field: the padding between them is nobody's
        for name in one.dtype.names:
            if name not in SCRATCH_FIELDS:
                yield from _arrays(np.ascontiguousarray(one[name]), np.ascontiguousarray(other[name]), f"{path}.{name}")
