"""Answers at the address for metrics, on the event loop of a worker.

A second, small server beside the one that the application has: the same protocol, limits and
deadlines, none of its options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn_worker.serverconfig import ServerConfig
from uvicorn_worker.service import Service
from uvicorn_worker.sockets.balance import Balance

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Sequence

    from uvicorn_worker.asgi import Application, Receive, Scope, Send
    from uvicorn_worker.metrics.answers import Answers
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.state import Log

CONFIG: Final = ServerConfig(
    lifespan="off",
    ws="none",
    server_header=False,
    proxy_headers=False,
    limit_connections=32,
    limit_request_body=1024,
)

LAST_ANSWERS: Final = 0.5  # seconds, at the end of the worker

PAUSE: Final = 0.25  # seconds between looks at whether there is a next master


class Desk:
    """One worker's; the sockets are shared with its siblings."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        board: Scoreboard,
        answers: Answers,
        *,
        log: Log,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._service = Service(
            CONFIG,
            application(answers),
            sockets=sockets,
            log=log,
            loop=loop,
            balance=LeftToHeir(board),
        )
        self._service.state.forwarding.script_name = ""  # the application's mount point

    def start(self) -> None:
        self._service.start_accepting()

    async def stop(self) -> None:
        """Answer whoever has asked; the others ask a sibling."""
        await self._service.drain(LAST_ANSWERS, idle_timeout=0.0, keep_accepting=lambda: False)
        await self._service.shutdown(0.0)


class LeftToHeir(Balance):
    """Leaves questions to the next master's workers, as long as there are any."""

    def __init__(self, board: Scoreboard) -> None:
        self._scoreboard = board

    def accepted(self, load: int) -> None:
        """Nobody wants to know."""

    def changed(self, load: int) -> None:
        """Nobody wants to know."""

    def pause(self, load: int) -> float:
        return PAUSE if self._scoreboard.heir else 0.0


def application(answers: Answers) -> Application:
    """Return the ASGI application that says what `answers` knows."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        answer = answers.answer(scope["method"], scope["path"], accept.decode("latin-1"))
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", b"%d" % len(answer.content)),
            (b"cache-control", b"no-store"),
        ]
        start = {"type": "http.response.start", "status": answer.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": answer.content})

    return app
