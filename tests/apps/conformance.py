"""The ASGI application of the conformance suite: its behaviour is chosen by the path.

A path made by `behave` or `say` runs that behaviour; every other path reads the whole body and
answers with what it saw. Each call of the application is recorded, so a test can say what reached
it and, as important, what did not. The server runs it in a thread of the test's own process.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from uvicorn_worker.asgi import Message, Receive, Scope, Send

Behaviour: TypeAlias = "Callable[[Call], Awaitable[None]]"


class Gate:
    """Holds coroutines on the server's loop until the test, in its own thread, opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.reached = 0

    async def passed(self) -> None:
        """Return when the gate is open."""
        event = asyncio.Event()
        with self._lock:
            self.reached += 1
            if self._opened:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()

    def open(self) -> None:
        """Let everybody through, now and later."""
        with self._lock:
            self._opened = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)


@dataclass
class Call:
    """One call of the application, with all that it was given and did."""

    scope: Scope
    receive: Receive
    send: Send
    received: list[Message] = field(default_factory=list)
    send_errors: list[BaseException] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    outcome: BaseException | None = None
    returned: bool = False
    sent: int = 0

    @property
    def path(self) -> str:
        """The decoded path of the request."""
        path: str = self.scope["path"]
        return path

    @property
    def body(self) -> bytes:
        """The body as far as the application has received it."""
        return b"".join(m.get("body", b"") for m in self.received if m["type"] == "http.request")

    @property
    def complete(self) -> bool:
        """Whether the application has received the last part of the body."""
        return any(
            m["type"] == "http.request" and not m.get("more_body", False) for m in self.received
        )

    @property
    def disconnected(self) -> bool:
        """Whether the application has been told that the client left."""
        return any(m["type"] == "http.disconnect" for m in self.received)

    @property
    def target(self) -> bytes:
        """The raw path and query, as ASGI gives them."""
        query: bytes = self.scope["query_string"]
        raw: bytes = self.scope["raw_path"]
        return raw + b"?" + query if query else raw

    async def take(self) -> Message:
        """Receive one message and keep it."""
        message = await self.receive()
        self.received.append(message)
        return message

    async def read(self) -> bool:
        """Receive the whole body; return False if the client left before its end."""
        while not self.complete:
            if (await self.take())["type"] == "http.disconnect":
                return False
        return True

    async def say(self, *messages: Message) -> None:
        """Send messages in order; what `send` raises is kept and raised on."""
        for message in messages:
            try:
                await self.send(message)
            except BaseException as exc:
                self.send_errors.append(exc)
                raise
            self.sent += 1

    async def answer(
        self, body: bytes = b"", *, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        """Send a response of known length."""
        length = (b"content-length", b"%d" % len(body))
        await self.say(start(status, *headers, length), part(body))


class ConformanceApp:
    """The application, and the record of what it was asked. One per server."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.lifespan_scope: Scope | None = None
        self._behaviours: dict[str, Behaviour] = {}
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        call = Call(scope, receive, send)
        self.calls.append(call)
        try:
            await self._behaviours.get(scope["path"], echo)(call)
        except BaseException as exc:
            call.outcome = exc
            raise
        finally:
            call.returned = True

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.lifespan_scope = scope
        await receive()
        if "state" in scope:
            scope["state"]["shared"] = []
            scope["state"]["text"] = "from lifespan"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    def behave(self, behaviour: Behaviour) -> str:
        """Return a new path that runs `behaviour`."""
        path = f"/do/{next(self._numbers)}"
        self._behaviours[path] = behaviour
        return path

    def say(self, *messages: Message, read: bool = True) -> str:
        """Return a new path that sends `messages`, by default after it has read the body."""

        async def behaviour(call: Call) -> None:
            if read:
                await call.read()
            await call.say(*messages)

        return self.behave(behaviour)

    def of(self, port: int) -> list[Call]:
        """Return the calls for requests of the client at `port`, in order."""
        return [call for call in self.calls if call.scope["client"][1] == port]

    def at(self, path: str) -> list[Call]:
        """Return the calls for `path`, in order."""
        return [call for call in self.calls if call.path == path]

    def forget(self, port: int) -> None:
        """Drop the calls of an earlier client that had the same port."""
        self.calls = [call for call in self.calls if call.scope["client"][1] != port]


async def echo(call: Call) -> None:
    """Read the body and answer with method, target and body; answer nothing to a broken body."""
    if not await call.read():
        return
    await call.answer(echoed(call.scope["method"], call.target, call.body))


def echoed(method: str, target: bytes, body: bytes = b"") -> bytes:
    """Return the body of the answer that `echo` gives to such a request."""
    return b"%b %b\n%b" % (method.encode(), target, body)


def start(status: object = 200, *headers: tuple[bytes, bytes], **more: object) -> Message:
    """Return an `http.response.start` message."""
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def part(body: object = b"", more: bool = False) -> Message:
    """Return an `http.response.body` message."""
    return {"type": "http.response.body", "body": body, "more_body": more}
