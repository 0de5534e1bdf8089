"""Applications that break ASGI, by what can be seen of it on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.apps.conformance import part, start

if TYPE_CHECKING:
    from tests.apps.conformance import Call
    from uvicorn_worker.asgi import Message

LENGTH = (b"content-length", b"5")
OK = start(200, LENGTH)


class Oops(Exception):
    """An error of the application's own."""


async def raise_now(call: Call) -> None:
    raise Oops


async def raise_after_reading(call: Call) -> None:
    await call.read()
    raise Oops


async def raise_after_start(call: Call) -> None:
    await call.say(OK)
    raise Oops


async def return_now(call: Call) -> None:
    return


async def return_after_reading(call: Call) -> None:
    await call.read()


async def return_after_start(call: Call) -> None:
    await call.say(OK)


async def raise_exception_group(call: Call) -> None:
    error = Oops("inner")
    error.__cause__ = ValueError("cause")
    raise error


def saying(*messages: Message) -> Any:
    """Return a behaviour that sends messages without reading."""

    async def behaviour(call: Call) -> None:
        await call.say(*messages)

    return behaviour


def header(name: Any, value: Any) -> Any:
    """Return a behaviour with one odd header."""
    return saying(start(200, (name, value)), part(b"hello"))


def headers(value: Any) -> Any:
    """Return a behaviour with odd headers."""
    message = {"type": "http.response.start", "status": 200, "headers": value}
    return saying(message, part(b"hello"))


BEFORE_THE_START = {
    "raise": raise_now,
    "raise-after-reading": raise_after_reading,
    "raise-after-start": raise_after_start,
    "raise-with-cause": raise_exception_group,
    "return": return_now,
    "return-after-reading": return_after_reading,
    "return-after-start": return_after_start,
    "body-before-start": saying(part(b"hello")),
    "body-in-parts-before-start": saying(part(b"he", True), part(b"llo")),
    "start-twice": saying(OK, OK, part(b"hello")),
    "unknown-type": saying({"type": "http.response.nonsense"}),
    "unknown-type-after-start": saying(OK, {"type": "http.response.nonsense"}),
    "empty-type": saying({"type": ""}),
    "websocket-type": saying({"type": "websocket.accept"}),
    "request-type": saying({"type": "http.request"}),
    "no-type": saying({}),
    "type-none": saying({"type": None}),
    "push-that-is-not-offered": saying(OK, {"type": "http.response.push", "path": "/x"}),
    "trailers-before-start": saying({"type": "http.response.trailers", "headers": []}),
    "trailers-not-announced": saying(OK, {"type": "http.response.trailers", "headers": []}),
    "pathsend-before-start": saying({"type": "http.response.pathsend", "path": "/etc/hostname"}),
    "body-is-str": saying(OK, part("hello")),
    "body-is-none": saying(OK, part(None)),
    "body-is-int": saying(OK, part(5)),
    "body-is-list": saying(OK, part([104])),
    "more-than-length": saying(OK, part(b"hello!")),
    "less-than-length": saying(OK, part(b"hell")),
    "nothing-of-length": saying(OK, part()),
    **{
        f"status-{name}": saying(start(status), part(b"hello"))
        for name, status in [
            ("0", 0),
            ("1", 1),
            ("99", 99),
            ("100", 100),
            ("101", 101),
            ("103", 103),
            ("199", 199),
            ("1000", 1000),
            ("minus", -200),
            ("huge", 10**20),
            ("none", None),
            ("str", "200"),
            ("bytes", b"200"),
            ("float", 200.5),
            ("list", [200]),
        ]
    },
    "status-missing": saying({"type": "http.response.start", "headers": []}, part(b"hello")),
    **{
        f"header-{name}": header(key, value)
        for name, key, value in [
            ("value-with-crlf", b"x", b"a\r\nset-cookie: b=c"),
            ("value-with-cr", b"x", b"a\rb"),
            ("value-with-lf", b"x", b"a\nb"),
            ("value-ends-in-lf", b"x", b"a\n"),
            ("value-with-nul", b"x", b"a\0b"),
            ("value-splits-the-response", b"x", b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            ("value-is-str", b"x", "y"),
            ("value-is-none", b"x", None),
            ("value-is-int", b"x", 5),
            ("name-with-crlf", b"x\r\ny", b"z"),
            ("name-with-lf", b"x\ny", b"z"),
            ("name-with-nul", b"x\0", b"z"),
            ("name-with-colon", b"x:y", b"z"),
            ("name-with-space", b"x y", b"z"),
            ("name-then-space", b"x ", b"z"),
            ("name-8-bit", b"\xe9", b"z"),
            ("name-empty", b"", b"z"),
            ("name-is-str", "x", b"y"),
            ("name-and-value-are-str", "x", "y"),
            ("name-is-none", None, b"y"),
            ("length-is-no-number", b"content-length", b"five"),
            ("length-negative", b"content-length", b"-5"),
            ("length-with-plus", b"content-length", b"+5"),
            ("length-empty", b"content-length", b""),
            ("length-list", b"content-length", b"5, 5"),
            ("length-hexadecimal", b"content-length", b"0x5"),
        ]
    },
    "headers-none": headers(None),
    "headers-of-strings": headers(["x: y"]),
    "headers-of-singles": headers([(b"x",)]),
    "headers-of-triples": headers([(b"x", b"y", b"z")]),
    "headers-int": headers(5),
    "lengths-that-differ": saying(start(200, LENGTH, (b"content-length", b"6")), part(b"hello")),
}

# None or a dict of headers can be understood without harm; what must not happen is a broken wire.
FORGIVABLE = {"headers-none", "body-is-none", "nothing-of-length", "status-str"}


# -- after the answer has begun


def chunked(*messages: Message) -> Any:
    """Return a behaviour that begins a chunked answer, then sends these messages."""
    return saying(start(), part(b"begin", True), *messages)


def sized(*messages: Message) -> Any:
    """Return a behaviour that begins an answer of 10 bytes, then sends these messages."""
    return saying(start(200, (b"content-length", b"10")), part(b"begin", True), *messages)


async def raise_in_chunked(call: Call) -> None:
    await call.say(start(), part(b"begin", True))
    raise Oops


async def raise_in_sized(call: Call) -> None:
    await call.say(start(200, (b"content-length", b"10")), part(b"begin", True))
    raise Oops


AFTER_THE_START = {
    "raise-in-chunked": raise_in_chunked,
    "raise-in-sized": raise_in_sized,
    "return-in-chunked": chunked(),
    "return-in-sized": sized(),
    "second-start-in-chunked": chunked(start()),
    "second-start-in-sized": sized(start()),
    "unknown-type-in-chunked": chunked({"type": "http.response.nonsense"}),
    "unknown-type-in-sized": sized({"type": "http.response.nonsense"}),
    "str-in-chunked": chunked(part("text")),
    "str-in-sized": sized(part("texts")),
    "less-than-length": sized(part(b"tiny")),
    "more-than-length": sized(part(b"too much", True), part(b"")),
    "more-than-length-at-the-end": sized(part(b"too much")),
    "trailers-not-announced": chunked({"type": "http.response.trailers", "headers": []}),
}


# -- after the answer has ended

LATE = {
    "body": part(b"late"),
    "empty-body": part(),
    "start": start(),
    "unknown-type": {"type": "http.response.nonsense"},
    "trailers": {"type": "http.response.trailers", "headers": [(b"x", b"y")]},
    "early-hint": {"type": "http.response.early_hint", "links": [b"</x>; rel=preload"]},
}
