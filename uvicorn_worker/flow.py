"""What every connection does with its transport, whichever protocol it speaks.

The connections of HTTP and of WebSockets are subclasses: a call more for each read or write would
cost more than these methods do.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import sys
import termios
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uvicorn_worker.asgi import Address
    from uvicorn_worker.http1.state import HTTPState

NEVER: Final = float("inf")
"""A `deadline` that does not come."""

JUST_IDLE: Final = -NEVER
"""The `deadline` of a connection whose keep-alive time begins when the server looks next: to read
the clock for each request would cost more."""

# RFC 9112 section 9.6, and the same for a close frame that says what was wrong: time for the peer
# to read what was sent last before the connection is cut, in seconds.
LINGER_TIMEOUT: Final = 2.0


class Flow(asyncio.Protocol):
    """The transport of one connection, and what is paused on it.

    Attributes:
        sock: the transport's own socket, for what transports cannot do. It may not know that its
            descriptor does not block.
        deadline: loop time at which the server's sweep calls `expired`.
        write_paused: the transport holds all that it will; it says when it takes more.
        half_closed: the peer sends no more.
    """

    __slots__ = ("_read_paused", "deadline", "half_closed", "local", "peer", "sock", "state",
                 "transport", "write_paused")  # fmt: skip

    transport: asyncio.Transport

    def __init__(
        self, state: HTTPState, sock: socket.socket, peer: Address, local: Address
    ) -> None:
        self.state = state
        self.sock = sock
        self.peer = peer
        self.local = local
        self.deadline = NEVER
        self.write_paused = False
        self.half_closed = False
        self._read_paused = False

    def move(self, transport: asyncio.Transport) -> None:
        """Go on with another transport of the same connection."""
        self.transport = transport

    def _pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self.transport.resume_reading()

    def _input_waits(self) -> bool:
        """Return whether the kernel holds input that the loop has not delivered yet.

        Timers run before sockets are looked at: without this an idle connection could be closed
        under a request that has arrived. Reading may be paused, too.
        """
        try:
            return bool(self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:  # nothing there, or nobody
            return False

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Write large parts without copying them together, where the transport can."""
        if self.state.gathers:
            self.transport.writelines(parts)
        else:
            self.transport.write(b"".join(parts))

    def _end_output(self) -> None:
        """Tell the peer that nothing follows, where the transport can."""
        if self.transport.can_write_eof():
            try:
                self.transport.write_eof()
            except OSError:  # asyncio's asks the kernel at once: the peer has gone already
                self.transport.abort()

    def _cancel_later(self, task: asyncio.Task[None] | None) -> None:
        """Cancel a call of the application that does not end although its client has left."""
        grace = self.state.config.disconnect_grace_period
        if grace is not None and task is not None and not task.done():
            timer = self.state.loop.call_later(grace, task.cancel)
            task.add_done_callback(lambda _: timer.cancel())


def unacknowledged(sock: socket.socket) -> int:
    """Return how many bytes the kernel holds that the peer has not got; 0 where it cannot tell."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (OSError, ValueError):
        return 0
    return int.from_bytes(answer, sys.byteorder)


def address_of(name: object) -> Address:
    """Return what ASGI wants of a socket's name, as the kernel told it."""
    if isinstance(name, tuple):
        return name[0], name[1]
    return (name, None) if isinstance(name, str) and name else None
