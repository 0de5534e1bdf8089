"""The opening handshake over the wire, and who answers what is none."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, Recorder, accepting, websocket
from tests.support.rawhttp import End
from tests.support.rawws import CLOSE, TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Address, Message, Receive, Scope, Send
    from uvicorn_worker.state import Exchange


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


def test_the_scope_says_everything(start: Start, connect: Connect) -> None:
    recorder = Recorder()
    server = start(recorder.app, root_path="/mount")
    client = connect(
        server,
        path="/caf%C3%A9/%2F?a=1&b=%20",
        headers=[
            ("Origin", "https://example.com"),
            ("Sec-WebSocket-Protocol", "one, two"),
            ("Sec-WebSocket-Protocol", "three"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
        ],
    )
    eventually(lambda: recorder.scopes)
    scope = dict(recorder.scopes[0])

    assert scope.pop("state").keys() == {"worker.leader"}
    headers = scope.pop("headers")
    assert (b"origin", b"https://example.com") in headers
    assert [value for name, value in headers if name == b"x-twice"] == [b"1", b"2"]
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/mount/café//",
        "raw_path": b"/mount/caf%C3%A9/%2F",
        "query_string": b"a=1&b=%20",
        "root_path": "/mount",
        "client": client.address,
        "server": (server.host, server.port),
        "subprotocols": ["one", "two", "three"],
        "extensions": {"websocket.http.response": {}},
    }


def test_a_trusted_proxy_names_client_and_scheme(start: Start, connect: Connect) -> None:
    recorder = Recorder()
    server = start(recorder.app)
    for scheme in ("https", "wss"):
        connect(server, headers=[("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", scheme)])

    eventually(lambda: len(recorder.scopes) == 2)
    assert [scope["scheme"] for scope in recorder.scopes] == ["wss", "wss"]
    assert [scope["client"] for scope in recorder.scopes] == [("192.0.2.7", 0)] * 2


def test_contradicting_forwarding_is_refused(start: Start, connect: Connect) -> None:
    server = start(
        Echo().app, secure_scheme_headers={"X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"}
    )
    client = connect(server, open=False)
    client.send(request(headers=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")]))

    assert client.read_response().status == 400
    assert client.finish() is End.EOF


def test_the_lifespans_state_is_copied_into_the_scope(start: Start, connect: Connect) -> None:
    states: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "a pool"
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append({key: scope["state"].get(key) for key in ("pool", "mine")})
        scope["state"]["mine"] = 1
        await receive()
        await send({"type": "websocket.accept"})

    server = start(app)
    for _ in range(2):
        connect(server)

    assert states == [{"pool": "a pool", "mine": None}] * 2


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


class Observer:
    """Takes note of exchanges."""

    def __init__(self) -> None:
        self.before_: list[Exchange] = []
        self.after_: list[dict[str, Any]] = []
        self.fail = False

    def before(self, exchange: Exchange) -> None:
        self.before_.append(exchange)
        if self.fail:
            raise ValueError("hook")

    def after(self, exchange: Exchange) -> None:
        self.after_.append(
            {
                "same": exchange in self.before_,
                "target": exchange.target,
                "status": exchange.status,
                "sent": exchange.sent,
                "head": exchange.response_head.partition(b"\r\n")[0],
                "type": exchange.scope["type"],
                "peer": exchange.peer,
                "key": b"sec-websocket-key" in dict(exchange.request_headers),
            }
        )

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        raise AssertionError("not called for requests")


def test_an_observer_sees_the_whole_conversation(start: Start, connect: Connect) -> None:
    observer = Observer()
    server = start(Echo().app, observer=observer)
    client = connect(server, path="/a?b")
    eventually(lambda: observer.before_)
    client.send(frame(TEXT, b"12345") + frame(TEXT, b"x" * 1000))
    client.read_message()
    client.read_message()
    assert observer.after_ == []
    client.send(close_frame(1000))
    client.read_close()

    eventually(lambda: observer.after_)
    assert observer.after_ == [
        {
            "same": True,
            "target": b"/a?b",
            "status": 101,
            "sent": 1005,
            "head": b"HTTP/1.1 101 Switching Protocols",
            "type": "websocket",
            "peer": client.address,
            "key": True,
        }
    ]
    assert server.server.state.requests_total == 1


def test_an_observer_sees_refusals_and_denials(start: Start, connect: Connect) -> None:
    async def closing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    observer = Observer()
    server = start(websocket(closing), observer=observer)
    for without in ([], ["Sec-WebSocket-Key"]):
        client = connect(server, open=False)
        client.send(request(without=without))
        client.read_response()
        client.finish()
        client.close()

    eventually(lambda: len(observer.after_) == 2)
    assert [(one["status"], one["same"]) for one in observer.after_] == [(403, True), (400, False)]
    assert observer.after_[0]["sent"] == len(b"Forbidden")
    assert server.server.state.requests_total == 2


def test_an_observer_that_fails_keeps_the_application_out(start: Start, connect: Connect) -> None:
    observer = Observer()
    observer.fail = True
    recorder = Recorder()
    server = start(recorder.app, observer=observer)
    client = connect(server, open=False)
    client.send(request())

    assert client.read_response().status == 500
    assert client.finish() is End.EOF
    assert recorder.scopes == []
    eventually(lambda: observer.after_)


def test_open_and_close_are_logged(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    client = connect(server, path="/a?b")
    host, port = client.address[:2]
    accepted = f'{host}:{port} - "WebSocket /a?b" [accepted]'
    eventually(lambda: server.messages() == ["WebSocket /a: connection open", accepted])
    assert server.messages(logging.INFO) == [accepted], "the rest is for developers"
    client.send(close_frame(1000))
    client.read_close()
    client.close()

    eventually(lambda: server.messages()[2:] == ["WebSocket /a: connection closed"])


def test_conversations_do_not_share_context_variables(start: Start, connect: Connect) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    seen = []

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set(variable.get() + 1)

    server = start(accepting(handler))
    for _ in range(3):
        client = connect(server)
        assert client.read_frame().opcode == CLOSE

    assert seen == [0, 0, 0]
