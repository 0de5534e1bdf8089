"""Starlette: routes in a table, a streamed answer, an upload, a WebSocket, a lifespan.

pip install starlette
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks starlette_app:app
uvicorn-supervisor starlette_app:app --app-dir examples/frameworks
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, float]]:
    """Open what the application needs and close it at the end, once per worker."""
    started = time.monotonic()
    yield {"started": started}  # each request finds it as `request.state.started`
    log.info("stopped after %.1f s", time.monotonic() - started)


async def home(request: Request) -> PlainTextResponse:
    """Answer with a line of text."""
    return PlainTextResponse("Hello from Starlette\n")


async def read_item(request: Request) -> JSONResponse:
    """Answer with JSON; `{number:int}` in the route is why this is a number."""
    unit = request.query_params.get("unit", "piece")
    return JSONResponse({"number": request.path_params["number"], "unit": unit})


async def countdown(request: Request) -> StreamingResponse:
    """Send one line at a time, each as soon as it is there."""
    seconds = float(request.query_params.get("seconds", "3"))

    async def lines() -> AsyncIterator[str]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def upload(request: Request) -> JSONResponse:
    """Read a body of any size piece by piece, and never hold more than one."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


class Echo(WebSocketEndpoint):
    """Send every message back as it came: text as text, bytes as bytes."""

    async def on_receive(self, websocket: WebSocket, data: str | bytes) -> None:
        if isinstance(data, str):
            await websocket.send_text(data)
        else:
            await websocket.send_bytes(data)


async def uptime(request: Request) -> JSONResponse:
    """Say for how many seconds this worker has been up."""
    return JSONResponse({"uptime": time.monotonic() - request.state.started})


async def error(request: Request) -> None:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", home),
        Route("/items/{number:int}", read_item),
        Route("/countdown", countdown),
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/echo", Echo),
        Route("/uptime", uptime),
        Route("/error", error),
    ],
)
