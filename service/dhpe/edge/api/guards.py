"""What every answer passes: security headers, and the API key where one is set.

Plain ASGI, because a middleware that buffers would break the event stream.
"""

import hmac
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Header, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dhpe.edge.api.problems import Problem
from dhpe.edge.metrics import Metrics

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


def key_check(expected: SecretStr, metrics: Metrics) -> Callable[[str | None, str | None], None]:
    """The dependency that asks for ``expected`` in the header X-API-Key, or as a bearer's token."""
    scheme = APIKeyHeader(name="X-API-Key", auto_error=False, description="Set by DHPE_HTTP_API_KEY")
    secret = expected.get_secret_value().encode()

    def check(
        given: Annotated[str | None, Security(scheme)],
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> None:
        if given is None and authorization is not None:
            given = authorization.removeprefix("Bearer ")
        # headers come as latin-1: the bytes that were sent
        if given is None or not hmac.compare_digest(given.encode("latin-1"), secret):
            metrics.http_refused("key")
            raise Problem(HTTPStatus.UNAUTHORIZED, "This service asks for its key in the header X-API-Key")

    return check
