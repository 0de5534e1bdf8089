"""What WebSockets see of a server that goes: close frames with the right code, none a reset."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.websocket import Echo, Recorder, accepting, websocket
from tests.support.rawhttp import End
from tests.support.rawws import TEXT, close_frame, frame, request
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import concurrent.futures

    from tests.server.websocket.conftest import Connect, Start
    from tests.support.rawws import RawWebSocket
    from tests.support.serving import RunningServer
    from uvicorn_worker.asgi import Receive, Scope, Send


def drain(
    server: RunningServer,
    timeout: float = 5.0,
    *,
    idle_timeout: float = 1.0,
    keep_accepting: Any = lambda: False,
    hold_websockets: Any = lambda: False,
) -> concurrent.futures.Future[int]:
    """Begin a drain; the result is how much was cut."""
    return asyncio.run_coroutine_threadsafe(
        server.server.drain(
            timeout,
            idle_timeout=idle_timeout,
            keep_accepting=keep_accepting,
            hold_websockets=hold_websockets,
        ),
        server.loop,
    )


def test_a_drain_closes_with_1012(start: Start, connect: Connect) -> None:
    echo = Echo()
    server = start(echo.app)
    client = connect(server)
    draining = drain(server)

    assert client.read_close() == (1012, "")
    eventually(lambda: echo.ended)  # told at once, not when the client has answered
    assert echo.ended[0][-1] == {"type": "websocket.disconnect", "code": 1012, "reason": ""}
    client.send(close_frame(1012))
    assert client.finish() is End.EOF
    assert draining.result(5) == 0


def test_a_server_that_stops_for_good_says_1001(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    client = connect(server)
    server.server.state.close_code = 1001
    drain(server)

    assert client.read_close() == (1001, "")


def test_clients_stay_until_somebody_else_accepts_them(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    client = connect(server)
    alone = True
    draining = drain(server, keep_accepting=lambda: alone, hold_websockets=lambda: alone)
    eventually(lambda: server.server.state.draining)
    for number in range(5):
        client.send(frame(TEXT, b"%d" % number))
        assert client.read_message() == str(number)
    newcomer = connect(server)
    alone = False

    assert client.read_close() == (1012, "")
    assert newcomer.read_close() == (1012, "")
    for one in (client, newcomer):
        one.send(close_frame(1012))
    assert draining.result(5) == 0


def test_a_server_that_nobody_relieves_closes_the_old_ones_first(
    start: Start, connect: Connect
) -> None:
    """A lone worker at its max_requests: the next one is started when it has gone."""
    server = start(Echo().app)
    client = connect(server)
    eventually(lambda: server.server.state.cycles)
    old = set(server.server.state.connections)
    draining = drain(
        server, keep_accepting=lambda: not old.isdisjoint(server.server.state.connections)
    )
    assert client.read_close() == (1012, "")
    newcomer = connect(server)
    newcomer.send(frame(TEXT, b"served meanwhile"))
    assert newcomer.read_message() == "served meanwhile"
    client.send(close_frame(1012))

    assert newcomer.read_close() == (1012, "")
    newcomer.send(close_frame(1012))
    assert draining.result(5) == 0


def test_closes_are_spread(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    clients = [connect(server) for _ in range(150)]
    eventually(lambda: len(server.server.state.cycles) == 150)

    async def begin() -> tuple[asyncio.Task[int], list[float]]:
        going = asyncio.ensure_future(
            server.server.drain(10.0, idle_timeout=2.0, keep_accepting=lambda: False)
        )
        await asyncio.sleep(0)  # its first step, no sweep yet
        return going, [one.deadline for one in server.server.state.connections]

    going, deadlines = server.call(begin)
    # 500 a second: 150 take 0.3 s.
    assert max(deadlines) - min(deadlines) > 0.25
    for client in clients:
        assert client.read_close() == (1012, "")
        client.send(close_frame(1012))
    assert eventually(going.done)
    assert going.result() == 0


def test_a_handshake_that_is_answered_late_is_closed_in_order(
    start: Start, connect: Connect
) -> None:
    go = asyncio.Event()

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await go.wait()
        await send({"type": "websocket.accept"})
        await receive()

    server = start(websocket(handler))
    client = connect(server, open=False)
    client.send(request())
    eventually(lambda: server.server.state.cycles)
    draining = drain(server)
    eventually(lambda: server.server.state.shed_window is not None)
    server.call(go.set)

    assert client.read_interim().status == 101
    assert client.read_close() == (1012, "")
    client.send(close_frame(1012))
    assert client.finish() is End.EOF
    assert draining.result(5) == 0


def test_the_application_can_say_goodbye_elsewhere(start: Start, connect: Connect) -> None:
    done = []

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "websocket.receive":
            pass
        await asyncio.sleep(0.2)
        done.append("goodbye")

    server = start(accepting(handler), disconnect_grace_period=0)
    client = connect(server)
    draining = drain(server)
    client.read_close()
    client.send(close_frame(1012))

    assert draining.result(5) == 0
    assert done == ["goodbye"]


def test_an_application_that_does_not_ask_is_not_waited_for(start: Start, connect: Connect) -> None:
    ended = []

    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            ended.append(exc)
            raise

    server = start(accepting(handler), disconnect_grace_period=0.05)
    client = connect(server)
    draining = drain(server)
    client.read_close()
    client.send(close_frame(1012))

    assert draining.result(5) == 0
    assert len(ended) == 1


def test_messages_received_before_the_close_reach_the_application(
    start: Start, connect: Connect
) -> None:
    recorder = Recorder()
    recorder.hold = True
    server = start(recorder.app)
    client = connect(server)
    client.send(frame(TEXT, b"a") + frame(TEXT, b"b"))
    client.wait_until_taken()
    draining = drain(server)
    assert client.read_close() == (1012, "")
    client.send(frame(TEXT, b"late") + close_frame(1012))
    assert client.finish() is End.EOF
    assert recorder.go_on is not None
    server.call(recorder.go_on.set)

    assert draining.result(5) == 0
    assert recorder.contents == ["a", "b"]
    assert recorder.messages[-1]["code"] == 1012


def test_a_client_that_does_not_answer_is_waited_for_a_limited_time(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn_worker.websocket.ending.CLOSE_TIMEOUT", 0.2)
    server = start(Echo().app)
    client = connect(server)
    draining = drain(server)

    assert client.read_close() == (1012, "")
    assert client.finish() is End.EOF
    client.close()
    assert draining.result(5) == 0


def test_at_the_deadline_the_rest_is_closed_too(start: Start, connect: Connect) -> None:
    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    server = start(accepting(stubborn))
    client = connect(server)
    eventually(lambda: server.server.state.cycles)
    draining = drain(server, 0.3, keep_accepting=lambda: True, hold_websockets=lambda: True)

    assert client.read_close() == (1012, "")
    assert client.finish() is End.EOF
    assert draining.result(5) == 1


@pytest.mark.parametrize("unread", [b"", frame(TEXT, b"x" * 1000) * 50])
def test_a_quick_stop_closes_in_order(unread: bytes, start: Start, connect: Connect) -> None:
    server = start(Recorder().app)
    clients = [connect(server) for _ in range(20)]
    eventually(lambda: len(server.server.state.cycles) == 20)
    for client in clients:
        client.send(unread)
    server.call(functools.partial(server.server.quit, 1.0))

    for client in clients:
        assert client.read_close() == (1012, "")
        assert client.finish() is End.EOF


def test_a_quick_stop_before_the_answer(start: Start, connect: Connect) -> None:
    async def handler(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    server = start(websocket(handler))
    client = connect(server, open=False)
    client.send(request())
    eventually(lambda: server.server.state.cycles)
    server.call(functools.partial(server.server.quit, 1.0))

    assert client.read_response().status == 500


def test_five_hundred_clients_see_a_close_frame(start: Start, connect: Connect) -> None:
    server = start(Echo().app)
    clients: list[RawWebSocket] = [connect(server) for _ in range(500)]
    eventually(lambda: len(server.server.state.cycles) == 500)
    draining = drain(server, idle_timeout=0.5)

    for client in clients:
        assert client.read_close() == (1012, "")
        client.send(close_frame(1012))
        assert client.finish() is End.EOF
    assert draining.result(10) == 0
