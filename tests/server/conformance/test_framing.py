"""How answers are delimited.

RFC 9112 section 6, RFC 9110 sections 8.6, 9.3.2 and 15.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.apps.conformance import part, start
from tests.server.conformance.harness import Target, ask, check_open, get, head
from tests.support.rawhttp import End

TWO = (b"content-length", b"2")
CHUNKED = (b"transfer-encoding", b"chunked")

BODIES = {
    "one-message": ([part(b"hello")], b"hello"),
    "two-messages": ([part(b"he", True), part(b"llo")], b"hello"),
    "empty-last": ([part(b"hello", True), part()], b"hello"),
    "empty-first": ([part(b"", True), part(b"hello")], b"hello"),
    "empty-between": ([part(b"he", True), part(b"", True), part(b"llo")], b"hello"),
    "many-empty": ([*[part(b"", True)] * 10, part(b"hello", True), part(b"")], b"hello"),
    "nothing": ([part()], b""),
    "nothing-twice": ([part(b"", True), part()], b""),
    "like-a-chunk": ([part(b"5\r\nhello\r\n0\r\n\r\n", True), part()], b"5\r\nhello\r\n0\r\n\r\n"),
    "large": ([part(b"x" * 2_000_000)], b"x" * 2_000_000),
    "large-in-parts": ([*[part(b"y" * 100_000, True)] * 20, part()], b"y" * 2_000_000),
    "bytearray": ([part(bytearray(b"hello"))], b"hello"),
    "memoryview": ([part(memoryview(b"hello"))], b"hello"),
    "memoryview-in-parts": ([part(memoryview(b"he"), True), part(bytearray(b"llo"))], b"hello"),
}


@pytest.mark.parametrize("name", BODIES)
def test_body_without_length_arrives(name: str, target: Target) -> None:
    messages, body = BODIES[name]

    response = ask(target, target.app.say(start(), *messages))

    assert response.body == body
    assert response.framing in ("length", "chunked")


@pytest.mark.parametrize("name", BODIES)
def test_body_with_length_arrives(name: str, target: Target) -> None:
    messages, body = BODIES[name]
    fields = (b"content-length", b"%d" % len(body))

    response = ask(target, target.app.say(start(200, fields), *messages))

    assert response.body == body
    assert response.framing == "length"


@pytest.mark.parametrize("name", BODIES)
def test_body_is_the_same_in_http_1_0(name: str, target: Target) -> None:
    messages, body = BODIES[name]
    path = target.app.say(start(), *messages)

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0"))
        response = client.read_response()
        assert response.body == body
        assert response.framing in ("length", "close")
        assert client.read_end() is End.EOF


@pytest.mark.parametrize("name", BODIES)
def test_answer_to_head_has_no_body(name: str, target: Target) -> None:
    messages, _ = BODIES[name]

    response = ask(target, target.app.say(start(), *messages), "HEAD")

    assert response.status == 200


def test_length_of_the_application_stands_in_the_answer_to_head(target: Target) -> None:
    path = target.app.say(start(200, (b"content-length", b"12345")), part())

    assert ask(target, path, "HEAD").get(b"content-length") == b"12345"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ((), [part()]),
        ((), [part(b"", True), part()]),
        (((b"content-length", b"0"),), [part()]),
        ((CHUNKED,), [part()]),
        (((b"content-type", b"text/plain"),), [part()]),
    ],
    ids=["plain", "two-messages", "length", "coding", "type"],
)
def test_status_without_content_ends_with_its_head(
    status: int,
    method: str,
    fields: tuple[tuple[bytes, bytes], ...],
    messages: list[dict[str, Any]],
    target: Target,
) -> None:
    response = ask(target, target.app.say(start(status, *fields), *messages), method)

    assert response.status == status
    assert response.get(b"transfer-encoding") is None


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("more", [False, True], ids=["one-message", "two-messages"])
def test_content_of_a_status_without_content_stays_off_the_wire(
    status: int, more: bool, target: Target
) -> None:
    messages = [part(b"hello", True), part()] if more else [part(b"hello")]
    path = target.app.say(start(status), *messages)

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status in (status, 500)
        if response.says_close:
            assert client.read_end() is End.EOF
        else:
            check_open(client)


def test_length_of_the_application_stands_in_a_304(target: Target) -> None:
    path = target.app.say(start(304, (b"content-length", b"12345")), part())

    assert ask(target, path).get(b"content-length") in (b"12345", None)


def test_205_has_no_content(target: Target) -> None:
    response = ask(target, target.app.say(start(205), part()))

    assert response.body == b""


@pytest.mark.parametrize(
    "coding", [b"chunked", b"Chunked", b"gzip", b"identity", b"gzip, chunked", b""]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_transfer_encoding_of_the_application_stays_off_the_wire(
    coding: bytes, version: str, target: Target
) -> None:
    path = target.app.say(
        start(200, (b"transfer-encoding", coding)), part(b"he", True), part(b"llo")
    )

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/{version}"))
        response = client.read_response()
        assert response.body == b"hello"
        assert response.get(b"transfer-encoding") == (b"chunked" if version == "1.1" else None)


@pytest.mark.parametrize("first", [True, False])
def test_length_beside_transfer_encoding_is_one_framing(first: bool, target: Target) -> None:
    fields = [(b"content-length", b"5"), CHUNKED]
    path = target.app.say(start(200, *(fields if first else fields[::-1])), part(b"hello"))

    assert ask(target, path).body == b"hello"


def test_equal_lengths_of_the_application_are_one(target: Target) -> None:
    path = target.app.say(start(200, TWO, TWO), part(b"hi"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert (response.status, response.body) == (200, b"hi") or response.status == 500


def test_upper_case_names_of_the_application_are_understood(target: Target) -> None:
    fields = ((b"Content-Length", b"2"), (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT"))
    response = ask(target, target.app.say(start(200, *fields), part(b"hi")))

    assert response.body == b"hi"
    assert response.all(b"date") == [b"Sun, 06 Nov 1994 08:49:37 GMT"]


def test_http_1_0_with_length_can_be_kept_alive(target: Target) -> None:
    path = target.app.say(start(200, TWO), part(b"hi"))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/1.0", "Connection: keep-alive"))
        response = client.read_response()
        assert (response.framing, response.body) == ("length", b"hi")
        check_open(client)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"])
def test_every_method_gets_its_answer(method: str, target: Target) -> None:
    response = ask(target, target.app.say(start(200, TWO), part(b"hi")), method)

    assert response.body == (b"" if method == "HEAD" else b"hi")
