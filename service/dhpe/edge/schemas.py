"""The wire contracts for other languages: JSON Schemas, packed columns and AsyncAPI, written from structs and types.

The structs are the truth and the files are made from them, so two things can go wrong and both are checked: a file
that was not written again (drift), and a change that breaks those who speak the old contract (incompatibility).
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from dhpe.edge import asyncapi, columns_document, examples, field_example
from dhpe.edge import messages as wire
from dhpe.edge.compatibility import Direction, differences
from dhpe.edge.glossary import MEANINGS
from dhpe.field_outputs import Field
from dhpe.outputs import Alert, Pressure, TradeLabel

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI_FILE: Final = "asyncapi.json"
COLUMNS_FILE: Final = "columns.json"
OUTPUTS: Final[dict[str, tuple[type[msgspec.Struct], msgspec.Struct]]] = {
    "pressure": (Pressure, examples.PRESSURE),
    "alert": (Alert, examples.ALERT),
    "trade_label": (TradeLabel, examples.TRADE_LABEL),
    "field": (Field, field_example.FIELD),
}
_CONDITIONS: Final[dict[str, dict[str, Any]]] = {
    # What a struct cannot say; decode and door apply it.
    "contract": {
        "anyOf": [{"required": ["settles_ns"]}, {"required": ["expiration", "settlement", "calendar"]}],
    },
    "rates": {
        "anyOf": [{"required": ["rate"]}, {"required": ["dividend_yield"]}, {"required": ["settles_ns"]}],
        "dependentRequired": {"forward": ["settles_ns"], "discount": ["settles_ns"]},
    },
    "option_trade": {"dependentRequired": {"bid": ["ask"], "ask": ["bid"]}},
}


class IncompatibleChange(ValueError):  # noqa: N818 - the change is the fault, told in one line for each
    """The new contracts would break readers or writers of the committed ones."""


def documents() -> dict[str, dict[str, Any]]:
    """Every file of ``schemas/`` by its name."""
    files: dict[str, dict[str, Any]] = {}
    for kind, record in wire.RECORD_OF_KIND.items():
        schema = _schema(kind, record) | _CONDITIONS.get(kind, {})
        files[f"{kind}.json"] = schema | {"examples": [_plain(example) for example in examples.RECORDS[kind]]}
    for name, (output, example) in OUTPUTS.items():
        files[f"{name}.json"] = _explained(_schema(name, output)) | {"examples": [_plain(example)]}
    files[COLUMNS_FILE] = columns_document.document({kind: files[f"{kind}.json"] for kind in wire.RECORD_OF_KIND})
    files[ASYNCAPI_FILE] = asyncapi.document()
    return files


def write(folder: Path, *, accept_incompatible: bool = False) -> list[Path]:
    """Write every document into ``folder`` and remove schemas that no longer exist.

    Raises:
        IncompatibleChange: the folder holds older contracts which the new ones would break.
    """
    files = documents()
    problems = [] if accept_incompatible else _incompatibilities(folder, files)
    if problems:
        raise IncompatibleChange("\n".join(problems))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in _stale(folder, files):
        stale.unlink()
    paths = [folder / name for name in files]
    for path in paths:
        path.write_text(_text(files[path.name]), encoding="utf-8")
    return paths


def check(folder: Path) -> list[str]:
    """What is wrong with the committed ``folder``, one sentence each; empty where nothing is."""
    files = documents()
    problems = _incompatibilities(folder, files)
    for name, document in files.items():
        path = folder / name
        if not path.exists():
            problems.append(f"{path}: is missing; write it with 'dhpe schemas'")
        elif path.read_text(encoding="utf-8") != _text(document):
            problems.append(f"{path}: is not what the program speaks; write it with 'dhpe schemas'")
    problems += [f"{path}: belongs to no record of the program" for path in _stale(folder, files)]
    return problems


def _schema(name: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    schema = msgspec.json.schema(struct)
    definitions = schema["$defs"]
    body = definitions.pop(struct.__name__)
    _tidy(body)
    _tidy(definitions)
    head = {"$schema": DIALECT, "$id": f"urn:dhpe:schema:{name}", "title": name}
    return head | {key: body[key] for key in body if key != "title"} | ({"$defs": definitions} if definitions else {})


def _tidy(node: Any) -> None:
    """Write prose without the marks of docstrings, and times with the door's range: the struct's is that of int64."""
    if isinstance(node, dict):
        if isinstance(node.get("description"), str):
            node["description"] = node["description"].replace("``", "`")
        if str(node.get("x-unit", "")).startswith("ns since") and "exclusiveMaximum" in node:
            node["minimum"] = wire.TIME_FIRST_NS
            node.pop("maximum", None)
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _tidy(child)


def _explained(schema: dict[str, Any]) -> dict[str, Any]:
    for body in (schema, *schema.get("$defs", {}).values()):
        for name, field in body.get("properties", {}).items():
            if name not in MEANINGS:
                raise KeyError(f"dhpe.edge.glossary does not say what the published field {name!r} means")
            meaning = MEANINGS[name]
            field["description"] = meaning.sentence
            if meaning.unit is not None:
                field["x-unit"] = meaning.unit
    return schema


def _plain(example: msgspec.Struct) -> Any:
    # By way of the wire: what stands there, defaults left out, is what the schema must accept.
    return json.loads(msgspec.json.encode(example))


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _stale(folder: Path, files: dict[str, dict[str, Any]]) -> list[Path]:
    """Schemas of ours (by their $id) that no record has any more; other files are let alone."""
    return [
        path
        for path in sorted(folder.glob("*.json"))
        if path.name not in files and str(_load(path).get("$id", "")).startswith("urn:dhpe:schema:")
    ]


def _load(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # reported as drift
    return document if isinstance(document, dict) else {}


def _incompatibilities(folder: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    problems = []
    for path in sorted(folder.glob("*.json")):
        old = _load(path)
        if old.get("$id") == columns_document.ID:
            changes = columns_document.changes_without_a_version(old, files[COLUMNS_FILE])
            problems += [f"{path.stem}: {change}" for change in changes]
        if path.name == ASYNCAPI_FILE or not str(old.get("$id", "")).startswith("urn:dhpe:schema:"):
            continue
        if path.name not in files:
            problems.append(f"{path.stem}: the record is gone")
            continue
        direction: Direction = "input" if path.stem in wire.RECORD_OF_KIND else "output"
        problems += [f"{path.stem}: {problem}" for problem in differences(old, files[path.name], direction)]
    return problems
