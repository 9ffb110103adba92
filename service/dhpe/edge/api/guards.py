"""What every answer passes: security headers, a limit on requests, and the API key where one is set.

Plain ASGI, because a middleware that buffers would break the event stream.
"""

import hmac
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dhpe.edge.api.problems import Problem, answer

POLICY: Final = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
DOCS_POLICY: Final = POLICY + "; img-src 'self' data:"
"""Swagger UI draws its arrows from data addresses in its own style sheet; nothing leaves this host."""

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
YEAR_S: Final = 365 * 86_400
ADDRESSES_MAX: Final = 10_000
MINUTE_S: Final = 60


class SecurityHeaders:
    """Set the headers that tell a browser to trust nothing but this host."""

    def __init__(self, application: ASGIApp, *, tls: bool) -> None:
        self._application = application
        self._tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the headers to the start of the response."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        path: str = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = DOCS_POLICY if path == "/docs" else POLICY
                for name, value in HEADERS.items():
                    headers[name] = value
                if self._tls:
                    headers["strict-transport-security"] = f"max-age={YEAR_S}"
                headers.setdefault("cache-control", "no-cache" if path.startswith("/web/") else "no-store")
            await send(message)

        await self._application(scope, receive, send_with_headers)


class RequestLimit:
    """At most ``per_minute`` requests to /v1 from one address in one minute of the clock (0: no limit)."""

    def __init__(self, application: ASGIApp, *, per_minute: int, now_s: Callable[[], float]) -> None:
        self._application = application
        self._per_minute = per_minute
        self._now_s = now_s
        self._minute = 0
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429 with the seconds until the next minute."""
        if scope["type"] == "http" and self._per_minute and scope["path"].startswith("/v1/"):
            wait_s = self._wait_s((scope.get("client") or ("",))[0])
            if wait_s:
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


def key_check(expected: SecretStr) -> Callable[[str | None], None]:
    """The dependency that asks for ``expected`` in the header X-API-Key."""
    scheme = APIKeyHeader(name="X-API-Key", auto_error=False, description="Set by DHPE_HTTP_API_KEY")

    def check(given: Annotated[str | None, Security(scheme)]) -> None:
        if given is None or not hmac.compare_digest(given.encode(), expected.get_secret_value().encode()):
            raise Problem(HTTPStatus.UNAUTHORIZED, "This service asks for its key in the header X-API-Key")

    return check
