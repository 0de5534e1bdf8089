"""What observers and the log are told of conversations."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tests.apps.websocket import Echo, Recorder, websocket
from tests.support.rawhttp import End
from tests.support.rawws import TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.websocket.conftest import Connect, Start
    from uvicorn_worker.asgi import Address, Receive, Scope, Send
    from uvicorn_worker.state import Exchange


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
