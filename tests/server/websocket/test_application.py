"""The ASGI side: what an application may send when, and what its mistakes and ends become."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.apps.websocket import Tried, accepting, websocket
from tests.support.rawhttp import End
from tests.support.rawws import close_frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.apps.websocket import Handler
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send

# -- ends


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("oops")


def test_an_application_that_returns_closes_with_1000(start: Start, connect: Connect) -> None:
    server = start(accepting(returns))
    client = connect(server)

    assert client.read_close() == (1000, "")
    client.send(close_frame(1000))
    assert client.finish() is End.EOF
    assert server.messages(logging.ERROR) == []


def test_an_application_that_raises_closes_with_1011(start: Start, connect: Connect) -> None:
    server = start(accepting(raises))
    client = connect(server)

    assert client.read_close() == (1011, "")
    client.send(close_frame(1011))
    assert client.finish() is End.EOF
    assert server.messages(logging.ERROR) == ["Exception in ASGI application: WebSocket /"]


@pytest.mark.parametrize(
    ("handler", "line"),
    [
        pytest.param(
            returns,
            "ASGI application returned without accepting or closing: WebSocket /",
            id="returns",
        ),
        pytest.param(raises, "Exception in ASGI application: WebSocket /", id="raises"),
    ],
)
def test_an_application_that_ends_before_it_accepts_is_a_500(
    handler: Handler, line: str, start: Start, connect: Connect
) -> None:
    server = start(websocket(handler))
    client = connect(server, open=False)
    client.send(request())

    answer = client.read_response()

    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert client.finish() is End.EOF
    assert server.messages(logging.ERROR) == [line]


def test_a_close_before_accept_is_a_403(start: Start, connect: Connect) -> None:
    messages = []

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        await send({"type": "websocket.close", "code": 4000})
        messages.append(await receive())

    server = start(websocket(play))
    client = connect(server, open=False)
    client.send(request())

    answer = client.read_response()

    assert (answer.status, answer.body) == (403, b"Forbidden")
    assert answer.says_close
    assert client.finish() is End.EOF
    eventually(lambda: len(messages) == 2)
    assert messages[1]["type"] == "websocket.disconnect"
    assert server.messages(logging.ERROR) == []


@pytest.mark.parametrize(
    ("message", "close"),
    [
        ({}, (1000, "")),
        ({"code": 1000}, (1000, "")),
        ({"code": None, "reason": None}, (1000, "")),
        ({"code": 1001, "reason": "bye"}, (1001, "bye")),
        ({"code": 4999, "reason": "ö" * 70}, (4999, "ö" * 61)),
        ({"code": 1005}, (1005, "")),
    ],
)
def test_close_says_code_and_reason(
    message: Message, close: tuple[int, str], start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", **message})

    client = connect(start(accepting(play)))

    assert client.read_close() == close


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 1016, 2999, 5000, "1000", 1000.5])
def test_a_code_that_may_not_be_sent_is_a_mistake(
    code: object, start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": code})

    tried = Tried(play)
    client = connect(start(tried.app))

    assert client.read_close() == (1011, "")
    assert "invalid close code" in str(tried.error)


# -- send


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"text": "a"}, "a"),
        ({"bytes": b"a"}, b"a"),
        ({"text": ""}, ""),
        ({"bytes": b""}, b""),
        ({"text": "a", "bytes": None}, "a"),
        ({"text": None, "bytes": b"a"}, b"a"),
        ({"bytes": bytearray(b"a")}, b"a"),
        ({"bytes": memoryview(b"a")}, b"a"),
        ({"text": "ö" * 40_000}, "ö" * 40_000),
        ({"bytes": b"x" * 1_000_000}, b"x" * 1_000_000),
    ],
)
def test_messages_are_sent_as_they_are(
    message: Message, expected: str | bytes, start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", **message})

    client = connect(start(accepting(play)))

    assert client.read_message() == expected
    client.read_close()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send"},
        {"type": "websocket.send", "text": None, "bytes": None},
        {"type": "websocket.send", "text": b"bytes"},
        {"type": "websocket.send", "bytes": "text"},
        {"type": "websocket.accept"},
        {"type": "websocket.http.response.start", "status": 200},
        {"type": "http.response.start", "status": 200},
        {"type": "nonsense"},
    ],
)
def test_a_wrong_message_is_a_mistake_of_the_application(
    message: Message, start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send(message)

    tried = Tried(play)
    server = start(tried.app)
    client = connect(server)

    assert client.read_close() == (1011, "")
    assert tried.error is not None
    assert not isinstance(tried.error, OSError)
    assert len(server.messages(logging.ERROR)) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send", "text": "early"},
        {"type": "websocket.http.response.body", "body": b""},
        {"type": "websocket.accept", "subprotocol": "a b"},
        {"type": "websocket.accept", "headers": [(b"x", b"a\r\nb")]},
        {"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"a")]},
        {"type": "websocket.http.response.start", "status": 99},
        {"type": "websocket.http.response.start", "status": 200, "headers": [(b"x", b"\n")]},
    ],
)
def test_a_wrong_message_before_accept_is_a_500(
    message: Message, start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send(message)

    tried = Tried(play, accept=False)
    server = start(tried.app)
    client = connect(server, open=False)
    client.send(request())

    assert client.read_response().status == 500
    assert client.finish() is End.EOF
    assert tried.error is not None
    assert len(server.messages(logging.ERROR)) == 1


def test_a_mistake_may_be_mended(start: Start, connect: Connect) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(Exception, match="invalid response header"):
            await send({"type": "websocket.accept", "headers": [(b"x", b"\n")]})
        await send({"type": "websocket.accept"})
        with pytest.raises(Exception, match="neither bytes nor a str"):
            await send({"type": "websocket.send"})
        await send({"type": "websocket.send", "text": "mended"})

    client = connect(start(websocket(play)))

    assert client.read_message() == "mended"


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close"])
@pytest.mark.parametrize("who", ["application", "client", "nobody"])
def test_sending_after_the_close_is_an_oserror(
    kind: str, who: str, start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        if who == "application":
            await send({"type": "websocket.close"})
        else:
            assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": kind, "text": "late"})

    tried = Tried(play)
    server = start(tried.app)
    client = connect(server)
    if who == "nobody":
        client.close()
    else:
        if who == "client":
            client.send(close_frame(1000))
        client.read_close()

    eventually(lambda: tried.done)
    assert isinstance(tried.error, OSError)
    assert server.messages(logging.ERROR) == []


# -- cancelling


def test_an_application_that_ignores_the_clients_leaving_is_cancelled(
    start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    tried = Tried(play)
    server = start(tried.app, disconnect_grace_period=0.01)
    client = connect(server)
    client.send(close_frame(1000))
    client.read_close()

    eventually(lambda: tried.done)
    assert isinstance(tried.error, asyncio.CancelledError)
    assert not server.server.state.cycles
    assert server.messages(logging.ERROR) == []


def test_work_after_its_own_close_is_not_cancelled(start: Start, connect: Connect) -> None:
    go = asyncio.Event()

    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        await go.wait()

    tried = Tried(play)
    server = start(tried.app, disconnect_grace_period=0)
    client = connect(server)
    client.read_close()
    client.send(close_frame(1000))
    assert client.finish() is End.EOF
    eventually(lambda: not server.server.state.connections)
    assert not tried.done
    server.call(go.set)

    eventually(lambda: tried.done)
    assert tried.error is None
