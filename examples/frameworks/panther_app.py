"""Panther: functions and classes in a table of URLs, a streamed answer, an upload, a WebSocket.

    pip install --no-deps panther pantherdb simple-ulid uvicorn pytz
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks panther_app:app
    uvicorn-supervisor panther_app:app --app-dir examples/frameworks

Panther's own requirements ask for an older httptools than the server's, hence `--no-deps`; it also
needs `pip install jinja2 orjson pydantic rich`. Of Uvicorn it uses a class that formats log lines.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator

from panther import Panther
from panther.app import API
from panther.events import Event
from panther.request import Request
from panther.response import PlainTextResponse, StreamingResponse
from panther.websocket import GenericWebsocket

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")


class Clock:
    """When this worker has started, in seconds of the monotonic clock."""

    started: float


@Event.startup
async def open_all() -> None:
    """Open what the application needs, once per worker."""
    Clock.started = time.monotonic()


@Event.shutdown
async def close_all() -> None:
    """Close it at the end."""
    log.info("stopped after %.1f s", time.monotonic() - Clock.started)


@API(methods=["GET"])
async def home() -> PlainTextResponse:
    """Answer with a line of text."""
    return PlainTextResponse("Hello from Panther\n")


@API(methods=["GET"])
async def read_item(number: int, request: Request) -> dict[str, int | str]:
    """Answer with JSON, which a dict becomes."""
    return {"number": number, "unit": request.query_params.get("unit", "piece")}


@API(methods=["GET"])
async def countdown(request: Request) -> StreamingResponse:
    """Send one line at a time, each as soon as it is there."""
    seconds = float(request.query_params.get("seconds", "3"))

    async def lines() -> AsyncGenerator[bytes, None]:
        for left in (3, 2, 1):
            yield f"{left}\n".encode()
            await asyncio.sleep(seconds / 3)
        yield b"lift-off\n"

    return StreamingResponse(lines(), headers={"Content-Type": "text/plain"})


@API(methods=["POST"])
async def upload(request: Request) -> dict[str, int | str]:
    """Say what the body was, which Panther has read into memory."""
    body = await request.read_body()
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


class Echo(GenericWebsocket):
    """Send every message back as it came: text as text, bytes as bytes."""

    async def connect(self):  # type: ignore[no-untyped-def]  # Panther takes `None` for a class
        await self.accept()

    async def receive(self, data: str | bytes) -> None:
        await self.send(data)


@API(methods=["GET"])
async def uptime() -> dict[str, float]:
    """Say for how many seconds this worker has been up."""
    return {"uptime": time.monotonic() - Clock.started}


@API(methods=["GET"])
async def error() -> None:
    """Fail: the client gets a 500, the log the traceback, and the worker goes on."""
    raise RuntimeError("this page fails")


app = Panther(
    __name__,
    configs=__name__,
    urls={
        "/": home,
        "items/<number>/": read_item,
        "countdown/": countdown,
        "upload/": upload,
        "echo/": Echo,
        "uptime/": uptime,
        "error/": error,
    },
)
