"""The ASGI side: what an application may send when, and what its mistakes and ends become."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import accepting, websocket
from tests.support.rawhttp import End, Truncated
from tests.support.rawws import BINARY, TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.apps.websocket import Handler
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Message, Receive, Scope, Send


class Tried:
    """An application that tries what `play` says and keeps what came of it."""

    def __init__(self, play: Handler, *, accept: bool = True) -> None:
        self.error: BaseException | None = None
        self.done = False
        self._play = play
        self.app = (accepting if accept else websocket)(self._run)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._play(scope, receive, send)
        except BaseException as exc:
            self.error = exc
            raise
        finally:
            self.done = True


def errors(server: Any) -> list[str]:
    found: list[str] = server.messages(logging.ERROR)
    return found


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
    assert errors(server) == []


def test_an_application_that_raises_closes_with_1011(start: Start, connect: Connect) -> None:
    server = start(accepting(raises))
    client = connect(server)

    assert client.read_close() == (1011, "")
    client.send(close_frame(1011))
    assert client.finish() is End.EOF
    assert errors(server) == ["Exception in ASGI application: WebSocket /"]


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
    assert errors(server) == [line]


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
    assert errors(server) == []


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


# -- receive


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
    assert errors(server) == []


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
    assert errors(server) == []


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
    assert len(errors(server)) == 1


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
    assert len(errors(server)) == 1


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
    assert errors(server) == []


# -- denial


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
    assert errors(server) == []


def test_a_denial_that_is_not_completed_is_cut(start: Start, connect: Connect) -> None:
    server = start(websocket(deny({"status": 403}, {"body": b"a", "more_body": True})))
    client = connect(server, open=False)
    client.send(request())

    with pytest.raises(Truncated):
        client.read_response()
    assert errors(server) == [
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
    monkeypatch.setattr("uvicorn_worker.websocket.connection.CLOSE_TIMEOUT", 0.3)
    monkeypatch.setattr("uvicorn_worker.websocket.connection.LINGER_TIMEOUT", 0.3)


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
    (connection,) = server.server.state.connections
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
    assert errors(server) == []


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
