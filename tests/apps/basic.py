"""A plain ASGI application with one path for each behaviour that process tests need.

It marks "import", "starting", "start" and "stop" (lifespan), "sleeping" (a slow path has begun),
"cancelled" and "background" in the file named by MARKS: one line "EVENT PID" each.

Variables: IMPORT_SECONDS, STARTUP_SECONDS and SHUTDOWN_SECONDS make those steps slow; startup
fails while the file named by STARTUP_FAILS_WHILE exists.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]
    Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

BIG = b"0123456789abcdef" * 65536  # 1 MiB: more than any socket buffer takes at once


def mark(event: str) -> None:
    """Append "EVENT PID" to the file of marks; one write, so that processes do not mix lines."""
    if path := os.environ.get("MARKS"):
        with open(path, "ab", buffering=0) as file:
            file.write(f"{event} {os.getpid()}\n".encode())


mark("import")
time.sleep(float(os.environ.get("IMPORT_SECONDS", "0")))  # a slow import blocks, as real ones do


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await PATHS.get(scope["path"], not_found)(scope, receive, send)
    else:
        raise NotImplementedError(scope["type"])


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    mark("starting")
    await asyncio.sleep(float(os.environ.get("STARTUP_SECONDS", "0")))
    if os.path.exists(os.environ.get("STARTUP_FAILS_WHILE", "")):  # noqa: ASYNC240  # a test's file
        await send({"type": "lifespan.startup.failed", "message": "no database today"})
        return
    scope["state"]["started_in"] = os.getpid()
    mark("start")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.sleep(float(os.environ.get("SHUTDOWN_SECONDS", "0")))
    mark("stop")
    await send({"type": "lifespan.shutdown.complete"})


async def reply(
    send: Send, body: bytes, status: int = 200, content_type: str = "text/plain"
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def argument(scope: Scope, name: str, default: str) -> str:
    """Return a parameter of the query string."""
    values: dict[str, list[str]] = parse_qs(scope["query_string"].decode())
    return values.get(name, [default])[-1]


def seconds(scope: Scope) -> float:
    return float(argument(scope, "s", "1"))


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"Hello, world!\n")


async def pid(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the process id and, where the client sent one, its request's id: `?id=`."""
    body = f"{os.getpid()} {argument(scope, 'id', '-')}\n"
    await reply(send, body.encode())


async def sleep(scope: Scope, receive: Receive, send: Send) -> None:
    mark("sleeping")
    try:
        await asyncio.sleep(seconds(scope))
    except asyncio.CancelledError:
        mark("cancelled")
        raise
    await pid(scope, receive, send)


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    """Sleep on through every cancellation."""
    mark("sleeping")
    end = time.monotonic() + seconds(scope)
    while time.monotonic() < end:
        await _sleep_through_cancellation(end - time.monotonic())
    await pid(scope, receive, send)


async def _sleep_through_cancellation(delay: float) -> None:
    try:
        await asyncio.sleep(delay)
    except asyncio.CancelledError:
        mark("cancelled")


async def block(scope: Scope, receive: Receive, send: Send) -> None:
    """Block the event loop in Python that computes."""
    mark("sleeping")
    end = time.monotonic() + seconds(scope)
    while time.monotonic() < end:
        pass
    await pid(scope, receive, send)


async def stall(scope: Scope, receive: Receive, send: Send) -> None:
    """Block the event loop in a call that waits, and needs no processor for that."""
    mark("sleeping")
    time.sleep(seconds(scope))  # noqa: ASYNC251 - that is the point
    await pid(scope, receive, send)


class Timespec(ctypes.Structure):
    """C's `struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


async def cblock(scope: Scope, receive: Receive, send: Send) -> None:
    """Block inside C with the GIL held: no Python code runs meanwhile, signal handlers included.

    It waits for a lock that it holds itself: unlike a sleep, a signal does not end that.
    """
    mark("sleeping")
    libc = ctypes.PyDLL(None)  # unlike CDLL it does not release the GIL
    mutex = ctypes.create_string_buffer(128)  # zeros: PTHREAD_MUTEX_INITIALIZER
    until = Timespec(int(time.time() + seconds(scope)), 0)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_timedlock(mutex, ctypes.byref(until))
    await pid(scope, receive, send)


async def thread(scope: Scope, receive: Receive, send: Send) -> None:
    """Block a thread, as a synchronous endpoint of a framework does: it cannot be cancelled."""
    mark("sleeping")
    try:
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, seconds(scope))
    except asyncio.CancelledError:
        mark("cancelled")
        raise
    await pid(scope, receive, send)


async def leave(scope: Scope, receive: Receive, send: Send) -> None:
    """End the process from within, as a `sys.exit()` in somebody's code does; `?s=0`: at once."""
    if seconds(scope):
        await asyncio.sleep(seconds(scope))
    raise SystemExit(7)


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Send numbered lines, `?n=` of them, one every `?s=` seconds; endless without `n`."""
    mark("sleeping")
    count = int(argument(scope, "n", "0"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sent = 0
    try:
        while not count or sent < count:
            await send({"type": "http.response.body", "body": b"%d\n" % sent, "more_body": True})
            sent += 1
            await asyncio.sleep(seconds(scope))
    except asyncio.CancelledError:
        mark("cancelled")
        raise
    await send({"type": "http.response.body"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    await reply(send, body)


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, BIG)


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    """Go on working for `?s=` seconds after the response has ended."""
    await pid(scope, receive, send)
    try:
        await asyncio.sleep(seconds(scope))
    except asyncio.CancelledError:
        mark("cancelled")
        raise
    mark("background")


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    content = json.dumps(scope.get("state"), default=str)  # some of it is the server's own
    await reply(send, content.encode(), content_type="application/json")


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"no such path\n", 404)


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("this path always fails")


PATHS: dict[str, Handler] = {
    "/": hello,
    "/pid": pid,
    "/sleep": sleep,
    "/stubborn": stubborn,
    "/block": block,
    "/stall": stall,
    "/cblock": cblock,
    "/thread": thread,
    "/leave": leave,
    "/stream": stream,
    "/echo": echo,
    "/big": big,
    "/background": background,
    "/state": state,
    "/fail": fail,
}
