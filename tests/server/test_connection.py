"""Connections that peers, networks and applications treat badly."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.support.rawhttp import RawClient, Truncated
from tests.support.serving import serve
from tests.support.waiting import eventually, eventually_async
from uvicorn_worker.application.lifespan import Lifespan
from uvicorn_worker.errors import ApplicationError, ClientDisconnected, LifespanError
from uvicorn_worker.http1 import connection

if TYPE_CHECKING:
    from pathlib import Path

    from uvicorn_worker.asgi import Address, Message, Receive, Scope, Send
    from uvicorn_worker.state import Exchange

    Http = Literal["httptools", "h11"]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"end"}


@pytest.fixture(params=["httptools", "h11"])
def http(request: pytest.FixtureRequest) -> Http:
    """The parser under test, on the loop that it ships with."""
    name: Http = request.param
    return name


@dataclass
class Tls:
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for `localhost`, as both ends use it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = str(folder / "key"), str(folder / "certificate")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return Tls(server, ssl.create_default_context(cafile=certificate))


class Held:
    """Keeps the server's loop busy until it is left: what comes meanwhile waits in the kernel."""

    def __init__(self, loop: Any) -> None:
        self._held, self._release = threading.Event(), threading.Event()
        self._loop = loop

    def __enter__(self) -> None:
        self._loop.call_soon_threadsafe(self._hold)
        assert self._held.wait(10)

    def _hold(self) -> None:
        self._held.set()
        self._release.wait(10)

    def __exit__(self, *_: object) -> None:
        self._release.set()


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


# -- slow readers

MUCH = 20 * 1024 * 1024
"""More than the socket buffers of both ends hold."""


async def much(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": bytes(MUCH)})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without patience: what took minutes takes half a second."""
    monkeypatch.setattr(connection, "LINGER_TIMEOUT", 0.1)
    monkeypatch.setattr(connection, "STALL_TIMEOUT", 0.5)


@pytest.mark.parametrize("request_", [GET, CLOSING], ids=["kept", "closing"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_slow_reader_gets_all_of_its_answer(
    http: Http, request_: bytes, secure: bool, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_TIMEOUT", 0.1)
    looks = []
    expired = connection.HTTPConnection.expired

    def counted(self: connection.HTTPConnection, now: float) -> None:
        looks.append(now)
        expired(self, now)

    monkeypatch.setattr(connection.HTTPConnection, "expired", counted)
    context = tls.server if secure else None
    with (
        serve(much, http=http, ssl_context=context) as server,
        RawClient(server.address) as client,
    ):
        if secure:
            client.socket = tls.client.wrap_socket(client.socket, server_hostname="localhost")
        client.send(request_)
        if request_ is CLOSING:
            eventually(lambda: len(looks) > 2)
        assert len(client.read_response().body) == MUCH
        if request_ is GET:
            client.send(GET)
            assert len(client.read_response().body) == MUCH


@pytest.mark.parametrize("request_", [GET, CLOSING], ids=["kept", "closing"])
def test_reader_that_takes_nothing_is_cut(http: Http, request_: bytes, hasty: None) -> None:
    with (
        serve(much, http=http, timeout_keep_alive=0.1) as server,
        RawClient(server.address) as client,
    ):
        client.send(request_)
        eventually(lambda: server.server.state.requests_total)
        eventually(lambda: not server.server.state.connections, timeout=5)
        assert len(client.read_rest()) < MUCH


def test_reader_that_takes_nothing_of_an_echo_is_cut(http: Http, hasty: None) -> None:
    """Its limit must not be forgotten when the body ends while the answer waits."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send({"type": "http.response.body", "body": bytes(MUCH), "more_body": True})
            await send(END)

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        eventually(lambda: [c for c in server.server.state.connections if c.write_paused])
        client.send(b"cd")
        eventually(lambda: not server.server.state.connections, timeout=5)


def test_end_of_content_comes_at_once_over_tls(http: Http, tls: Tls) -> None:
    """HTTP/1.0: only the end of the connection, said in TLS, ends the content."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await send({"type": "http.response.body", "body": b"b"})

    with (
        serve(app, http=http, ssl_context=tls.server) as server,
        RawClient(server.address, timeout=1.5) as client,  # a lingering close takes longer
    ):
        plain = client.socket
        client.socket = tls.client.wrap_socket(
            plain, server_hostname="localhost", suppress_ragged_eofs=False
        )
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.read_response().body == b"ab"


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


# -- careless applications


@pytest.mark.parametrize("sendfile", [True, False])
def test_reader_that_takes_nothing_of_a_file_is_cut(
    http: Http, sendfile: bool, hasty: None, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MUCH))
    raised: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            try:
                await send({"type": "http.response.pathsend", "path": str(path)})
            except Exception as exc:
                raised.append(exc)
                raise

    with (
        serve(app, http=http, sendfile=sendfile) as server,
        RawClient(server.address) as client,
    ):
        client.send(GET)
        eventually(lambda: raised, timeout=5)
        assert isinstance(raised[0], OSError)
        eventually(lambda: not server.server.state.connections)
        assert server.messages(logging.ERROR) == []
        assert len(client.read_rest()) < MUCH


def test_nothing_follows_a_file_that_was_not_sent_in_full(http: Http, tmp_path: Path) -> None:
    """What an application sends next would pass for the rest of the file."""
    path = tmp_path / "file"
    path.write_bytes(bytes(MUCH))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            sending = asyncio.ensure_future(
                send({"type": "http.response.pathsend", "path": str(path)})
            )
            await asyncio.wait((sending,), timeout=0.05)
            sending.cancel()
            await asyncio.wait((sending,))
            cancelled.append(sending.cancelled())
            await send({"type": "http.response.body", "body": b""})

    cancelled: list[bool] = []
    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET + GET)
        assert eventually(lambda: cancelled) == [True]
        with pytest.raises(Truncated):
            client.read_response()
        assert "nothing: a file is the body" in str(server.log[-1].exc_info)


def test_head_of_a_file_is_sent_before_the_end_of_the_connection(
    http: Http, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send({"type": "http.response.pathsend", "path": str(path)})

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert client.read_response("HEAD").get(b"content-length") == b"7"


def test_file_that_may_not_be_read_is_an_error_not_a_cut(http: Http, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "file"
    path.write_bytes(b"secret")
    path.chmod(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send({"type": "http.response.pathsend", "path": str(path)})

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET)
        assert client.read_response().status == 500


WRONG: list[tuple[list[tuple[bytes, bytes]], Message]] = [
    ([], {"type": "http.response.body", "body": "text", "more_body": True}),
    (
        [(b"content-length", b"2")],
        {"type": "http.response.body", "body": b"abc", "more_body": True},
    ),
]


@pytest.mark.parametrize(("headers", "wrong"), WRONG, ids=["text", "too-long"])
def test_response_can_start_again_after_a_refused_first_part(
    http: Http, headers: list[tuple[bytes, bytes]], wrong: Message
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({**START, "headers": headers})
        with contextlib.suppress(ApplicationError):
            await send(wrong)
        with pytest.raises(ApplicationError):
            await send(END)
        await send({**START, "status": 503})
        await send(END)

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET + GET)
        for _ in range(2):
            response = client.read_response()
            assert (response.status, response.body) == (503, b"end")


def test_refused_part_does_not_lift_the_content_length(http: Http) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({**START, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        for body in (b"cd", b"cdef"):
            with pytest.raises(ApplicationError):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET + GET)
        assert client.read_response().body == b"abc"
        assert client.read_response().body == b"abc"


@pytest.mark.parametrize("error", [ClientDisconnected("of another"), asyncio.CancelledError()])
def test_error_of_another_request_does_not_leave_this_one_without_answer(
    http: Http, error: BaseException
) -> None:
    """As when one call sends to all clients, or awaits a task that somebody cancelled."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raise error

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET)
        assert client.read_response().status == 500
        assert server.messages(logging.WARNING)


def test_failing_observer_does_not_stop_connections(http: Http) -> None:
    class Failing:
        def before(self, exchange: Exchange) -> None:
            pass

        def after(self, exchange: Exchange) -> None:
            raise RuntimeError("after")

        def refused(self, peer: Address, head: bytes, status: int) -> None:
            raise RuntimeError("refused")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send(START)
            await send(END)

    with serve(app, http=http, observer=Failing()) as server, RawClient(server.address) as client:
        for _ in range(2):
            client.send(GET)
            assert client.read_response().status == 200
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
        assert len(server.messages(logging.ERROR)) == 3


# -- accepting and ending


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send(START)
        await send(END)


def test_failed_handshake_makes_room_below_the_limit(http: Http, tls: Tls) -> None:
    with serve(hello, http=http, ssl_context=tls.server, limit_connections=1) as server:
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
        serve(hello, http=http, ssl_context=tls.server) as server,
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
    with serve(hello, http=http, timeout_keep_alive=0.1) as server:
        for _ in range(2):
            with RawClient(server.address) as client:
                client.send(GET)
                assert client.read_response().status == 200
                client.read_end()
        assert len(server.messages(logging.ERROR)) == 1


def test_state_that_the_lifespan_adds_later_is_seen(http: Http) -> None:
    states = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            states.append(scope["state"])
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send(START)
        await send({"type": "http.response.body", "body": scope["state"]["later"]})

    with serve(app, http=http) as server, RawClient(server.address) as client:
        states[0]["later"] = b"added"
        client.send(GET)
        assert client.read_response().body == b"added"


def test_cancelled_lifespan_does_not_hang_the_start() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    async def start() -> None:
        await asyncio.wait_for(Lifespan(app, "on", logging.Logger("test")).startup(), 5)

    with pytest.raises(LifespanError):
        asyncio.run(start())


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

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END)

    with serve(app, http=http, lifespan="off") as server:
        acceptor = server.server._acceptor
        make = acceptor._factory

        class Made(connection.HTTPConnection):
            __slots__ = ()

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                acceptor._give_up()
                opened.append("made")

        acceptor._factory = lambda *ends: Made(make(*ends).state, *ends)  # type: ignore[attr-defined]
        with RawClient(server.address) as client:
            client.send(GET)
            assert client.read_response().body == b"end"
        assert opened == ["made"]
        assert server.messages(logging.ERROR) == []
