"""Clients that stop in the middle: how long the server waits, and what it says then.

RFC 9110 section 15.5.9 (408).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import Call, Gate, echoed, part, start
from tests.server.conformance.harness import (
    Target,
    check_refusal,
    get,
    post,
    send_until_answered,
)
from tests.support.rawhttp import End, NoAnswer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeTarget = Callable[..., Target]

HEAD = {"timeout_request_head": 0.4, "timeout_keep_alive": 20}
BODY = {"timeout_request_body": 0.4, "timeout_keep_alive": 20}


@pytest.mark.parametrize(
    "beginning",
    [b"G", b"GET / HT", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"],
    ids=["letter", "line-part", "line", "fields"],
)
def test_head_that_stops_gets_408(beginning: bytes, make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as client:
        client.send(beginning)
        check_refusal(client, client.read_response(), frozenset({408}))
        assert target.calls(client) == []


def test_second_head_that_stops_gets_408(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as client:
        client.send(get("/1"))
        assert client.read_response().status == 200
        client.send(b"GET /2 HTTP/1.1\r\nHo")
        check_refusal(client, client.read_response(), frozenset({408}))


def test_pipelined_head_that_stops_gets_408(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as client:
        client.send(get("/1") + b"GET /2 HTTP/1.1\r\nHo")
        assert client.read_response().status == 200
        check_refusal(client, client.read_response(), frozenset({408}))


def test_head_that_trickles_gets_408(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        send_until_answered(client, b"y")
        assert client.read_response().status == 408
        assert target.calls(client) == []


def test_client_that_says_nothing_is_let_go(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as client:
        with contextlib.suppress(NoAnswer):
            assert client.read_response().status == 408
        assert client.read_end() is End.EOF


def test_time_for_the_head_is_not_taken_from_the_application(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"late")

    with target.connect() as slow, target.connect() as stopped:
        slow.send(get(target.app.behave(wait)))
        eventually(lambda: gate.reached)
        stopped.send(b"GET ")
        assert stopped.read_response().status == 408  # the time has passed once
        gate.open()
        assert slow.read_response().body == b"late"


def test_idle_time_between_requests_is_not_time_for_the_head(make_target: MakeTarget) -> None:
    target = make_target(**HEAD)

    with target.connect() as idle, target.connect() as stopped:
        idle.send(get("/1"))
        assert idle.read_response().status == 200
        stopped.send(b"GET ")
        assert stopped.read_response().status == 408
        idle.send(get("/2"))
        assert idle.read_response().body == echoed("GET", b"/2")


@pytest.mark.parametrize(
    "message",
    [
        post("hel", "Content-Length: 5"),
        post("", "Content-Length: 5"),
        post("5\r\nhel", "Transfer-Encoding: chunked"),
        post("5\r\nhello\r\n", "Transfer-Encoding: chunked"),
        post("5\r\nhello\r\n0\r\nX: y\r\n", "Transfer-Encoding: chunked"),
        post("", "Transfer-Encoding: chunked"),
    ],
    ids=["length", "no-byte", "chunk", "next-chunk", "trailers", "no-chunk"],
)
def test_body_that_stops_gets_408_and_a_disconnect(message: bytes, make_target: MakeTarget) -> None:
    target = make_target(**BODY)

    with target.connect() as client:
        client.send(message)
        check_refusal(client, client.read_response(), frozenset({408}))
        (call,) = target.calls(client)
        eventually(lambda: call.returned)
        assert not call.complete
        assert call.disconnected


def test_body_that_stops_after_the_answer_began_ends_the_connection(
    make_target: MakeTarget,
) -> None:
    target = make_target(**BODY)

    async def answer_first(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"5")), part(b"be", True))
        await call.read()

    path = target.app.behave(answer_first)
    with target.connect() as client:
        client.send(post("hel", "Content-Length: 5", target=path))
        rest = client.read_rest()
        assert rest.startswith(b"HTTP/1.1 200 ")
        assert b"408" not in rest
    call = target.finished(path)
    assert call.disconnected
    assert not call.complete


def test_body_that_nobody_asked_for_has_time(make_target: MakeTarget) -> None:
    target = make_target(**BODY)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.read()
        await call.answer(call.body)

    path = target.app.behave(wait)
    with target.connect() as client, target.connect() as stopped:
        client.send(post("", "Content-Length: 5", "Expect: 100-continue", target=path))
        eventually(lambda: gate.reached)
        stopped.send(post("hel", "Content-Length: 5"))
        assert stopped.read_response().status == 408  # the time has passed once
        gate.open()
        assert client.read_interim().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"


def test_timeouts_of_zero_are_no_timeouts(make_target: MakeTarget) -> None:
    strict = make_target(**HEAD)
    target = make_target(timeout_request_head=0, timeout_request_body=0)

    with target.connect() as one, target.connect() as two, strict.connect() as clock:
        one.send(b"GET /patient HTTP/1.1\r\nHost: a\r\n")
        two.send(post("hel", "Content-Length: 5"))
        clock.send(b"GET ")
        assert clock.read_response().status == 408
        one.send(b"\r\n")
        two.send(b"lo")
        assert one.read_response().body == echoed("GET", b"/patient")
        assert two.read_response().body == echoed("POST", b"/", b"hello")
