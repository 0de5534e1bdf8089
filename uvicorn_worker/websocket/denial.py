"""The HTTP response in the place of a handshake's: `websocket.http.response`, or the server's own.

It is a response like any other, so it has the cycle of HTTP, whose owner this is. The connection
has no body to read and no request behind this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from uvicorn_worker.errors import ApplicationError
from uvicorn_worker.http1.cycle import RequestCycle

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from uvicorn_worker.asgi import Address, Message
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.http1.state import HTTPState


class DeniedConnection(Protocol):
    """What the response needs of the connection on which the handshake came."""

    state: HTTPState
    transport: asyncio.Transport
    peer: Address
    local: Address
    write_paused: bool
    half_closed: bool

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Write large parts without copying them together, where the transport can."""

    async def drained(self) -> None:
        """Return when the transport takes more; raises ClientDisconnected when it never will."""

    def denied(self, response: Response, *, complete: bool) -> None:
        """The response is over."""


class Response(RequestCycle):
    """The cycle of the response; its request is observed as a WebSocket."""

    __slots__ = ()

    def _observe_end(self) -> None:
        pass


class Denial:
    """One refusal: the response, and what its cycle asks of its owner (`channel.CycleOwner`)."""

    __slots__ = ("_connection", "local", "peer", "response", "state", "transport")

    count = None  # its handshake is, as a WebSocket's

    def __init__(
        self, connection: DeniedConnection, request: Request, scope: dict[str, Any]
    ) -> None:
        self._connection = connection
        self.state = connection.state
        self.transport = connection.transport
        self.peer = connection.peer
        self.local = connection.local
        request.keep_alive = request.ordinary = False
        self.response = Response(self, request, scope)

    async def send(self, message: Message) -> None:
        """Take a `websocket.http.response.*` of the application."""
        await self.response.send({**message, "type": message["type"].removeprefix("websocket.")})

    def abandon(self) -> None:
        """The application has ended without completing its response."""
        if self.response.responding:
            self.response.flush()
            self.give_up()
        elif not self.response.ended:
            self.response.answer(500, b"Internal Server Error")

    # -- what the cycle asks for

    @property
    def write_paused(self) -> bool:
        return self._connection.write_paused

    @property
    def half_closed(self) -> bool:
        return self._connection.half_closed

    def response_ended(self, keep_alive: bool) -> None:
        self._connection.denied(self.response, complete=True)

    def give_up(self) -> None:
        """Its chunks, or its length, show the client that the response is not complete."""
        self.response.lose()
        self._connection.denied(self.response, complete=False)

    def leave(self) -> None:
        self.response.lose()

    def write_parts(self, parts: Sequence[bytes]) -> None:
        self._connection.write_parts(parts)

    async def drained(self) -> None:
        await self._connection.drained()

    def body_consumed(self) -> None:
        """A handshake has no body."""

    def send_continue(self) -> None:
        """A handshake has no body."""

    def body_unread(self, *, response_complete: bool) -> bool:
        return False

    async def send_file(self, path: str, count: int) -> None:
        raise ApplicationError("a denial cannot send files")
