"""A whole Django project in one file: views, async and not, a WebSocket by Channels, a lifespan.

pip install django channels
gunicorn -k uvicorn_worker.UvicornWorker --chdir examples/frameworks django_app:app
uvicorn-supervisor django_app:app --app-dir examples/frameworks
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from typing import TYPE_CHECKING

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management.utils import get_random_secret_key
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_POST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from uvicorn_worker.asgi import Receive, Scope, Send

logging.basicConfig(level=logging.INFO)
log = logging.getLogger("example")

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    # Every worker needs the same one; made up here because nothing is signed.
    SECRET_KEY=os.environ.get("SECRET_KEY") or get_random_secret_key(),
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


async def home(request: HttpRequest) -> HttpResponse:
    """Answer with a line of text; an async view runs on the event loop itself."""
    return HttpResponse("Hello from Django\n", content_type="text/plain")


async def read_item(request: HttpRequest, number: int) -> JsonResponse:
    """Answer with JSON; `<int:number>` in the route is why this is a number."""
    return JsonResponse({"number": number, "unit": request.GET.get("unit", "piece")})


async def countdown(request: HttpRequest) -> StreamingHttpResponse:
    """Send one line at a time, each as soon as it is there."""
    seconds = float(request.GET.get("seconds", "3"))

    async def lines() -> AsyncIterator[str]:
        for left in (3, 2, 1):
            yield f"{left}\n"
            await asyncio.sleep(seconds / 3)
        yield "lift-off\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


@require_POST  # type: ignore[untyped-decorator]  # Django has no types
def upload(request: HttpRequest) -> JsonResponse:
    """Read the body piece by piece; a sync view runs in a thread, and Django spools large bodies
    to a temporary file before it is called."""
    size, digest = 0, hashlib.sha256()
    while chunk := request.read(65536):
        size += len(chunk)
        digest.update(chunk)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


class Echo(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Send every message back as it came: text as text, bytes as bytes."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


async def uptime(request: HttpRequest) -> JsonResponse:
    """Say for how many seconds this worker has been up."""
    return JsonResponse({"uptime": time.monotonic() - request.scope["state"]["started"]})


async def error(request: HttpRequest) -> HttpResponse:
    """Fail: the client gets a 500, and the worker goes on."""
    raise RuntimeError("this page fails")


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Do what Django has no place for: open and close what a worker needs.

    What is put into `scope["state"]`, each request finds as `request.scope["state"]`.
    """
    started = time.monotonic()
    while (await receive())["type"] == "lifespan.startup":
        scope["state"]["started"] = started
        await send({"type": "lifespan.startup.complete"})
    log.info("stopped after %.1f s", time.monotonic() - started)
    await send({"type": "lifespan.shutdown.complete"})


urlpatterns = [
    path("", home),
    path("items/<int:number>", read_item),
    path("countdown", countdown),
    path("upload", upload),
    path("uptime", uptime),
    path("error", error),
]

app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("echo", Echo.as_asgi())]),
        "lifespan": lifespan,
    }
)
