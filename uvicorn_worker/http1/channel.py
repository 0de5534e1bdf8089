"""What both halves of a request's cycle go by: how far the response is, and whose cycle it is."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.request import Request
    from uvicorn_worker.state import ServerState


class ResponseState(enum.IntEnum):
    """START: no response yet. HEAD: started, its head held back (ASGI: it goes with the first
    body message). BODY: head sent. FILE: a file is being sent as the body, or could not be sent
    in full. TRAILERS: body ended, trailers announced. LAST: the last part of a response that
    came in parts is being written. DONE. LOST: the client left, or the connection was given up."""

    START, HEAD, BODY, FILE, TRAILERS, LAST, DONE, LOST = range(8)


START, HEAD, BODY, FILE, TRAILERS, LAST, DONE, LOST = ResponseState


class Answered(Protocol):
    """A cycle, as those see it who count answers."""

    request: Request
    status: int
    sent: int
    """Bytes of content."""
    started: float
    """Monotonic time."""


class CycleOwner(Protocol):
    """What the cycle needs of its connection."""

    @property
    def state(self) -> ServerState: ...

    @property
    def write_paused(self) -> bool: ...

    @property
    def half_closed(self) -> bool: ...

    @property
    def count(self) -> Callable[[Answered], None] | None:
        """Takes each answer just before its last bytes go out, where answers are counted."""

    transport: asyncio.Transport
    peer: Address
    local: Address

    def leave(self) -> None:
        """The application learns that the peer left: nothing more is sent to it."""

    def body_consumed(self) -> None:
        """The application took what was there: let more of the request's body in."""

    def send_continue(self) -> None:
        """The application wants a body that the client announced with Expect."""

    def body_unread(self, *, response_complete: bool) -> bool:
        """Return whether the rest of the request's body forbids using the connection again."""

    def response_ended(self, keep_alive: bool) -> None:
        """The response is complete and handed to the transport."""

    def give_up(self) -> None:
        """The response cannot be completed: cut the connection so that the client sees it."""

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Write large parts without copying them together, where the transport can."""

    async def drained(self) -> None:
        """Return when the transport takes more; raises ClientDisconnected when it never will."""

    async def send_file(self, path: str, count: int) -> None:
        """Send the first `count` bytes of a file, behind everything written so far."""
