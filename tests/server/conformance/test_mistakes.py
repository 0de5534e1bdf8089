"""Applications that break ASGI: the wire stays whole, the log says it once.

Before anything is sent, the answer is a 500. Afterwards the connection is cut, so that no client
takes a part for the whole (RFC 9112 section 8).
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.cases_mistakes import (
    AFTER_THE_START,
    BEFORE_THE_START,
    FORGIVABLE,
    LATE,
    OK,
    Oops,
    raise_now,
    saying,
)
from tests.server.conformance.harness import (
    Target,
    check_as_announced,
    check_fields,
    get,
    head,
    post,
)
from tests.support.rawhttp import End, NoAnswer, ProtocolError, Truncated
from tests.support.waiting import eventually


def is_clean(target: Target, behaviour: Any, method: str = "GET", *fields: str) -> int:
    """Play a mistake; return the status, after a check that wire and connection are right."""
    path = target.app.behave(behaviour)
    with target.connect() as client:
        client.send(head(f"{method} {path} HTTP/1.1", *fields))
        response = client.read_response(method)
        if response.status != 200:
            check_fields(response)
        check_as_announced(client, response)
        return response.status


@pytest.mark.parametrize("name", BEFORE_THE_START)
def test_mistake_before_the_answer_is_a_500(name: str, target: Target) -> None:
    since = len(target.server.log)
    path = target.app.behave(BEFORE_THE_START[name])

    with target.connect() as client:
        client.send(get(path))
        try:
            response = client.read_response()
        except Truncated:
            # The head was on its way before the mistake could be seen.
            assert name in ("less-than-length", "nothing-of-length")
        else:
            if name not in FORGIVABLE or response.status != 200:
                assert response.status == 500, response
                check_fields(response)
                assert b"hello" not in response.body
            check_as_announced(client, response)
    if name not in FORGIVABLE:
        assert len(eventually(lambda: target.errors(since))) == 1, target.errors(since)


@pytest.mark.parametrize("name", ["raise", "return", "status-0", "header-value-with-crlf"])
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS"])
def test_mistake_is_a_500_to_every_method(name: str, method: str, target: Target) -> None:
    assert is_clean(target, BEFORE_THE_START[name], method) == 500


@pytest.mark.parametrize("name", ["raise", "return", "status-0", "body-before-start"])
def test_mistake_is_a_500_in_http_1_0(name: str, target: Target) -> None:
    path = target.app.behave(BEFORE_THE_START[name])

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0"))
        assert client.read_response().status == 500
        assert client.read_end() is End.EOF


def test_500_does_not_tell_the_client_why(target: Target) -> None:
    async def leak(call: Call) -> None:
        raise Oops("the password is swordfish")

    with target.connect() as client:
        client.send(get(target.app.behave(leak)))
        response = client.read_response()
        assert b"swordfish" not in response.body
        assert b"Traceback" not in response.body


def test_exception_is_logged_with_its_traceback(target: Target) -> None:
    since = len(target.server.log)

    assert is_clean(target, raise_now) == 500

    (record,) = target.errors(since)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Oops)


def test_500_to_a_request_with_a_body_on_its_way(target: Target) -> None:
    path = target.app.behave(raise_now)

    with target.connect() as client:
        client.send(post(b"x" * 1_000_000, "Content-Length: 1000000", target=path))
        response = client.read_response()
        assert response.status == 500
        check_as_announced(client, response)


def test_pipelined_requests_after_a_mistake_are_served_or_announced_lost(target: Target) -> None:
    path = target.app.behave(raise_now)

    with target.connect() as client:
        client.send(get(path) + get("/next"))
        response = client.read_response()
        assert response.status == 500
        if response.says_close:
            assert client.read_end() is End.EOF
            assert [call.path for call in target.calls(client)] == [path]
        else:
            assert client.read_response().status == 200


# -- after the answer has begun


@pytest.mark.parametrize("name", AFTER_THE_START)
def test_mistake_inside_the_answer_cuts_the_connection(name: str, target: Target) -> None:
    since = len(target.server.log)
    path = target.app.behave(AFTER_THE_START[name])

    with target.connect() as client:
        client.send(get(path) + get("/next"))
        with pytest.raises(Truncated) as caught:
            client.read_response()
        assert caught.value.response is not None
        assert caught.value.response.status == 200
        assert b"too much" not in caught.value.response.body
        assert [call.path for call in target.calls(client)] in ([path], [path, "/next"])
    assert len(eventually(lambda: target.errors(since))) == 1, target.errors(since)


@pytest.mark.parametrize("name", ["raise-in-chunked", "raise-in-sized", "return-in-sized"])
def test_mistake_inside_the_answer_to_http_1_0_ends_it(name: str, target: Target) -> None:
    path = target.app.behave(AFTER_THE_START[name])

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0"))
        if "sized" in name:
            with pytest.raises(Truncated):
                client.read_response()
        else:  # delimited by the end of the connection: nothing but a reset could tell
            assert client.read_rest().endswith(b"\r\n\r\nbegin")


# -- after the answer has ended


@pytest.mark.parametrize("name", LATE)
def test_message_after_the_end_stays_off_the_wire(name: str, target: Target) -> None:
    path = target.app.behave(saying(OK, part(b"hello"), LATE[name]))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.body == b"hello"
        target.finished(path)
        check_as_announced(client, response)


def test_exception_after_the_end_is_logged_and_harms_nobody(target: Target) -> None:
    async def fail_late(call: Call) -> None:
        await call.answer(b"ok")
        raise Oops

    since = len(target.server.log)
    path = target.app.behave(fail_late)
    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 200
        check_as_announced(client, response)
    target.finished(path)
    assert len(eventually(lambda: target.errors(since))) == 1


def test_message_after_the_end_does_not_reach_the_next_answer(target: Target) -> None:
    gate = Gate()

    async def speak_late(call: Call) -> None:
        await call.answer(b"ok")
        await gate.passed()
        await call.say(part(b"late"))

    async def release(call: Call) -> None:
        gate.open()
        await call.read()
        await call.answer(b"next")

    first, second = target.app.behave(speak_late), target.app.behave(release)
    with target.connect() as client:
        client.send(get(first) + get(second))
        assert client.read_response().body == b"ok"
        assert client.read_response().body == b"next"
        target.finished(first)
        assert client.quiet()


# -- the server survives


def test_cancelled_error_of_the_application_is_a_500(target: Target) -> None:
    async def cancel(call: Call) -> None:
        raise asyncio.CancelledError

    path = target.app.behave(cancel)
    with target.connect() as client:
        client.send(get(path))
        try:
            response = client.read_response()
        except (NoAnswer, ProtocolError):
            pass  # cut: nobody can take that for an answer
        else:
            assert response.status == 500


def test_os_error_of_the_application_is_its_mistake(target: Target) -> None:
    async def fail(call: Call) -> None:
        raise ConnectionResetError("a database's, not the client's")

    since = len(target.server.log)
    assert is_clean(target, fail) == 500
    assert len(target.errors(since)) == 1


def test_send_error_of_a_mistake_names_what_is_wrong(target: Target) -> None:
    path = target.app.behave(saying(part(b"hello")))

    with target.connect() as client:
        client.send(get(path))
        client.read_response()
    (error,) = target.finished(path).send_errors
    assert not isinstance(error, OSError | AssertionError | KeyError | AttributeError)
    assert "http.response.body" in str(error)


def test_mistake_caught_by_the_application_can_be_made_good(target: Target) -> None:
    async def recover(call: Call) -> None:
        try:
            await call.send(start(200, (b"x", b"a\r\nb")))
            await call.send(part(b"never"))
        except Exception:
            await call.answer(b"sorry", status=503)

    path = target.app.behave(recover)
    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert (response.status, response.body) in [(503, b"sorry"), (500, response.body)]
        check_as_announced(client, response)
