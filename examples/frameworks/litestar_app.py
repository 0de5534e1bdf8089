"""Litestar: typed handlers, a streamed answer, an upload, a WebSocket, a lifespan.

pip install litestar
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks litestar_app:app
uvicorn-supervisor litestar_app:app --app-dir examples/frameworks
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, MediaType, Request, WebSocket, get, post, websocket
from litestar.datastructures import State
from litestar.response import Stream

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Open what the application needs and close it at the end, once per worker."""
    app.state.started = started = time.monotonic()
    yield
    log.info("stopped after %.1f s", time.monotonic() - started)


@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    """Answer with a line of text."""
    return "Hello from Litestar\n"


@get("/items/{number:int}")
async def read_item(number: int, unit: str = "piece") -> dict[str, int | str]:
    """Answer with JSON; what is not in the path comes from the query."""
    return {"number": number, "unit": unit}


@get("/countdown", media_type=MediaType.TEXT)
async def countdown(seconds: float = 3.0) -> Stream:
    """Send one line at a time, each as soon as it is there."""

    async def lines() -> AsyncIterator[str]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return Stream(lines())


@post("/upload", status_code=200)
async def upload(request: Request[Any, Any, State]) -> dict[str, int | str]:
    """Read the body piece by piece; above `request_max_body_size` (10 MB) Litestar answers 413."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@websocket("/echo")
async def echo(socket: WebSocket[Any, Any, State]) -> None:
    """Send every message back as it came: text as text, bytes as bytes."""
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"] or b"")


@get("/uptime")
async def uptime(state: State) -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - state.started}


@get("/error")
async def error() -> None:
    """Fail: the client gets a 500, and the worker goes on."""
    raise RuntimeError("this page fails")


app = Litestar(
    [home, read_item, countdown, upload, echo, uptime, error],
    lifespan=[lifespan],
)
