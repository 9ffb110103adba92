"""A grammar of HTTP requests, as bytes of a connection: what a client may ask for, and what nobody should."""

import random
from typing import Any, Final, NamedTuple
from urllib.parse import quote

METHODS: Final = [*["GET"] * 12, "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "BREW"]
NAMES: Final = ["SIM", "SIM", "SIM", "GOOG", "SPX", "*", " ", "日経", "\x00", "X" * 64, "X" * 65, "..", "%", "stream"]
UNKNOWN: Final = ["/v1", "/v2/SIM/status", "/v1/SIM/", "/v1//status", "/v1/SIM/status/x", "/%00"]
PAGES: Final = [
    "/",
    "/docs",
    "/favicon.ico",
    "/openapi.json",
    "/web/app.js",
    "/web/none",
    "/web/../app.js",
    "/web/%00",
    "/web/" + "x" * 999,
]
QUERIES: Final = [
    "since=0",
    "since=-1",
    "since=x",
    "since=1" + "0" * 19,
    "limit=1",
    "limit=0",
    "limit=1e3",
    "x=%ff",
]
TYPES: Final = [
    b"application/json",
    b"text/plain",
    b"application/json; charset=x",
    b"multipart/form-data",
    b"/",
    b"\xff",
]
BODIES: Final = [b"{}", b"[", b'{"spot": 1e999}', b"a=1&a=2", b"\xff\x00", b"[" * 5_000, b" " * 3_000]
SIZES: Final = [0, 10, 1_000, 15_000, 16_384, 17_000, 40_000, 100_000]
ODD_HEADERS: Final = [
    (b"Content-Length", b"-1"),
    (b"Content-Length", b"1e3"),
    (b"Content-Length", b"9" * 30),
    (b"Transfer-Encoding", b"gzip"),
    (b"Expect", b"100-continue"),
    (b"Upgrade", b"websocket"),
    (b"X-Forwarded-For", b"\xff, 1.2.3.4"),
    (b"Accept", b"application/xml"),
    (b"Range", b"bytes=5-1,-9"),
    (b"If-Modified-Since", b"yesterday"),
    (b"Cookie", b";=;"),
    (b"Last-Event-ID", b"x" * 300),
]
KEY: Final = "open sesame"


class Asked(NamedTuple):
    """A request, and what is known of it: ``template`` names the path of the document that it means, None none."""

    wire: bytes
    method: str
    template: str | None
    path: str
    head_bytes: int
    body_announced: int
    key: bytes | None
    tame: bool
    """Nothing in it is against HTTP, so that the answer follows from the document."""


def request(dice: random.Random, document: dict[str, Any]) -> Asked:
    """A request to a path of ``document`` or beside it."""
    method = dice.choice(METHODS)
    template, path = _path(dice, document)
    query = "?" + "&".join(dice.choice(QUERIES) for _ in range(dice.randrange(3))) if dice.random() < 0.3 else ""
    headers: list[tuple[bytes, bytes]] = [(b"Host", b"dhpe"), (b"Connection", b"close")]
    key = dice.choice([None, KEY.encode(), KEY.encode(), b"wrong", b"\xff"])
    if key is not None:
        headers.append((b"X-API-Key", key) if dice.random() < 0.5 else (b"Authorization", b"Bearer " + key))
    tame = True
    if dice.random() < 0.2:
        name, value = dice.choice(ODD_HEADERS)
        headers.append((name, value))
        tame = not name.startswith((b"Content-Length", b"Transfer-Encoding"))
    if dice.random() < 0.2:
        headers.append((b"X-Padding", b"x" * dice.choice(SIZES)))
    body, announced = _body(dice, headers)
    head = f"{method} {path}{query} HTTP/1.1\r\n".encode()
    head += b"".join(name + b": " + value + b"\r\n" for name, value in headers) + b"\r\n"
    return Asked(head + body, method, template, path, len(head), announced, key, tame)


def _path(dice: random.Random, document: dict[str, Any]) -> tuple[str | None, str]:
    if dice.random() < 0.2:
        return None, dice.choice(UNKNOWN + PAGES)
    template = dice.choice(sorted(document["paths"]))
    path = template
    for parameter in ("underlying", "alert_id"):
        path = path.replace(f"{{{parameter}}}", quote(dice.choice(NAMES), safe=""))
    return template, path


def _body(dice: random.Random, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, int]:
    """A body with its headers; mostly none. What is announced may be more than what is sent."""
    if dice.random() < 0.6:
        return b"", 0
    body = dice.choice(BODIES)
    if dice.random() < 0.7:
        headers.append((b"Content-Type", dice.choice(TYPES)))
    if dice.random() < 0.3:
        headers.append((b"Transfer-Encoding", b"chunked"))
        return b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), 0
    announced = len(body) + dice.choice([0, 0, 0, 1_000_000, 2**40])
    headers.append((b"Content-Length", str(announced).encode()))
    return body, announced
