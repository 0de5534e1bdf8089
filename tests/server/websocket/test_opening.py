"""Opening handshakes: what is taken, what is refused, and what comes behind them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, Recorder, websocket
from tests.support.rawhttp import End
from tests.support.rawws import TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param({"line": "POST / HTTP/1.1"}, 405, id="post"),
        pytest.param({"headers": [("Sec-WebSocket-Version", "12")]}, 426, id="version"),
        pytest.param({"without": ["Sec-WebSocket-Version"]}, 426, id="no-version"),
        pytest.param({"headers": [("Sec-WebSocket-Key", "short")]}, 400, id="key"),
        pytest.param({"headers": [("Content-Length", "3")]}, 400, id="body"),
        pytest.param({"without": ["Host"]}, 400, id="no-host"),
    ],
)
def test_a_wrong_handshake_is_answered_and_closed(
    options: dict[str, Any], status: int, start: Start, connect: Connect
) -> None:
    recorder = Recorder()
    server = start(recorder.app)
    client = connect(server, open=False)
    client.send(request(**options) + frame(TEXT, b"early"))

    answer = client.read_response()

    assert answer.status == status
    assert answer.says_close
    if "Host" not in options.get("without", ()):
        assert answer.all(b"sec-websocket-version") == [b"13"]
    if status == 426:
        assert answer.all(b"upgrade") == [b"websocket"]
        assert b"upgrade" in answer.connection_options
    if status == 405:
        assert answer.all(b"allow") == [b"GET"]
    assert client.finish() is End.EOF
    assert recorder.scopes == []


def test_a_refused_head_request_has_no_body(start: Start, connect: Connect) -> None:
    client = connect(start(Echo().app), open=False)
    client.send(request(line="HEAD / HTTP/1.1"))

    assert client.read_response("HEAD").status == 405
    assert client.finish() is End.EOF


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"headers": [("Upgrade", "h2c")]}, id="other-protocol"),
        pytest.param({"headers": [("Upgrade", "websocket2")]}, id="other-name"),
        pytest.param({"headers": [("Connection", "keep-alive")]}, id="no-option"),
        pytest.param({"line": "GET / HTTP/1.0"}, id="http-1.0"),
        pytest.param({"without": ["Upgrade"]}, id="no-upgrade"),
    ],
)
def test_what_asks_for_no_websocket_is_plain_http(
    options: dict[str, Any], start: Start, connect: Connect
) -> None:
    client = connect(start(Echo().app), open=False)
    client.send(request(**options))

    answer = client.read_response()

    assert (answer.status, answer.body) == (200, b"http")


def test_ws_none_answers_an_upgrade_as_plain_http(start: Start, connect: Connect) -> None:
    client = connect(start(Echo().app, ws="none"), open=False)
    client.send(request())

    answer = client.read_response()

    assert (answer.status, answer.body) == (200, b"http")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("Upgrade", "WebSocket"), ("Connection", "UPGRADE")], id="any-case"),
        pytest.param([("Connection", "keep-alive, Upgrade")], id="options"),
        pytest.param([("Upgrade", "h2c, websocket")], id="protocols"),
        pytest.param([("Upgrade", "websocket"), ("Upgrade", "h2c")], id="repeated"),
        pytest.param([("Connection", "keep-alive"), ("Connection", "upgrade")], id="two-fields"),
        pytest.param([("Origin", "https://example.com")], id="origin"),
    ],
)
def test_right_handshakes_are_taken_in_every_form(
    headers: Sequence[tuple[str, str]], start: Start, connect: Connect
) -> None:
    client = connect(start(Echo().app), headers=headers)
    client.send(frame(TEXT, b"hello"))

    assert client.read_message() == "hello"


def test_frames_behind_the_handshake_are_not_lost(start: Start, connect: Connect) -> None:
    echo = Echo()
    server = start(echo.app)
    client = connect(server, behind=frame(TEXT, b"one") + frame(TEXT, b"two")[:-1])
    assert client.read_message() == "one"
    client.send(frame(TEXT, b"two")[-1:])

    assert client.read_message() == "two"


def test_everything_in_one_packet(start: Start, connect: Connect) -> None:
    recorder = Recorder()
    client = connect(start(recorder.app), behind=frame(TEXT, b"one") + close_frame(4000, b"x"))

    assert client.read_close() == (4000, "")
    assert client.finish() is End.EOF
    eventually(lambda: recorder.ended)
    assert recorder.contents == ["one"]
    assert recorder.messages[-1]["code"] == 4000


def test_frames_before_the_answer_are_kept_and_bounded(start: Start, connect: Connect) -> None:
    got: list[Message] = []
    held: list[asyncio.Event] = []

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(asyncio.Event())
        await receive()
        await held[0].wait()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            got.append(message)

    server = start(websocket(late))
    client = connect(server, open=False)
    client.send(request())
    eventually(lambda: held)
    sent = 0
    client.socket.setblocking(False)
    try:
        while True:
            sent += client.socket.send(frame(TEXT, b"x" * 1000) * 100)
    except BlockingIOError:
        pass  # the server has stopped reading: it takes no more than its limit and the kernel's
    client.socket.settimeout(10)
    assert sent > 64 * 1024
    server.call(held[0].set)
    client.read_interim()
    # Complete the frame that was cut, and end.
    client.send((frame(TEXT, b"x" * 1000) * 100)[sent % (1008 * 100) :])
    client.send(close_frame(1000))
    assert client.read_close()[0] == 1000
    eventually(lambda: len(got) >= sent // 1008)
    assert all(message["text"] == "x" * 1000 for message in got)


def test_an_upgrade_on_a_connection_that_served_requests(start: Start, connect: Connect) -> None:
    client = connect(start(Echo().app), open=False)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read_response().body == b"http"
    client.open()
    client.send(frame(TEXT, b"hello"))

    assert client.read_message() == "hello"


def test_an_upgrade_pipelined_behind_a_request(start: Start, connect: Connect) -> None:
    client = connect(start(Echo().app), open=False)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + request() + frame(TEXT, b"hello"))

    assert client.read_response().body == b"http"
    assert client.read_interim().status == 101
    assert client.read_message() == "hello"


def test_accept_says_subprotocol_and_headers(start: Start, connect: Connect) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": "two",
                "headers": [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2")],
            }
        )
        await receive()

    client = connect(start(websocket(handler)), headers=[("Sec-WebSocket-Protocol", "one, two")])

    assert client.handshake.all(b"sec-websocket-protocol") == [b"two"]
    assert client.handshake.all(b"set-cookie") == [b"a=1", b"b=2"]
    assert client.handshake.all(b"server") == [b"uvicorn"]
    assert len(client.handshake.all(b"date")) == 1


def test_too_many_at_once_are_told_to_come_back(start: Start, connect: Connect) -> None:
    server = start(Echo().app, limit_concurrency=1)
    first = connect(server)
    second = connect(server, open=False)
    second.send(request())

    answer = second.read_response()

    assert answer.status == 503
    assert answer.all(b"retry-after") == [b"1"]
    assert second.finish() is End.EOF
    first.send(frame(TEXT, b"still there"))
    assert first.read_message() == "still there"
    first.send(close_frame(1000))
    first.read_close()
    eventually(lambda: not server.server.state.cycles)
    connect(server).send(frame(TEXT, b"welcome"))
