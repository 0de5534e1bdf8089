"""Quart, which is Flask's interface over ASGI: a streamed answer, an upload, a WebSocket.

pip install quart
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks quart_app:app
uvicorn-supervisor quart_app:app --app-dir examples/frameworks
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING

from quart import Quart, current_app, request, websocket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

app = Quart(__name__)


@app.while_serving
async def lifespan() -> AsyncGenerator[None, None]:
    """Open what the application needs and close it at the end, once per worker."""
    app.extensions["started"] = started = time.monotonic()
    yield
    log.info("stopped after %.1f s", time.monotonic() - started)


@app.get("/")
async def home() -> tuple[str, dict[str, str]]:
    """Answer with a line of text."""
    return "Hello from Quart\n", {"Content-Type": "text/plain"}


@app.get("/items/<int:number>")
async def read_item(number: int) -> dict[str, int | str]:
    """Answer with JSON, which a dict becomes."""
    return {"number": number, "unit": request.args.get("unit", "piece")}


@app.get("/countdown")
async def countdown() -> tuple[AsyncIterator[str], dict[str, str]]:
    """Send one line at a time, each as soon as it is there."""
    seconds = request.args.get("seconds", 3.0, type=float)

    async def lines() -> AsyncIterator[str]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return lines(), {"Content-Type": "text/plain"}


@app.post("/upload")
async def upload() -> dict[str, int | str]:
    """Read the body piece by piece; above MAX_CONTENT_LENGTH (16 MiB) Quart answers 413."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.body:
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.websocket("/echo")
async def echo() -> None:
    """Send every message back as it came: text as text, bytes as bytes."""
    while True:  # until the client leaves: this task is cancelled then
        await websocket.send(await websocket.receive())


@app.get("/uptime")
async def uptime() -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - current_app.extensions["started"]}


@app.get("/error")
async def error() -> str:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")
