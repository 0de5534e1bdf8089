"""What becomes of the connection: announced once, and done as announced.

RFC 9112 sections 9.3 to 9.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import Gate, echoed, part, start
from tests.server.conformance.harness import (
    SMUGGLED,
    Target,
    check_as_announced,
    check_open,
    get,
    head,
    post,
)
from tests.support.rawhttp import End
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apps.conformance import Call


@pytest.mark.parametrize("value", [b"close", b"Close", b"CLOSE", b"foo, close", b"close, foo"])
def test_application_that_says_close_ends_the_connection(value: bytes, target: Target) -> None:
    path = target.app.say(
        start(200, (b"connection", value), (b"content-length", b"2")), part(b"hi")
    )

    with target.connect() as client:
        client.send(get(path) + SMUGGLED)
        response = client.read_response()
        assert (response.status, response.body) == (200, b"hi")
        assert response.says_close
        assert client.read_end() is End.EOF
        assert [call.path for call in target.calls(client)] == [path]


@pytest.mark.parametrize("value", [b"keep-alive", b"Keep-Alive", b"foo"])
def test_close_is_announced_whatever_the_application_says(value: bytes, target: Target) -> None:
    path = target.app.say(
        start(200, (b"connection", value), (b"content-length", b"2")), part(b"hi")
    )

    with target.connect() as client:
        client.send(get(path, "Connection: close"))
        response = client.read_response()
        assert response.says_close
        assert b"keep-alive" not in response.connection_options
        assert client.read_end() is End.EOF


def test_application_that_says_keep_alive_is_not_doubled(target: Target) -> None:
    fields = ((b"connection", b"keep-alive"), (b"content-length", b"2"))
    path = target.app.say(start(200, *fields), part(b"hi"))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0", "Connection: keep-alive"))
        response = client.read_response()
        assert response.all(b"connection") in ([b"keep-alive"], [b"Keep-Alive"])
        check_open(client)


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 413, 500, 503])
def test_status_of_the_application_does_not_end_the_connection(status: int, target: Target) -> None:
    path = target.app.say(start(status), part())

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == status
        assert not response.says_close
        check_open(client)


def test_hundred_requests_in_turn_on_one_connection(target: Target) -> None:
    with target.connect() as client:
        for number in range(100):
            client.send(
                post(b"%d" % number, f"Content-Length: {len(str(number))}", target=f"/{number}")
            )
            response = client.read_response()
            assert response.body == echoed("POST", b"/%d" % number, b"%d" % number)


def test_answers_keep_the_order_of_pipelined_requests(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"slow")

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path) + get("/second") + get("/third"))
        eventually(lambda: gate.reached)
        assert client.quiet()
        gate.open()
        bodies = [client.read_response().body for _ in range(3)]
    assert bodies == [b"slow", echoed("GET", b"/second"), echoed("GET", b"/third")]


def test_pipelined_answers_of_every_framing_follow_each_other(target: Target) -> None:
    chunked = target.app.say(start(), part(b"a", True), part(b"b"))
    sized = target.app.say(start(200, (b"content-length", b"3")), part(b"c", True), part(b"de"))
    empty = target.app.say(start(204), part())
    methods = [(chunked, "GET"), (sized, "HEAD"), (empty, "GET"), (sized, "GET"), (chunked, "HEAD")]

    with target.connect() as client:
        client.send(b"".join(head(f"{method} {path} HTTP/1.1") for path, method in methods))
        answers = [client.read_response(method) for _, method in methods]
        check_open(client)
    assert [answer.body for answer in answers] == [b"ab", b"", b"", b"cde", b""]


@pytest.mark.parametrize("fields", [("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
def test_body_that_the_application_does_not_read_is_not_the_next_request(
    fields: tuple[str, ...], target: Target
) -> None:
    path = target.app.say(start(200, (b"content-length", b"2")), part(b"ok"), read=False)
    body = "hello" if "5" in fields[0] else "5\r\nhello\r\n0\r\n\r\n"

    with target.connect() as client:
        client.send(post(body, *fields, target=path))
        response = client.read_response()
        assert response.body == b"ok"
        check_as_announced(client, response)


@pytest.mark.parametrize("fields", [("Content-Length: 5",), ("Transfer-Encoding: chunked",)])
def test_body_that_comes_after_the_answer_is_not_the_next_request(
    fields: tuple[str, ...], target: Target
) -> None:
    path = target.app.say(start(200, (b"content-length", b"2")), part(b"ok"), read=False)
    body = b"hello" if "5" in fields[0] else b"5\r\nhello\r\n0\r\n\r\n"

    with target.connect() as client:
        client.send(post("", *fields, target=path))
        response = client.read_response()
        assert response.body == b"ok"
        if response.says_close:
            assert client.read_end() is End.EOF
        else:
            client.send(body)
            check_open(client)


def test_large_body_that_nobody_reads_does_not_cost_the_answer(target: Target) -> None:
    path = target.app.say(start(413, (b"content-length", b"2")), part(b"no"), read=False)
    size = 8_000_000

    with target.connect() as client:
        client.send(post(b"x" * size, f"Content-Length: {size}", target=path))
        response = client.read_response()
        assert (response.status, response.body) == (413, b"no")
        check_as_announced(client, response)


def test_partly_read_body_is_not_the_next_request(target: Target) -> None:
    async def read_once(call: Call) -> None:
        await call.take()
        await call.answer(b"ok")

    path = target.app.behave(read_once)
    with target.connect() as client:
        client.send(post(SMUGGLED * 2000, f"Content-Length: {len(SMUGGLED) * 2000}", target=path))
        response = client.read_response()
        assert response.body == b"ok"
        check_as_announced(client, response)
        assert "/smuggled" not in [call.path for call in target.calls(client)]


def test_http_1_0_stream_without_length_ends_with_the_connection(target: Target) -> None:
    path = target.app.say(start(), part(b"a", True), part(b"b", True), part(b"c"))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0", "Connection: keep-alive"))
        response = client.read_response()
        assert (response.framing, response.body) == ("close", b"abc")
        assert b"keep-alive" not in response.connection_options
        assert client.end is End.EOF


def test_keep_alive_time_over_ends_an_idle_connection(make_target: Callable[..., Target]) -> None:
    target = make_target(timeout_keep_alive=0.3)

    with target.connect() as client:
        client.send(get("/1") + get("/2"))
        assert not client.read_response().says_close
        assert not client.read_response().says_close
        assert client.read_end() is End.EOF


def test_keep_alive_of_zero_is_announced_as_close(make_target: Callable[..., Target]) -> None:
    target = make_target(timeout_keep_alive=0)

    with target.connect() as client:
        client.send(get())
        assert client.read_response().says_close
        assert client.read_end() is End.EOF


def test_keep_alive_time_does_not_cut_a_slow_application(
    make_target: Callable[..., Target],
) -> None:
    target = make_target(timeout_keep_alive=0.3)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"late")

    with target.connect() as idle, target.connect() as client:
        client.send(get(target.app.behave(wait)))
        eventually(lambda: gate.reached)
        idle.send(get())
        idle.read_response()
        assert idle.read_end() is End.EOF  # the keep-alive time has passed once
        gate.open()
        assert client.read_response().body == b"late"


@pytest.mark.parametrize(
    "fields", [("Proxy-Connection: close",), ("Keep-Alive: timeout=1, max=1",)]
)
def test_fields_of_old_clients_leave_the_connection_as_announced(
    fields: tuple[str, ...], target: Target
) -> None:
    with target.connect() as client:
        client.send(get("/", *fields))
        check_as_announced(client, client.read_response())
