"""Applications that make mistakes: what their clients get, and what others do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.plain import END, GET, START, plain
from tests.support.rawhttp import RawClient
from tests.support.serving import serve
from uvicorn_worker.application.lifespan import Lifespan
from uvicorn_worker.errors import ApplicationError, ClientDisconnected, LifespanError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import Http
    from uvicorn_worker.asgi import Address, Message, Receive, Scope, Send
    from uvicorn_worker.state import Exchange


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

    with serve(plain, http=http, observer=Failing()) as server, RawClient(server.address) as client:
        for _ in range(2):
            client.send(GET)
            assert client.read_response().status == 200
        client.send(b"nonsense\r\n\r\n")
        assert client.read_response().status == 400
        assert len(server.messages(logging.ERROR)) == 3


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
