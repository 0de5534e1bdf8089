"""BlackSheep: handlers by type annotations, a streamed answer, an upload, a WebSocket, a lifespan.

pip install blacksheep
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks blacksheep_app:app
uvicorn-supervisor blacksheep_app:app --app-dir examples/frameworks
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from blacksheep import (
    Application,
    Request,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    get,
    json,
    post,
    text,
    ws,
)

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

app = Application()


@dataclass
class Clock:
    """When this worker has started, in seconds of the monotonic clock."""

    started: float


@app.lifespan  # type: ignore[untyped-decorator]  # it has no types
async def lifespan() -> AsyncIterator[None]:
    """Open what the application needs and close it at the end, once per worker."""
    clock = Clock(time.monotonic())
    app.services.register(Clock, instance=clock)  # a handler that wants a Clock gets this one
    yield
    log.info("stopped after %.1f s", time.monotonic() - clock.started)


@get("/")
async def home() -> Response:
    """Answer with a line of text."""
    return text("Hello from BlackSheep\n")


@get("/items/{int:number}")
async def read_item(number: int, unit: str = "piece") -> dict[str, int | str]:
    """Answer with JSON; what is not in the path comes from the query."""
    return {"number": number, "unit": unit}


@get("/countdown")
async def countdown(seconds: float = 3.0) -> Response:
    """Send one line at a time, each as soon as it is there."""

    async def lines() -> AsyncIterator[bytes]:
        for left in (3, 2, 1):
            yield f"{left}\n".encode()
            await asyncio.sleep(seconds / 3)
        yield b"lift-off\n"

    return Response(200, content=StreamedContent(b"text/plain", lines))


@post("/upload")
async def upload(request: Request) -> Response:
    """Read a body of any size piece by piece, and never hold more than one."""
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():  # type: ignore[attr-defined]  # 2.6: the wrong type
        size += len(chunk)
        digest.update(chunk)
    return json({"size": size, "sha256": digest.hexdigest()})


@ws("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send every message back as it came: text as text, bytes as bytes."""
    await websocket.accept()
    while True:
        try:
            message = await websocket.receive()
        except WebSocketDisconnectError:
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])  # type: ignore[arg-type]  # text's type


@get("/uptime")
async def uptime(clock: Clock) -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - clock.started}


@get("/error")
async def error() -> None:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")
