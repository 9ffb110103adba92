"""The real application on a real port: uvicorn in a thread, fed through the real view."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dhpe.edge.api import build_api, build_server
from dhpe.edge.metrics import Metrics
from dhpe.edge.view import View, ViewLimits
from dhpe.field_outputs import Field
from dhpe.outputs import Alert, Pressure
from dhpe.settings import Settings
from web.records import encoded

HEADERS = [("content-type", b"application/json")]


@dataclass
class PlainHealth:
    """A service that is what it is told to be."""

    is_alive: bool = True
    reason: str = ""

    def alive(self) -> bool:
        """Say so."""
        return self.is_alive

    def ready(self) -> tuple[bool, str]:
        """Ready unless there is a reason not to be."""
        return not self.reason, self.reason


@dataclass
class WallClock:
    """The wall clock, which a test may move forward instead of waiting."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        """Seconds since 1970."""
        return time.time() + self.ahead_s


async def no_such_alert(alert_id: str) -> None:
    """The log behind this view is empty."""


class Service:
    """An application with its view, metrics, health and clock; ``put`` appends to the output topics."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings(http_requests_per_minute=0)
        self.metrics = Metrics()
        self.view = View(self.metrics, ViewLimits.of(self.settings))
        self.health = PlainHealth()
        self.clock = WallClock()
        self.application = build_api(
            self.view, self.health, self.settings, self.metrics, no_such_alert, now_s=self.clock
        )
        self.address = ""
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, record: Pressure | Alert | Field) -> None:
        """Append ``record`` to its topic, as the worker does after a commit; from any thread."""
        topic = {Alert: "alerts", Field: "field", Pressure: "pressure"}[type(record)]
        now_ms = int(self.clock() * 1000)
        self.run(lambda: self.view.apply(topic, record.underlying.encode(), encoded(record), HEADERS, now_ms))

    def run(self, act: Callable[[], None]) -> None:
        """Do ``act`` on the server's loop and wait for it, or at once where no server runs."""
        if self._loop is None:
            act()
            return

        async def acted() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acted(), self._loop).result(10)

    def serve(self) -> "RunningService":
        """The application behind a real socket, as a context manager."""
        return RunningService(self)


class RunningService:
    """Starts uvicorn on a free port; the end waits until the thread has stopped."""

    def __init__(self, service: Service, port: int = 0) -> None:
        self._service = service
        self._listener = socket.create_server(("127.0.0.1", port))
        self._server = build_server(service.application, service.settings, service.metrics)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            self._service._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._listener])

        asyncio.run(serve())

    def __enter__(self) -> Service:
        """Wait until the socket answers."""
        self._thread.start()
        until = time.monotonic() + 20
        while not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < until, "uvicorn did not start"
            time.sleep(0.01)
        scheme = "https" if self._service.settings.http_tls_certificate_file is not None else "http"
        self._service.address = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        return self._service

    def __exit__(self, *_: object) -> None:
        """Stop as the composition root does: end the streams, then the server."""
        self._service.run(self._service.view.close)
        self._server.should_exit = True
        self._thread.join(10)
        self._service._loop = None
        assert not self._thread.is_alive(), "the server did not stop within 10 s"
