"""How the application is called: each time in a context of its own."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from tests.support.plain import END, GET, START
from tests.support.rawhttp import RawClient
from tests.support.serving import serve
from uvicorn_worker.http1.state import start_task

if TYPE_CHECKING:
    from tests.server.conftest import Http
    from uvicorn_worker.asgi import Receive, Scope, Send

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="untouched")


def test_a_call_can_begin_inside_of_another(http: Http) -> None:
    """As where an application runs the loop in the middle of its own call."""
    seen = []

    async def inner() -> None:
        seen.append(VARIABLE.get())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            VARIABLE.set("outer")
            await start_task(server.server.state, inner())
            await send(START)
            await send(END)

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET)
        assert client.read_response().status == 200
    assert seen == ["untouched"]


def test_a_call_is_the_current_task_from_its_first_step(http: Http) -> None:
    tasks = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)
            tasks.append(asyncio.current_task())
            await send(START)
            await send(END)

    with serve(app, http=http) as server, RawClient(server.address) as client:
        client.send(GET)
        client.read_response()
    before, after = tasks
    assert before is after is not None
