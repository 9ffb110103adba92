"""Response models: what OpenAPI says of the answers.

The answers themselves are encoded by msgspec from the published structs, so these models are made from the
structs, never beside them: names, order and types cannot drift, and each field must have a meaning and a unit.
"""

from functools import reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import msgspec
from pydantic import BaseModel, Field, create_model

from dhpe.edge.explain import Explanation
from dhpe.edge.glossary import MEANINGS, Meaning
from dhpe.edge.view import HistoryPoint
from dhpe.field_outputs import Field as FieldRecord
from dhpe.field_outputs import FieldAtSpot, FieldLandscape, FieldPotential, FieldSurface
from dhpe.outputs import Alert, BookPressure, Books, Pressure, Quality

KEPT_WHEN_STALE: Final = frozenset(
    {"underlying", "ts_event_ns", "interval_level", "skew_stickiness", "dealer_share", "decay_wind_horizon_s"}
    | {"tau_floor_s", "quality", "offsets", "engine_version", "books", "age_s", "simulated"}
)
"""What a stale answer still says: who, when, under which settings. Everything measured becomes null."""

LEFT_OUT_OF_BOOKS: Final = frozenset({"gamma_field", "vanna_field", "charm_field", "hedge_pressure"})


_OWN: Final = {
    "age_s": Meaning("s", "Wall clock since the record was appended to the log; the feed's own lag is not in it."),
    "simulated": Meaning(None, "True where the market behind the numbers is a simulation."),
    "alerts": Meaning(None, "Alerts, newest first."),
    "underlyings": Meaning(None, "All underlyings, by name."),
    "columns": Meaning(None, "One array per number, all of one length, oldest first."),
    "interval_ms": Meaning("ms", "Event time between two points."),
    "bit_equal": Meaning(None, "Whether the log gives the same bytes again; null where that cannot be known."),
    "published": Meaning("by name", "As it stands in the log."),
    "recomputed": Meaning("by name", "As the log gives it now; null where it was not or could not be computed."),
    "threshold": Meaning("by name", "What the number was held against; null where it was not."),
    "name": Meaning(None, "Name of the number."),
    "origin": Meaning(None, "What the computation began with; null where there was none."),
    "kept_state": Meaning(None, "True for a kept state, false for the beginning of the log."),
    "records_replayed": Meaning("offsets", "Of both inputs, between the origin and the alert."),
    "stale_after_s": Meaning("s", "Age from which numbers are withheld."),
}
"""What only the API says."""


def _described(name: str) -> Any:
    meaning = _OWN.get(name) or MEANINGS[name]
    unit = "" if meaning.unit is None else f" Unit: {meaning.unit}."
    return Field(description=meaning.sentence + unit)


def _model(name: str, documentation: str, fields: dict[str, Any]) -> type[BaseModel]:
    described: dict[str, Any] = {field: (hint, _described(field)) for field, hint in fields.items()}
    return create_model(name, __doc__=documentation, **described)


def _translated(hint: Any, made: dict[type, type[BaseModel]]) -> Any:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        if hint not in made:
            fields = {name: _translated(inner, made) for name, inner in get_type_hints(hint).items()}
            made[hint] = _model(hint.__name__, hint.__doc__ or "", fields)
        return made[hint]
    if get_origin(hint) is list:
        return _list_of(_translated(get_args(hint)[0], made))
    if get_origin(hint) is UnionType:
        return reduce(or_, (_translated(one, made) for one in get_args(hint)))
    return hint


def _nullable(hint: Any) -> Any:
    return hint if type(None) in get_args(hint) and get_origin(hint) is not None else hint | None


def _list_of(hint: Any) -> Any:
    return GenericAlias(list, (hint,))


_made: dict[type, type[BaseModel]] = {}
_pressure = {name: _translated(hint, _made) for name, hint in get_type_hints(Pressure).items()}
_alert = {name: _translated(hint, _made) for name, hint in get_type_hints(Alert).items()}
_aged: dict[str, Any] = {"age_s": float, "simulated": bool}
_quality = _made[Quality]

Status = _model(
    "Status",
    "The state of one underlying: the published `pressure` record, its age, and whether it is simulated.",
    {name: hint if name in KEPT_WHEN_STALE else _nullable(hint) for name, hint in _pressure.items()} | _aged,
)

BookAmplification = _model(
    "BookAmplification",
    "Feedback of one dealer book.",
    {name: hint for name, hint in get_type_hints(BookPressure).items() if name not in LEFT_OUT_OF_BOOKS},
)

BookAmplifications = _model(
    "BookAmplifications",
    "Feedback of the three dealer books, side by side: their spread is the first error bar.",
    dict.fromkeys(get_type_hints(Books), BookAmplification),
)

HEADLINE: Final = (
    "underlying",
    "ts_event_ns",
    "amplification",
    "amplification_low",
    "amplification_high",
    "interval_level",
    "feedback_gain",
    "feedback_gain_low",
    "feedback_gain_high",
    "amplification_without_vanna",
    "dealer_risk",
)

Amplification = _model(
    "Amplification",
    "The one number, with its interval, its age and the books it comes from.",
    {name: _pressure[name] for name in HEADLINE} | {"books": BookAmplifications, "quality": _quality} | _aged,
)

AlertRecord = _model("Alert", Alert.__doc__ or "", _alert)

AlertList = _model("AlertList", "Recent alerts, newest first.", {"alerts": _list_of(AlertRecord)})

UnderlyingSummary = _model(
    "UnderlyingSummary",
    "One underlying, with the headline where it is current.",
    {name: _nullable(_pressure[name]) for name in ("spot", "amplification", "dealer_risk", "regime")}
    | {"underlying": str, "ts_event_ns": int, "quality": _quality}
    | _aged,
)

UnderlyingList = _model(
    "UnderlyingList",
    "All underlyings that this service knows.",
    {"underlyings": _list_of(UnderlyingSummary), "stale_after_s": float},
)

_made[Alert] = AlertRecord

ExplanationRecord = _model(
    "Explanation",
    Explanation.__doc__ or "",
    {name: _translated(hint, _made) for name, hint in get_type_hints(Explanation).items()},
)

FIELD_PARTS: Final[dict[str, type[msgspec.Struct]]] = {
    "at_spot": FieldAtSpot,
    "landscape": FieldLandscape,
    "potential": FieldPotential,
    "surface": FieldSurface,
}
"""Each part of a field is the body of one answer, beside the head that they share."""

FIELD_HEAD: Final = tuple(name for name in get_type_hints(FieldRecord) if name not in FIELD_PARTS)

_field_hints = get_type_hints(FieldRecord)
_field_head = {name: _translated(_field_hints[name], _made) for name in FIELD_HEAD} | _aged


def _field_part(name: str, struct: type[msgspec.Struct]) -> type[BaseModel]:
    fields = {field: _nullable(_translated(hint, _made)) for field, hint in get_type_hints(struct).items()}
    return _model(name, f"{struct.__doc__} Null where it cannot be known, or is too old.", _field_head | fields)


AtSpot = _field_part("AtSpot", FieldAtSpot)
Landscape = _field_part("Landscape", FieldLandscape)
Potential = _field_part("Potential", FieldPotential)
Surface = _field_part("Surface", FieldSurface)

_history_hints = get_type_hints(HistoryPoint)

HistoryColumns = _model(
    "HistoryColumns",
    "Arrays of one length, oldest first.",
    {name: _list_of(_history_hints[name]) for name in HistoryPoint._fields},
)

History = _model(
    "History",
    "The headline of the last minutes: what a chart needs before its first event.",
    {"underlying": str, "interval_ms": int, "simulated": bool, "columns": HistoryColumns},
)
