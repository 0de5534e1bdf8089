"""Connections whose first request is there when they are accepted."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.support.rawhttp import End, RawClient
from tests.support.rawws import TEXT, RawWebSocket, frame, request
from tests.support.serving import Held, new_loop, serve
from tests.support.waiting import eventually
from uvicorn_worker.flow import Flow
from uvicorn_worker.sockets import listeners
from uvicorn_worker.sockets.accepting import accept
from uvicorn_worker.sockets.doorstep import Doorstep, first_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from uvicorn_worker.asgi import Receive, Scope, Send

    Loop = Literal["uvloop", "asyncio"]

CLOSE = "Connection: close"
BIG = b"0123456789abcdef" * 512 * 1024  # 8 MiB: more than the kernel takes at once


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Loop:
    name: Loop = request.param
    return name


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body, or with what the path says."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": event["text"]})
        return
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    path = scope["path"]
    if path.startswith("/file"):
        await send({"type": "http.response.pathsend", "path": path.removeprefix("/file")})
    elif path == "/parts":
        for start in range(0, len(BIG), 1 << 20):
            await send(body(BIG[start : start + (1 << 20)], more_body=True))
        await send(body(b""))
    elif path == "/big":
        await send(body(BIG))
    else:
        if path == "/later":
            await asyncio.sleep(0.01)
        content, more = b"", True
        while more:
            event = await receive()
            content += event.get("body", b"")  # there is none where the client has left
            more = event.get("more_body", False)
        await send(body(content or b"nothing"))


def body(content: bytes, *, more_body: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more_body}


def get(path: str, *fields: str, content: bytes = b"") -> bytes:
    method = "POST" if content else "GET"
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields]
    if content:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[Doorstep]:
    """Those that have needed a transport of the loop."""
    met: list[Doorstep] = []

    class Watched(Doorstep):
        async def move_in(self, loop: asyncio.AbstractEventLoop) -> None:
            if not self.done:
                met.append(self)
            await super().move_in(loop)

    monkeypatch.setattr(listeners, "Doorstep", Watched)
    return met


@pytest.mark.parametrize(
    ("sent", "bodies", "moves"),
    [
        pytest.param(get("/", CLOSE), [b"nothing"], False, id="one answer"),
        pytest.param(get("/", CLOSE, content=b"x"), [b"x"], False, id="with a body"),
        pytest.param(get("/later", CLOSE), [b"nothing"], True, id="takes time"),
        pytest.param(get("/") + get("/", CLOSE), [b"nothing"] * 2, True, id="pipelined"),
        pytest.param(get("/", CLOSE, content=BIG), [BIG], True, id="long body"),
        pytest.param(get("/big", CLOSE), [BIG], None, id="long answer"),
        pytest.param(get("/big") + get("/", CLOSE), [BIG, b"nothing"], None, id="answer behind it"),
        pytest.param(get("/parts", CLOSE), [BIG], None, id="answer in parts"),
    ],
)
def test_what_is_there_is_answered(
    loop: Loop,
    moved: list[Doorstep],
    sent: bytes,
    bodies: list[bytes],
    moves: bool | None,  # None: where the kernel does not take it all
) -> None:
    with serve(app, loop=loop) as server:
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(sent[:60_000])
        with client:
            client.send(sent[60_000:])
            for expected in bodies:
                assert client.read_response().body == expected
            assert client.read_end() is End.EOF
        eventually(lambda: not server.server.state.connections)
        assert moves in (bool(moved), None)
        assert server.messages(logging.WARNING) == []


def test_a_connection_goes_on_behind_its_first_answer(loop: Loop) -> None:
    with serve(app, loop=loop) as server:
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(get("/"))
        with client:
            assert client.read_response().body == b"nothing"
            for content in (b"second", b"third"):
                client.send(get("/", content=content))
                assert client.read_response().body == content


def test_a_file_is_sent_behind_its_head(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(BIG)
    with serve(app, loop=loop) as server:
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(get(f"/file{tmp_path}/big", CLOSE))
        with client:
            with Held(server.loop):
                pass  # it serves others, although nobody takes the file
            assert client.read_response().body == BIG


def test_a_websocket_may_be_opened_at_once(loop: Loop) -> None:
    with serve(app, loop=loop) as server:
        with Held(server.loop):
            client = RawWebSocket(server.address)
            client.send(request() + frame(TEXT, b"one"))
        with client:
            assert client.read_interim().status == 101
            assert client.read_message() == "one"
            client.send(frame(TEXT, b"two"))
            assert client.read_message() == "two"


def test_a_long_head_is_whole_before_its_file(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG)
    fields = [(b"x-%d" % number, b"v" * 700) for number in range(80)]

    async def sends(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.pathsend", "path": str(tmp_path / "file")})

    with serve(sends, loop=loop, lifespan="off") as server:
        for sock in server.server._acceptor._sockets:  # far less than the head
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(get("/", CLOSE))
        with client:
            with Held(server.loop):
                pass
            response = client.read_response()
            assert response.body == BIG
            assert set(fields) <= set(response.headers)


def test_who_ends_at_once_gets_an_answer_to_each_message(loop: Loop) -> None:
    count = 100  # more than are read ahead
    with serve(app, loop=loop) as server:
        with Held(server.loop):
            client = RawWebSocket(server.address)
            client.send(request() + b"".join(frame(TEXT, b"%d" % n) for n in range(count)))
            client.half_close()
        with client:
            assert client.read_interim().status == 101
            assert [client.read_message() for _ in range(count)] == [str(n) for n in range(count)]


def test_who_leaves_between_answer_and_end_is_no_trouble(loop: Loop) -> None:
    left = threading.Event()

    async def lasts(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [(b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send(body(b"last"))
        left.wait(10)

    with serve(lasts, loop=loop, lifespan="off") as server:
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(get("/"))
        assert client.read_response().body == b"last"
        client.reset()
        left.set()
        eventually(lambda: not server.server.state.connections)
        assert server.messages(logging.WARNING) == []


@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_has_left_is_no_trouble(loop: Loop, reset: bool) -> None:
    with serve(app, loop=loop) as server:
        for path in ("/", "/later", "/big", "/parts"):
            with Held(server.loop):
                client = RawClient(server.address)
                client.send(get(path))
                if reset:
                    client.reset()
                else:
                    client.close()
        eventually(lambda: not server.server.state.connections)
        assert server.messages(logging.WARNING) == []


def test_more_than_the_limit_wait(loop: Loop) -> None:
    with serve(app, loop=loop, limit_connections=1) as server:
        with Held(server.loop):
            clients = [RawClient(server.address) for _ in range(3)]
            for client in clients:
                client.send(get("/later", CLOSE))
        for client in clients:
            with client:
                assert client.read_response().body == b"nothing"


def test_a_stop_waits_for_those_that_move_in(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = asyncio.Event()

    class Slow(Doorstep):
        async def move_in(self, loop: asyncio.AbstractEventLoop) -> None:
            await stopping.wait()
            for _ in range(5):
                await asyncio.sleep(0)
            await super().move_in(loop)

    monkeypatch.setattr(listeners, "Doorstep", Slow)
    with serve(app, loop=loop) as server:
        state = server.server.state
        with Held(server.loop):
            client = RawClient(server.address)
            client.send(get("/"))
        with client:
            assert client.read_response().body == b"nothing"
            server.call(monkeypatch.setattr, server.server, "announce_end", stopping.set)
    assert not state.connections


# -- the transport


class Resident(Flow):
    """Records what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.error: BaseException = LookupError()

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost {type(exc).__name__}")

    def data_received(self, data: bytes) -> None:
        raise self.error


class Ends:
    """A doorstep, and the client's end of its connection."""

    def __init__(self) -> None:
        sock, self.client = socket.socketpair()
        self.resident = Resident()
        self.step = Doorstep(sock, self.resident)
        self.sock = sock
        self.client.settimeout(10)

    def close(self) -> None:
        self.client.close()
        self.sock.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_small_answers_go_out_at_once(ends: Ends) -> None:
    ends.step.write(b"answer")
    assert ends.client.recv(100) == b"answer"
    assert not ends.step.is_closing()
    ends.step.close()
    assert ends.step.is_closing()
    assert ends.step.done
    ends.step.leave()
    assert ends.client.recv(100) == b""
    assert ends.resident.told == ["lost NoneType"]


@pytest.mark.parametrize("fails", [True, False])
def test_nothing_of_it_waits_for_a_collection(ends: Ends, fails: bool) -> None:
    ends.resident.transport = ends.step
    gone = weakref.ref(ends.resident)
    if fails:
        ends.client.close()
        ends.step.write(b"answer")
    ends.step.close()
    ends.step.leave()
    del ends.resident, ends.step
    assert gone() is None


def test_what_the_kernel_does_not_take_waits_and_pauses(ends: Ends) -> None:
    ends.step.write(BIG)
    unsent = ends.step.get_write_buffer_size()
    assert 0 < unsent < len(BIG)
    ends.step.write(b"behind")
    assert ends.step.get_write_buffer_size() == unsent + 6
    ends.step.close()
    assert ends.resident.told == ["pause"]
    assert not ends.step.done


def test_an_abort_drops_what_waits(ends: Ends) -> None:
    ends.step.write(BIG)
    ends.step.abort()
    ends.step.write(b"more")
    assert ends.step.done


def test_a_client_that_has_gone_ends_it(ends: Ends) -> None:
    ends.client.close()
    ends.step.write(b"answer")
    assert ends.step.done
    assert ends.step.is_closing()
    ends.step.leave()
    assert ends.resident.told == ["lost BrokenPipeError"]


def test_who_is_there_may_not_be_known(ends: Ends) -> None:
    assert ends.step.get_extra_info("peername") == ""
    assert ends.step.get_extra_info("cipher", 1) == 1
    ends.sock.close()
    assert ends.step.get_extra_info("peername") is None


def test_an_exception_is_told_to_the_loop(ends: Ends) -> None:
    loop = asyncio.new_event_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    ends.step.receive(b"data", loop)
    loop.close()
    assert isinstance(told[0]["exception"], LookupError)
    assert ends.step.done


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_is_for_whoever_runs_the_loop(
    ends: Ends, loop: Loop, kind: type[BaseException]
) -> None:
    ends.resident.error = kind()
    event_loop = new_loop(loop)
    ends.step.receive(b"data", event_loop)
    assert ends.step.done
    with pytest.raises(kind):
        event_loop.run_forever()
    event_loop.close()


def test_what_keeps_a_transport_from_being_made_ends_the_connection(ends: Ends) -> None:
    async def fail(*_: object) -> None:
        raise OSError("no room")

    loop = asyncio.new_event_loop()
    loop.connect_accepted_socket = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="no room"):
        loop.run_until_complete(ends.step.move_in(loop))
    loop.close()
    assert ends.resident.told == ["lost OSError"]


@pytest.mark.parametrize("state", ["silent", "reset", "closed"])
def test_nothing_there_is_nothing(ends: Ends, state: str) -> None:
    if state == "reset":
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if state != "silent":
        ends.client.close()
    assert first_bytes(ends.sock) == b""


def test_a_default_timeout_is_not_for_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with RawClient(listener.getsockname()):
            socket.setdefaulttimeout(10)
            try:
                sock, _ = accept(listener, socket.AF_INET)
            finally:
                socket.setdefaulttimeout(None)
        with sock:
            assert sock.gettimeout() is None
