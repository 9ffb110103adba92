"""Freeze and thaw of an engine: every bit that the next record's outcome depends on, and nothing else.

This file is the one place that knows what the state is made of. Whatever an object of these classes holds is carried,
save what its constructor makes anew from the parameters (``REMADE``); a field of a kind that is not known here is
refused when it is frozen, so nothing can be forgotten. An array is a copy of its bytes whatever its rows look like.
Freezing copies and does no more: it is done between two steps. Writing and reading bytes is ``snapshot_bytes``.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from dhpe.alarms import Alarms, Dwell
from dhpe.alerts import Judge
from dhpe.book import Book
from dhpe.duplicates import SequenceMemory, SourceNumbers
from dhpe.engine import Engine
from dhpe.landscape import Landscape
from dhpe.liquidity import KyleLambda
from dhpe.market_regime import MarketRegime
from dhpe.numerics.panel_arrays import PanelArrays
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.underlying_ticks import TapeState
from dhpe.regime import RegimeMachine
from dhpe.snapshot_bytes import Frozen, StateRefused, StoredArray, restored, stored
from dhpe.stickiness import SkewStickiness, Stickiness
from dhpe.underlying import Underlying
from dhpe.usual_liquidity import Usual, UsualLiquidity

REMADE: Final[Mapping[type, frozenset[str]]] = {
    Engine: frozenset(("parameters", "engine_version", "_partition", "_flags_before", "_result")),
    SequenceMemory: frozenset(("_parameters",)),
    Underlying: frozenset(("name", "parameters", "_rules")),
    Book: frozenset(("_parameters",)),
    SkewStickiness: frozenset(("_parameters",)),
    Judge: frozenset(("_underlying", "_engine_version")),
    UsualLiquidity: frozenset(),
    Usual: frozenset(),
    Alarms: frozenset(("_parameters", "_large_index")),
    Dwell: frozenset(),
    RegimeMachine: frozenset(
        ("_thresholds", "_constants", "_positions", "_dwell_ns", "_limits", "_transitions", "_protocols", "_symptoms")
    ),
    MarketRegime: frozenset(("_dwell_ns", "_scratch")),
}
"""What the constructors make from the parameters, or a step makes for itself; all else is state."""

FACTS: Final[Mapping[str, type]] = {
    fact.__name__: fact
    for fact in (ContractState, PanelArrays, TapeState, Landscape, KyleLambda, Stickiness, SourceNumbers)
}
"""Tuples with names that the state holds."""

IN_USE: Final[Mapping[str, tuple[int, str]]] = {
    "contracts": (0, "contracts"),
    "dirty": (0, "contracts"),
    "places": (1, "contracts"),
    "hot_rows": (1, "contracts"),
    "expiries": (0, "expiries"),
    "terms": (1, "expiries"),
}
"""Arrays of a book that have room for more: the axis, and the count in its market of what is in use."""

_CLASSES: Final = {kind.__name__: kind for kind in REMADE}
_PLAIN: Final = frozenset((type(None), bool, int, float, str))


class _Thawed(NamedTuple):
    """An object of the state as its fields, waiting for the object that they belong to."""

    kind: type
    fields: dict[str, Any]


def freeze(thing: object) -> Frozen:
    """Copy the state of ``thing``, an engine or a part of one.

    Raises:
        TypeError: it holds something that this file does not know.
    """
    arrays: list[StoredArray] = []
    return Frozen(_freeze(thing, arrays, {}), arrays)


def thaw(frozen: Frozen, thing: object) -> None:
    """Bring ``thing``, just made with the same parameters, to the state of ``frozen``.

    Raises:
        StateRefused: the state is another one than ``thing`` has; what became of ``thing`` is of no use.
    """
    arrays = [restored(array) for array in frozen.arrays]
    try:
        _pour(thing, _thaw(frozen.tree, arrays), type(thing).__name__)
    except (TypeError, ValueError, LookupError) as error:
        if isinstance(error, StateRefused):
            raise
        raise StateRefused(f"it is not a state of this program: {error!r}") from error


def _freeze(value: Any, arrays: list[StoredArray], counts: Mapping[str, int], name: str = "") -> Any:
    """Plain values as they are, mappings as mappings, all else as a list that begins with what it is."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        if set(map(type, value.values())) <= _PLAIN:  # tens of thousands of names, and steps wait for this
            return value.copy()
        return {key: _freeze(one, arrays, counts) for key, one in value.items()}
    if kind in REMADE:
        remade = REMADE[kind]
        fields = {key: _freeze(one, arrays, counts, key) for key, one in vars(value).items() if key not in remade}
        return [kind.__name__, fields]
    if kind.__name__ in FACTS:
        if kind is ContractState:
            counts = {key: int(value.market[0][key]) for _, key in IN_USE.values()}
        fields = {key: _freeze(one, arrays, counts, key) for key, one in value._asdict().items()}
        return [kind.__name__, fields]
    if kind is np.ndarray:
        arrays.append(stored(value, _kept(value.shape, counts, name)))
        return ["array", len(arrays) - 1]
    if kind in (list, tuple):
        return [kind.__name__, [_freeze(one, arrays, counts) for one in value]]
    if kind is deque:
        return ["deque", value.maxlen, [_freeze(one, arrays, counts) for one in value]]
    if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
        return value.item()
    raise TypeError(f"{name or 'a value'} is a {kind.__name__}, which a snapshot does not know")


def _kept(shape: tuple[int, ...], counts: Mapping[str, int], name: str) -> tuple[int, ...]:
    if not counts or name not in IN_USE:
        return shape
    axis, counted = IN_USE[name]
    return (*shape[:axis], counts[counted], *shape[axis + 1 :])


def _thaw(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, dict):
        if set(map(type, value.values())) <= _PLAIN:  # as above
            return value.copy()
        return {key: _thaw(one, arrays) if type(one) in (list, dict) else one for key, one in value.items()}
    match value:
        case ["array", int(number)]:
            return arrays[number]
        case ["list", list(items)]:
            return [_thaw(one, arrays) for one in items]
        case ["tuple", list(items)]:
            return tuple(_thaw(one, arrays) for one in items)
        case ["deque", limit, list(items)]:
            return deque((_thaw(one, arrays) for one in items), limit)
        case [str(name), dict(fields)] if name in FACTS:
            return FACTS[name](**_thaw(fields, arrays))
        case [str(name), dict(fields)] if name in _CLASSES:
            return _Thawed(_CLASSES[name], _thaw(fields, arrays))
        case list():
            raise StateRefused(f"it holds {value[:1]}, which this program does not know")
        case _:
            return value


def _pour(target: Any, thawed: Any, path: str) -> Any:
    """What stands in the place of ``target`` now: ``target`` itself with other fields, or the thawed value."""
    if isinstance(thawed, _Thawed):
        if type(target) is not thawed.kind:
            raise StateRefused(f"{path} is a {thawed.kind.__name__}, here a {type(target).__name__}")
        if isinstance(target, Engine):
            for name in thawed.fields["_underlyings"]:
                target.meet(name)
        here = vars(target).keys() - REMADE[thawed.kind]
        if here != thawed.fields.keys():
            raise StateRefused(f"{path} has other fields: {sorted(here ^ thawed.fields.keys())}")
        for key, one in thawed.fields.items():
            setattr(target, key, _pour(vars(target)[key], one, f"{path}.{key}"))
        return target
    if isinstance(thawed, np.ndarray) and isinstance(target, np.ndarray) and thawed.dtype != target.dtype:
        raise StateRefused(f"the rows of {path} are laid out in another way")
    if isinstance(thawed, tuple) and isinstance(target, tuple) and len(thawed) == len(target):
        names = getattr(thawed, "_fields", range(len(thawed)))
        poured = [_pour(mine, one, f"{path}.{n}") for mine, one, n in zip(target, thawed, names, strict=True)]
        return type(thawed)._make(poured) if hasattr(thawed, "_make") else tuple(poured)
    if isinstance(thawed, dict) and isinstance(target, dict) and target:
        return {key: _pour(target[key], one, f"{path}.{key}") if key in target else one for key, one in thawed.items()}
    return thawed
