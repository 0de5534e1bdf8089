"""The status line and the fields of answers: the application's as given, the server's once.

RFC 9112 section 4, RFC 9110 sections 6.6.1, 10.2.4 and 15.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.harness import IMF_FIXDATE, Target, ask, get, head
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

TWO = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, b"OK"),
        (201, b"Created"),
        (206, b"Partial Content"),
        (302, b"Found"),
        (308, b"Permanent Redirect"),
        (404, b"Not Found"),
        (429, b"Too Many Requests"),
        (500, b"Internal Server Error"),
        (503, b"Service Unavailable"),
    ],
)
def test_status_line_has_the_registered_reason(status: int, reason: bytes, target: Target) -> None:
    response = ask(target, target.app.say(start(status), part()))

    assert (response.status, response.reason) == (status, reason)


@pytest.mark.parametrize("status", [299, 399, 418, 499, 520, 599, 600, 799, 999])
def test_unregistered_status_has_a_well_formed_line(status: int, target: Target) -> None:
    assert ask(target, target.app.say(start(status), part())).status == status


def test_status_of_an_int_subclass_is_its_number(target: Target) -> None:
    assert ask(target, target.app.say(start(HTTPStatus.CREATED), part())).status == 201


def test_headers_keep_their_order_and_number(target: Target) -> None:
    fields = [
        (b"x-a", b"1"),
        (b"set-cookie", b"a=1"),
        (b"x-b", b"2"),
        (b"set-cookie", b"b=2"),
        (b"x-a", b"3"),
    ]
    response = ask(target, target.app.say(start(200, *fields), part()))

    own = [field for field in response.headers if field[0] in (b"x-a", b"x-b", b"set-cookie")]
    assert own == fields


@pytest.mark.parametrize("value", [b"", b"plain", b"a\tb", b"\x80\xff", b'"quoted"', b"x" * 20_000])
def test_header_values_arrive_as_given(value: bytes, target: Target) -> None:
    response = ask(target, target.app.say(start(200, (b"x-v", value)), part()))

    assert response.get(b"x-v") == value


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x", b"1"), (b"y", b"2")],
        [[b"x", b"1"], [b"y", b"2"]],
        ((b"x", b"1"), (b"y", b"2")),
    ],
    ids=["list-of-tuples", "list-of-lists", "tuple-of-tuples"],
)
def test_headers_may_be_any_iterable_of_pairs(headers: Any, target: Target) -> None:
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    response = ask(target, target.app.say(message, part()))

    assert (response.get(b"x"), response.get(b"y")) == (b"1", b"2")


def test_headers_may_be_a_generator(target: Target) -> None:
    headers = (pair for pair in [(b"x", b"1"), (b"y", b"2")])
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    response = ask(target, target.app.say(message, part()))

    assert (response.get(b"x"), response.get(b"y")) == (b"1", b"2")


def test_a_generator_that_fails_is_an_error_and_not_the_end_of_the_headers(target: Target) -> None:
    headers = (bytes(name) for name in ["not bytes"])  # type: ignore[arg-type]
    message = {"type": "http.response.start", "status": 200, "headers": headers}
    path = target.app.say(message, part())

    with target.connect() as client:
        client.send(get(path))
        assert client.read_response().status == 500


def test_headers_and_body_may_be_left_out(target: Target) -> None:
    path = target.app.say(
        {"type": "http.response.start", "status": 200}, {"type": "http.response.body"}
    )
    response = ask(target, path)

    assert (response.status, response.body) == (200, b"")


def test_date_and_server_are_there_once(target: Target) -> None:
    response = ask(target, "/")

    (date,) = response.all(b"date")
    assert IMF_FIXDATE.fullmatch(date)
    assert len(response.all(b"server")) == 1


@pytest.mark.parametrize("name", [b"date", b"Date", b"server", b"Server", b"SERVER"])
def test_date_or_server_of_the_application_replaces_ours(name: bytes, target: Target) -> None:
    value = b"Sun, 06 Nov 1994 08:49:37 GMT"
    response = ask(target, target.app.say(start(200, (name, value)), part()))

    assert response.all(name.lower()) == [value]


def test_date_and_server_can_be_switched_off(make_target: Callable[..., Target]) -> None:
    target = make_target(date_header=False, server_header=False)

    with target.connect() as client:
        client.send(get())
        response = client.read_response()
        assert response.get(b"date") is None
        assert response.get(b"server") is None


def test_configured_headers_are_in_every_answer(make_target: Callable[..., Target]) -> None:
    target = make_target(headers=(("X-Configured", "yes"), ("Server", "mine")))

    with target.connect() as client:
        client.send(get() + head("HEAD / HTTP/1.1"))
        for method in ("GET", "HEAD"):
            response = client.read_response(method)
            assert response.all(b"x-configured") == [b"yes"]


def test_head_is_not_sent_before_the_first_body_message(target: Target) -> None:
    gate = Gate()

    async def hesitate(call: Call) -> None:
        await call.say(start(200, TWO))
        await gate.passed()
        await call.say(part(b"hi"))

    with target.connect() as client:
        client.send(get(target.app.behave(hesitate)))
        eventually(lambda: gate.reached)
        assert client.quiet()
        gate.open()
        assert client.read_response().body == b"hi"


def test_part_of_a_stream_is_sent_when_send_returns(target: Target) -> None:
    gate = Gate()

    async def stream(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"10")), part(b"first", True))
        await gate.passed()
        await call.say(part(b"other"))

    with target.connect() as client:
        client.send(get(target.app.behave(stream)))
        so_far = b""
        while not so_far.endswith(b"first"):
            so_far += client.read_bytes(1)
        gate.open()
        assert client.read_bytes(5) == b"other"
