"""The application that is served while the user's own has a syntax error (`reload`)."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Application, Receive, Scope, Send

INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1


def error_page(exc: BaseException) -> Application:
    """Return an application that answers everything with the traceback of `exc`."""
    page = "".join(traceback.format_exception(type(exc), exc, exc.__traceback__)).encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(page)),
        (b"cache-control", b"no-store"),
    ]

    async def http(send: Send) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": page})

    async def websocket(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": INTERNAL_ERROR})

    async def lifespan(receive: Receive, send: Send) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await http(send)
        elif scope["type"] == "websocket":
            await websocket(receive, send)
        else:
            await lifespan(receive, send)

    return app
