"""Requests to a supervisor, read from bytes however they are cut; answers as they are sent."""

from __future__ import annotations

import pytest

from uvicorn_supervisor.control.deskhttp import (
    LONGEST_REQUEST,
    Answer,
    Refused,
    Request,
    RequestReader,
    encode,
)

PLAIN = b"GET /status?a=1&b=x%20y HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"


def read(data: bytes, size: int) -> Request | None:
    reader = RequestReader()
    for start in range(0, len(data), size):
        request = reader.feed(data[start : start + size])
        if request is not None:
            return request
    return None


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            PLAIN,
            ("GET", "/status", {"a": "1", "b": "x y"}, {"host": "a", "accept": "*/*"}),
            id="plain",
        ),
        pytest.param(
            b"POST /stop HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            ("POST", "/stop", {}, {"content-length": "3"}),
            id="content",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
            ("GET", "/", {}, {"upgrade": "h2c", "connection": "upgrade"}),
            id="upgrade",
        ),
        pytest.param(
            b"GET http://a/x HTTP/1.0\r\n\r\n", ("GET", "/x", {}, {}), id="absolute-and-old"
        ),
        pytest.param(PLAIN[:-1], None, id="incomplete"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", None, id="half-content"),
    ],
)
def test_requests_are_read_however_they_are_cut(
    data: bytes, expected: tuple[object, ...] | None, size: int
) -> None:
    assert read(data, size) == expected


@pytest.mark.parametrize("behind", [PLAIN, b"\0junk"])
def test_what_follows_a_request_is_not_read(behind: bytes) -> None:
    request = read(PLAIN + behind, 1000)

    assert request is not None
    assert request.path == "/status"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET http://[/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /?" + b"a" * LONGEST_REQUEST, 413),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * LONGEST_REQUEST, 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + b"a" * LONGEST_REQUEST, 413),
    ],
)
def test_other_requests_are_refused(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        read(data, 1000)

    assert caught.value.answer.status == status


def test_an_answer_says_how_long_it_is_and_closes() -> None:
    answer = Answer(405, b"no\n", headers=(("Allow", "POST"),))

    head, _, content = encode(answer).partition(b"\r\n\r\n")

    assert head.split(b"\r\n") == [
        b"HTTP/1.1 405 Method Not Allowed",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 3",
        b"Cache-Control: no-store",
        b"Allow: POST",
        b"Connection: close",
    ]
    assert content == b"no\n"
    assert encode(answer, head_only=True) == head + b"\r\n\r\n"
