"""What an application receives: messages, and how the conversation ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import pytest

from tests.apps.websocket import Tried, accepting
from tests.support.rawhttp import End
from tests.support.rawws import BINARY, TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send


def test_unused_keys_are_left_out_of_what_is_received(start: Start, connect: Connect) -> None:
    messages: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        messages.extend([await receive() for _ in range(4)])

    client = connect(start(accepting(play)))
    client.send(frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT) + frame(BINARY))
    client.read_close()

    assert messages == [
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(close_frame(4000, b"why"), (4000, "why"), id="code-and-reason"),
        pytest.param(close_frame(), (1005, ""), id="no-code"),
        pytest.param(None, (1006, ""), id="no-close-frame"),
        pytest.param(frame(3), (1002, None), id="violation"),
    ],
)
def test_disconnect_says_how_the_client_left(
    data: bytes | None, expected: tuple[int, str | None], start: Start, connect: Connect
) -> None:
    messages: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        messages.extend([await receive() for _ in range(3)])  # as often as somebody asks

    client = connect(start(accepting(play)))
    if data is None:
        client.close()
    else:
        client.send(data)
        client.read_close()

    eventually(lambda: len(messages) == 3)
    assert messages[0] == messages[1] == messages[2]
    assert messages[0]["type"] == "websocket.disconnect"
    assert messages[0]["code"] == expected[0]
    if expected[1] is not None:
        assert messages[0]["reason"] == expected[1]


def test_a_client_that_resets_the_connection(start: Start, connect: Connect) -> None:
    messages: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())

    server = start(accepting(play))
    client = connect(server)
    client.reset()

    eventually(lambda: messages)
    assert (messages[0]["type"], messages[0]["code"]) == ("websocket.disconnect", 1006)
    eventually(lambda: not server.server.state.connections)
    assert server.messages(logging.ERROR) == []


def test_messages_come_before_the_disconnect(start: Start, connect: Connect) -> None:
    messages: list[Message] = []
    go = asyncio.Event()

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        while not messages or messages[-1]["type"] == "websocket.receive":
            messages.append(await receive())

    server = start(accepting(play))
    client = connect(server)
    client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + close_frame(4001))
    assert client.read_close()[0] == 4001
    assert client.finish() is End.EOF
    server.call(go.set)

    eventually(lambda: len(messages) == 3)
    assert [message.get("text") for message in messages] == ["one", "two", None]


def test_a_client_that_leaves_before_the_answer(start: Start, connect: Connect) -> None:
    messages: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        messages.append(await receive())
        await send({"type": "websocket.accept"})

    tried = Tried(play, accept=False)
    server = start(tried.app)
    client = connect(server, open=False)
    client.send(request())
    eventually(lambda: messages)
    client.close()

    eventually(lambda: tried.done)
    assert messages[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert isinstance(tried.error, OSError)
    assert server.messages(logging.ERROR) == []


def test_close_goes_out_while_another_task_receives(start: Start, connect: Connect) -> None:
    received: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            received.append(await receive())

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await send({"type": "websocket.close", "code": 4100, "reason": "enough"})
        await listening

    client = connect(start(accepting(play)))

    assert client.read_close() == (4100, "enough")
    eventually(lambda: received)
    assert received == [{"type": "websocket.disconnect", "code": 4100, "reason": "enough"}]


def test_a_receive_that_is_cancelled_loses_no_message(start: Start, connect: Connect) -> None:
    got: list[str] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        while len(got) < 200:
            with contextlib.suppress(asyncio.TimeoutError):
                message = await asyncio.wait_for(receive(), 0.0005)
                got.append(message["text"])

    client = connect(start(accepting(play)))
    for number in range(200):
        client.send(frame(TEXT, b"%d" % number))
        if number % 10 == 0:
            client.wait_until_taken()

    client.read_close()
    assert got == [str(number) for number in range(200)]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside another"])
def test_calls_of_receive_that_gave_up_are_forgotten(
    beside: bool, start: Start, connect: Connect
) -> None:
    kept: list[int] = []
    got: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        other = asyncio.ensure_future(receive()) if beside else None
        for _ in range(20):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), 0.0005)
        (cycle,) = server.server.state.cycles
        kept.append(len(cycle._others or ()))
        await send({"type": "websocket.send", "text": "go"})
        got.append(await (other or receive()))

    server = start(accepting(play))
    client = connect(server)
    client.read_message()
    client.send(frame(TEXT, b"a"))
    client.read_close()

    assert got == [{"type": "websocket.receive", "text": "a"}]
    assert kept == [1 if beside else 0]


def test_several_tasks_may_receive(start: Start, connect: Connect) -> None:
    got: list[Message] = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            got.append(await receive())

        tasks = [asyncio.create_task(listen()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await send({"type": "websocket.send", "text": "go"})
        await asyncio.wait(tasks)

    client = connect(start(accepting(play)))
    client.read_message()
    client.send(frame(TEXT, b"a"))
    client.wait_until_taken()
    client.send(frame(TEXT, b"b") + close_frame(1000))

    assert client.read_close() == (1000, "")
    eventually(lambda: len(got) == 3)
    assert sorted(message.get("text", "") for message in got) == ["", "a", "b"]
