"""The server under the application: uvicorn, with an end to every wait for a client.

Uvicorn bounds what a connection holds, but not how long a client may take to ask, nor to read what it was given, nor
how many connect and say nothing. A connection that breaks a limit is closed, and counted by reason.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from dhpe.edge.api.guards import HEADERS, POLICY, SecurityHeaders
from dhpe.edge.api.problems import CONTENT_TYPE, RETRY_AFTER_S, body_of
from dhpe.edge.log import LogError
from dhpe.edge.metrics import Metrics
from dhpe.settings import Settings, variable


def build_server(application: ASGIApp, settings: Settings, metrics: Metrics) -> "Server":
    """The server of ``application``; it serves the sockets that it is given.

    Raises:
        LogError: certificate and key cannot be used; the message names the settings.
    """
    config = _Config(application, settings, metrics)
    config.load()
    return Server(config)


class Server(uvicorn.Server):
    """The signals are ours: the server would end before the worker has drained."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class _Config(uvicorn.Config):
    def __init__(self, application: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        secured = settings.http_tls_certificate_file is not None
        super().__init__(
            SecurityHeaders(application, tls=secured),  # outside of all: the framework's own errors carry them too
            http=_Connection,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            # who stands in front may say whose request it passes on; nobody else
            proxy_headers=bool(settings.http_proxy_addresses),
            forwarded_allow_ips=settings.http_proxy_addresses,
            timeout_keep_alive=max(1, round(settings.http_idle_timeout_s)),
            timeout_graceful_shutdown=max(1, round(settings.http_shutdown_timeout_s)),
            h11_max_incomplete_event_size=settings.http_head_bytes_max,
            ssl_context_factory=(lambda *_: _tls(settings)) if secured else None,
        )
        self.settings = settings
        self.metrics = metrics


def _tls(settings: Settings) -> ssl.SSLContext:
    certificate, key, password = (
        settings.http_tls_certificate_file,
        settings.http_tls_key_file,
        settings.http_tls_key_password,
    )
    assert certificate is not None  # noqa: S101 - asked for only where there is one
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # an empty password, or OpenSSL would ask for one on the terminal and wait
        context.load_cert_chain(certificate, key, "" if password is None else password.get_secret_value())
    except OSError as error:
        raise LogError(
            f"{certificate} and {key}: {error.strerror or error}; correct {variable('http_tls_certificate_file')}, "
            f"{variable('http_tls_key_file')} or {variable('http_tls_key_password')}"
        ) from error
    return context


class _Connection(H11Protocol):
    """One connection of a client, which may be slow, hostile or gone."""

    config: _Config

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._asking: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, or send away whom there is no place for."""
        full = len(self.connections) >= self.config.settings.http_connections_max
        super().connection_made(transport)
        if full:
            self.config.metrics.http_refused("connections")
            transport.write(_NO_PLACE)
            self._close_in_time()
        else:
            self._await_request()

    def data_received(self, data: bytes) -> None:
        """Take some bytes; the head of a request has to be whole in time."""
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:  # type: ignore[truthy-bool]  # None before the first
            self._asked()  # from here on the application watches the time
        elif self._asking is None:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._asked()
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as it is given: it has so long to catch up."""
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        """It has; a connection that is being closed still has to read the rest."""
        if not self.transport.is_closing():
            self._read()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """After an answer: the next request, or the end."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._await_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without requests, even if the last answer was never read."""
        super().timeout_keep_alive_handler()
        self._await_reader()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self.config.metrics.http_refused("malformed")
        self.transport.write(_refusal(HTTPStatus.BAD_REQUEST, msg))
        self._close_in_time()

    def _await_request(self) -> None:
        self._asking = self.loop.call_later(self.config.settings.http_request_timeout_s, self._too_slow_to_ask)

    def _asked(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    def _too_slow_to_ask(self) -> None:
        self._asking = None
        if not self.transport.is_closing():
            self.config.metrics.http_refused("slow_request")
            self._close_in_time()

    def _close_in_time(self) -> None:
        self.transport.close()
        self._await_reader()

    def _await_reader(self) -> None:
        if self._reading is None:
            self._reading = self.loop.call_later(self.config.settings.http_send_timeout_s, self._too_slow_to_read)

    def _read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _too_slow_to_read(self) -> None:
        self._reading = None
        if self.transport.get_write_buffer_size():
            self.config.metrics.http_refused("slow_reader")
        self.transport.abort()  # close() would wait for the reader, and keep what it has not read


def _refusal(status: HTTPStatus, detail: str) -> bytes:
    body = body_of("", status, detail)
    head = {
        "content-type": CONTENT_TYPE,
        "content-length": str(len(body)),
        "retry-after": str(RETRY_AFTER_S),
        "connection": "close",
        "content-security-policy": POLICY,
        **HEADERS,
    }
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


_NO_PLACE: Final = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, f"All connections are taken ({variable('http_connections_max')})"
)
