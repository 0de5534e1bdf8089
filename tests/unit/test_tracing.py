"""The level `trace` shows ASGI messages, without what is in them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.exchange import make_scope
from uvicorn_worker.config import TRACE
from uvicorn_worker.logs.tracing import describe, trace

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Message, Receive, Scope, Send

pytestmark = pytest.mark.usefixtures("own_loggers")

ASGI = logging.getLogger("uvicorn.asgi")


async def receive() -> Message:
    return {"type": "http.request", "body": b"secret", "more_body": False}


async def send(message: Message) -> None:
    pass


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"secret")]})
    await send({"type": "http.response.body", "body": b"secret"})
    if scope["path"] == "/fail":
        raise ValueError("secret")


def run(path: str) -> None:
    headers = [(b"cookie", b"secret")]
    scope = make_scope(path=path, headers=headers, state={"password": "secret"})
    asyncio.run(trace(echo)(scope, receive, send))  # type: ignore[arg-type]  # a coroutine, here


def test_off_the_level_the_application_is_itself() -> None:
    ASGI.setLevel(logging.DEBUG)

    assert trace(echo) is echo


def test_messages_are_shown_in_order_without_contents(caplog: pytest.LogCaptureFixture) -> None:
    ASGI.setLevel(TRACE)
    caplog.set_level(TRACE)
    run("/")

    lines = [record.getMessage() for record in caplog.records if record.name == "uvicorn.asgi"]
    name = "127.0.0.1:50000 - ASGI [1]"
    assert lines[0].startswith(f"{name} started {{'type': 'http', 'method': 'GET'")
    assert lines[1:] == [
        f"{name} receive {{'type': 'http.request', 'body': '<6 bytes>', 'more_body': False}}",
        f"{name} send {{'type': 'http.response.start', 'status': 200, 'headers': '<1 fields>'}}",
        f"{name} send {{'type': 'http.response.body', 'body': '<6 bytes>'}}",
        f"{name} completed",
    ]
    assert "secret" not in "".join(lines)


def test_exceptions_pass_through(caplog: pytest.LogCaptureFixture) -> None:
    ASGI.setLevel(TRACE)
    caplog.set_level(TRACE)
    with pytest.raises(ValueError, match="secret"):
        run("/fail")

    assert caplog.records[-1].getMessage() == "127.0.0.1:50000 - ASGI [1] raised ValueError"


def test_websocket_messages_are_measured() -> None:
    assert describe({"type": "websocket.send", "text": "äb", "bytes": None}) == {
        "type": "websocket.send",
        "text": "<2 characters>",
        "bytes": None,
    }
