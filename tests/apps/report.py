"""An ASGI application that answers with what it was told: its scope, its process, its loop.

`/fail` raises, `/body` answers with the number of bytes received. Marks "starting", "start" and
"stop" as tests/apps/basic.py does.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from tests.apps.basic import lifespan

TEXTS = ("type", "http_version", "method", "scheme", "path", "root_path", "client", "server")


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    if scope["path"].endswith("/fail"):
        raise RuntimeError("this path always fails")
    told = {name: scope[name] for name in TEXTS}
    told["raw_path"] = scope["raw_path"].decode("latin-1")
    told["query_string"] = scope["query_string"].decode("latin-1")
    told["headers"] = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]]
    told["asgi"] = scope["asgi"]
    extensions = scope.get("extensions") or {}
    told["extensions"], told["tls"] = sorted(extensions), extensions.get("tls")
    told["pid"], told["uid"] = os.getpid(), os.getuid()
    told["loop"] = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    told["environ"] = {name: value for name, value in os.environ.items() if "TEST_" in name}
    told["received"] = await _received(receive)
    body = json.dumps(told).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-answer", b"yes"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _received(receive: Any) -> int:
    """Return how many bytes of content the request has."""
    received = 0
    while True:
        message = await receive()
        received += len(message.get("body", b""))
        if not message.get("more_body"):
            return received


def create_app(name: str = "") -> Any:
    """Return the application; a factory."""
    return app


class DoubleCallable:
    """The application in the shape of ASGI 2."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await app(self.scope, receive, send)
