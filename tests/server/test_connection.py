"""Connections that peers and networks treat badly, from their first moment to their last."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

from tests.support.plain import CLOSING, END, GET, START, plain
from tests.support.rawhttp import RawClient
from tests.support.serving import Held, serve
from tests.support.waiting import eventually, eventually_async
from uvicorn_worker.errors import ClientDisconnected
from uvicorn_worker.http1 import connection

if TYPE_CHECKING:
    import asyncio

    import pytest

    from tests.server.conftest import Http, Tls
    from uvicorn_worker.asgi import Receive, Scope, Send


# -- peers


def test_peer_that_reset_before_it_was_accepted_is_nobody_to_trust(http: Http) -> None:
    told = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            told.append((scope["scheme"], scope["client"][0]))
            await send(START)
            await send(END)

    spoofed = (
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 6.6.6.6\r\n"
    )
    with serve(app, http=http, forwarded_allow_ips=()) as server:
        with Held(server.loop):
            gone = RawClient(server.address)
            gone.send(spoofed + b"\r\n")
            gone.reset()
        with RawClient(server.address) as client:
            client.send(CLOSING)
            assert client.read_response().status == 200
        eventually(lambda: not server.server.state.connections)

    assert ("https", "6.6.6.6") not in told
    assert told[-1] == ("http", "127.0.0.1")


def test_blanks_in_a_bad_head_do_not_block_the_loop(http: Http) -> None:
    """The second look without tabs must not take time that grows with their square."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("never called")

    blanks = b"".join(b"X-%d: a%ba\r\n" % (index, b"\t" * 8000) for index in range(30))
    with serve(app, http=http, lifespan="off") as server, RawClient(server.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + blanks + b"bad name: x\r\n\r\n")
        # 2 ms; it was half a second for each such field.
        assert client.read_response().status == 400


def test_long_head_behind_a_slow_answer_is_read(http: Http) -> None:
    """What has been read ahead of it must not keep the rest of a head out for ever."""
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == "/slow":
                await eventually_async(go.is_set)
            await send(START)
            await send(END)

    long = b"".join(b"X-%d: %b\r\n" % (index, b"a" * 8000) for index in range(40))
    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n" + long)
        eventually(lambda: [c for c in server.server.state.connections if c._read_paused])
        go.set()
        client.send(b"\r\n")
        assert client.read_response().body == b"end"
        assert client.read_response().body == b"end"


def test_half_close_inside_a_pipelined_body_is_seen_at_once(http: Http) -> None:
    go = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if scope["path"] == "/slow":
                await eventually_async(go.is_set)
            if scope["method"] == "POST":
                await receive()
                await receive()
            await send(START)
            await send(END)

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(
            b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"
        )
        client.half_close()
        eventually(lambda: [c for c in server.server.state.connections if c.half_closed])
        go.set()
        assert client.read_response().status == 200
        assert client.read_response().status == 400


# -- accepting and ending


def test_failed_handshake_makes_room_below_the_limit(http: Http, tls: Tls) -> None:
    with serve(plain, http=http, ssl_context=tls.server, limit_connections=1) as server:
        with RawClient(server.address) as silent:
            eventually(lambda: server.server._acceptor.opening)
            waiting = RawClient(server.address)  # the limit is noticed
            eventually(lambda: not server.server._acceptor._watching)
            silent.send(b"no handshake\r\n\r\n")
        with waiting:
            waiting.socket = tls.client.wrap_socket(waiting.socket, server_hostname="localhost")
            waiting.send(GET)
            assert waiting.read_response().status == 200


def test_silent_handshake_does_not_prolong_a_drain(http: Http, tls: Tls) -> None:
    with (
        serve(plain, http=http, ssl_context=tls.server) as server,
        RawClient(server.address) as silent,
    ):
        eventually(lambda: server.server._acceptor.opening)

        async def drain() -> int:
            return await server.server.drain(8.0, idle_timeout=5.0, keep_accepting=lambda: False)

        before = time.monotonic()
        assert server.call(drain) == 0
        assert time.monotonic() - before < 4
        assert silent.read_rest() == b""


def test_deadlines_go_on_after_an_exception_at_one(
    http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = connection.HTTPConnection._input_waits

    def fail(self: connection.HTTPConnection) -> bool:
        monkeypatch.setattr(connection.HTTPConnection, "_input_waits", failing)
        raise RuntimeError("handler is closed")

    monkeypatch.setattr(connection.HTTPConnection, "_input_waits", fail)
    with serve(plain, http=http, timeout_keep_alive=0.1) as server:
        for _ in range(2):
            with RawClient(server.address) as client:
                client.send(GET)
                assert client.read_response().status == 200
                client.read_end()
        assert len(server.messages(logging.ERROR)) == 1


def test_an_endless_answer_ends_when_its_connection_fails(http: Http) -> None:
    """The loop learns of the failure, but cannot tell while the application never waits."""
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
        except OSError as exc:
            errors.append(exc)

    with serve(app, http=http, lifespan="off") as server:
        with socket.create_connection(server.address) as client:
            client.sendall(GET)
            assert client.recv(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: errors)
        assert isinstance(errors[0], ClientDisconnected)
        eventually(lambda: not server.server.state.cycles)


def test_connection_that_opens_at_the_end_of_a_handshakes_time_is_whole(http: Http) -> None:
    """Who cancels uvloop's accepting there breaks the transport behind the protocol's back."""
    opened: list[str] = []

    with serve(plain, http=http, lifespan="off") as server:
        acceptor = server.server._acceptor

        class Made(connection.HTTPConnection):
            __slots__ = ()

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                acceptor._give_up()
                opened.append("made")

        acceptor._factory = Made
        with RawClient(server.address) as client:
            eventually(lambda: opened)
            client.send(GET)
            assert client.read_response().body == b"end"
        assert opened == ["made"]
        assert server.messages(logging.ERROR) == []
