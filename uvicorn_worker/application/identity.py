"""Gives each request an id: `--request-id`.

Around the application, so that requests cost nothing without the option, and the application sees
the id wherever it may look: `scope["state"]["request_id"]`, the field X-Request-ID of the request,
and the context of its task, from where lines of the log take it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from uvicorn_worker.logs.requestid import FIELD, current, new_id, received_id

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Application, Message, Receive, Scope, Send

# Messages whose fields are those of the response; a WebSocket is accepted, or answered by HTTP.
STARTS: Final = frozenset({
    "http.response.start", "websocket.accept", "websocket.http.response.start",
})  # fmt: skip
FAILED: Final = b"Internal Server Error"


def identified(app: Application) -> Application:
    """Return an application whose requests have ids; an id that is sent and valid is kept."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await app(scope, receive, send)
            return
        request_id = received_id(scope["headers"])
        if not request_id:
            request_id = new_id()
            others = [pair for pair in scope["headers"] if pair[0] != FIELD]
            # Not in place: the log shows what was received.
            scope["headers"] = [*others, (FIELD, request_id.encode())]
        scope["state"]["request_id"] = request_id
        current.set(request_id)
        answer = _Answer(send, request_id.encode())
        try:
            await app(scope, receive, answer.send)
        except Exception:
            if scope["type"] == "http" and not answer.started:
                await answer.fail()
            raise

    return serve


class _Answer:
    """Passes on what an application sends, with the id among the fields of the response."""

    __slots__ = ("_field", "_send", "started")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._field = FIELD, request_id
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] in STARTS:
            self.started = True
            headers = list(message.get("headers") or ())
            if all(bytes(name).lower() != FIELD for name, _ in headers):
                message = {**message, "headers": [*headers, self._field]}
        await self._send(message)

    async def fail(self) -> None:
        """Answer for an application that has raised: a failure is what people look up by its id."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        with contextlib.suppress(OSError):  # the client has left
            await self.send({"type": "http.response.start", "status": 500, "headers": headers})
            await self._send({"type": "http.response.body", "body": FAILED})
