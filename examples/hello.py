"""Plain ASGI, no framework.

    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples hello:app

Then: curl http://127.0.0.1:8000/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Receive, Scope, Send

BODY = b"Hello, world!\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with the same line of text."""
    if scope["type"] != "http":  # `lifespan` and `websocket` are refused by raising
        raise NotImplementedError(f"only HTTP is served here, not {scope['type']}")
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", str(len(BODY)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": BODY})
