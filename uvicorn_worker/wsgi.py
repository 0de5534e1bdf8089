"""WSGI applications as ASGI 3 applications, through a2wsgi: threads call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from a2wsgi import WSGIMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.asgi import Application

THREADS: Final = 10  # as Uvicorn and a2wsgi have


def adapt_wsgi(app: Callable[..., Any]) -> Application:
    middleware: Any = WSGIMiddleware(app, workers=THREADS)
    application: Application = middleware
    return application
