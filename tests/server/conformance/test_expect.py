"""Expect: 100-continue: asked for by reading the body, at most once, never in HTTP/1.0.

RFC 9110 section 10.1.1.
"""

from __future__ import annotations

import pytest

from tests.apps.conformance import Call, Gate, echoed, part, start
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

EXPECT = "Expect: 100-continue"
BODIES = {
    "length": ("Content-Length: 5", b"hello"),
    "chunked": ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", BODIES)
@pytest.mark.parametrize(
    "line", [EXPECT, "expect: 100-Continue", "EXPECT:100-CONTINUE", "Expect: \t100-continue "]
)
def test_body_is_asked_for_when_the_application_reads(
    line: str, framing: str, target: Target
) -> None:
    field, body = BODIES[framing]

    with target.connect() as client:
        client.send(post("", field, line))
        interim = client.read_interim()
        assert interim.status == 100
        assert interim.headers == []
        client.send(body)
        response = client.read_response()
        assert response.interim == []
        assert response.body == echoed("POST", b"/", b"hello")
        check_open(client)


@pytest.mark.parametrize("framing", BODIES)
def test_body_is_asked_for_once(framing: str, target: Target) -> None:
    field, body = BODIES[framing]

    with target.connect() as client:
        client.send(post("", field, EXPECT))
        assert client.read_interim().status == 100
        for byte in body:
            client.send(bytes([byte]), 1)
        assert client.read_response().interim == []


def test_body_is_not_asked_for_before_the_application_reads(target: Target) -> None:
    gate = Gate()

    async def hesitate(call: Call) -> None:
        await gate.passed()
        await call.read()
        await call.answer(call.body)

    path = target.app.behave(hesitate)
    with target.connect() as client:
        client.send(post("", "Content-Length: 5", EXPECT, target=path))
        eventually(lambda: gate.reached)
        assert client.quiet()
        gate.open()
        assert client.read_interim().status == 100
        client.send(b"hello")
        assert client.read_response().body == b"hello"


@pytest.mark.parametrize("status", [200, 401, 413])
@pytest.mark.parametrize("framing", BODIES)
def test_answer_without_reading_asks_for_nothing(framing: str, status: int, target: Target) -> None:
    field, body = BODIES[framing]
    path = target.app.say(start(status, (b"content-length", b"2")), part(b"no"), read=False)

    with target.connect() as client:
        client.send(post("", field, EXPECT, target=path))
        response = client.read_response()
        assert response.interim == []
        assert (response.status, response.body) == (status, b"no")
        if response.says_close:
            assert client.read_end() is End.EOF
        else:  # then the body has to be taken for a body still
            client.send(body)
            check_open(client)


def test_client_that_gives_up_after_the_answer_is_not_misread(target: Target) -> None:
    path = target.app.say(start(401, (b"content-length", b"2")), part(b"no"), read=False)

    with target.connect() as client:
        client.send(post("", f"Content-Length: {len(SMUGGLED)}", EXPECT, target=path))
        response = client.read_response()
        client.send(SMUGGLED)  # the body, whatever it looks like
        check_as_announced(client, response)
        assert "/smuggled" not in [call.path for call in target.calls(client)]


def test_body_sent_without_waiting_is_served(target: Target) -> None:
    with target.connect() as client:
        client.send(post("hello", "Content-Length: 5", EXPECT))
        response = client.read_response()
        assert [interim.status for interim in response.interim] in ([], [100])
        assert response.body == echoed("POST", b"/", b"hello")
        check_open(client)


@pytest.mark.parametrize("fields", [(), ("Content-Length: 0",)], ids=["none", "zero"])
def test_expectation_without_a_body_is_served(fields: tuple[str, ...], target: Target) -> None:
    with target.connect() as client:
        client.send(get("/", *fields, EXPECT))
        response = client.read_response()
        assert [interim.status for interim in response.interim] in ([], [100])
        assert response.status == 200
        check_open(client)


def test_http_1_0_is_never_sent_an_interim_response(target: Target) -> None:
    with target.connect() as client:
        client.send(head("POST / HTTP/1.0", "Content-Length: 5", EXPECT) + b"hello")
        response = client.read_response()
        assert response.interim == []
        assert response.body == echoed("POST", b"/", b"hello")
        assert client.read_end() is End.EOF


def test_http_1_0_body_is_not_waited_for_with_an_interim_response(target: Target) -> None:
    with target.connect() as client:
        client.send(head("POST / HTTP/1.0", "Content-Length: 5", EXPECT))
        eventually(lambda: target.calls(client))
        assert client.quiet()
        client.send(b"hello")
        assert client.read_response().interim == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Expect: the-unexpected",),
        ("Expect: 100-continue, the-unexpected",),
        ("Expect: 100-continue-not",),
        ("Expect: 100",),
        ("Expect: 100-continue; q=1",),
        ("Expect: 100-continue", "Expect: the-unexpected"),
        ("Expect: the-unexpected", "Expect: 100-continue"),
        ("Expect: 200-ok",),
    ],
    ids=["unknown", "list", "longer", "shorter", "parameter", "then", "before", "other"],
)
def test_unknown_expectation_gets_417(lines: tuple[str, ...], target: Target) -> None:
    with target.connect() as client:
        client.send(post("hello", "Content-Length: 5", *lines))
        response = client.read_response()
        assert response.status == 417
        check_as_announced(client, response)
        assert [call.path for call in target.calls(client)] in ([], ["/probe"])


@pytest.mark.parametrize("lines", [("Expect:",), (EXPECT, EXPECT), ("Expect: 100-continue,",)])
def test_odd_but_known_expectation_is_served_or_refused(
    lines: tuple[str, ...], target: Target
) -> None:
    with target.connect() as client:
        client.send(post("hello", "Content-Length: 5", *lines))
        response = client.read_response()
        assert response.status in (200, 400, 417)
        check_as_announced(client, response)


def test_second_pipelined_expectation_waits_for_its_turn(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"first")

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path) + post("", "Content-Length: 5", EXPECT))
        eventually(lambda: gate.reached)
        assert client.quiet()
        gate.open()
        response = client.read_response()
        assert response.interim == []
        assert response.body == b"first"
        assert client.read_interim().status == 100
        client.send(b"hello")
        assert client.read_response().body == echoed("POST", b"/", b"hello")


def test_asking_after_the_answer_began_sends_no_interim_response(target: Target) -> None:
    async def answer_then_read(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"10")), part(b"begin", True))
        await call.take()
        await call.say(part(b"ended"))

    path = target.app.behave(answer_then_read)
    with target.connect() as client:
        client.send(post("", "Content-Length: 5", EXPECT, target=path))
        head_and_begin = client.read_bytes(8)
        assert head_and_begin == b"HTTP/1.1"
        client.send(b"hello")
        rest = client.read_bytes(1)
        assert rest == b" "
        assert b"100" not in client.read_bytes(3)
