"""What is put behind proxies: HTTP paths of basic.py, `/report` of report.py, and WebSockets.

A WebSocket's first message is the process id; then every message comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.apps import basic, report, websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]

HTTP = {"/report": report.app, "/livez": basic.hello, "/readyz": basic.hello}


async def app(scope: Scope, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    if scope["type"] == "websocket":
        await websocket.marking(scope, receive, send)
    elif scope["type"] == "http" and scope["path"] in HTTP:
        await HTTP[scope["path"]](scope, receive, send)
    else:
        await basic.app(scope, receive, send)
