"""The workloads: what the client asks for, and which application answers."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.apps import CHUNK, CHUNKS

# What a current browser sends with a click on a link: 12 fields with the client's Host, 600 bytes.
BROWSER_HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.7,de;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://www.example.com/catalogue/books/science?page=2",
    "Cookie": "sessionid=6f1d0f6f4c0e4a6bb8f7c2f0c0a1d2e3; csrf=Zk3v9Qw1Xb7Lr5Tn2Yc8; theme=dark",
    "Upgrade-Insecure-Requests": "1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Priority": "u=0, i",
}
# `{}` in a target or a field: eight random hexadecimal digits, others in each request.
VARIES = "{}"
VARIED_HEADERS = BROWSER_HEADERS | {
    "Referer": "https://www.example.com/items/{}?page=2",
    "Cookie": "sessionid={}{}{}{}; csrf=Zk3v9Qw1Xb7Lr5Tn2Yc8; seen={}; theme=dark",
    "X-Request-Id": "{}-{}",
}
JSON_ANSWER = b'{"id":42,"name":"benchmark","tags":["a","b","c"],"price":12.5}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One kind of traffic; every request is the same, but for what VARIES."""

    name: str
    summary: str
    app: str  # "module:attribute"
    expected: bytes  # the whole body of a right answer
    headers: dict[str, str]
    target: str = "/"
    body: bytes = b""  # not empty: POST
    connections: int = 32
    access_log: bool = False
    idle: bool = False  # measures memory of idle connections instead of CPU per request
    idle_times: int = 1  # as many of them as of others
    start: bool = False  # measures the time from the start of a process to its first answer
    websocket: bool = False  # `body` is a message, and its echo the answer
    pipelined: int = 1  # requests that a client sends at once
    tls: bool = False
    workers: int = 1
    unix: bool = False  # on a UNIX socket
    rate: int = 0  # requests per second, sent however long answers take; 0: as many as possible

    @property
    def method(self) -> str:
        """The request's method."""
        return "POST" if self.body else "GET"

    @property
    def unit(self) -> str:
        """What the figure counts."""
        if self.start:
            return "ms from start to first answer"
        if self.idle:
            return "bytes (RSS) per idle connection"
        if self.rate:
            return f"ms to an answer, p99 at {self.rate} requests per second"
        return f"server CPU µs per {'message' if self.websocket else 'request'}"


HELLO = b"Hello, world!"
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            name="plaintext",
            summary="GET, 13 bytes back, keep-alive",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
        ),
        *(
            Workload(
                name=f"plaintext-{connections}",
                summary=f"the same, {connections} connection{'s' if connections > 1 else ''}",
                app="apps:plaintext",
                expected=HELLO,
                headers={},
                connections=connections,
            )
            for connections in (1, 512)
        ),
        Workload(
            name="pipelined",
            summary="plaintext, 16 requests at once",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            pipelined=16,
        ),
        Workload(
            name="tls",
            summary="plaintext over TLS",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            tls=True,
        ),
        Workload(
            name="unix",
            summary="plaintext over a UNIX socket",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            unix=True,
        ),
        Workload(
            name="two-workers",
            summary="plaintext, two workers on the one CPU",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            workers=2,
        ),
        Workload(
            name="headers",
            summary="plaintext with a browser's headers",
            app="apps:plaintext",
            expected=HELLO,
            headers=BROWSER_HEADERS,
        ),
        Workload(
            name="varied",
            summary="headers, with path, query, cookies and ids that never come again",
            app="apps:plaintext",
            expected=HELLO,
            target="/items/{}?page=2&ref={}",
            headers=VARIED_HEADERS,
        ),
        Workload(
            name="echo-1k",
            summary="POST of 1 KiB, the same back",
            app="apps:echo",
            expected=b"e" * 1024,
            headers={},
            body=b"e" * 1024,
        ),
        Workload(
            name="echo-100k",
            summary="POST of 100 KiB, the same back",
            app="apps:echo",
            expected=b"e" * 102_400,
            headers={},
            body=b"e" * 102_400,
            connections=8,
        ),
        Workload(
            name="upload",
            summary="POST of 1 MiB, its length back",
            app="apps:upload",
            expected=b"1048576",
            headers={},
            body=b"u" * 1048576,
            connections=8,
        ),
        Workload(
            name="stream",
            summary="GET, 16 chunks of 1 KiB back",
            app="apps:stream",
            expected=CHUNK * CHUNKS,
            headers={},
        ),
        Workload(
            name="connect",
            summary="plaintext, a new connection per request",
            app="apps:plaintext",
            expected=HELLO,
            headers={"Connection": "close"},
        ),
        Workload(
            name="fastapi",
            summary="FastAPI route that answers JSON",
            app="fastapi_app:app",
            expected=JSON_ANSWER,
            headers={},
        ),
        Workload(
            name="access-log",
            summary="plaintext with the access log on, into a file",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            access_log=True,
        ),
        Workload(
            name="idle-memory",
            summary="idle keep-alive connections, one browser-like request each",
            app="apps:plaintext",
            expected=HELLO,
            headers=BROWSER_HEADERS,
            idle=True,
        ),
        Workload(
            name="many",
            summary="10,000 keep-alive connections, each of which asks every five seconds",
            app="watch:watched",
            expected=HELLO,
            headers=BROWSER_HEADERS,
            connections=10_000,
            rate=2000,
        ),
        Workload(
            name="heap",
            summary="a million objects in the application, two full collections a second",
            app="watch:heap",
            expected=HELLO,
            headers={},
            connections=1000,
            rate=2000,
        ),
        Workload(
            name="start",
            summary="a fresh process, one GET: the quickest of some starts",
            app="apps:plaintext",
            expected=HELLO,
            headers={},
            start=True,
        ),
        *(
            Workload(
                name=f"ws-echo-{name}",
                summary=f"WebSocket message of {size}, the same back",
                app="apps:ws_echo",
                expected=b"e" * length,
                headers={},
                body=b"e" * length,
                websocket=True,
            )
            for name, size, length in (("64", "64 bytes", 64), ("8k", "8 KiB", 8192))
        ),
        Workload(
            name="ws-idle-memory",
            summary="idle WebSockets, five times as many as of connections",
            app="apps:ws_echo",
            expected=b"e",
            headers={key: BROWSER_HEADERS[key] for key in ("User-Agent", "Cookie")},
            body=b"e",
            idle=True,
            idle_times=5,
            websocket=True,
        ),
    )
}
