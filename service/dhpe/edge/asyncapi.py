"""The AsyncAPI 3.0 document of all topics: who writes what where, with which key and headers."""

from typing import Any, Final

from dhpe import __version__
from dhpe.columns import TOPIC_OF_KIND
from dhpe.edge import messages as wire
from dhpe.edge.encode import ALERT_SOURCE, ALERT_TYPE_PREFIX, CLOUDEVENTS_VERSION
from dhpe.edge.layouts import PACKED
from dhpe.edge.packed import KIND_HEADER
from dhpe.edge.salvage import COLUMNS_CONTENT_TYPE, CONTENT_TYPE

ASYNCAPI_VERSION: Final = "3.0.0"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_INPUTS: Final = ("chain", "ticks")
_TOPICS: Final = {
    "chain": "Slow reference data: contracts, open interest, rates, re-anchoring. Read by DHPE. Every record kind is "
    "accepted on either input topic; order holds within a topic's partition.",
    "ticks": "Everything whose order matters to the others. Read by DHPE. Every record kind is accepted here too.",
    "pressure": "The state of each underlying, on a grid of event time. Written by DHPE; compacted by key.",
    "alerts": "Changes that somebody should know of. Written by DHPE, exactly once for read_committed readers.",
    "chain.dlt": "Messages of chain that hold a record which cannot be read or cannot be true, bytes unmodified.",
    "ticks.dlt": "Messages of ticks that hold a record which cannot be read or cannot be true, bytes unmodified.",
    "journal": "Which chain records a step applied before which tick. Internal: for replay and explain only.",
    "state": "Chunks of the engine's state, a cache of the log. Internal.",
    "field": "The whole field of each underlying, every few seconds: over prices, over time, by strike, by expiry, "
    "and its surface. For reading: written by DHPE outside its transactions, no alert depends on it; compacted by key.",
    "manifest": "What the chunks of a state are and which input positions they stand for. Internal.",
}
_WRITTEN: Final = tuple(topic for topic in _TOPICS if topic not in _INPUTS)
_TEXT: Final = {"type": "string"}


def document() -> dict[str, Any]:
    """The whole document; it refers to the JSON Schemas beside it."""
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "DHPE, the Dealer Hedge-Pressure Engine",
            "version": __version__,
            "description": "What option dealers' hedging does to the market, at every tick, with an error bar. The key "
            "of every message is the underlying; topics have as many partitions as each other. Where the "
            "setting topic_prefix is used, it stands before each address.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {_identifier(topic): _channel(topic) for topic in _TOPICS},
        "operations": _operations(),
        "components": {"messages": _messages()},
    }


def _identifier(topic: str) -> str:
    return topic.replace(".", "_")


def _messages_of(topic: str) -> list[str]:
    if topic in _INPUTS:
        # The kinds whose place this is come first; the others are accepted as well.
        return [*sorted(wire.RECORD_OF_KIND, key=lambda kind: TOPIC_OF_KIND[kind] != topic), "records", "columns"]
    outputs = {"pressure": ["pressure"], "alerts": ["alert"], "field": ["field"]}
    return outputs.get(topic, ["dead_letter" if "dlt" in topic else "internal"])


def _channel(topic: str) -> dict[str, Any]:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in _messages_of(topic)}
    return {"address": topic, "description": _TOPICS[topic], "messages": messages}


def _operations() -> dict[str, Any]:
    reads = {f"read_{_identifier(topic)}": _operation("receive", topic) for topic in _INPUTS}
    return reads | {f"write_{_identifier(topic)}": _operation("send", topic) for topic in _WRITTEN}


def _operation(action: str, topic: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{_identifier(topic)}"}}


def _messages() -> dict[str, Any]:
    records = {kind: _input(kind, _file(kind)) for kind in wire.RECORD_OF_KIND}
    return records | {
        "records": _records_message(),
        "columns": _columns_message(),
        "pressure": _message("pressure", _file("pressure")),
        "field": _message("field", _file("field")),
        "alert": _message("alert", _file("alert")) | {"headers": _object(_cloudevents())},
        "dead_letter": {
            "name": "dead_letter",
            "contentType": "application/octet-stream",
            "summary": "The message as it was read, with where it stood and why it was not applied.",
            "headers": _object(_dead_letter()),
            "payload": {"description": "The bytes of the message, unmodified; its first 64 KiB where it does not fit."},
        },
        "internal": {
            "name": "internal",
            "summary": "Not part of the contract; it changes with the engine's version.",
            "payload": {"description": "Bytes of DHPE's own."},
        },
    }


def _records_message() -> dict[str, Any]:
    records = {"type": "array", "minItems": 1, "items": {"oneOf": [_file(kind) for kind in wire.RECORD_OF_KIND]}}
    return _input("records", records) | {"summary": "Several records of one underlying, of any kinds, in their order."}


def _columns_message() -> dict[str, Any]:
    headers = {"content-type": {"const": COLUMNS_CONTENT_TYPE}, KIND_HEADER: {"enum": list(PACKED)}}
    layout = {"description": "Rows of one kind, as columns.json lays them out.", "x-layout": "columns.json"}
    return _message("columns", layout) | {
        "contentType": COLUMNS_CONTENT_TYPE,
        "summary": "Several records of one underlying and one hot kind, in their order, as rows of fixed size.",
        "headers": _object(headers),
        "payload": layout,
    }


def _input(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    headers = {"type": "object", "properties": {"content-type": {"const": CONTENT_TYPE}}}
    return _message(name, schema) | {"headers": headers}


def _file(name: str) -> dict[str, Any]:
    return {"$ref": f"{name}.json"}


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": CONTENT_TYPE,
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": schema},
        "bindings": {"kafka": {"key": {"type": "string", "description": "The underlying, UTF-8."}}},
    }


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _dead_letter() -> dict[str, Any]:
    """The headers that ``dhpe.edge.dead_letters`` writes on every letter; the message's own follow them."""
    return {
        "topic": _TEXT,
        "partition": _TEXT,
        "offset": _TEXT,
        "timestamp": _TEXT | {"description": "Append time of the message, ms."},
        "reason": _TEXT | {"description": "Short snake_case words, joined with commas."},
        "detail": _TEXT | {"description": "A sentence about the first bad record."},
        "indices": _TEXT | {"description": "Of an array: the bad records, from 0, joined with commas."},
        "rejected": _TEXT | {"description": "How many records were refused."},
    }


def _cloudevents() -> dict[str, Any]:
    return {
        "ce_specversion": {"const": CLOUDEVENTS_VERSION},
        "ce_id": _TEXT | {"description": "The alert's id: the same input gives the same id."},
        "ce_source": {"const": ALERT_SOURCE},
        "ce_type": _TEXT | {"pattern": f"^{ALERT_TYPE_PREFIX.replace('.', '[.]')}[a-z_]+$"},
        "ce_time": _TEXT | {"format": "date-time", "description": "Event time, nine digits of the second."},
        "ce_subject": _TEXT | {"description": "The underlying."},
        "content-type": {"const": CONTENT_TYPE},
    }
