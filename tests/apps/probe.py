"""The applications of tests/apps together, for tests that change what a server does.

`/sleep` (or `/slow`) and `/echo` are those of basic.py, WebSockets echo or, on `/deaf`, take
nothing, `/file` sends this file by its path; everything else is answered by report.py. The field
`x-process` of answers tells of the process: libraries that are loaded, and copies made by the
kernel.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from tests.apps import basic, report
from tests.apps.websocket import echo

PATHS = {"/sleep": basic.sleep, "/slow": basic.sleep, "/echo": basic.echo}
LIBRARIES = ("h11", "httptools", "websockets", "wsproto")

_sendfile = os.sendfile
_copies = 0


def _counting_sendfile(*args: Any) -> int:
    global _copies
    _copies += 1
    return _sendfile(*args)


os.sendfile = _counting_sendfile  # type: ignore[assignment]  # of any arguments


async def app(scope: Any, receive: Any, send: Any) -> None:
    async def send_marked(message: Any) -> None:
        if message["type"] == "http.response.start":
            loaded = [name for name in LIBRARIES if name in sys.modules]
            facts = f"{','.join(loaded)} copies={_copies}"
            message["headers"] = [*message["headers"], (b"x-process", facts.encode())]
        await send(message)

    path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
    if scope["type"] == "websocket":
        await (deaf if path == "/deaf" else echo)(scope, receive, send)
    elif path == "/file":
        await send_marked({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.pathsend", "path": __file__})
    elif path in PATHS:
        await PATHS[path](scope, receive, send_marked)
    else:
        await report.app(scope, receive, send_marked)


async def deaf(scope: Any, receive: Any, send: Any) -> None:
    """Accept, and take no message."""
    await receive()
    await send({"type": "websocket.accept"})
    await asyncio.sleep(60)


def create_app() -> Any:
    """Return the application; a factory."""
    return app


class DoubleCallable:
    """The application in the shape of ASGI 2, hidden behind arguments of any number."""

    def __init__(self, *args: Any) -> None:
        (self.scope,) = args

    async def __call__(self, *args: Any) -> None:
        await app(self.scope, *args)
