"""The ASGI applications under load: as little as possible besides what the server has to do.

Servers import this file from a folder of its own (never from the checkout, see `running`), so it
imports nothing but the standard library.
"""

from __future__ import annotations

import cProfile
import os
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MARK = "/mark"  # the target that `marked` marks
WATCH = "/watch"  # the target at which `watch` tells what it has seen
CHUNKS = 16
CHUNK = b"c" * 1024

_profile = cProfile.Profile() if "BENCHMARK_PROFILE" in os.environ else None


def serving_begins() -> None:
    """Start the profiler, when one is wanted (`--profile`)."""
    if _profile is not None:
        _profile.enable()


def serving_ended() -> None:
    """Write the profile to the file that the environment names."""
    if _profile is not None:
        _profile.disable()
        _profile.dump_stats(os.environ["BENCHMARK_PROFILE"])


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    serving_begins()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    serving_ended()
    await send({"type": "lifespan.shutdown.complete"})


async def plaintext(scope: Message, receive: Receive, send: Send) -> None:
    """Answer 13 bytes."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
        }
    )
    await send({"type": "http.response.body", "body": b"Hello, world!"})


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answer the request's body, read completely first."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"application/octet-stream"),
                (b"content-length", b"%d" % len(body)),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def upload(scope: Message, receive: Receive, send: Send) -> None:
    """Answer the length of the request's body, of which nothing is kept."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    length = 0
    more = True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"%d" % length
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """Answer 16 chunks of 1 KiB without saying the length first."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/octet-stream")],
        }
    )
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def ws_echo(scope: Message, receive: Receive, send: Send) -> None:
    """Send back every message of a WebSocket."""
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
