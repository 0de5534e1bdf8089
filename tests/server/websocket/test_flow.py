"""Back pressure both ways: nothing is lost, and nothing fills the memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, Recorder, Sender, accepting
from tests.server.websocket.harness import only_connection, send_until_full
from tests.support.rawhttp import End
from tests.support.rawws import BINARY, PING, PONG, TEXT, Deflate, close_frame, frame
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send
    from uvicorn_worker.websocket.cycle import WebSocketCycle

# -- what the application does not take


def messages_of(cycle: WebSocketCycle) -> list[Message]:
    """Return the messages that the application has not taken."""
    return [message for message in (cycle._next, *cycle._queue) if message is not None]


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
    queued = messages_of(connection._cycle)
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
    assert len(messages_of(cycle)) == 1
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
