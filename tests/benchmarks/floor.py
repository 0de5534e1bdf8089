"""The floor: uvloop and httptools with a canned answer, no ASGI at all.

What this costs per request, every server in Python on these two libraries pays before its first
own line of work. WebSockets are echoed with `websockets`' C helper alone. It runs as a script:
`python floor.py PORT-OR-PATH MODULE:ATTRIBUTE`, where the second argument only chooses the answer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

import httptools
import uvloop
from websockets.speedups import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"content-type: application/octet-stream\r\n"
)
JSON = b'{"id":42,"name":"benchmark","tags":["a","b","c"],"price":12.5}'


def with_length(body: bytes) -> bytes:
    """Return a whole answer that carries `body`."""
    return b"%scontent-length: %d\r\n\r\n%s" % (HEAD, len(body), body)


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"400\r\n" + b"c" * 1024 + b"\r\n"
ANSWERS: dict[str, list[bytes]] = {  # one write each
    "apps:plaintext": [with_length(b"Hello, world!")],
    "watch:watched": [with_length(b"Hello, world!")],
    "apps:upload": [with_length(b"1048576")],
    "apps:stream": [CHUNKED + CHUNK, *[CHUNK] * 15, b"0\r\n\r\n"],
    "fastapi_app:app": [with_length(JSON)],
    "apps:echo": [],
}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-accept: %s\r\n\r\n"
)


class FloorProtocol(asyncio.Protocol):
    """Parse requests with httptools and answer each with the same bytes."""

    def __init__(self, answer: list[bytes]) -> None:
        self.answer = answer
        self.body: list[bytes] = []
        self.on_body = self.body.append
        self.parser = httptools.HttpRequestParser(self)
        self.data_received = self.parser.feed_data  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def on_message_complete(self) -> None:
        """Answer; announce the close and close when the request asked for it."""
        keep_alive = self.parser.should_keep_alive()
        answer = self.answer or [with_length(b"".join(self.body))]
        if not keep_alive:
            answer = [answer[0].replace(b"\r\n", b"\r\nconnection: close\r\n", 1), *answer[1:]]
        for part in answer:
            self.transport.write(part)
        self.body.clear()
        if not keep_alive:
            self.transport.close()


class FloorHandshake(asyncio.Protocol):
    """Answer an opening handshake (RFC 6455 section 4.2.2), whatever else it says."""

    def __init__(self) -> None:
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Switch protocols behind a whole head; the client waits for that with its frames."""
        self.head += data
        key = re.search(rb"\r\nsec-websocket-key: (\S+)\r\n", self.head, re.IGNORECASE)
        if key is None or not self.head.endswith(b"\r\n\r\n"):
            return
        digest = hashlib.sha1(key[1] + GUID, usedforsecurity=False).digest()
        self.transport.write(SWITCHING % base64.b64encode(digest))
        self.transport.set_protocol(FloorEcho(self.transport))


class FloorEcho(asyncio.Protocol):
    """Send every frame back as it came, unmasked."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        """Echo the frames that are whole; keep the rest."""
        data = self.rest + data
        position = 0
        while len(data) - position > 5:
            length, start = data[position + 1] & 127, position + 6
            if length > 125:
                more = 2 if length == 126 else 8
                length = int.from_bytes(data[position + 2 : position + 2 + more], "big")
                start += more
            stop = start + length
            if stop > len(data):
                break
            head = data[position : start - 4]
            payload = apply_mask(data[start:stop], data[start - 4 : start])
            self.transport.write(bytes((head[0], head[1] & 127)) + head[2:] + payload)
            position = stop
        self.rest = data[position:]


async def serve(place: str, app: str) -> None:
    """Serve on a port of 127.0.0.1, or a UNIX socket, until SIGTERM.

    Raises:
        KeyError: there is no answer for this application.
    """
    make: Callable[[], asyncio.Protocol] = FloorHandshake
    if app != "apps:ws_echo":
        make = partial(FloorProtocol, ANSWERS[app])
    loop = asyncio.get_running_loop()
    if place.isdigit():
        server = await loop.create_server(make, "127.0.0.1", int(place), backlog=2048)
    else:
        server = await loop.create_unix_server(make, place, backlog=2048)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], sys.argv[2]))
