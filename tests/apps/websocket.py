"""ASGI applications for the tests of WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from uvicorn_worker.asgi import Application, Message, Receive, Scope, Send

    Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


async def lifespan(receive: Receive, send: Send) -> None:
    """Start and stop without doing anything."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def websocket(handler: Handler) -> Application:
    """Return an application that hands WebSockets to `handler`, and answers HTTP with `http`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"http"})
        else:
            await handler(scope, receive, send)

    return app


def accepting(handler: Handler) -> Application:
    """Return an application that accepts, then goes on in `handler`."""

    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert message == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await handler(scope, receive, send)

    return websocket(accept)


class Tried:
    """An application that tries what `play` says and keeps what came of it."""

    def __init__(self, play: Handler, *, accept: bool = True) -> None:
        self.error: BaseException | None = None
        self.done = False
        self._play = play
        self.app = (accepting if accept else websocket)(self._run)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._play(scope, receive, send)
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            self.done = True


class Echo:
    """Sends back every message; keeps all messages of every conversation that has ended."""

    def __init__(self) -> None:
        self.ended: list[list[Message]] = []
        self.app = accepting(self.talk)

    async def talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        messages: list[Message] = []
        while True:
            message = await receive()
            messages.append(message)
            if message["type"] == "websocket.disconnect":
                self.ended.append(messages)
                return
            with contextlib.suppress(OSError):  # the client has closed behind this message
                await send({**message, "type": "websocket.send"})


def contents(messages: Sequence[Message]) -> list[Any]:
    """Return what the messages of a client say."""
    return [
        message["text"] if "text" in message else message["bytes"]
        for message in messages
        if message["type"] == "websocket.receive"
    ]


class Sender:
    """Sends blocks without end; counts them."""

    def __init__(self, size: int) -> None:
        self.block = b"x" * size
        self.sent = 0
        self.error: BaseException | None = None
        self.app = accepting(self.talk)

    async def talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": self.block})
                self.sent += 1
        except BaseException as exc:
            self.error = exc
            raise


class Recorder:
    """Keeps every message that it gets, and sends none but the accept."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.scopes: list[Scope] = []
        self.app = accepting(self.talk)
        self.go_on: asyncio.Event | None = None
        self.hold = False
        self.ended = 0

    async def talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.go_on = asyncio.Event()
        if self.hold:
            await self.go_on.wait()
        try:
            while True:
                message = await receive()
                self.messages.append(message)
                if message["type"] == "websocket.disconnect":
                    return
        finally:
            self.ended += 1

    @property
    def contents(self) -> list[Any]:
        """The contents of the messages received."""
        return contents(self.messages)


echo = Echo().app


def mark(event: str) -> None:
    """Append a line to the file that the variable MARKS names (tests/support/gunicorn.py)."""
    with open(os.environ["MARKS"], "ab", buffering=0) as file:
        file.write(f"{event} {os.getpid()}\n".encode())


async def marking(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo, tell each new conversation the process, and mark goodbyes and the shutdown."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        mark("shutdown")
        return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"http"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": str(os.getpid())})
    message: Message = {}
    while message.get("type") != "websocket.disconnect":
        message = await receive()
        with contextlib.suppress(OSError):
            await send({**message, "type": "websocket.send"})
    mark(f"left-{message['code']}")
