"""Whether those who speak the old schema are still understood, and still understand.

Compared are two JSON Schemas of one record, as far as ours go: objects of named fields, arrays and tuples, numbers,
strings and enumerations, ``anyOf`` with null, ``$ref`` into ``$defs``. The two directions differ: an input must accept
at least what it accepted, an output must promise at least what it promised. New optional fields are always welcome,
in both directions, because readers skip what they do not know; so is a new word in an enumeration of an output, which
readers must bear. A word that is gone is reported in both directions: somebody may wait for it.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

Direction = Literal["input", "output"]
Schema = dict[str, Any]

_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_CONDITIONS: Final = ("anyOf", "allOf", "dependentRequired")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def differences(old: Schema, new: Schema, direction: Direction) -> list[str]:
    """What in ``new`` breaks those who speak ``old``, one sentence each."""
    problems = list(_object(old, new, _Sides(old, new, direction), ""))
    if direction == "input":
        changed = [word for word in _CONDITIONS if new.get(word) is not None and new[word] != old.get(word)]
        problems += [f"the rule {word!r} on which fields go together changed" for word in changed]
    return problems


class _Sides:
    """Both documents, for the references into them, and which way records flow."""

    def __init__(self, old: Schema, new: Schema, direction: Direction) -> None:
        self._old, self._new, self.direction = old, new, direction

    def old(self, node: Schema) -> Schema:
        return _follow(self._old, node)

    def new(self, node: Schema) -> Schema:
        return _follow(self._new, node)


def _follow(document: Schema, node: Schema) -> Schema:
    while "$ref" in node:
        target: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def _object(old: Schema, new: Schema, sides: _Sides, path: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    required_before, required_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        place = f"{path}.{name}" if path else name
        if name not in after:
            yield f"field {place} was removed"
        else:
            yield from _field(before[name], after[name], sides, place)
    if sides.direction == "input":
        for name in sorted(required_after - required_before):
            what = "became required" if name in before else "is new and required"
            yield f"field {path + '.' if path else ''}{name} {what}: older producers do not send it"
    else:
        for name in sorted((required_before - required_after) & set(after)):
            yield f"field {path + '.' if path else ''}{name} may now be missing: older readers rely on it"


def _field(old: Schema, new: Schema, sides: _Sides, place: str) -> Iterator[str]:
    old, new = sides.old(old), sides.new(new)
    types_before, types_after = _types(old, sides.old), _types(new, sides.new)
    # An input goes on accepting all that it accepted; an output goes on sending nothing but what it sent.
    asked, allowed = (types_before, types_after) if sides.direction == "input" else (types_after, types_before)
    if not all(_allows(allowed, kind) for kind in asked):
        yield f"field {place} changed its type from {_words(types_before)} to {_words(types_after)}"
        return
    for kind in types_before:
        a = types_before[kind]
        b = types_after.get(kind) or types_after.get("number")
        if b is not None:
            yield from _same_type(a, b, sides, place)


def _types(node: Schema, follow: Any) -> dict[str, Schema]:
    """The schema of each JSON type that ``node`` allows; {"any": …} where it says nothing."""
    if "anyOf" in node and "type" not in node:
        found: dict[str, Schema] = {}
        for branch in node["anyOf"]:
            found |= _types(follow(branch), follow)
        return found
    if "type" in node:
        return {node["type"]: node}
    if "enum" in node:
        return {_type_of(word): node for word in node["enum"]}
    return {"any": node}


def _type_of(value: object) -> str:
    return {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}.get(type(value), "any")


def _allows(types: dict[str, Schema], kind: str) -> bool:
    return kind in types or "any" in types or (kind == "integer" and "number" in types)


def _words(types: dict[str, Schema]) -> str:
    return " or ".join(sorted(types))


def _same_type(old: Schema, new: Schema, sides: _Sides, place: str) -> Iterator[str]:
    yield from _enumeration(old, new, sides, place)
    if sides.direction == "input":
        yield from _limits(old, new, place)
    if "properties" in old:
        yield from _object(old, new, sides, place)
    if isinstance(old.get("items"), dict) and isinstance(new.get("items"), dict):
        yield from _field(old["items"], new["items"], sides, f"{place}[]")
    for number, (a, b) in enumerate(zip(old.get("prefixItems", ()), new.get("prefixItems", ()), strict=False)):
        yield from _field(a, b, sides, f"{place}[{number}]")
    if isinstance(old.get("additionalProperties"), dict) and isinstance(new.get("additionalProperties"), dict):
        yield from _field(old["additionalProperties"], new["additionalProperties"], sides, f"{place}.*")


def _enumeration(old: Schema, new: Schema, sides: _Sides, place: str) -> Iterator[str]:
    if "enum" in old and "enum" in new:
        for word in old["enum"]:
            if word not in new["enum"]:
                yield f"field {place} lost the value {word!r}"
    elif "enum" in new and sides.direction == "input":
        yield f"field {place} now accepts only {', '.join(map(repr, new['enum']))}"
    elif "enum" in old and sides.direction == "output":
        yield f"field {place} may now hold any value, not only {', '.join(map(repr, old['enum']))}"


def _limits(old: Schema, new: Schema, place: str) -> Iterator[str]:
    for limit, tighter in ((_LOWER, 1), (_UPPER, -1)):
        for word in limit:
            if word in new and (word not in old or (new[word] - old[word]) * tighter > 0):
                yield f"field {place} accepts less: {word} is {new[word]}, was {old.get(word, 'not limited')}"
