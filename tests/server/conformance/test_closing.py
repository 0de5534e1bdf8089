"""Ends of connections: half-closed clients, and answers that survive what follows them.

RFC 9112 sections 8 and 9.6.
"""

from __future__ import annotations

import pytest

from tests.apps.conformance import Call, Gate, echoed, part, start
from tests.server.conformance.harness import SMUGGLED, Target, get, head, post
from tests.support.rawhttp import End, NoAnswer
from tests.support.waiting import eventually

MUCH = b"z" * 3_000_000
"""More than the socket buffers of both ends hold."""

REFUSALS = {
    "bad-field": (get("/", "X : y"), (400,)),
    "bad-method": (head("G@T / HTTP/1.1"), (400,)),
    "no-host": (head("GET / HTTP/1.1", host=None), (400,)),
    "two-lengths": (post("", "Content-Length: 1", "Content-Length: 2"), (400,)),
    "bad-chunk": (post("nonsense\r\n", "Transfer-Encoding: chunked"), (400,)),
    "length-and-coding": (post("", "Content-Length: 9", "Transfer-Encoding: chunked"), (400,)),
    "expectation": (post("", "Content-Length: 3000000", "Expect: the-unexpected"), (417,)),
    "coding": (post("", "Transfer-Encoding: gzip, chunked"), (400, 501)),
    "version": (head("GET / HTTP/2.0"), (505,)),
    "long-line": (get("/" + "a" * 20_000), (414,)),
    "long-field": (get("/", "X: " + "a" * 20_000), (431,)),
    "many-fields": (get("/", *["X: y"] * 200), (431,)),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_is_read_in_full_however_much_follows(name: str, target: Target) -> None:
    message, statuses = REFUSALS[name]

    with target.connect() as client:
        client.send(message + MUCH + SMUGGLED)
        response = client.read_response()
        assert response.status in statuses
        assert response.says_close
        assert client.read_end() is End.EOF
        assert not any(call.complete for call in target.calls(client))


@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_reaches_a_client_that_has_half_closed(name: str, target: Target) -> None:
    message, statuses = REFUSALS[name]

    with target.connect() as client:
        client.send(message)
        client.half_close()
        assert client.read_response().status in statuses
        assert client.read_end() is End.EOF


def test_last_answer_is_read_in_full_however_much_follows(target: Target) -> None:
    with target.connect() as client:
        client.send(get("/", "Connection: close") + MUCH + SMUGGLED)
        assert client.read_response().body == echoed("GET", b"/")
        assert client.read_end() is End.EOF
        assert len(target.calls(client)) == 1


def test_large_last_answer_is_read_in_full_however_much_follows(target: Target) -> None:
    path = target.app.say(start(200, (b"content-length", b"3000000")), part(MUCH))

    with target.connect() as client:
        client.send(get(path, "Connection: close") + b"q" * 100_000)
        assert client.read_response().body == MUCH
        assert client.read_end() is End.EOF


def test_refused_client_that_never_closes_is_dropped(target: Target) -> None:
    state = target.server.server.state
    before = len(state.connections)

    with target.connect() as client:
        client.send(b"\0\r\n\r\n")
        assert client.read_response().status == 400
        assert client.read_end() is End.EOF
        eventually(lambda: len(state.connections) <= before, message="the connection is let go")


@pytest.mark.parametrize("name", ["bad-field", "bad-chunk", "long-line", "version"])
def test_request_sent_after_a_refusal_was_read_is_not_served(name: str, target: Target) -> None:
    with target.connect() as client:
        client.send(REFUSALS[name][0])
        assert client.read_response().status in REFUSALS[name][1]
        client.send(SMUGGLED)
        assert client.read_end() is End.EOF
        assert not any(call.complete for call in target.calls(client))


# -- half-closed clients


def test_half_closed_client_gets_its_answer(target: Target) -> None:
    with target.connect() as client:
        client.send(get())
        client.half_close()
        assert client.read_response().body == echoed("GET", b"/")
        assert client.read_end() is End.EOF


def test_half_closed_client_gets_its_answer_with_a_body(target: Target) -> None:
    with target.connect() as client:
        client.send(post("hello", "Content-Length: 5"))
        client.half_close()
        assert client.read_response().body == echoed("POST", b"/", b"hello")
        assert client.read_end() is End.EOF


def test_half_closed_client_gets_every_pipelined_answer(target: Target) -> None:
    with target.connect() as client:
        client.send(get("/1") + get("/2") + get("/3"))
        client.half_close()
        assert [client.read_response().body for _ in range(3)] == [
            echoed("GET", b"/%d" % number) for number in (1, 2, 3)
        ]
        assert client.read_end() is End.EOF


def test_half_closed_client_gets_a_late_answer(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await call.read()
        await gate.passed()
        await call.answer(b"late")

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path) + get("/next"))
        client.half_close()
        eventually(lambda: gate.reached)
        gate.open()
        assert client.read_response().body == b"late"
        assert client.read_response().body == echoed("GET", b"/next")
        assert client.read_end() is End.EOF


def test_half_closed_client_gets_the_rest_of_a_stream(target: Target) -> None:
    gate = Gate()

    async def stream(call: Call) -> None:
        await call.say(start(), part(b"first", True))
        await gate.passed()
        await call.say(part(MUCH, True), part(b"last"))

    with target.connect() as client:
        client.send(get(target.app.behave(stream)))
        eventually(lambda: gate.reached)
        client.half_close()
        gate.open()
        assert client.read_response().body == b"first" + MUCH + b"last"
        assert client.read_end() is End.EOF


@pytest.mark.parametrize(
    "beginning",
    [b"", b"G", b"GET / HT", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n"],
    ids=["nothing", "letter", "line-part", "line", "fields", "empty-line"],
)
def test_end_inside_a_head_reaches_no_application(beginning: bytes, target: Target) -> None:
    with target.connect() as client:
        client.send(beginning)
        client.half_close()
        try:
            assert client.read_response().status in (400, 408)
        except NoAnswer:
            assert client.end is End.EOF
        assert client.read_end() is End.EOF
        assert target.calls(client) == []


@pytest.mark.parametrize(
    "message",
    [
        post("hell", "Content-Length: 5"),
        post("", "Content-Length: 9223372036854775808"),
        post("5\r\nhel", "Transfer-Encoding: chunked"),
        post("5\r\nhello", "Transfer-Encoding: chunked"),
        post("5\r\nhello\r\n", "Transfer-Encoding: chunked"),
        post("5\r\nhello\r\n0\r\n", "Transfer-Encoding: chunked"),
        post("5\r\nhello\r\n0\r\nX: y\r\n", "Transfer-Encoding: chunked"),
    ],
    ids=["length", "length-2-to-63", "data", "data-end", "chunk", "last-chunk", "trailer"],
)
def test_end_inside_a_body_is_a_disconnect(message: bytes, target: Target) -> None:
    with target.connect() as client:
        client.send(message)
        client.half_close()
        try:
            assert client.read_response().status in (400, 408, 413)
        except NoAnswer:
            assert client.end is End.EOF
        calls = target.calls(client)
        eventually(lambda: all(call.returned for call in calls))
        assert not any(call.complete for call in calls)
        assert all(call.disconnected for call in calls)
