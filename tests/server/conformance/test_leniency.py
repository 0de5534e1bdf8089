"""The two leniencies that somebody may ask for, and what they must not open.

RFC 9112 sections 2.3 and 5.2. Off by default: then the tables of cases hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conformance.harness import (
    SMUGGLED,
    Target,
    check_open,
    check_refusal,
    get,
    head,
    post,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeTarget = Callable[..., Target]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("X: a", " b"), [b"a", b"b"]),
        (("X: a", "\tb"), [b"a", b"b"]),
        (("X: a", "   b", "\t c"), [b"a", b"b", b"c"]),
        (("X:", " b"), [b"b"]),
        (("X: a", " Y: b"), [b"a", b"Y:", b"b"]),
    ],
)
@pytest.mark.parametrize("step", [0, 1])
def test_folded_value_is_joined_when_permitted(
    step: int, lines: tuple[str, ...], words: list[bytes], make_target: MakeTarget
) -> None:
    target = make_target(permit_obsolete_folding=True)

    with target.connect() as client:
        client.send(get("/", *lines), step)
        assert client.read_response().status == 200
        (call,) = target.calls(client)
        (value,) = [value for name, value in call.scope["headers"] if name == b"x"]
        assert value.split() == words
        assert not set(value) & set(b"\r\n\0")
        check_open(client)


@pytest.mark.parametrize(
    "data",
    [
        get("/", "X: a", " b\0"),
        get("/", "X: a", " b\x01"),
        get("/", "X: a\nb"),
        get("/", "X: a\rb"),
        get("/", "X : a"),
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        post("hello", "Content-Length: 5", " 5"),
        post("0\r\n\r\n", "Content-Length: 5", "Transfer-Encoding:", " chunked"),
        post("0\r\n\r\n", "Transfer-Encoding: chunked", " , identity"),
        post("0\r\n\r\n", "Content-Length: 5", "X: a", " b", "Transfer-Encoding: chunked"),
        head("GET / HTTP/1.1", "Host: b", " c"),
    ],
    ids=range(11),
)
def test_permitted_folding_opens_nothing_else(data: bytes, make_target: MakeTarget) -> None:
    target = make_target(permit_obsolete_folding=True)

    with target.connect() as client:
        client.send(data + SMUGGLED)
        check_refusal(client, client.read_response(), frozenset({400, 501}))
        assert target.calls(client) == []


@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_higher_minor_version_is_served_when_permitted(
    version: str, make_target: MakeTarget
) -> None:
    target = make_target(permit_unconventional_http_version=True)

    with target.connect() as client:
        client.send(head(f"GET / HTTP/{version}"))
        response = client.read_response()
        assert (response.status, response.version) == (200, "1.1")
        check_open(client)


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.1", "1", "1.10", "x.y"])
def test_other_versions_are_refused_all_the_same(version: str, make_target: MakeTarget) -> None:
    target = make_target(permit_unconventional_http_version=True)

    with target.connect() as client:
        client.send(head(f"GET / HTTP/{version}") + SMUGGLED)
        check_refusal(client, client.read_response(), frozenset({400, 505}))
        assert target.calls(client) == []
