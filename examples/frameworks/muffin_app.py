"""Muffin: plain functions of a request, a streamed answer, an upload, a WebSocket, a lifespan.

pip install muffin
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks muffin_app:app
uvicorn-supervisor muffin_app:app --app-dir examples/frameworks
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING

from muffin import Application, Request, ResponseStream, ResponseText, ResponseWebSocket

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

app = Application()


class Clock:
    """When this worker has started, in seconds of the monotonic clock."""

    started: float


@app.on_startup
async def open_all() -> None:
    """Open what the application needs, once per worker."""
    Clock.started = time.monotonic()


@app.on_shutdown
async def close_all() -> None:
    """Close it at the end."""
    log.info("stopped after %.1f s", time.monotonic() - Clock.started)


@app.route("/")
async def home(request: Request) -> ResponseText:
    """Answer with a line of text."""
    return ResponseText("Hello from Muffin\n")


@app.route("/items/{number:int}")
async def read_item(request: Request) -> dict[str, int | str]:
    """Answer with JSON, which a dict becomes."""
    number: int = request.path_params["number"]
    return {"number": number, "unit": request.query.get("unit", "piece")}


@app.route("/countdown")
async def countdown(request: Request) -> ResponseStream:
    """Send one line at a time, each as soon as it is there."""
    seconds = float(request.query.get("seconds", "3"))

    async def lines() -> AsyncGenerator[str, None]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return ResponseStream(lines(), content_type="text/plain")


@app.route("/upload", methods=["POST"])
async def upload(request: Request) -> dict[str, int | str]:
    """Read a body of any size piece by piece, and never hold more than one."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.route("/echo")
async def echo(request: Request) -> None:
    """Send every message back as it came: text as text, bytes as bytes."""
    async with ResponseWebSocket(request) as websocket:
        while (message := await websocket.receive(raw=True))["type"] == "websocket.receive":
            text, data = message.get("text"), message.get("bytes")
            await websocket.send(data if text is None else text)


@app.route("/uptime")
async def uptime(request: Request) -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - Clock.started}


@app.route("/error")
async def error(request: Request) -> None:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")
