"""A whole Django project in one file, served over ASGI.

    pip install django
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples django_app:app

Then: curl http://127.0.0.1:8000/?name=Ada
      curl http://127.0.0.1:8000/upload -F file=@README.md
      curl -N http://127.0.0.1:8000/stream
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.management.utils import get_random_secret_key
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    # Every worker needs the same one; made up here because nothing is signed.
    SECRET_KEY=os.environ.get("SECRET_KEY") or get_random_secret_key(),
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)


async def hello(request: HttpRequest) -> HttpResponse:
    """Greet; an async view runs on the event loop itself."""
    return HttpResponse(f"Hello, {request.GET.get('name', 'world')}!\n", content_type="text/plain")


def upload(request: HttpRequest) -> HttpResponse:
    """Say what was uploaded; a sync view runs in a thread."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    return JsonResponse({name: file.size for name, file in request.FILES.items()})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send numbers one by one."""

    async def numbers() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingHttpResponse(numbers(), content_type="text/plain")


urlpatterns = [path("", hello), path("upload", upload), path("stream", stream)]

app = get_asgi_application()
