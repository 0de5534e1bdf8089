"""The floor: uvloop and httptools with a canned answer, no ASGI at all.

What this costs per request, every server in Python on these two libraries pays before its first
own line of work. It runs as a script: `python floor.py PORT MODULE:ATTRIBUTE`, where the second
argument only chooses the answer.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import cast

import httptools
import uvloop

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
    "apps:stream": [CHUNKED + CHUNK, *[CHUNK] * 15, b"0\r\n\r\n"],
    "fastapi_app:app": [with_length(JSON)],
    "apps:echo": [],
}


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


async def serve(port: int, answer: list[bytes]) -> None:
    """Serve on 127.0.0.1 until SIGTERM."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: FloorProtocol(answer), "127.0.0.1", port, backlog=2048
    )
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), ANSWERS[sys.argv[2]]))
