"""The contracts for other languages: true to the program, valid by the standards, and never broken unseen."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings

from dhpe.columns import TOPIC_OF_KIND
from dhpe.edge import compatibility, examples, schemas
from dhpe.edge import messages as wire
from dhpe.edge.dead_letters import dead_letters
from dhpe.edge.decode import decode
from dhpe.edge.encode import encode_output
from dhpe.edge.glossary import MEANINGS
from dhpe.edge.log import LogRecord
from wire_records import ANY_RECORD

DOCUMENTS = schemas.documents()
RECORD_SCHEMAS = {kind: DOCUMENTS[f"{kind}.json"] for kind in wire.RECORD_OF_KIND}
META = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.json").read_text(encoding="utf-8"))


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """What a reader in another language does with the schema."""
    return jsonschema.Draft202012Validator(schema)


def edit(schema: dict[str, Any], *path: str, to: Any = None) -> dict[str, Any]:
    """A copy of the schema with the node at ``path`` replaced, or removed where ``to`` is None."""
    changed = copy.deepcopy(schema)
    node: Any = changed
    for step in path[:-1]:
        node = node[step]
    if to is None:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return changed


def test_the_committed_schemas_are_what_the_program_speaks(project: Path) -> None:
    """No drift and no incompatible change against what stands in the project."""
    assert schemas.check(project / "schemas") == []


@pytest.mark.parametrize(
    "name", [name for name in DOCUMENTS if name not in (schemas.ASYNCAPI_FILE, schemas.COLUMNS_FILE)]
)
def test_every_schema_is_valid_and_its_examples_fit(name: str) -> None:
    """JSON Schema 2020-12, with a description, at least one example, and a unit on every number."""
    schema = DOCUMENTS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["description"]
    assert schema["examples"]
    for example in schema["examples"]:
        validator(schema).validate(example)
    for field, node in schema["properties"].items():
        text = json.dumps(node)
        if '"number"' in text or '"integer"' in text:
            assert '"x-unit"' in text or field == "sequence", field


@pytest.mark.parametrize("kind", RECORD_SCHEMAS)
def test_the_examples_pass_the_door(kind: str) -> None:
    """What the schemas show to a producer is accepted by the program."""
    values = [json.dumps(example).encode() for example in RECORD_SCHEMAS[kind]["examples"]]
    batch, rejects = decode([(place, None, value, None, None) for place, value in enumerate(values)], "ticks")
    assert rejects == []
    assert len(batch.events) == len(values)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(ANY_RECORD)
def test_what_the_door_lets_pass_fits_the_schema(record: wire.Stamped) -> None:
    """A producer that validates against the schema loses no legal record."""
    schema = RECORD_SCHEMAS[wire.KIND_OF_TYPE[type(record)]]
    validator(schema).validate(json.loads(msgspec.json.encode(record)))


@pytest.mark.parametrize(
    "change",
    [
        {"bid": -1},
        {"bid": "1"},
        {"ask": 1e9},
        {"ask_size": None},
        {"symbol": ""},
        {"ts_event_ns": 1_700_000_000_000},
        {"ts_event_ns": 1.5},
        {"underlying": "x" * 65},
        {"sequence": -1},
    ],
    ids=str,
)
def test_schema_and_door_refuse_the_same(change: dict[str, Any]) -> None:
    """The limits stand twice, for those who write records and for us; they agree."""
    record = RECORD_SCHEMAS["option_quote"]["examples"][0] | change
    assert not validator(RECORD_SCHEMAS["option_quote"]).is_valid(record)
    assert len(decode([(0, None, json.dumps(record).encode(), None, None)], "ticks").rejects) == 1


def test_every_published_field_has_a_meaning_and_no_meaning_is_left_over() -> None:
    """The glossary speaks of exactly what is published."""
    published: set[str] = set()
    for name in schemas.OUTPUTS:
        schema = DOCUMENTS[f"{name}.json"]
        for body in (schema, *schema.get("$defs", {}).values()):
            published |= set(body["properties"])
    assert published == set(MEANINGS)


def test_the_pressure_example_follows_the_models_own_check() -> None:
    """MODEL.md section 4: -5bn per 1 % and 5 bp per 1bn make a gain of 0.25 and an amplification of 4/3."""
    example = examples.PRESSURE
    assert example.kyle_lambda is not None
    assert example.hedge_pressure is not None
    assert example.feedback_gain == pytest.approx(example.kyle_lambda * example.hedge_pressure, rel=1e-12)
    assert example.amplification == pytest.approx(1.0 / (1.0 - 0.25), rel=1e-12)


def test_the_asyncapi_document_is_valid_asyncapi_3() -> None:
    """Held against the meta-schema that the AsyncAPI initiative publishes."""
    jsonschema.Draft7Validator(META).validate(DOCUMENTS[schemas.ASYNCAPI_FILE])


def test_the_asyncapi_document_knows_every_topic_and_every_kind_at_its_place() -> None:
    """Both inputs take every kind; references lead to files and messages that exist."""
    document = DOCUMENTS[schemas.ASYNCAPI_FILE]
    channels = {channel["address"]: channel for channel in document["channels"].values()}
    assert set(channels) == {
        *("chain", "ticks", "pressure", "alerts", "journal", "state", "manifest", "field", "chain.dlt", "ticks.dlt")
    }
    for topic in ("chain", "ticks"):
        names = list(channels[topic]["messages"])
        assert set(names) == {*wire.RECORD_OF_KIND, "records", "columns"}
        assert TOPIC_OF_KIND[names[0]] == topic
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    for reference in references:
        if reference.startswith("#/"):
            node: Any = document
            for step in reference[2:].split("/"):
                node = node[step]
        else:
            assert reference in DOCUMENTS


def test_the_cloudevents_headers_are_those_that_an_alert_carries() -> None:
    """What the document promises about the headers is what is sent."""
    message = DOCUMENTS[schemas.ASYNCAPI_FILE]["components"]["messages"]["alert"]
    headers = {name: value.decode() for name, value in encode_output(examples.ALERT).headers}
    validator(message["headers"]).validate(headers)
    assert set(headers) == set(message["headers"]["properties"])


def test_the_dead_letter_headers_are_those_that_a_dead_letter_carries() -> None:
    """Likewise for what could not be applied."""
    record = LogRecord("ticks", 3, 17, b"SPX", b"{nonsense", (), 1_700_000_000_000)
    rejects = decode([(17, b"SPX", b"{nonsense", None, None)], "ticks").rejects
    (letter,) = dead_letters([record], rejects, "ticks.dlt", 1_000_000)
    message = DOCUMENTS[schemas.ASYNCAPI_FILE]["components"]["messages"]["dead_letter"]
    validator(message["headers"]).validate({name: value.decode() for name, value in letter.headers})
    assert {name for name, _ in letter.headers} == set(message["headers"]["properties"])


def test_writing_then_checking_finds_nothing_and_writing_twice_changes_nothing(tmp_path: Path) -> None:
    """The files are made from the program alone."""
    paths = schemas.write(tmp_path / "schemas")
    first = [path.read_bytes() for path in paths]
    assert schemas.check(tmp_path / "schemas") == []
    assert [path.read_bytes() for path in schemas.write(tmp_path / "schemas")] == first


def test_drift_is_told_file_by_file(tmp_path: Path) -> None:
    """A file edited by hand, one missing, one broken, one too many."""
    schemas.write(tmp_path)
    (tmp_path / "trade.json").write_text(json.dumps(RECORD_SCHEMAS["trade"] | {"title": "deal"}))
    (tmp_path / "quote.json").unlink()
    (tmp_path / "depth.json").write_text("{")
    (tmp_path / "dividend.json").write_text(json.dumps(RECORD_SCHEMAS["trade"] | {"$id": "urn:dhpe:schema:dividend"}))
    (tmp_path / "columns.json").write_text("{}")
    (tmp_path / "others.json").write_text("{}")
    problems = "\n".join(schemas.check(tmp_path))
    for sentence in (
        "trade.json: is not what",
        "quote.json: is missing",
        "depth.json: is not what",
        "columns.json: is not what",
        "dividend: the record is gone",
        "dividend.json: belongs to no record",
    ):
        assert sentence in problems
    assert "others.json" not in problems


def test_an_incompatible_contract_is_not_overwritten_unseen(tmp_path: Path) -> None:
    """Writing refuses, names the change, and obeys only when told so."""
    schemas.write(tmp_path)
    promised = edit(RECORD_SCHEMAS["trade"], "properties", "venue", to={"type": "string"})
    (tmp_path / "trade.json").write_text(json.dumps(promised))
    with pytest.raises(schemas.IncompatibleChange, match="trade: field venue was removed"):
        schemas.write(tmp_path)
    schemas.write(tmp_path, accept_incompatible=True)
    assert schemas.check(tmp_path) == []


def test_a_layout_changes_only_with_its_version(tmp_path: Path) -> None:
    """Rows carry no names: one byte further and a size is read as a price."""
    schemas.write(tmp_path)
    path = tmp_path / schemas.COLUMNS_FILE
    told = json.loads(path.read_text())
    told["kinds"]["trade"]["fields"][2]["offset"] += 8
    path.write_text(json.dumps(told))
    with pytest.raises(schemas.IncompatibleChange, match="columns: the layout of trade changed"):
        schemas.write(tmp_path)
    path.write_text(json.dumps(told | {"version": 0}))
    schemas.write(tmp_path)
    assert schemas.check(tmp_path) == []


TRADE = RECORD_SCHEMAS["trade"]
VENUED = edit(TRADE, "properties", "venue", to={"type": "string"})
ALERT = DOCUMENTS["alert.json"]


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (edit(TRADE, "properties", "side"), "field side was removed"),
        (edit(TRADE, "required", to=[*TRADE["required"], "side"]), "field side became required"),
        (edit(VENUED, "required", to=[*TRADE["required"], "venue"]), "field venue is new and required"),
        (edit(TRADE, "properties", "price", "type", to="string"), "field price changed its type from number to string"),
        (edit(TRADE, "properties", "price", "type", to="integer"), "field price changed its type"),
        (edit(TRADE, "properties", "side", to={"enum": ["buy", "sell"]}), "field side changed its type"),
        (
            edit(TRADE, "properties", "side", to={"anyOf": [{"enum": ["buy"]}, {"type": "null"}]}),
            "field side lost the value 'sell'",
        ),
        (edit(TRADE, "properties", "price", "exclusiveMaximum", to=10.0), "field price accepts less"),
        (edit(TRADE, "properties", "underlying", "minLength", to=2), "field underlying accepts less"),
        (
            edit(TRADE, "properties", "source", to={"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
            "field source now accepts only",
        ),
        (edit(TRADE, "dependentRequired", to={"side": ["instrument"]}), "fields go together changed"),
    ],
)
def test_a_change_that_refuses_old_producers_is_incompatible(new: dict[str, Any], sentence: str) -> None:
    """Inputs must go on accepting all that they accepted."""
    problems = compatibility.differences(TRADE, new, "input")
    assert [sentence in problem for problem in problems] == [True], problems


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        (edit(ALERT, "properties", "spot"), "field spot was removed"),
        (edit(ALERT, "required", to=[name for name in ALERT["required"] if name != "spot"]), "spot may now be missing"),
        (edit(ALERT, "properties", "id", to={"anyOf": [{"type": "string"}, {"type": "null"}]}), "id changed its type"),
        (edit(ALERT, "properties", "ts_event_ns", "type", to="number"), "ts_event_ns changed its type"),
        (edit(ALERT, "properties", "severity", to={"enum": ["info", "warning"]}), "lost the value 'critical'"),
        (edit(ALERT, "properties", "severity", to={"type": "string"}), "severity may now hold any value"),
        (edit(ALERT, "properties", "thresholds", "additionalProperties", "type", to="string"), "thresholds.*"),
        (edit(ALERT, "$defs", "Offsets", "properties", "chain"), "field offsets.chain was removed"),
    ],
)
def test_a_change_that_surprises_old_readers_is_incompatible(new: dict[str, Any], sentence: str) -> None:
    """Outputs must go on promising all that they promised, in nested structures too."""
    problems = compatibility.differences(ALERT, new, "output")
    assert [sentence in problem for problem in problems] == [True], problems


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (TRADE, TRADE, "input"),
        (TRADE, VENUED, "input"),
        (TRADE, edit(TRADE, "required", to=[name for name in TRADE["required"] if name != "size"]), "input"),
        (TRADE, edit(TRADE, "properties", "price", "exclusiveMaximum"), "input"),
        (edit(TRADE, "properties", "price", "type", to="integer"), TRADE, "input"),
        (TRADE, edit(TRADE, "properties", "side", to={}), "input"),
        (ALERT, edit(ALERT, "properties", "note", to={"type": "string"}), "output"),
        (ALERT, edit(ALERT, "required", to=[*ALERT["required"], "note"]), "output"),
        (ALERT, edit(ALERT, "properties", "spot", to={"type": "number"}), "output"),
        (ALERT, edit(ALERT, "properties", "rule", to={"enum": ["bulldozer"]}), "output"),
        (ALERT, edit(ALERT, "description", to="other words"), "output"),
    ],
)
def test_growth_is_compatible(old: dict[str, Any], new: dict[str, Any], direction: compatibility.Direction) -> None:
    """New optional fields, wider inputs, narrower outputs and other prose break nobody."""
    assert compatibility.differences(old, new, direction) == []
