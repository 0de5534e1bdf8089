"""FastAPI: JSON from typed parameters, a streamed answer, an upload, a WebSocket, a lifespan.

pip install fastapi
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks fastapi_app:app
uvicorn-supervisor fastapi_app:app --app-dir examples/frameworks
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")


class Item(BaseModel):
    """What the clients of `/items` get."""

    number: int
    unit: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, float]]:
    """Open what the application needs and close it at the end, once per worker."""
    started = time.monotonic()
    yield {"started": started}  # each request finds it as `request.state.started`
    log.info("stopped after %.1f s", time.monotonic() - started)


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def home() -> str:
    """Answer with a line of text."""
    return "Hello from FastAPI\n"


@app.get("/items/{number}")
async def read_item(number: int, unit: str = "piece") -> Item:
    """Answer with JSON; a number that is none is answered with 422 by FastAPI."""
    return Item(number=number, unit=unit)


@app.get("/countdown")
async def countdown(seconds: float = 3.0) -> StreamingResponse:
    """Send one line at a time, each as soon as it is there."""

    async def lines() -> AsyncIterator[str]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/upload")
async def upload(request: Request) -> dict[str, int | str]:
    """Read a body of any size piece by piece, and never hold more than one."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send every message back as it came: text as text, bytes as bytes."""
    await websocket.accept()
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


@app.get("/uptime")
async def uptime(request: Request) -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - request.state.started}


@app.get("/error")
async def error() -> None:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")
