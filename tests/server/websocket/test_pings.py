"""Pings, and clients that are cut because they give no sign of life."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.apps.websocket import Echo, Recorder, Sender, accepting
from tests.server.websocket.harness import only_connection, send_until_full
from tests.support.rawhttp import End
from tests.support.rawws import BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Receive, Scope, Send


def test_pings_are_sent_while_the_client_answers(start: Start, connect: Connect) -> None:
    server = start(Echo().app, ws_ping_interval=0.05, ws_ping_timeout=0.05)
    client = connect(server)
    for _ in range(4):
        ping = client.read_frame()
        assert ping.opcode == PING
        client.send(frame(PONG, ping.payload))
    client.send(frame(TEXT, b"alive"))

    while (received := client.read_frame()).opcode == PING:
        client.send(frame(PONG, received.payload))
    assert received.payload == b"alive"


def test_a_client_that_does_not_answer_is_told_so(start: Start, connect: Connect) -> None:
    echo = Echo()
    server = start(echo.app, ws_ping_interval=0.05, ws_ping_timeout=0.05)
    client = connect(server)

    assert client.read_frame().opcode == PING
    assert client.read_close() == (1011, "keepalive ping timeout")
    assert client.finish() is End.EOF
    eventually(lambda: echo.ended)
    assert echo.ended[0][-1]["code"] == 1011
    client.close()
    eventually(lambda: not server.server.state.connections)


def test_any_byte_of_the_client_is_a_sign_of_life(start: Start, connect: Connect) -> None:
    server = start(Echo().app, ws_ping_interval=0.1, ws_ping_timeout=0.3)
    client = connect(server)
    pings = 0
    end = time.monotonic() + 1.5
    data = frame(BINARY, b"x" * 100_000)
    for index in range(len(data)):  # one long message, a byte now and then
        client.send(data[index : index + 1])
        received = client.read_frame()
        assert received.opcode == PING
        pings += 1
        if time.monotonic() > end:
            break

    assert pings >= 3


@pytest.mark.parametrize("interval", [None, 0])
def test_no_pings_where_they_are_switched_off(
    interval: float | None, start: Start, connect: Connect
) -> None:
    server = start(Echo().app, ws_ping_interval=interval)
    connect(server)
    eventually(lambda: server.server.state.connections)

    eventually(lambda: only_connection(server).deadline == float("inf"))


@pytest.mark.parametrize("timeout", [None, 0])
def test_pings_without_a_timeout_cut_nobody(
    timeout: float | None, start: Start, connect: Connect
) -> None:
    server = start(Echo().app, ws_ping_interval=0.05, ws_ping_timeout=timeout)
    client = connect(server)

    assert [client.read_frame().opcode for _ in range(4)] == [PING] * 4
    client.send(frame(TEXT, b"still there"))
    assert client.read_message() == "still there"


def test_a_client_whose_messages_wait_is_not_cut(start: Start, connect: Connect) -> None:
    recorder = Recorder()
    recorder.hold = True
    server = start(recorder.app, ws_max_queue=1, ws_ping_interval=0.05, ws_ping_timeout=0.1)
    client = connect(server)
    data = frame(TEXT, b"x" * 1000)
    sent = send_until_full(client, data)  # the server does not read: it cannot see pongs

    pings = [client.read_frame().opcode for _ in range(4)]
    assert pings == [PING] * 4
    assert recorder.go_on is not None
    server.call(recorder.go_on.set)
    client.send(data[len(data) - -sent % len(data) :] + close_frame(1000))
    while (received := client.read_frame()).opcode == PING:
        pass
    assert received.close == (1000, "")


def test_a_slow_reader_is_alive(start: Start, connect: Connect) -> None:
    sender = Sender(100_000)
    server = start(sender.app, ws_ping_interval=0.1, ws_ping_timeout=0.2)
    client = connect(server)
    end = time.monotonic() + 1.5
    # It sends nothing, and what it reads is far behind the pings; but it reads.
    while time.monotonic() < end:
        eventually(lambda: only_connection(server)._waiting() > 100_000)
        client.read_bytes(50_000)
        assert sender.error is None


def test_a_client_that_hangs_is_cut_although_its_kernel_takes_what_is_sent(
    start: Start, connect: Connect
) -> None:
    error: list[BaseException] = []

    async def pushing(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "text": "tick"})
                await asyncio.sleep(0.01)
        except OSError as exc:
            error.append(exc)

    server = start(accepting(pushing), ws_ping_interval=0.2, ws_ping_timeout=0.2)
    client = connect(server)

    eventually(lambda: error)
    while (received := client.read_frame()).opcode != CLOSE:
        pass
    assert received.close == (1011, "keepalive ping timeout")


def test_a_client_that_stops_reading_before_its_close_is_cut(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn_worker.websocket.ending.CLOSE_TIMEOUT", 0.3)
    monkeypatch.setattr("uvicorn_worker.websocket.ending.LINGER_TIMEOUT", 0.3)

    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", "bytes": b"x" * 30_000_000})

    server = start(accepting(closing))
    client = connect(server)
    eventually(lambda: only_connection(server)._phase == 3)
    client.read_bytes(1_000_000)  # it takes some, which earns it more time, and no more

    eventually(lambda: not server.server.state.connections)


def test_a_client_that_reads_nothing_is_cut(start: Start, connect: Connect) -> None:
    sender = Sender(100_000)
    server = start(sender.app, ws_ping_interval=0.05, ws_ping_timeout=0.05)
    client = connect(server)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    eventually(lambda: sender.error)
    assert isinstance(sender.error, OSError)
    eventually(lambda: not server.server.state.connections)
