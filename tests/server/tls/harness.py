"""A server that tells what it knows of TLS, certificates of all who take part, and how to ask."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.asking import read_reply
from tests.support.certificates import Authority, Pair
from uvicorn_worker.config import Config
from uvicorn_worker.tls.renewal import TLSContexts, make_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.serving import RunningServer
    from uvicorn_worker.asgi import Receive, Scope, Send

NUMBERS = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
}
"""From the registry of IANA, "TLS Cipher Suites"."""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the scope says."""
    told = {"scheme": scope["scheme"], "extensions": scope["extensions"]}
    text = json.dumps(told)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": text})
        await send({"type": "websocket.close"})
        return
    # The next request must not see what this one does to its own copy.
    for value in (scope["extensions"].get("tls") or {}).values():
        if isinstance(value, list):
            value.append("spoilt")
    scope["extensions"].clear()
    length = str(len(text)).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]}
    )
    await send({"type": "http.response.body", "body": text.encode()})


class Kind(NamedTuple):
    loop: Any
    http: Any


KINDS = [Kind("uvloop", "httptools"), Kind("asyncio", "h11")]


class World:
    """Whom clients and servers trust, and whom not."""

    def __init__(self, folder: Path) -> None:
        self.root = Authority(folder)
        self.between = Authority(folder, "between", by=self.root)
        self.server = self.root.issue("server")
        self.second = self.root.issue("second")
        self.client = self.between.issue("client", "/C=DE/O=Shop, Ltd/CN=jo")
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()
        self.stranger = Authority(elsewhere).issue("stranger", "/CN=jo")

    def tls(self, **options: Any) -> TLSContexts:
        """Return the TLS of a server that has the first certificate, unless told otherwise."""
        given = {"certfile": self.server.certificate, "keyfile": self.server.key, **options}
        if "cert_reqs" in options:
            given["ca_certs"] = self.root.file
        tls = make_tls(Config("a:b", **{f"ssl_{name}": value for name, value in given.items()}))
        assert tls is not None
        return tls


@contextlib.contextmanager
def connect(
    server: RunningServer, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(server.address, 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
    ):
        yield sock


def ask(sock: ssl.SSLSocket) -> dict[str, Any]:
    """Send a request; return what the application was told of TLS."""
    sock.sendall(REQUEST)
    told: dict[str, Any] = read_reply(sock).json()
    assert told["scheme"] == "https"
    tls: dict[str, Any] = told["extensions"]["tls"]
    return tls


def chain_told(client: Pair) -> list[str]:
    """Return what applications are told of a client's chain: Python before 3.13 knows the leaf."""
    return client.chain if sys.version_info >= (3, 13) else client.chain[:1]
