"""The opening handshake: what is refused, and what is agreed on (RFC 6455 section 4, RFC 7692)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rawws import request as handshake_bytes
from uvicorn_worker.errors import ApplicationError, BadRequest
from uvicorn_worker.http1.h11_parser import H11Parser
from uvicorn_worker.http1.reader import RequestReader
from uvicorn_worker.serverconfig import ServerConfig
from uvicorn_worker.state import ServerState
from uvicorn_worker.websocket.handshake import (
    REFUSAL_LINES,
    Handshake,
    make_scope,
    read_handshake,
    response_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from uvicorn_worker.http1.request import Request

EXTENSIONS = "Sec-WebSocket-Extensions"
PROTOCOL = "Sec-WebSocket-Protocol"


def read(data: bytes) -> Request:
    return RequestReader(H11Parser(), ServerConfig()).read(data)


def shake(*headers: tuple[str, str], compress: bool = True, **options: Any) -> Handshake:
    return read_handshake(read(handshake_bytes(headers=headers, **options)), compress=compress)


def test_the_accept_value_is_that_of_the_rfc() -> None:
    handshake = shake(key="dGhlIHNhbXBsZSBub25jZQ==")

    assert handshake.accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param({"line": "POST / HTTP/1.1"}, 405, id="post"),
        pytest.param({"line": "HEAD / HTTP/1.1"}, 405, id="head"),
        pytest.param({"headers": [("Content-Length", "5")]}, 400, id="body"),
        pytest.param({"headers": [("Transfer-Encoding", "chunked")]}, 400, id="chunked"),
        pytest.param({"without": ["Sec-WebSocket-Version"]}, 426, id="no-version"),
        pytest.param({"headers": [("Sec-WebSocket-Version", "8")]}, 426, id="version-8"),
        pytest.param({"headers": [("Sec-WebSocket-Version", "13, 8")]}, 426, id="two-versions"),
        pytest.param({"headers": [("Sec-WebSocket-Version", "013")]}, 426, id="version-013"),
        pytest.param(
            {"headers": [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")]},
            426,
            id="version-twice",
        ),
        pytest.param({"without": ["Sec-WebSocket-Key"]}, 400, id="no-key"),
        pytest.param({"headers": [("Sec-WebSocket-Key", "")]}, 400, id="empty-key"),
        pytest.param({"headers": [("Sec-WebSocket-Key", "dGVzdA==")]}, 400, id="short-key"),
        pytest.param(
            {"headers": [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE=")]}, 400, id="17-bytes"
        ),
        pytest.param(
            {"headers": [("Sec-WebSocket-Key", "!!!!IHNhbXBsZSBub25jZQ==")]}, 400, id="no-base64"
        ),
        pytest.param(
            {
                "headers": [
                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ]
            },
            400,
            id="two-keys",
        ),
        pytest.param({"headers": [(EXTENSIONS, "permessage-deflate; =1")]}, 400, id="bad-offer"),
        pytest.param({"headers": [(EXTENSIONS, "a b")]}, 400, id="bad-extension"),
        pytest.param({"headers": [(EXTENSIONS, "x; y=z z")]}, 400, id="bad-parameter"),
        pytest.param({"headers": [(EXTENSIONS, 'x; y="z z"')]}, 400, id="bad-quoted"),
    ],
)
def test_a_wrong_handshake_is_refused(options: dict[str, Any], status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        read_handshake(read(handshake_bytes(**options)), compress=True)

    assert caught.value.status == status
    assert b"\r\nsec-websocket-version: 13" in REFUSAL_LINES[status]


@pytest.mark.parametrize(
    ("headers", "subprotocols"),
    [
        pytest.param([], [], id="none"),
        pytest.param([(PROTOCOL, "chat")], ["chat"], id="one"),
        pytest.param([(PROTOCOL, "chat, superchat")], ["chat", "superchat"], id="list"),
        pytest.param([(PROTOCOL, "a"), (PROTOCOL, "b")], ["a", "b"], id="repeated"),
        pytest.param([(PROTOCOL, "a ,\tb"), (PROTOCOL, ",c,")], ["a", "b", "c"], id="both"),
    ],
)
def test_subprotocols_are_read_from_lists_and_repeated_fields(
    headers: Sequence[tuple[str, str]], subprotocols: list[str]
) -> None:
    assert shake(*headers).subprotocols == subprotocols


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", None),
        ("permessage-deflate", "permessage-deflate"),
        ("PERMESSAGE-DEFLATE", None),  # extension names are case-sensitive tokens
        ("permessage-bzip2, permessage-deflate", "permessage-deflate"),
        ("x-webkit-deflate-frame", None),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10",
        ),
        (
            'permessage-deflate; client_max_window_bits="15"',
            "permessage-deflate; client_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits=8",
            "permessage-deflate; client_max_window_bits=8",
        ),
        (
            "permessage-deflate; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=12",
        ),
        (
            "permessage-deflate;server_max_window_bits=9",
            "permessage-deflate; server_max_window_bits=9",
        ),
        # zlib has no compressor with 8 bits: declined, with the next offer in its place.
        ("permessage-deflate; server_max_window_bits=8", None),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            "permessage-deflate; client_no_context_takeover ; client_max_window_bits =11",
            "permessage-deflate; client_no_context_takeover; client_max_window_bits=11",
        ),
        # RFC 7692 section 7.1: an offer with any of these is declined.
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=010", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=0", None),
        ("permessage-deflate; server_no_context_takeover=1", None),
        ("permessage-deflate; client_no_context_takeover=x", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_no_context_takeover; client_no_context_takeover", None),
        ("permessage-deflate; client_max_window_bits=9; client_max_window_bits=9", None),
    ],
)
def test_compression_is_agreed_on_as_far_as_it_can_be_kept(offer: str, answer: str | None) -> None:
    compression = shake(*([(EXTENSIONS, offer)] if offer else [])).compression

    assert (compression.response.decode() if compression else None) == answer


def test_offers_may_be_repeated_fields() -> None:
    compression = shake(
        (EXTENSIONS, "permessage-deflate; unknown"), (EXTENSIONS, "permessage-deflate")
    ).compression

    assert compression is not None
    assert compression.response == b"permessage-deflate"


def test_a_client_that_does_not_offer_it_may_use_the_largest_window() -> None:
    compression = shake((EXTENSIONS, "permessage-deflate")).compression

    assert compression is not None
    assert compression.client_bits == 15


def test_no_compression_where_it_is_switched_off() -> None:
    assert shake((EXTENSIONS, "permessage-deflate"), compress=False).compression is None


# -- the answer


@pytest.fixture
def state(caplog: pytest.LogCaptureFixture) -> Iterator[ServerState]:
    async def app(*_: Any) -> None:
        pass

    loop = asyncio.new_event_loop()
    with caplog.at_level(logging.WARNING):
        config = ServerConfig(date_header=False)
        yield ServerState(config, app, loop, logging.getLogger("test"), tls=False)
    loop.close()


SAMPLE = Handshake(accept=b"ACCEPT=", subprotocols=["a", "b"], compression=None)


def fields(head: bytes) -> list[bytes]:
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    assert first == b"HTTP/1.1 101 Switching Protocols"
    return lines


OWN = [
    b"upgrade: websocket",
    b"connection: upgrade",
    b"sec-websocket-accept: ACCEPT=",
]


@pytest.mark.parametrize(
    ("subprotocol", "headers", "expected"),
    [
        pytest.param(None, [], [], id="bare"),
        pytest.param("", [], [], id="empty-subprotocol"),
        pytest.param("b", [], [b"sec-websocket-protocol: b"], id="subprotocol"),
        pytest.param(
            None,
            [(b"Sec-WebSocket-Protocol", b"a")],
            [b"sec-websocket-protocol: a"],
            id="subprotocol-as-header",
        ),
        pytest.param(None, [(b"X-A", b"1"), [b"x-b", b"2"]], [b"x-a: 1", b"x-b: 2"], id="headers"),
        pytest.param(
            None,
            [
                (b"connection", b"close"),
                (b"upgrade", b"h2c"),
                (b"transfer-encoding", b"chunked"),
                (b"content-length", b"5"),
            ],
            [],
            id="framing-is-ours",
        ),
    ],
)
def test_the_answer_has_what_the_application_said(
    subprotocol: str | None, headers: Any, expected: list[bytes], state: ServerState
) -> None:
    head = response_head(SAMPLE, subprotocol, headers, state)

    assert fields(head) == [*OWN, *expected, b"server: uvicorn"]


def test_the_applications_own_server_field_takes_the_place_of_ours(state: ServerState) -> None:
    head = response_head(SAMPLE, None, [(b"server", b"mine")], state)

    assert fields(head) == [*OWN, b"server: mine"]


def test_a_subprotocol_that_was_not_offered_is_left_out(
    state: ServerState, caplog: pytest.LogCaptureFixture
) -> None:
    head = response_head(SAMPLE, "c", [], state)

    assert b"sec-websocket-protocol" not in head
    assert "'c' is left out: the client offered a, b" in caplog.text


@pytest.mark.parametrize(
    ("subprotocol", "headers"),
    [
        pytest.param("a b", [], id="no-token"),
        pytest.param("a\r\nx: y", [], id="two-lines"),
        pytest.param(None, [(b"x", b"a\r\nb: c")], id="header-with-line-end"),
        pytest.param(None, [(b"x y", b"a")], id="header-name"),
        pytest.param(None, [(b"Sec-WebSocket-Accept", b"a")], id="accept"),
        pytest.param(None, [(b"sec-websocket-extensions", b"a")], id="extensions"),
        pytest.param(None, [("x", "a")], id="text"),
    ],
)
def test_what_cannot_be_sent_is_the_applications_mistake(
    subprotocol: str | None, headers: Any, state: ServerState
) -> None:
    with pytest.raises(ApplicationError):
        response_head(SAMPLE, subprotocol, headers, state)


@pytest.mark.parametrize(("http", "expected"), [("http", "ws"), ("https", "wss")])
def test_the_scope_is_that_of_a_websocket(http: str, expected: str) -> None:
    scope = make_scope({"type": "http", "method": "GET", "scheme": http, "path": "/"}, ["a"])

    assert scope == {
        "type": "websocket",
        "scheme": expected,
        "path": "/",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "subprotocols": ["a"],
        "extensions": {"websocket.http.response": {}},
    }
