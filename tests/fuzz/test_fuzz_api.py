"""Requests that nobody should send, over real sockets: each has one answer, of the shape that the document gives it.

The API takes no bodies today: whatever is sent with a request changes nothing, until it is too long. Whoever adds a
path that takes one has it tried here, since the grammar reads the document.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from damage import damaged
from dhpe.edge.api.guards import HEADERS
from dhpe.settings import Settings
from fuzz_rounds import rounds
from web.records import alert, field, pressure
from web.service import Service
from wild_requests import KEY, PAGES, Asked, request

PROBLEM = "application/problem+json"
REQUESTS = 400
SETTINGS: dict[str, Any] = {
    "http_requests_per_minute": 0,
    "http_request_timeout_s": 0.2,
    "http_body_bytes_max": 100_000,
}


class Document:
    """What the service says of itself, asked of answers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.openapi = service.application.openapi()
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, asked: Asked, status: int, content_type: str, body: bytes) -> None:
        """Assert that this answer to this request is one that the document promises."""
        described = self.openapi["paths"].get(asked.template or "", {}).get(asked.method.lower(), {})
        contents = described.get("responses", {}).get(str(status), {}).get("content", {})
        if asked.template is None or not described or status == 400:
            contents = {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
        media_type = content_type.partition(";")[0]
        assert media_type in contents, f"{status} {media_type} is not in the document"
        if media_type.endswith("json") and asked.method != "HEAD":
            said = json.loads(body)
            self._validator(contents[media_type]["schema"]).validate(said)
            if media_type == PROBLEM:
                assert said["status"] == status

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        name = json.dumps(schema)
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(schema | {"components": self.openapi["components"]})
        return self._validators[name]


@pytest.fixture(scope="module")
def documents() -> Iterator[list[Document]]:
    """An open service and one with a key, both with something to tell."""
    plain, keyed = Service(Settings(**SETTINGS)), Service(Settings(**SETTINGS, http_api_key=SecretStr(KEY)))
    with plain.serve(), keyed.serve():
        for service in (plain, keyed):
            for record in (pressure(), pressure(underlying="GOOG"), alert(), field()):
                service.put(record)
        yield [Document(plain), Document(keyed)]


def answered(service: Service, wire: bytes) -> tuple[http.client.HTTPResponse, bytes] | None:
    """Send the bytes and read the answer (of a stream its head); None where the connection was closed without one."""
    host, _, port = service.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was read whole: the answer is there
            client.sendall(wire)
        answer = http.client.HTTPResponse(client, method="HEAD" if wire.startswith(b"HEAD ") else "GET")
        try:
            answer.begin()
            body = b"" if answer.headers.get_content_type() == "text/event-stream" else answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None
        return answer, body


def expected(asked: Asked, document: Document, settings: Settings) -> int | None:
    """The status that follows from the request alone; None where it depends on what it asks for."""
    operations = document.openapi["paths"].get(asked.template or "", {})
    if asked.head_bytes > settings.http_head_bytes_max:
        return 400
    if asked.body_announced > settings.http_body_bytes_max:
        return 413
    if asked.template is None:
        return None if asked.path in PAGES else 404
    if asked.method.lower() not in operations:
        return 405
    guarded = "security" in operations[asked.method.lower()]
    return 401 if guarded and asked.key != KEY.encode() else None


@pytest.mark.timeout(1800)
def test_every_request_has_an_answer_of_the_shape_that_the_document_gives_it(documents: list[Document]) -> None:
    """Methods, paths, names, queries, headers, bodies and their types, sizes beyond the limits; some with damage."""
    statuses = set()
    for seed, dice in rounds():
        for _ in range(REQUESTS):
            document = dice.choice(documents)
            asked = request(dice, document.openapi)
            wild = dice.random() < 0.1
            wire = damaged(dice, asked.wire) if wild else asked.wire
            try:
                statuses.add(check(document, asked, wire, tame=asked.tame and not wild))
            except Exception as error:
                error.add_note(f"FUZZ_SEED={seed}: {wire[:300]!r}")
                raise
    assert {200, 400, 401, 404, 405, 413, 422, 503} <= statuses


def check(document: Document, asked: Asked, wire: bytes, *, tame: bool) -> int:
    """One request and its answer; returns the status, 0 for none."""
    got = answered(document.service, wire)
    if got is None:
        assert not tame, "closed without an answer"
        return 0
    answer, body = got
    assert answer.status < 500 or answer.status == 503
    assert all(answer.headers[name] == value for name, value in HEADERS.items())
    if not tame:
        return answer.status
    known = expected(asked, document, document.service.settings)
    assert answer.status == known or known is None
    assert answer.status != 405 or answer.headers["allow"]
    if asked.path not in PAGES:  # their files are served by the framework, in its own words
        document.check(asked, answer.status, answer.headers["content-type"], body)
    return answer.status
