"""Handshakes that an application denies with an HTTP response."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import pytest

from tests.apps.websocket import Tried, websocket
from tests.server.websocket.harness import only_connection
from tests.support.rawhttp import End, Truncated
from tests.support.rawws import TEXT, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.apps.websocket import Handler
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send


def deny(*messages: Message) -> Handler:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["extensions"] == {"websocket.http.response": {}}
        await receive()
        for message in messages:
            kind = "start" if "status" in message else "body"
            await send({"type": f"websocket.http.response.{kind}", **message})

    return play


@pytest.mark.parametrize(
    ("messages", "status", "body", "framing"),
    [
        pytest.param(
            [{"status": 401, "headers": [(b"www-authenticate", b"Basic")]}, {"body": b"who?"}],
            401, b"who?", "length", id="one-part",
        ),
        pytest.param([{"status": 404}, {}], 404, b"", "length", id="empty"),
        pytest.param([{"status": 204}, {}], 204, b"", "none", id="no-content"),
        pytest.param(
            [{"status": 200}, {"body": b"a", "more_body": True}, {"body": b"b"}],
            200, b"ab", "chunked", id="parts",
        ),
        pytest.param(
            [
                {"status": 500, "headers": [(b"content-length", b"2")]},
                {"body": b"a", "more_body": True},
                {"body": b"b"},
            ],
            500, b"ab", "length", id="parts-with-length",
        ),
        pytest.param(
            [{"status": 302, "headers": [(b"location", b"/x")]}, {"body": b"x" * 100_000}],
            302, b"x" * 100_000, "length", id="large",
        ),
    ],
)  # fmt: skip
def test_a_denial_is_an_http_response(
    messages: list[Message],
    status: int,
    body: bytes,
    framing: str,
    start: Start,
    connect: Connect,
) -> None:
    server = start(websocket(deny(*messages)))
    client = connect(server, open=False)
    client.send(request())

    answer = client.read_response()

    assert (answer.status, answer.body, answer.framing) == (status, body, framing)
    assert answer.says_close
    for name, value in messages[0].get("headers", ()):
        assert answer.all(name) == [value]
    assert client.finish() is End.EOF
    assert server.messages(logging.ERROR) == []


def test_a_denial_that_is_not_completed_is_cut(start: Start, connect: Connect) -> None:
    server = start(websocket(deny({"status": 403}, {"body": b"a", "more_body": True})))
    client = connect(server, open=False)
    client.send(request())

    with pytest.raises(Truncated):
        client.read_response()
    assert server.messages(logging.ERROR) == [
        "ASGI application returned without completing its HTTP response: WebSocket /"
    ]


def test_a_denial_that_is_only_started_is_a_500(start: Start, connect: Connect) -> None:
    server = start(websocket(deny({"status": 403})))
    client = connect(server, open=False)
    client.send(request())

    assert client.read_response().status == 500
    assert client.finish() is End.EOF


def test_after_a_denial_the_application_is_told_that_it_is_over(
    start: Start, connect: Connect
) -> None:
    async def play(scope: Scope, receive: Receive, send: Send) -> None:
        await deny({"status": 403}, {})(scope, receive, send)
        assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": "websocket.accept"})

    tried = Tried(play, accept=False)
    server = start(tried.app)
    client = connect(server, open=False)
    client.send(request())
    client.read_response()

    eventually(lambda: tried.done)
    assert isinstance(tried.error, OSError)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times for a client that does not read."""
    monkeypatch.setattr("uvicorn_worker.websocket.ending.CLOSE_TIMEOUT", 0.3)
    monkeypatch.setattr("uvicorn_worker.websocket.ending.LINGER_TIMEOUT", 0.3)


class LargeDenial(Tried):
    """Denies with blocks of 100,000 bytes until `enough`."""

    def __init__(self) -> None:
        super().__init__(self._deny, accept=False)
        self.enough = False
        self.blocks = 0

    async def _deny(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = "websocket.http.response"
        await send({"type": f"{kind}.start", "status": 403})
        while not self.enough:
            await send({"type": f"{kind}.body", "body": b"x" * 100_000, "more_body": True})
            self.blocks += 1
        await send({"type": f"{kind}.body"})


def test_a_denial_is_read_as_slowly_as_the_client_likes(
    hurried: None, start: Start, connect: Connect
) -> None:
    denial = LargeDenial()
    server = start(denial.app)
    client = connect(server, open=False)
    client.send(request())
    eventually(lambda: denial.blocks)
    connection = only_connection(server)
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        eventually(lambda: connection._waiting() > 100_000)
        client.read_bytes(50_000)
    denial.enough = True

    rest = client.read_rest()
    assert rest.endswith(b"\r\n0\r\n\r\n")
    assert client.end is End.EOF
    assert denial.error is None


def test_a_denial_that_is_not_read_ends(hurried: None, start: Start, connect: Connect) -> None:
    denial = LargeDenial()
    server = start(denial.app)
    client = connect(server, open=False)
    client.send(request())

    eventually(lambda: denial.done)
    assert isinstance(denial.error, OSError)
    eventually(lambda: not server.server.state.connections)


def test_frames_that_came_with_a_denied_handshake_do_no_harm(
    start: Start, connect: Connect
) -> None:
    server = start(websocket(deny({"status": 403}, {"body": b"no"})))
    client = connect(server, open=False)
    client.send(request() + frame(TEXT, b"x" * 10_000) * 20)

    assert client.read_response().body == b"no"
    assert client.finish() is End.EOF
