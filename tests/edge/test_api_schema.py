"""The OpenAPI document is true: answers fit it under random requests, and each number says what it is."""

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from dhpe.outputs import Alert, Pressure
from web.records import alert, pressure
from web.records import field as field_record
from web.service import Service

SERVICE = Service()
FIELD_PATHS = ("field", "landscape", "potential", "surface")
for _record in (
    pressure(),
    pressure(1.3, underlying="GOOG"),
    alert(),
    field_record(),
    field_record("GOOG", known=False),
):
    SERVICE.put(_record)

schema = schemathesis.openapi.from_asgi("/openapi.json", SERVICE.application).exclude(path="/v1/stream")
ALWAYS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(params=["fresh", "stale", "not ready"])
def state(request: pytest.FixtureRequest) -> Iterator[str]:
    """The service in each of its three states."""
    SERVICE.clock.ahead_s = 60.0 if request.param == "stale" else 0.0
    SERVICE.health.reason = "restoring" if request.param == "not ready" else ""
    yield request.param
    SERVICE.clock.ahead_s, SERVICE.health.reason = 0.0, ""


@schema.parametrize()
@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_to_random_requests_fit_the_document(case: schemathesis.Case, state: str) -> None:
    """Fuzzing of every path but the stream, in each state of the service; derandomised."""
    declared = [] if state == "not ready" else [not_a_server_error]  # 503 is then the right answer
    case.call_and_validate(checks=[*ALWAYS, *declared])


@pytest.mark.parametrize("underlying", ["SIM", "GOOG"])
@pytest.mark.parametrize("path", [*("amplification", "status", "alerts", "history"), *FIELD_PATHS])
def test_answers_about_known_underlyings_fit_the_document(underlying: str, path: str, state: str) -> None:
    """Random names hardly ever meet a known one; these do."""
    operation = schema[f"/v1/{{underlying}}/{path}"]["GET"]
    answer = operation.Case(path_parameters={"underlying": underlying}).call_and_validate(checks=ALWAYS[:-2])
    assert answer.status_code == 200


def test_the_document_is_openapi_3_1_and_lists_every_path() -> None:
    """The paths of INTERFACES.md that exist now."""
    document = SERVICE.application.openapi()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        *("/v1/underlyings", "/v1/{underlying}/amplification", "/v1/{underlying}/status", "/v1/{underlying}/alerts"),
        *("/v1/{underlying}/field", "/v1/{underlying}/landscape", "/v1/{underlying}/potential"),
        *(
            "/v1/{underlying}/surface",
            "/v1/{underlying}/history",
            "/v1/alerts",
            "/v1/stream",
            "/v1/explain/{alert_id}",
            "/healthz",
            "/readyz",
            "/metrics",
        ),
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("description"), f"{path} does not say what it is"


@pytest.mark.parametrize(("model", "struct"), [("Status", Pressure), ("Alert", Alert)])
def test_models_have_the_fields_of_the_wire_in_their_order(model: str, struct: type[Pressure | Alert]) -> None:
    """Made from the structs, with the age added."""
    properties = list(SERVICE.application.openapi()["components"]["schemas"][model]["properties"])
    assert [name for name in properties if name not in {"age_s", "simulated"}] == list(struct.__struct_fields__)


def test_every_field_says_what_it_is_and_every_number_its_unit() -> None:
    """A float without a unit is a wish."""
    schemas = SERVICE.application.openapi()["components"]["schemas"]
    for model, described in schemas.items():
        for name, field in described["properties"].items():
            kinds = {kind.get("type") for kind in field.get("anyOf", [field])}
            assert field.get("description"), f"{model}.{name}"
            if kinds & {"number", "integer"} and model != "ProblemDetails":
                assert "Unit: " in field["description"], f"{model}.{name}"


def test_the_document_is_served() -> None:
    """As JSON, with the version of the package."""
    with Service().serve() as service:
        answer = httpx.get(f"{service.address}/openapi.json")
    assert answer.json()["info"]["license"]["identifier"] == "Apache-2.0"
