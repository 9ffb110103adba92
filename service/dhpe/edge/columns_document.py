"""``schemas/columns.json``: the layout of packed columns for other languages, written from the types that read them."""

from typing import Any, Final

import numpy as np

from dhpe import columns
from dhpe.edge.layouts import CODES, FLAGS, LEVEL, PACKED, PackedLayout
from dhpe.edge.packed import HEAD, KIND_HEADER, VERSION
from dhpe.edge.salvage import COLUMNS_CONTENT_TYPE

ID: Final = "urn:dhpe:layout:columns"
_PARTS: Final = [
    "head: version, records, levels, names_bytes, each u4",
    "rows: `records` rows of the kind, each of `row_bytes`; the bytes between its fields mean nothing",
    "levels: of depth, `levels` pairs of price and size, each f8; row by row its bids, then its asks. Else none",
    "names: a JSON array of strings of 1 to 64 characters, UTF-8, `names_bytes` long; a row means a name by its place",
]
_MEANINGS: Final = {
    "bid_levels": "How many of the message's levels are bids of this row.",
    "ask_levels": "How many of them, after the bids, are its asks.",
    "multi_leg": "1: one leg of a package.",
    "snapshot": "1: replaces the whole order book.",
    "side": "The aggressor: 1 buy, -1 sell, 0 unknown.",
}


def document(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The document; meanings and units are those of the JSON Schemas, by kind."""
    return {
        "$id": ID,
        "title": "columns",
        "description": "Packed columns: many hot records of one kind in a message, without padding between the parts. "
        "What a record may hold is what its JSON Schema says; a reference record is sent as JSON.",
        "version": VERSION,
        "content_type": COLUMNS_CONTENT_TYPE,
        "kind_header": KIND_HEADER,
        "byte_order": "little",
        "parts": _PARTS,
        "head": [_field(name, "<u4", 4 * place) for place, name in enumerate(HEAD)],
        "level": _fields_of(LEVEL),
        "kinds": {kind: _kind(layout, schemas[kind]) for kind, layout in PACKED.items()},
    }


def changes_without_a_version(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Kinds whose layout is another under the same version: rows of the one would be read as those of the other."""
    if old.get("version") != new["version"]:
        return []
    before = {kind: _bare(told) for kind, told in old.get("kinds", {}).items()}
    after = {kind: _bare(told) for kind, told in new["kinds"].items()}
    changed = [kind for kind in before if before[kind] != after.get(kind)]
    return [f"the layout of {kind} changed: give it a new version, and go on reading the old one" for kind in changed]


def _bare(kind: dict[str, Any]) -> tuple[Any, ...]:
    return kind["row_bytes"], [(field["name"], field["type"], field["offset"]) for field in kind["fields"]]


def _kind(layout: PackedLayout, schema: dict[str, Any]) -> dict[str, Any]:
    described = schema["properties"]
    fields = []
    for field in _fields_of(layout.row):
        name = field["name"]
        told = _told(described.get(name, {}))
        column = layout.columns.get(name, "")
        field["meaning"] = _MEANINGS.get(name) or told.get("description", "")
        if column in CODES:
            field["meaning"] += " By its place among the names."
        if "x-unit" in told and column not in CODES:
            field["unit"] = told["x-unit"]
        if name not in schema["required"] and name in described:
            field["absent"] = _absent(layout, name, column)
        fields.append(field)
    return {"row_bytes": layout.row.itemsize, "fields": fields}


def _told(node: dict[str, Any]) -> dict[str, Any]:
    """What a property says; of an optional one that is its first branch."""
    return node["anyOf"][0] if "anyOf" in node else node


def _absent(layout: PackedLayout, name: str, column: str) -> str:
    if column == "side" or name == FLAGS.get(layout.kind, ("",))[0]:
        return "0"
    return "NaN" if columns.EVENT[column] == np.float64 else "-1"


def _fields_of(row: np.dtype[Any]) -> list[dict[str, Any]]:
    return [_field(name, row.fields[name][0].str, row.fields[name][1]) for name in row.names or () if row.fields]


def _field(name: str, kind: str, offset: int) -> dict[str, Any]:
    return {"name": name, "type": kind, "offset": offset}
