"""WSGI applications (PEP 3333) as ASGI 3 applications, called by threads.

a2wsgi translates. What it leaves open is settled around it: a client that leaves, and a call that
is cancelled, must not leave a thread waiting for ever, as there are only `THREADS` of them.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from a2wsgi import WSGIMiddleware

from uvicorn_worker.errors import ClientDisconnected
from uvicorn_worker.process.daemonthreads import DaemonThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from uvicorn_worker.asgi import Application, Message, Receive, Scope, Send

# Calls at a time; more wait for their turn. As many as Uvicorn and a2wsgi have.
THREADS: Final = 10


def adapt_wsgi(app: Callable[..., Any]) -> Application:
    """Return a WSGI application as an ASGI 3 application: bodies are streamed in both directions.

    Lifespan messages are answered without it; WebSockets are refused.
    """
    guarded: Any = _Guarded(app)
    middleware: Any = WSGIMiddleware(guarded)
    middleware.executor = DaemonThreads(THREADS, "WSGI")
    calls: set[asyncio.Task[None]] = set()  # the event loop keeps weak references only

    async def wsgi_application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await middleware(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        _current.set(exchange)
        call = asyncio.ensure_future(middleware(scope, exchange.receive, exchange.send))
        calls.add(call)
        call.add_done_callback(calls.discard)
        try:
            # No thread can be cancelled: let the call see that it is over, and end by itself.
            await asyncio.shield(call)
        except asyncio.CancelledError:
            exchange.over = True
            call.add_done_callback(_forget)
            raise
        if exchange.error is not None:
            raise exchange.error

    return wsgi_application


def _forget(call: asyncio.Task[None]) -> None:
    """Look at the outcome of a call that nobody waits for, or asyncio complains about it."""
    if not call.cancelled():
        call.exception()


class _Exchange:
    """One request as a2wsgi sees it. Once it is over, nothing waits and nothing is sent."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.over = False
        self.error: Exception | None = None

    async def receive(self) -> Message:
        """Return the next part of the body.

        Raises ClientDisconnected, out of `wsgi.input`, where a2wsgi would take the body for
        complete.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.over = True
            raise ClientDisconnected("the client left before its request was complete")
        return message

    async def send(self, message: Message) -> None:
        """Send a message; keep what goes wrong, as a2wsgi would leave the thread waiting."""
        if self.over:
            return
        try:
            await self._send(message)
        except Exception as exc:
            self.over, self.error = True, exc

    def check(self) -> None:
        """Raise what has ended the exchange, if it is over."""
        if self.over:
            raise self.error or ClientDisconnected("the client has left")


_current: ContextVar[_Exchange] = ContextVar("exchange")


class _Guarded:
    """Calls a WSGI application, in a thread, as long as there is somebody to answer."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> _Chunks:
        exchange = _current.get()
        exchange.check()  # it may have waited for its thread
        environ["wsgi.errors"] = sys.stderr
        # Read to the end: a chunked body has no length that an application could go by.
        environ["wsgi.input_terminated"] = True

        def start(*args: Any) -> Callable[[bytes], None]:
            write = start_response(*args)

            def checked_write(data: bytes) -> None:
                exchange.check()
                write(data)

            return checked_write

        return _Chunks(self._app(environ, start), exchange)


class _Chunks:
    """What a WSGI application returned, up to the moment when nobody wants more of it."""

    def __init__(self, chunks: Iterable[bytes], exchange: _Exchange) -> None:
        self._chunks = chunks
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            if self._exchange.over:
                return
            if chunk:  # PEP 3333: an empty one sends nothing, not even the head
                yield chunk

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
