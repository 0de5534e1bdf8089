"""A request and its response as observers see them, made by hand: `state.Exchange`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Headers, Scope
    from uvicorn_worker.proxies.proxy_protocol import ProxyInfo
    from uvicorn_worker.state import Exchange

RESPONSE_HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nserver: uvicorn\r\n"
    b"content-type: text/plain\r\ncontent-length: 13\r\n\r\n"
)


def make_scope(**changes: object) -> Scope:
    """Return the scope of `GET /` over plain HTTP/1.1."""
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    scope.update(changes)
    return scope


@dataclass
class FakeExchange:
    """`GET /`, answered with 200 and 13 bytes, unless told otherwise."""

    scope: Scope = field(default_factory=make_scope)
    target: bytes = b"/"
    request_headers: Headers = field(default_factory=lambda: [(b"host", b"testserver")])
    peer: Address = ("127.0.0.1", 50000)
    local: Address = ("127.0.0.1", 8000)
    started: float = 1000.0
    status: int = 200
    sent: int = 13
    response_head: bytes = RESPONSE_HEAD
    proxy: ProxyInfo | None = None


if TYPE_CHECKING:
    # A fake that does not fit the contract any more fails here, where types are checked.
    _fits: Exchange = FakeExchange()
