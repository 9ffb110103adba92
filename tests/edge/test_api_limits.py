"""What a client may not do: send too much, too slowly, too often, or stop reading. Over real sockets."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from fastapi import Request
from pydantic import SecretStr

from dhpe.edge.api import build_server
from dhpe.edge.api.limits import counted_as
from dhpe.edge.log import LogError
from dhpe.settings import Settings
from web.records import START_NS, alert, pressure
from web.service import RunningService, Service

PROBLEM = "application/problem+json"
KEY = "open sesame"


def limited(**given: object) -> Service:
    """A service with these limits, and a path that reads its body whole."""
    service = Service(Settings(**({"http_requests_per_minute": 0} | given)))  # type: ignore[arg-type]

    @service.application.post("/v1/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @service.application.get("/v1/failure")
    async def failure() -> None:
        raise RuntimeError("a fault of ours")

    return service


def refused(service: Service, reason: str) -> float:
    """How often the service has refused for this reason."""
    return service.metrics.registry.get_sample_value("dhpe_http_refused_total", {"reason": reason}) or 0.0


def wait_for(condition: Callable[[], bool]) -> None:
    """What another thread does has no event here."""
    pause = threading.Event()
    for _ in range(2_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not happen within 20 s")


@contextmanager
def connected(service: Service, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    """A plain connection; a small ``receive_bytes`` makes a client that soon takes nothing more."""
    host, _, port = service.address.removeprefix("http://").partition(":")
    with socket.socket() as client:
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(20)
        client.connect((host, int(port)))
        yield client


def until_closed(client: socket.socket) -> bytes:
    """All that still comes."""
    received = b""
    try:
        while piece := client.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path, Path, Path]:
    """An authority, and a certificate of 127.0.0.1 with its key, plain and encrypted."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(KEY.encode()),
    )
    (folder / "encrypted.pem").write_bytes(encrypted)
    return authority, folder / "certificate.pem", folder / "key.pem", folder / "encrypted.pem"


def test_over_tls_with_a_key_a_client_gets_answers_and_the_stream(
    certificate: tuple[trustme.CA, Path, Path, Path],
) -> None:
    """A client that verifies; a browser is told to come by TLS only; plain text on that port gets nothing."""
    authority, file, _, encrypted = certificate
    secured = limited(
        http_api_key=SecretStr("a key that is long"),
        http_tls_certificate_file=file,
        http_tls_key_file=encrypted,
        http_tls_key_password=SecretStr(KEY),
    )
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with secured.serve() as service:
        service.put(pressure())
        assert service.address.startswith("https://")
        headers = {"X-API-Key": "a key that is long"}
        with httpx.Client(base_url=service.address, verify=trusting) as client:
            assert client.get("/v1/SIM/status").status_code == 401
            answer = client.get("/v1/SIM/status", headers=headers)
            assert (answer.status_code, answer.json()["underlying"]) == (200, "SIM")
            assert "max-age" in answer.headers["strict-transport-security"]
            with client.stream("GET", "/v1/stream", headers=headers) as stream:
                assert next(line for line in stream.iter_lines() if line.startswith("event")) == "event: pressure"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(service.address)
        with pytest.raises(httpx.HTTPError):
            httpx.get(service.address.replace("https", "http"))
        assert refused(service, "key") == 1


def test_an_encrypted_key_without_its_password_is_one_line_and_no_question(
    certificate: tuple[trustme.CA, Path, Path, Path],
) -> None:
    """OpenSSL by itself would ask the terminal."""
    _, file, _, encrypted = certificate
    service = limited(http_tls_certificate_file=file, http_tls_key_file=encrypted)
    with pytest.raises(LogError, match="DHPE_HTTP_TLS_KEY_PASSWORD") as caught:
        build_server(service.application, service.settings, service.metrics)
    assert "\n" not in str(caught.value)


def test_a_body_that_is_too_long_is_refused_whether_or_not_it_says_so() -> None:
    """By its length before it is read, by counting where it comes in chunks."""

    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b"x" * 1_000

    with limited(http_body_bytes_max=10_000).serve() as service, httpx.Client(base_url=service.address) as client:
        assert client.post("/v1/length", content=b"x" * 10_000).json() == 10_000
        assert client.post("/v1/length", content=chunks(10)).json() == 10_000
        for content in (b"x" * 10_001, chunks(11), chunks(200)):
            answer = client.post("/v1/length", content=content)
            assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)
            assert "DHPE_HTTP_BODY_BYTES_MAX" in answer.json()["detail"]
        assert refused(service, "body") == 3


def test_a_body_that_never_ends_is_given_up() -> None:
    """408, and the connection is closed."""
    limits = {"http_request_timeout_s": 0.2, "http_idle_timeout_s": 1}
    with limited(**limits).serve() as service, connected(service) as client:
        client.sendall(b"POST /v1/length HTTP/1.1\r\nHost: dhpe\r\nContent-Length: 100\r\n\r\nsome")
        assert client.recv(65_536).startswith(b"HTTP/1.1 408 ")
        until_closed(client)
        assert refused(service, "slow_request") == 1


@pytest.mark.parametrize("asked_before", [False, True], ids=["first request", "second request"])
def test_a_head_that_comes_drop_by_drop_is_given_up(*, asked_before: bool) -> None:
    """Also on a connection that has been of use."""
    with limited(http_request_timeout_s=0.3).serve() as service, connected(service) as client:
        if asked_before:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: dhpe\r\n\r\n")
            assert client.recv(65_536).startswith(b"HTTP/1.1 200 ")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: dh")
        assert until_closed(client) in (b"", b'{"status":"alive"}')
        assert refused(service, "slow_request") == 1


def test_a_head_that_is_too_long_or_no_http_is_a_problem_document() -> None:
    """With the security headers, which the server below the application does not know of."""
    whole = b"GET /healthz HTTP/1.1\r\nHost: dhpe\r\nConnection: close\r\nX: " + b"x" * 17_000 + b"\r\n\r\n"
    for head in (b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\n", b"\x16\x03\x01\x00\x00 what\r\n\r\n", whole):
        with limited().serve() as service, connected(service) as client:
            client.sendall(head)
            answer = until_closed(client)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n") or answer == b""  # the reset may overtake it
            assert answer == b"" or (b"nosniff" in answer and PROBLEM.encode() in answer)
            assert refused(service, "malformed") == 1


def test_beyond_the_connections_the_next_is_sent_away_and_a_free_place_is_used() -> None:
    """Who says nothing takes a place only until the time to ask is over."""
    limits = {"http_connections_max": 2, "http_request_timeout_s": 0.5}
    with limited(**limits).serve() as service, connected(service), connected(service):
        with connected(service) as third:
            answer = until_closed(third)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"DHPE_HTTP_CONNECTIONS_MAX" in answer
        assert b"nosniff" in answer
        assert refused(service, "connections") == 1
        wait_for(lambda: refused(service, "slow_request") == 2)
        assert httpx.get(f"{service.address}/healthz").status_code == 200


def test_an_error_of_ours_carries_the_security_headers_and_no_trace() -> None:
    """The framework answers it outside of all that we add."""
    with limited().serve() as service:
        answer = httpx.get(f"{service.address}/v1/failure")
        assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "fault of ours" not in answer.text


def test_an_address_has_so_many_streams() -> None:
    """The others' places stay free."""
    with (
        limited(stream_clients_of_address_max=1).serve() as service,
        httpx.stream("GET", f"{service.address}/v1/stream") as first,
    ):
        assert first.status_code == 200
        second = httpx.get(f"{service.address}/v1/stream")
        assert (second.status_code, second.headers["content-type"]) == (429, PROBLEM)
        assert "DHPE_STREAM_CLIENTS_OF_ADDRESS_MAX" in second.json()["detail"]


def test_a_forwarded_address_is_believed_of_a_named_proxy_only() -> None:
    """Else a client would choose whom its requests are counted for."""
    for proxies, third in (("", 429), ("127.0.0.1", 200)):
        with limited(http_requests_per_minute=2, http_proxy_addresses=proxies).serve() as service:
            answers = [
                httpx.get(f"{service.address}/v1/underlyings", headers={"X-Forwarded-For": f"203.0.113.{number}"})
                for number in range(3)
            ]
            assert [answer.status_code for answer in answers] == [200, 200, third]


def test_an_ipv6_user_is_counted_by_his_network() -> None:
    """He has 2^64 addresses."""
    assert counted_as("2001:db8:1:2::1") == counted_as("2001:db8:1:2:ffff::9") != counted_as("2001:db8:1:3::1")
    assert counted_as("fe80::1%eth0") == "fe80::/64"
    assert counted_as("192.0.2.7") == "192.0.2.7"


def test_a_client_that_stops_reading_is_cut_off_and_holds_no_memory_while_another_gets_everything() -> None:
    """What waits for it is bounded: the newest state of each underlying, so many alerts, and the socket's buffer."""
    service = limited(stream_interval_ms=0, http_send_timeout_s=0.5, stream_queue_max=10_000)
    running = RunningService(service)
    with running:
        service.put(pressure())
        with (
            connected(service, 4_096) as deaf,
            httpx.stream("GET", f"{service.address}/v1/stream", timeout=20) as attentive,
        ):
            deaf.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: dhpe\r\n\r\n")
            wait_for(lambda: service.metrics.registry.get_sample_value("dhpe_stream_clients") == 2.0)
            connections = running._server.server_state.connections
            lines = attentive.iter_lines()
            sent, held, held_since = 0, 0, 0
            while sent < held_since + 50 or not held:
                assert sent < 20_000, "the kernel alone took everything"
                service.put(alert(sent))
                service.put(pressure(0.1, ts_event_ns=START_NS + sent))
                assert next(line for line in lines if line.startswith("id: ")) == f"id: {alert(sent).id}"
                sent += 1
                held_since = held_since if held else sent
                held = max(held, *(one.transport.get_write_buffer_size() for one in list(connections)))
            assert 0 < held < 64 * 1024 + 32 * 1024, "the high-water mark and one event"
            wait_for(lambda: refused(service, "slow_reader") == 1)
            wait_for(lambda: service.metrics.registry.get_sample_value("dhpe_stream_clients") == 1.0)
            wait_for(lambda: len(connections) == 1)
            service.put(alert(sent))
            told = next(line for line in lines if line.startswith("data: ") and alert(sent).id in line)
            assert json.loads(told.removeprefix("data: "))["id"] == alert(sent).id
