"""Back pressure both ways, bounded memory, and pings."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, Recorder, accepting
from tests.support.rawhttp import End
from tests.support.rawws import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Deflate,
    RawWebSocket,
    close_frame,
    frame,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from tests.support.serving import RunningServer
    from uvicorn_worker.asgi import Receive, Scope, Send
    from uvicorn_worker.websocket.connection import WebSocketConnection


def only_connection(server: RunningServer) -> WebSocketConnection:
    """Return the server's side of the one connection there is."""
    (connection,) = server.server.state.connections
    found: WebSocketConnection = connection
    return found


def send_until_full(client: RawWebSocket, data: bytes) -> int:
    """Send `data` over and over until nothing more goes out for a while; return the bytes sent."""
    client.socket.settimeout(0.3)
    sent = 0
    try:
        while True:
            sent += client.socket.send(data[sent % len(data) :])
    except TimeoutError:
        return sent
    finally:
        client.socket.settimeout(10)


# -- what the application does not take


@pytest.mark.parametrize("size", [1, 1000, 300_000])
def test_a_full_queue_stops_the_reading_and_loses_nothing(
    size: int, start: Start, connect: Connect
) -> None:
    recorder = Recorder()
    recorder.hold = True
    server = start(recorder.app, ws_max_queue=8)
    client = connect(server)
    message = frame(BINARY, b"x" * size)
    block = message * max(1, 100_000 // len(message))
    sent = send_until_full(client, block)

    connection = only_connection(server)
    assert connection.input_held
    assert connection._cycle is not None
    queued = connection._cycle._queue
    assert len(queued) <= 8
    assert sum(len(one["bytes"]) for one in queued) <= 256 * 1024 + size
    assert recorder.go_on is not None
    server.call(recorder.go_on.set)
    rest = -sent % len(message)
    client.send(message[len(message) - rest :] + close_frame(1000))
    assert client.read_close()[0] == 1000
    eventually(lambda: recorder.ended)
    total = (sent + rest) // len(message)
    assert recorder.contents == [b"x" * size] * total


def test_a_compressed_flood_is_decompressed_as_far_as_there_is_room(
    start: Start, connect: Connect
) -> None:
    recorder = Recorder()
    recorder.hold = True
    server = start(recorder.app, ws_max_queue=4)
    offer = "permessage-deflate; client_no_context_takeover"
    client = connect(server, headers=[("Sec-WebSocket-Extensions", offer)])
    bomb = frame(BINARY, Deflate(reset=True).compress(b"\0" * 1_000_000), rsv=4)
    client.send(bomb * 100)
    eventually(lambda: only_connection(server).input_held)

    cycle = only_connection(server)._cycle
    assert cycle is not None
    assert len(cycle._queue) == 1
    assert recorder.go_on is not None
    server.call(recorder.go_on.set)
    client.send(close_frame(1000))
    client.read_close()
    eventually(lambda: recorder.ended)
    assert len(recorder.contents) == 100


def test_a_waiting_application_is_told_of_the_end_behind_what_was_held(
    start: Start, connect: Connect
) -> None:
    recorder = Recorder()
    recorder.hold = True
    server = start(recorder.app, ws_max_queue=1)
    client = connect(server)
    client.send(frame(TEXT, b"a") * 50)
    eventually(lambda: only_connection(server).input_held)
    client.close()
    assert recorder.go_on is not None
    server.call(recorder.go_on.set)

    eventually(lambda: recorder.ended)
    assert recorder.contents == ["a"] * 50
    assert recorder.messages[-1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


def test_closing_reads_on_for_the_clients_answer(start: Start, connect: Connect) -> None:
    go = asyncio.Event()

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await send({"type": "websocket.close", "code": 4000})

    server = start(accepting(handler), ws_max_queue=1)
    client = connect(server)
    client.send(frame(TEXT, b"x" * 1000) * 500)
    eventually(lambda: only_connection(server).input_held)
    server.call(go.set)

    assert client.read_close() == (4000, "")
    client.send(frame(TEXT, b"x" * 1000) * 500 + close_frame(4000))
    assert client.finish() is End.EOF
    eventually(lambda: not server.server.state.connections)


# -- what the client does not read


class Sender:
    """Sends blocks without end; counts them."""

    def __init__(self, size: int) -> None:
        self.block = b"x" * size
        self.sent = 0
        self.error: BaseException | None = None
        self.app = accepting(self.talk)

    async def talk(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while True:
                await send({"type": "websocket.send", "bytes": self.block})
                self.sent += 1
        except BaseException as exc:
            self.error = exc
            raise


def settled(value: Any) -> None:
    """Return when a number has not changed for some looks."""
    seen: list[object] = []

    def same() -> bool:
        seen.append(value())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    eventually(same)


@pytest.mark.parametrize("size", [100, 5000, 200_000])
def test_send_waits_for_a_client_that_does_not_read(
    size: int, start: Start, connect: Connect
) -> None:
    sender = Sender(size)
    server = start(sender.app)
    client = connect(server)
    settled(lambda: sender.sent)

    connection = only_connection(server)
    unsent = connection.transport.get_write_buffer_size()
    assert unsent <= 64 * 1024 + 2 * (size + 10)
    before = sender.sent
    for _ in range(before + 10):
        assert client.read_message() == sender.block
    eventually(lambda: sender.sent > before)
    client.close()
    eventually(lambda: sender.error)
    assert isinstance(sender.error, OSError)


def test_senders_take_turns_and_keep_their_order(start: Start, connect: Connect) -> None:
    count = 100

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        async def one(number: int) -> None:
            await send({"type": "websocket.send", "bytes": bytes([number]) * 100_000})

        tasks = [asyncio.create_task(one(number)) for number in range(count)]
        await asyncio.sleep(0)
        tasks[-2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = start(accepting(handler))
    client = connect(server)
    eventually(lambda: only_connection(server).write_paused)

    received = [client.read_message() for _ in range(count - 1)]
    assert [message[0] for message in received] == [*range(count - 2), count - 1]
    assert client.read_close() == (1000, "")


def test_an_application_that_gives_up_sending_fills_no_memory(
    start: Start, connect: Connect
) -> None:
    tried = 0

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal tried
        while tried < 300:
            message = {"type": "websocket.send", "bytes": b"x" * 100_000}
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(send(message), 0.001)
            tried += 1

    server = start(accepting(handler))
    client = connect(server)
    eventually(lambda: tried > 100)

    assert only_connection(server).transport.get_write_buffer_size() < 500_000
    client.close()


def test_pings_of_a_client_that_does_not_read_are_answered_once(
    start: Start, connect: Connect
) -> None:
    sender = Sender(10_000)
    server = start(sender.app)
    client = connect(server)
    eventually(lambda: only_connection(server).write_paused)
    settled(lambda: sender.sent)
    before = only_connection(server).transport.get_write_buffer_size()
    for number in range(3000):
        client.send(frame(PING, b"%0125d" % number))
    client.wait_until_taken()

    assert only_connection(server).transport.get_write_buffer_size() <= before
    while (received := client.read_frame()).opcode == BINARY:
        pass
    assert received == (PONG, b"%0125d" % 2999, True, 0)


def test_a_client_that_floods_pings_and_never_reads(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    client = connect(server)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    send = frame(PING, b"x" * 125) * 1000
    for _ in range(150):
        client.send(send)
    client.wait_until_taken()

    assert only_connection(server).transport.get_write_buffer_size() < 400_000


# -- pings


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
    monkeypatch.setattr("uvicorn_worker.websocket.connection.CLOSE_TIMEOUT", 0.3)
    monkeypatch.setattr("uvicorn_worker.websocket.connection.LINGER_TIMEOUT", 0.3)

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
