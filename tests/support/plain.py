"""The plainest request and the plainest answer, as bytes and as messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Message, Receive, Scope, Send

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"end"}


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with START and END."""
    if scope["type"] == "http":
        await send(START)
        await send(END)
