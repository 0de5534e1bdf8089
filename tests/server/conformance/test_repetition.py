"""A head that comes again on its connection says the same again, whatever was done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import echoed
from tests.server.conformance.harness import Target, get, post
from tests.support.rawhttp import End

if TYPE_CHECKING:
    from tests.apps.conformance import Call

CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


async def spoil(call: Call) -> None:
    """Change everything in the scope that can be changed, and answer."""
    call.notes["headers"] = list(call.scope["headers"])
    call.notes["others"] = {
        key: sorted(part) if isinstance(part, dict) else part
        for key, part in call.scope.items()
        if key != "headers"
    }
    for part in call.scope.values():
        if isinstance(part, list | dict):
            part.clear()
    call.scope["state"]["spoiled"] = True
    call.scope.update(path="/spoiled", server=None, query_string=b"spoiled", spoiled=True)
    await call.read()
    await call.answer(b"ok")


def test_what_the_application_changes_is_whole_again(target: Target) -> None:
    path = target.app.behave(spoil)

    with target.connect() as client:
        for _ in range(4):
            client.send(get(path, "X-One: 1", "X-Two: 2"))
            client.read_response()
        calls = target.calls(client)
    assert len(calls) == 4
    assert calls[0].notes["headers"] == [(b"host", b"a"), (b"x-one", b"1"), (b"x-two", b"2")]
    assert all(call.notes == calls[0].notes for call in calls)


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "byte by byte"])
def test_bodies_may_differ_behind_the_same_head(size: int, target: Target) -> None:
    with target.connect() as client:
        for body in (b"hello", b"again", b"GET /", b"\r\n\r\n\r"):
            client.send(post(body, "Content-Length: 5"), size)
            assert client.read_response().body == echoed("POST", b"/", body)


def test_an_expected_body_is_asked_for_each_time(target: Target) -> None:
    with target.connect() as client:
        for _ in range(3):
            client.send(post("", "Transfer-Encoding: chunked", "Expect: 100-continue"))
            assert client.read_interim().status == 100
            client.send(CHUNKED)
            assert client.read_response().body == echoed("POST", b"/", b"hello")


def test_a_head_in_pieces_may_begin_with_one_that_came_before(target: Target) -> None:
    """The bytes behind the first piece look like a request of their own."""
    inner = get("/inner")

    with target.connect() as client:
        client.send(inner)
        assert client.read_response().body == echoed("GET", b"/inner")
        client.send(b"POST /outer HTTP/1.1\r\nContent-Length: %d\r\n" % len(inner))
        client.send(b"Host: a\r\n\r\n")
        client.send(inner)
        assert client.read_response().body == echoed("POST", b"/outer", inner)


def test_pipelined_repetitions_are_each_answered(target: Target) -> None:
    with target.connect() as client:
        client.send(get("/same") * 40 + get("/other"))
        for _ in range(40):
            assert client.read_response().body == echoed("GET", b"/same")
        assert client.read_response().body == echoed("GET", b"/other")


def test_a_repeated_last_request_ends_the_connection(target: Target) -> None:
    with target.connect() as client:
        client.send(get("/", "Connection: close") * 2)
        assert client.read_response().says_close
        assert client.read_end() is End.EOF
        assert len(target.calls(client)) == 1


@pytest.mark.parametrize("late", [False, True], ids=["at once", "behind the answer"])
def test_bodies_that_nobody_reads_do_not_hold_up_the_next_request(
    late: bool, target: Target
) -> None:
    async def answer(call: Call) -> None:
        await call.answer(b"unread")

    request = post(b"hello", "Content-Length: 5", target=target.app.behave(answer))

    with target.connect() as client:
        for _ in range(5):
            client.send(request[:-5] if late else request)
            assert client.read_response().body == b"unread"
            if late:
                client.send(request[-5:])
        assert len(target.calls(client)) == 5
