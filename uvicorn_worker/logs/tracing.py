"""Shows the messages between server and application, for the log level `trace`.

Not the bodies: they are long, and nobody's business. Where the level is off nothing is wrapped.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Final

from uvicorn_worker.config import TRACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.asgi import Application, Message, Receive, Scope, Send

logger: Final = logging.getLogger("uvicorn.asgi")


def trace(app: Application) -> Application:
    """Return the application, wrapped where the logger `uvicorn.asgi` shows level TRACE.

    Ask once, at the start: a level that changes later is not noticed.
    """
    if not logger.isEnabledFor(TRACE):
        return app
    numbers = itertools.count(1)

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        name = f"{_client(scope)}ASGI [{next(numbers)}]"

        async def show_receive() -> Message:
            message = await receive()
            logger.log(TRACE, "%s receive %s", name, describe(message))
            return message

        async def show_send(message: Message) -> None:
            logger.log(TRACE, "%s send %s", name, describe(message))
            await send(message)

        logger.log(TRACE, "%s started %s", name, describe(scope))
        try:
            await app(scope, show_receive, show_send)
        except BaseException as exc:
            logger.log(TRACE, "%s raised %s", name, type(exc).__name__)
            raise
        logger.log(TRACE, "%s completed", name)

    return traced


def describe(message: Mapping[str, object]) -> dict[str, object]:
    """Return a message or scope with lengths in place of contents, which may be secret or long."""
    return {key: _brief(key, value) for key, value in message.items()}


def _brief(key: str, value: object) -> object:
    if key in ("body", "bytes", "text") and isinstance(value, str | bytes | bytearray | memoryview):
        return f"<{len(value)} {'characters' if isinstance(value, str) else 'bytes'}>"
    if key in ("headers", "trailers") and hasattr(value, "__len__"):
        return f"<{len(value)} fields>"
    if key in ("app", "state"):
        return "<...>"
    return value


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]} - " if client else ""
