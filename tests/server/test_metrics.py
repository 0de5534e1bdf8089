"""What a server counts of real connections, and how it answers for its health."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.rawhttp import RawClient
from tests.support.rawws import (
    BINARY,
    CONT,
    DEFLATE,
    TEXT,
    RawWebSocket,
    close_frame,
    frame,
    request,
)
from tests.support.replies import ask
from tests.support.serving import serve
from tests.support.waiting import eventually
from uvicorn_worker.metrics import layout
from uvicorn_worker.metrics.figures import Figures, read
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import READY

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Message, Receive, Scope, Send
    from uvicorn_worker.state import Exchange


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/denied":
            start = {"type": "websocket.http.response.start", "status": 403, "headers": []}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b"not for you"})
            return
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            await send({**message, "type": "websocket.send"})
        return
    if scope["path"] == "/error":
        raise RuntimeError("of the application")
    if scope["path"] == "/body":
        while (await receive()).get("more_body", False):
            pass
    if scope["path"] == "/wait":
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        return
    status = 404 if scope["path"] == "/missing" else 200
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


class Metered:
    """A board with one worker's room, and what was counted there."""

    def __init__(self) -> None:
        self._board = Scoreboard(1)
        slot = self._board.reserve(1, time.monotonic())
        assert slot is not None
        slot.claim(1, time.monotonic())
        slot.set_phase(READY)
        self.room = slot.room()

    @property
    def figures(self) -> Figures:
        return read(self._board, time.monotonic())


@pytest.fixture
def metered() -> Metered:
    return Metered()


def test_requests_are_counted_by_method_and_by_how_they_end(metered: Metered) -> None:
    with serve(app, room=metered.room, limit_concurrency=1) as server:
        for path, status in (("/", 200), ("/missing", 404), ("/error", 500)):
            assert ask(server.address, path).status == status
        assert ask(server.address, "/", "DELETE").status == 200
        assert ask(server.address, "/", "REPORT").status == 200
        with RawClient(server.address) as client:
            client.send(b"nonsense\r\n\r\n")
            assert client.read_response().status == 400
        with RawClient(server.address) as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: server.server.state.cycles)
            assert ask(server.address, "/").status == 503  # above the limit
        eventually(lambda: metered.figures.requests.get(("GET", "aborted")))

        assert metered.figures.requests == {
            ("GET", "2xx"): 1,
            ("GET", "4xx"): 1,
            ("GET", "5xx"): 2,
            ("GET", "aborted"): 1,
            ("DELETE", "2xx"): 1,
            ("other", "2xx"): 1,
            ("other", "4xx"): 1,
        }
        assert sum(metered.figures.durations.counts) == 6  # those that were answered


def test_a_body_that_is_wrong_counts_as_refused(metered: Metered) -> None:
    with serve(app, room=metered.room) as server, RawClient(server.address) as client:
        client.send(
            b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"
        )
        assert client.read_response().status == 400

        assert metered.figures.requests == {("POST", "4xx"): 1}


def test_who_leaves_a_response_that_was_started_only_is_not_answered(metered: Metered) -> None:
    async def start_only(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 404, "headers": []})
        assert (await receive())["type"] == "http.disconnect"

    with serve(start_only, room=metered.room, lifespan="off") as server:
        with RawClient(server.address) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: [cycle.status for cycle in server.server.state.cycles] == [404])
        eventually(lambda: metered.figures.requests)

        assert metered.figures.requests == {("GET", "aborted"): 1}


PART = {"type": "http.response.body", "body": b"x", "more_body": True}
LAST = {"type": "http.response.body"}
ENDS: dict[str, tuple[Message, ...]] = {
    "whole": (LAST,),
    "parts": (PART, LAST),
    "trailers": (PART, LAST, {"type": "http.response.trailers", "headers": []}),
    "file": ({"type": "http.response.pathsend", "path": __file__},),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ENDS)
def test_an_answer_to_nobody_ends_once(kind: str, method: str, metered: Metered) -> None:
    """The transport fails at the first write, and the application sends on without waiting."""
    called, gone = threading.Event(), threading.Event()
    observer = Observer()

    async def send_on(scope: Scope, receive: Receive, send: Send) -> None:
        called.set()
        gone.wait(5)  # the loop must not hear of it
        for _ in range(2):  # the reset is told to the first, or to the second
            await send({"type": "http.response.early_hint", "links": [b"</a>"]})
        trailers = kind == "trailers"
        await send({"type": "http.response.start", "status": 200, "trailers": trailers})
        for message in ENDS[kind]:
            await send(message)

    with serve(
        send_on, room=metered.room, observer=observer, loop="asyncio", lifespan="off"
    ) as server:
        with RawClient(server.address) as client:
            client.send(b"%b / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n" % method.encode())
            assert called.wait(5)
            client.reset()
            gone.set()
        eventually(lambda: observer.ends and not server.server.state.connections)

        assert observer.ends == 1
        assert sum(metered.figures.requests.values()) == 1
        assert server.messages(logging.ERROR) == []


def test_content_connections_and_times_are_shown_within_a_second(metered: Metered) -> None:
    with serve(app, room=metered.room) as server, RawClient(server.address) as client:
        body = b"x" * 1000
        assert ask(server.address, "/body", "POST", body).status == 200
        assert ask(server.address, "/body", "POST", body).status == 200
        client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        client.send(b"x" * 100_000)
        assert client.read_response().status == 200
        socket = RawWebSocket(server.address)
        socket.open()
        eventually(lambda: metered.figures.workers[0].websockets == 1)

        figures = metered.figures
        assert figures.received == 102_000
        assert figures.sent == 15
        assert figures.websockets == 1
        assert figures.workers[0].http == 1
        assert figures.workers[0].in_flight == 0
        assert figures.durations.total > 0
        assert sum(figures.lags.counts) > 0
        socket.close()


def test_messages_of_websockets_are_counted_while_these_are_open(metered: Metered) -> None:
    """Their content as the application sees it: neither heads, nor what compression saves."""
    text = "é" * 500  # two bytes each
    with serve(app, room=metered.room) as server:
        with RawWebSocket(server.address) as socket:
            compression = ("Sec-WebSocket-Extensions", DEFLATE)
            socket.open(headers=[compression], behind=frame(TEXT, text.encode()))
            socket.send(frame(BINARY, b"x" * 100, fin=False) + frame(CONT, b"y" * 100_000))
            eventually(lambda: metered.figures.received == 101_100)
            eventually(lambda: metered.figures.sent == 101_100)
            socket.send(close_frame(1000))
            eventually(lambda: not server.server.state.connections)
        with RawWebSocket(server.address) as denied:
            denied.send(request("/denied"))
            assert denied.read_response().status == 403
        eventually(lambda: metered.figures.sent == 101_100 + len(b"not for you"))

        assert metered.figures.received == 101_100
        assert metered.figures.websockets == 2


def test_only_a_trusted_proxy_says_when_a_request_came(metered: Metered) -> None:
    field = {"X-Request-Start": f"t={time.time() - 2:.3f}"}
    with serve(app, room=metered.room) as server:
        assert ask(server.address, "/", headers=field).status == 200
        assert ask(server.address, "/", headers={"X-Request-Start": "soon"}).status == 200
        assert sum(metered.figures.waits.counts) == 1
        assert metered.figures.waits.total == pytest.approx(2.0, abs=1.0)
    with serve(app, room=metered.room, forwarded_allow_ips=("10.0.0.1",)) as server:
        assert ask(server.address, "/", headers=field).status == 200
        assert sum(metered.figures.waits.counts) == 1


def test_a_loop_that_stands_still_is_late(metered: Metered) -> None:
    async def blocking(scope: Scope, receive: Receive, send: Send) -> None:
        time.sleep(0.4)  # noqa: ASYNC251  # what is to be found
        await app(scope, receive, send)

    with serve(blocking, room=metered.room) as server:
        assert ask(server.address, "/").status == 200
        eventually(lambda: metered.figures.workers[0].lag_max > 0.2)


def test_what_was_counted_last_is_shown_when_the_server_ends(metered: Metered) -> None:
    with serve(app, room=metered.room) as server:
        assert ask(server.address, "/").status == 200

    assert metered.figures.sent == 5
    assert metered.room.cast("q")[layout.HTTP] == 0


# -- health


class Observer:
    """Notes whatever the access log would."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.ends = 0

    def before(self, exchange: Exchange) -> None:
        self.paths.append(exchange.scope["path"])

    def after(self, exchange: Exchange) -> None:
        self.ends += 1

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        self.paths.append("refused")


@pytest.mark.parametrize("with_metrics", [False, True], ids=["plain", "metered"])
def test_health_is_answered_beside_everything_else(metered: Metered, with_metrics: bool) -> None:
    observer = Observer()
    room = metered.room if with_metrics else None
    options: dict[str, Any] = {"health_path": "/healthz", "limit_concurrency": 1}
    with serve(app, room=room, observer=observer, **options) as server:
        with RawClient(server.address) as client:
            client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: server.server.state.cycles)
            reply = ask(server.address, "/healthz?from=balancer")
            assert (reply.status, reply.body) == (200, b"OK")
            assert reply.headers["connection"] == "close"
        eventually(lambda: not server.server.state.cycles)
        assert ask(server.address, "/healthz", "HEAD").body == b""
        assert ask(server.address, "/healthz", "POST").body == b"hello"  # the application's

        server.server.state.draining = True
        assert ask(server.address, "/healthz").status == 503
        server.server.state.draining = False

    assert observer.paths == ["/wait", "/healthz"]
    counted = {("GET", "aborted"): 1, ("POST", "2xx"): 1} if with_metrics else {}
    assert metered.figures.requests == counted


def test_health_is_no_websocket() -> None:
    handshake = (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with serve(app, health_path="/healthz") as server, RawClient(server.address) as client:
        client.send(handshake)

        response = client.read_response()
        assert (response.status, response.body) == (200, b"OK")
        client.read_end()


def test_a_status_that_is_no_int_counts_as_the_one_it_equals(metered: Metered) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200.0, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    with serve(app, room=metered.room) as server:
        for _ in range(3):
            assert ask(server.address, "/").body == b"ok"

    assert metered.figures.requests == {("GET", "2xx"): 3}


def test_a_second_question_behind_that_for_health_is_not_answered() -> None:
    with serve(app, health_path="/healthz") as server, RawClient(server.address) as client:
        head = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(head + head)

        assert client.read_response().status == 200
        client.read_end()
