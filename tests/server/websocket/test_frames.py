"""The cases of tests/support/wscases.py over the wire: an echo, pongs, and the right close."""

from __future__ import annotations

import random
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, contents
from tests.support.rawhttp import End
from tests.support.rawws import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TAIL,
    TEXT,
    Deflate,
    RawWebSocket,
    close_frame,
    frame,
)
from tests.support.serving import RunningServer, serve
from tests.support.waiting import eventually
from tests.support.wscases import LIMIT, Case, all_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.websocket.conftest import Connect, Start

CASES = list(all_cases())
ECHO = Echo()


@pytest.fixture(scope="module")
def server(pair: dict[str, Any]) -> Iterator[RunningServer]:
    with ExitStack() as stack:
        yield stack.enter_context(serve(ECHO.app, ws_max_size=LIMIT, **pair))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_server_answers_as_the_rfcs_say(
    case: Case, server: RunningServer, connect: Connect
) -> None:
    headers = [("Sec-WebSocket-Extensions", case.deflate)] if case.deflate else []
    client = connect(server, headers=headers)
    ended = len(ECHO.ended)
    client.send(case.data)
    expected = len(case.messages) + len(case.pongs) if case.close is None else None

    messages, pongs, close = read_all(client, expected)

    if case.peer is None:  # a client that closes does not wait for what it has asked for
        assert messages == case.messages
    if case.close is None:
        client.send(close_frame(4321, b"end"))
        close = client.read_close()
    assert pongs == case.pongs
    assert close[0] == (case.close or 4321)
    assert client.finish() is End.EOF
    eventually(lambda: len(ECHO.ended) > ended)
    *received, last = ECHO.ended[-1]
    assert contents(received) == case.messages
    code, reason = case.peer or ((4321, "end") if case.close is None else close)
    assert last == {"type": "websocket.disconnect", "code": code, "reason": reason}


def read_all(
    client: RawWebSocket, expected: int | None
) -> tuple[list[str | bytes], list[bytes], tuple[int, str]]:
    """Return messages, pongs and the close of the server, in the order of each.

    Up to the close frame, or until there are as many messages and pongs as `expected`.
    """
    messages: list[str | bytes] = []
    pongs: list[bytes] = []
    deflate = Deflate()
    while expected is None or len(messages) + len(pongs) < expected:
        received = client.read_frame()
        payload = received.payload
        if received.opcode == CLOSE:
            return messages, pongs, received.close
        if received.opcode == PONG:
            pongs.append(payload)
            continue
        assert received.opcode in (TEXT, BINARY)
        if received.rsv:
            assert received.rsv == 4
            payload = deflate.decompress(payload)
        messages.append(payload.decode() if received.opcode == TEXT else payload)
    return messages, pongs, (0, "")


def test_a_message_may_come_byte_by_byte(server: RunningServer, connect: Connect) -> None:
    client = connect(server)
    client.send(frame(TEXT, b"slow") + frame(PING, b"x") + frame(BINARY, b"\0" * 130), step=1)

    assert client.read_message() == "slow"
    assert client.read_frame() == (PONG, b"x", True, 0)
    assert client.read_message() == b"\0" * 130


def test_text_that_is_wrong_is_told_before_its_message_ends(
    server: RunningServer, connect: Connect
) -> None:
    client = connect(server)
    client.send(frame(TEXT, b"abc\xff", fin=False))

    assert client.read_close() == (1007, "text is not UTF-8")


def test_long_messages_are_compressed_and_short_ones_are_not(
    server: RunningServer, connect: Connect
) -> None:
    client = connect(server, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    client.send(frame(TEXT, b"short") + frame(TEXT, b"long " * 100) + frame(TEXT, b"long " * 100))

    assert client.read_frame() == (TEXT, b"short", True, 0)
    first, second = client.read_frame(), client.read_frame()
    assert first.rsv == second.rsv == 4
    assert not first.payload.endswith(TAIL)
    assert len(second.payload) < len(first.payload) < 100  # the window is shared
    deflate = Deflate()
    assert deflate.decompress(first.payload) == b"long " * 100
    assert deflate.decompress(second.payload) == b"long " * 100


def test_each_message_is_compressed_for_itself_where_that_was_agreed(
    server: RunningServer, connect: Connect
) -> None:
    offer = "permessage-deflate; server_no_context_takeover"
    client = connect(server, headers=[("Sec-WebSocket-Extensions", offer)])
    assert client.handshake.all(b"sec-websocket-extensions") == [offer.encode()]
    client.send(frame(TEXT, b"long " * 100) * 2)

    first, second = client.read_frame(), client.read_frame()
    assert first == second
    assert Deflate().decompress(second.payload) == b"long " * 100


@pytest.mark.parametrize("bits", range(9, 16))
@pytest.mark.parametrize(
    "resets",
    [
        (),
        ("client_no_context_takeover",),
        ("server_no_context_takeover",),
        ("server_no_context_takeover", "client_no_context_takeover"),
    ],
    ids=["shared", "client-resets", "server-resets", "both-reset"],
)
def test_both_sides_keep_to_the_windows_agreed_on(
    bits: int, resets: tuple[str, ...], server: RunningServer, connect: Connect
) -> None:
    limits = f"server_max_window_bits={bits}; client_max_window_bits={24 - bits}"
    offer = "; ".join(["permessage-deflate", *resets, limits])
    client = connect(server, headers=[("Sec-WebSocket-Extensions", offer)])
    (agreed,) = client.handshake.all(b"sec-websocket-extensions")
    said = dict(re.findall(r"(\w+_max_window_bits)=(\d+)", agreed.decode()))
    assert all(reset.encode() in agreed for reset in resets)
    server_bits, client_bits = (int(said[f"{who}_max_window_bits"]) for who in ("server", "client"))
    assert server_bits <= bits
    assert client_bits <= 24 - bits
    deflate = Deflate(
        client_bits,
        server_bits=server_bits,  # a reference further back would be an error of zlib
        reset="client_no_context_takeover" in resets,
        server_reset="server_no_context_takeover" in resets,
    )
    # What repeats does so at a distance between each window and the next larger one.
    block = random.Random(1).randbytes(700)
    gaps = (0, 300, 800, 1800, 3900, 8000, 16_000, 31_000)
    history = b"".join(block + bytes(gap) for gap in gaps)
    for size in (16, 128, 1000, 9000, len(history), len(history)):
        message = history[:size]
        client.send(frame(BINARY, deflate.compress(message), rsv=4))
        received = client.read_frame()
        payload = deflate.decompress(received.payload) if received.rsv else received.payload
        assert payload == message


def test_no_compression_where_it_is_switched_off(start: Start, connect: Connect) -> None:
    server = start(Echo().app, ws_per_message_deflate=False)
    client = connect(server, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])

    assert client.handshake.all(b"sec-websocket-extensions") == []
    client.send(frame(TEXT, b"long " * 100))
    assert client.read_message() == "long " * 100


def test_sixteen_mebibytes_are_the_limit_unless_another_is_set(
    start: Start, connect: Connect
) -> None:
    server = start(Echo().app)
    full = b"*" * (16 * 1024 * 1024)
    for size in (1 << 14, 1 << 20, 1 << 24):  # of a fragment
        client = connect(server)
        parts = [
            frame(CONT if place else BINARY, full[place : place + size], fin=False)
            for place in range(0, len(full), size)
        ]
        client.send(b"".join(parts) + frame(CONT))
        assert client.read_message() == full
        client.send(b"".join(parts) + frame(CONT, b"*"))
        assert client.read_close() == (1009, "message is too big")


def test_a_size_without_limit(start: Start, connect: Connect) -> None:
    server = start(Echo().app, ws_max_size=0)
    client = connect(server)
    client.send(frame(BINARY, b"x" * 10_000_000, fin=False) + frame(CONT, b"x" * 10_000_000))

    assert client.read_message() == b"x" * 20_000_000
