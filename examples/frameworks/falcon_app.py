"""Falcon: resources with a method per verb, a streamed answer, an upload, a WebSocket, a lifespan.

pip install falcon
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks falcon_app:app
uvicorn-supervisor falcon_app:app --app-dir examples/frameworks
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

import falcon
import falcon.asgi
from falcon.media import BinaryBaseHandlerWS, TextBaseHandlerWS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from falcon.asgi import Request, Response, WebSocket

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

TEXT, BINARY = falcon.WebSocketPayloadType.TEXT, falcon.WebSocketPayloadType.BINARY


class Clock:
    """A middleware that only knows the lifespan: it opens and closes what a worker needs."""

    started: float

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        self.started = time.monotonic()

    async def process_shutdown(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        log.info("stopped after %.1f s", self.uptime())

    def uptime(self) -> float:
        """Return for how many seconds this worker has been up."""
        return time.monotonic() - self.started


class Home:
    """A line of text."""

    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = falcon.MEDIA_TEXT
        response.text = "Hello from Falcon\n"


class Item:
    """JSON; `{number:int}` in the route is why this is a number."""

    async def on_get(self, request: Request, response: Response, number: int) -> None:
        response.media = {"number": number, "unit": request.get_param("unit", default="piece")}


class Countdown:
    """One line at a time, each sent as soon as it is there."""

    async def on_get(self, request: Request, response: Response) -> None:
        seconds = request.get_param_as_float("seconds", default=3.0)

        async def lines() -> AsyncIterator[bytes]:
            for left in (3, 2, 1):
                yield f"{left}\n".encode()
                await asyncio.sleep(seconds / 3)
            yield b"lift-off\n"

        response.content_type = falcon.MEDIA_TEXT
        response.stream = lines()


class Upload:
    """A body of any size, read piece by piece: never more than one is held."""

    async def on_post(self, request: Request, response: Response) -> None:
        size, digest = 0, hashlib.sha256()
        async for chunk in request.stream:
            size += len(chunk)
            digest.update(chunk)
        response.media = {"size": size, "sha256": digest.hexdigest()}


class AsIs(TextBaseHandlerWS, BinaryBaseHandlerWS):
    """How WebSocket messages become objects: not at all. Falcon's own handlers want JSON."""

    def serialize(self, media: Any) -> Any:
        return media

    def deserialize(self, payload: Any) -> Any:
        return payload


class Echo:
    """Every message comes back as it was: text as text, bytes as bytes."""

    async def on_websocket(self, request: Request, websocket: WebSocket) -> None:
        await websocket.accept()
        while True:
            try:
                message = await websocket.receive_media()
            except falcon.WebSocketDisconnected:
                return
            await websocket.send_media(message, TEXT if isinstance(message, str) else BINARY)


class Uptime:
    """For how many seconds this worker has been up."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    async def on_get(self, request: Request, response: Response) -> None:
        response.media = {"uptime": self.clock.uptime()}


class Error:
    """A page that fails: the client gets a 500, and the worker goes on."""

    async def on_get(self, request: Request, response: Response) -> None:
        raise RuntimeError("this page fails")


clock = Clock()
app = falcon.asgi.App(middleware=[clock])
app.ws_options.media_handlers[TEXT] = app.ws_options.media_handlers[BINARY] = AsIs()
app.add_route("/", Home())
app.add_route("/items/{number:int}", Item())
app.add_route("/countdown", Countdown())
app.add_route("/upload", Upload())
app.add_route("/echo", Echo())
app.add_route("/uptime", Uptime(clock))
app.add_route("/error", Error())
