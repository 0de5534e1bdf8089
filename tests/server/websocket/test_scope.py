"""What an application is told of a conversation: by its handshake, proxies, the lifespan."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

from tests.apps.websocket import Echo, Recorder, accepting
from tests.support.rawhttp import End
from tests.support.rawws import CLOSE, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Receive, Scope, Send


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
