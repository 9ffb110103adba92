"""What a client may ask of us: so many requests a minute, heads and bodies so long, and sent in time."""

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dhpe.edge.api.problems import answer
from dhpe.edge.metrics import Metrics
from dhpe.settings import Settings, variable

ADDRESSES_MAX: Final = 10_000
"""Counted at once; of more, those that were silent longest begin anew."""
MINUTE_S: Final = 60
UNCOUNTED: Final = frozenset(("/healthz", "/readyz"))
_NETWORK_BITS: Final = 64


def counted_as(address: str) -> str:
    """Whom a request is counted for: an IPv4 address, or the /64 network that one IPv6 user has to himself."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], _NETWORK_BITS), strict=False))
    except ValueError:
        return address


class RequestLimit:
    """At most ``per_minute`` requests from one address in one minute of the clock (0: no limit)."""

    def __init__(self, application: ASGIApp, *, per_minute: int, metrics: Metrics, now_s: Callable[[], float]) -> None:
        self._application = application
        self._per_minute = per_minute
        self._metrics = metrics
        self._now_s = now_s
        self._minute = 0
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429 with the seconds until the next minute."""
        if scope["type"] == "http" and self._per_minute and scope["path"] not in UNCOUNTED:
            wait_s = self._wait_s(counted_as((scope.get("client") or ("",))[0]))
            if wait_s:
                self._metrics.http_refused("rate")
                detail = f"More than {self._per_minute} requests in this minute; come back in {wait_s} s"
                refusal = answer(scope["path"], HTTPStatus.TOO_MANY_REQUESTS, detail, {"retry-after": str(wait_s)})
                await refusal(scope, receive, send)
                return
        await self._application(scope, receive, send)

    def _wait_s(self, address: str) -> int:
        minute, second = divmod(int(self._now_s()), MINUTE_S)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        count = self._counts.pop(address, 0) + 1
        self._counts[address] = count
        if len(self._counts) > ADDRESSES_MAX:
            self._counts.popitem(last=False)
        return MINUTE_S - second if count > self._per_minute else 0


class SizeLimit:
    """Heads of at most ``http_head_bytes_max`` bytes, bodies of ``http_body_bytes_max`` within their time."""

    def __init__(self, application: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self._application = application
        self._head_bytes_max = settings.http_head_bytes_max
        self._bytes_max = settings.http_body_bytes_max
        self._timeout_s = settings.http_request_timeout_s
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 to a head that is too long, 413 to a length that says too much; where none is said, count."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if _head_bytes(scope) > self._head_bytes_max:  # the server refuses only those that do not come in one piece
            self._metrics.http_refused("malformed")
            detail = f"The head is longer than {self._head_bytes_max} bytes ({variable('http_head_bytes_max')})"
            await answer(scope["path"], HTTPStatus.BAD_REQUEST, detail)(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(announced) > self._bytes_max:  # the server has refused what is no number
            self._metrics.http_refused("body")
            await answer(scope["path"], HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_long())(scope, receive, send)
            return
        received, whole = 0, False

        async def receive_in_time() -> Message:
            nonlocal received, whole
            if whole:
                return await receive()  # how long the client listens is its own affair
            try:
                async with asyncio.timeout_at(deadline_s):
                    message = await receive()
            except TimeoutError:
                self._metrics.http_refused("slow_request")
                detail = f"The body was not whole within {self._timeout_s:g} s"
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._bytes_max:
                self._metrics.http_refused("body")
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_long())
            return message

        deadline_s = asyncio.get_running_loop().time() + self._timeout_s
        await self._application(scope, receive_in_time, send)

    def _too_long(self) -> str:
        return f"The body is longer than {self._bytes_max} bytes ({variable('http_body_bytes_max')})"


def _head_bytes(scope: Scope) -> int:
    """What the request's line and headers take on the wire."""
    line = len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + len("  HTTP/1.1\r\n\r\n")
    return line + sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
