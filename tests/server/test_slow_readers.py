"""Clients that read slowly or not at all: what they get, and when they are cut."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.plain import CLOSING, END, GET, START
from tests.support.rawhttp import RawClient, Truncated
from tests.support.serving import serve
from tests.support.waiting import eventually
from uvicorn_worker.http1 import connection, ending

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import Http, Tls
    from uvicorn_worker.asgi import Receive, Scope, Send

MUCH = 20 * 1024 * 1024
"""More than the socket buffers of both ends hold."""


async def much(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": bytes(MUCH)})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without patience: what took minutes takes half a second."""
    monkeypatch.setattr(ending, "LINGER_TIMEOUT", 0.1)
    monkeypatch.setattr(ending, "STALL_TIMEOUT", 0.5)


@pytest.mark.parametrize("request_", [GET, CLOSING], ids=["kept", "closing"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_slow_reader_gets_all_of_its_answer(
    http: Http, request_: bytes, secure: bool, tls: Tls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "LINGER_TIMEOUT", 0.1)
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
