"""Several requests on one connection, and the line ends that old clients put between them.

RFC 9112 sections 2.2, 9.3 and 9.3.2.
"""

from __future__ import annotations

from tests.server.conformance.harness import SMUGGLED, Case, Want, accepted, either, get, head, post

PIPELINE = "RFC 9112 section 9.3.2"
PERSIST = "RFC 9112 section 9.3"
CLOSE = "RFC 9112 section 9.6"

HELLO = Want(method="POST", body=b"hello")


def closing(name: str, *fields: str, version: str = "1.1") -> Case:
    """A request after which the connection ends, with one behind it that must not be served."""
    data = head(f"GET / HTTP/{version}", *fields) + SMUGGLED
    return accepted(name, CLOSE, data, Want(version=version), closes=True)


PIPELINED = [
    accepted("two", PIPELINE, get("/1") + get("/2"), Want("/1"), Want("/2")),
    accepted(
        "ten",
        PIPELINE,
        b"".join(get(f"/{n}") for n in range(10)),
        *(Want(f"/{n}") for n in range(10)),
    ),
    accepted(
        "two-hundred",
        PIPELINE,
        b"".join(get(f"/{n}") for n in range(200)),
        *(Want(f"/{n}") for n in range(200)),
    ),
    accepted(
        "bodies-of-every-kind",
        PIPELINE,
        post("hello", "Content-Length: 5")
        + post("2\r\nab\r\n0\r\n\r\n", "Transfer-Encoding: chunked", target="/2")
        + get("/3", "Content-Length: 3")
        + b"xyz"
        + post("", "Content-Length: 0", target="/4")
        + get("/5"),
        HELLO,
        Want("/2", "POST", b"ab"),
        Want("/3", body=b"xyz"),
        Want("/4", "POST"),
        Want("/5"),
    ),
    accepted(
        "heads-between",
        PIPELINE,
        head("HEAD /1 HTTP/1.1") + get("/2") + head("HEAD /3 HTTP/1.1") + get("/4"),
        Want("/1", "HEAD"),
        Want("/2"),
        Want("/3", "HEAD"),
        Want("/4"),
    ),
    accepted(
        "chunked-with-trailers-then-get",
        PIPELINE,
        post("0\r\nX: y\r\n\r\n", "Transfer-Encoding: chunked") + get("/2"),
        Want(method="POST"),
        Want("/2", without=("x",)),
    ),
    accepted(
        "line-end-after-body",
        "RFC 9112 section 2.2",
        post("hello\r\n", "Content-Length: 5") + get("/2"),
        HELLO,
        Want("/2"),
    ),
    accepted(
        "line-end-after-get",
        "RFC 9112 section 2.2",
        get("/1") + b"\r\n" + get("/2"),
        Want("/1"),
        Want("/2"),
    ),
    accepted(
        "line-end-after-chunked",
        "RFC 9112 section 2.2",
        post("0\r\n\r\n\r\n", "Transfer-Encoding: chunked") + get("/2"),
        Want(method="POST"),
        Want("/2"),
    ),
    accepted(
        "large-between-small",
        PIPELINE,
        get("/1") + post("x" * 100000, "Content-Length: 100000") + get("/3"),
        Want("/1"),
        Want(method="POST", body=b"x" * 100000),
        Want("/3"),
    ),
]

CLOSING = [
    closing("close", "Connection: close"),
    closing("close-upper-case", "Connection: CLOSE"),
    closing("close-mixed-case", "connection: Close"),
    closing("close-in-a-list", "Connection: foo, close"),
    closing("close-first-in-a-list", "Connection: close, foo"),
    closing("close-without-space-in-a-list", "Connection: foo,close,bar"),
    closing("close-in-a-second-line", "Connection: foo", "Connection: close"),
    closing("close-in-a-first-line", "Connection: close", "Connection: foo"),
    closing("close-beats-keep-alive", "Connection: keep-alive, close"),
    closing("close-beats-keep-alive-line", "Connection: close", "Connection: keep-alive"),
    closing("close-in-1.0", "Connection: close", version="1.0"),
    closing("1.0", version="1.0"),
    closing("1.0-other-option", "Connection: foo", version="1.0"),
    closing("1.0-keep-alive-field-alone", "Keep-Alive: timeout=5", version="1.0"),
    closing("1.0-close-beats-keep-alive", "Connection: keep-alive, close", version="1.0"),
    accepted(
        "close-with-body",
        CLOSE,
        post("hello", "Content-Length: 5", "Connection: close") + SMUGGLED,
        HELLO,
        closes=True,
    ),
    accepted(
        "close-with-chunked-body",
        CLOSE,
        post("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Connection: close")
        + SMUGGLED,
        HELLO,
        closes=True,
    ),
    accepted(
        "close-of-the-second",
        CLOSE,
        get("/1") + get("/2", "Connection: close") + SMUGGLED,
        Want("/1"),
        Want("/2"),
        closes=True,
    ),
    accepted(
        "1.0-behind-1.1",
        CLOSE,
        get("/1") + head("GET /2 HTTP/1.0") + SMUGGLED,
        Want("/1"),
        Want("/2", version="1.0"),
        closes=True,
    ),
    accepted(
        "close-then-garbage",
        CLOSE,
        get("/", "Connection: close") + b"\0\xff" * 50,
        Want(),
        closes=True,
    ),
    accepted(
        "close-then-half-a-request",
        CLOSE,
        get("/", "Connection: close") + b"GET /smug",
        Want(),
        closes=True,
    ),
]

KEEPING = [
    accepted("option-like-close", PERSIST, get("/", "Connection: closed")),
    accepted("option-with-close-inside", PERSIST, get("/", "Connection: not-close")),
    accepted("keep-alive-said", PERSIST, get("/", "Connection: keep-alive")),
    accepted("other-field-says-close", PERSIST, get("/", "X-Connection: close")),
    *(
        accepted(
            f"1.0-{name}",
            PERSIST,
            head("GET / HTTP/1.0", f"Connection: {value}"),
            Want(version="1.0"),
        )
        for name, value in [
            ("keep-alive", "keep-alive"),
            ("keep-alive-capitals", "Keep-Alive"),
            ("keep-alive-in-a-list", "foo, keep-alive"),
        ]
    ),
    accepted(
        "1.0-keep-alive-with-body",
        PERSIST,
        head("POST / HTTP/1.0", "Connection: keep-alive", "Content-Length: 5") + b"hello",
        Want(method="POST", body=b"hello", version="1.0"),
    ),
    accepted(
        "1.0-keep-alive-then-1.1",
        PERSIST,
        head("GET /1 HTTP/1.0", "Connection: keep-alive") + get("/2"),
        Want("/1", version="1.0"),
        Want("/2"),
    ),
    either(
        "1.0-keep-alive-quoted",
        PERSIST,
        head("GET / HTTP/1.0", 'Connection: "keep-alive"'),
        Want(version="1.0"),
    ),
]

CASES = [*PIPELINED, *CLOSING, *KEEPING]
