"""The first request of a connection, taken before there is a transport of the loop.

Most clients have sent it by the time their connection is accepted, and many ask for one answer and
the end of the connection: health checks, proxies without a pool, scripts. Four system calls are all
that takes; a transport of the loop adds nine, and more instructions than the answer. So the first
bytes are read where the connection is accepted, and what is still open then goes on with the loop's
transport.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn_worker.flow import Flow

# Bytes of the first read. What is beyond them comes through the loop's transport.
FIRST_READ: Final = 64 * 1024


def first_bytes(sock: socket.socket) -> bytes:
    """Return what a connection that was just accepted has sent; empty where it is silent or gone.

    The socket need not know that it must not block.
    """
    try:
        return sock.recv(FIRST_READ, socket.MSG_DONTWAIT)
    except OSError:  # whatever it is, the loop's transport finds it, too
        return b""


class Doorstep(asyncio.Transport, asyncio.Protocol):
    """The transport of `resident` until there is one of the loop; that one's protocol until then.

    It writes and closes itself. Anything else it leaves to the loop's transport, in order: what it
    has been asked for is done in `move_in`. A resident whose output waits is paused.

    Attributes: `done`, whether the connection has ended before it needed more; `leave` is due then.
    """

    __slots__ = ("_closing", "_error", "_inside", "_later", "_moving", "_resident", "_sock",
                 "_unsent", "done")  # fmt: skip

    def __init__(self, sock: socket.socket, resident: Flow) -> None:
        # Not the base's: a dict for each connection, of what it may be asked for.
        self._sock = sock
        self._resident = resident
        self._inside: asyncio.Transport | None = None
        self._later: list[tuple[str, tuple[Any, ...]]] = []
        self._unsent = 0  # bytes that are due later
        self._moving = self._closing = False
        self._error: OSError | None = None
        self.done = False

    # -- what the acceptor does

    def receive(self, data: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Give the resident its first bytes."""
        try:
            self._resident.data_received(data)
        except (SystemExit, KeyboardInterrupt) as exc:
            loop.call_soon(_raise, exc)  # for whoever runs the loop: this may be in a drain
            self.abort()
        except BaseException as exc:  # whatever it is, as transports do
            loop.call_exception_handler({
                "message": "Exception in a connection's data_received",
                "exception": exc,
                "transport": self,
                "protocol": self._resident,
            })  # fmt: skip
            self.abort()

    def leave(self) -> None:
        """Close the socket of a connection that is `done`."""
        self._sock.close()
        self.connection_lost(self._error)

    async def move_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go on with a transport of the loop; raises what keeps it from being made.

        Before Python 3.12 an application runs in a turn of its own, and may have ended it by now.
        """
        if self.done:
            self.leave()
            return
        self._moving = True
        try:
            inside, _ = await loop.connect_accepted_socket(lambda: self, self._sock)
        except Exception as exc:
            self._sock.close()
            self.connection_lost(exc)
            raise
        self._inside = inside
        if inside.is_closing():
            return  # it has found the peer gone, and told so
        inside.set_protocol(self._resident)
        self._resident.move(inside)
        later, self._later = self._later, []
        try:
            for name, arguments in later:
                getattr(inside, name)(*arguments)
        except OSError:  # asyncio's `write_eof` asks the kernel at once: the peer has gone already
            inside.abort()
        if self._unsent:
            # Its own limits are higher: let it pause what is paused, or it would never resume.
            inside.set_write_buffer_limits(0)
            inside.set_write_buffer_limits()
            if not inside.get_write_buffer_size():
                self._resident.resume_writing()

    # -- the loop's transport, in the turn or two until its protocol is the resident

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let `move_in` go on first: not every transport can be paused before it has read."""

    def connection_lost(self, exc: Exception | None) -> None:
        resident = self._resident
        del self._resident  # which may keep its transport: nothing must wait for a collection
        resident.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._resident.data_received(data)

    def eof_received(self) -> bool | None:
        asked = [name for name, _ in self._later if name.endswith("_reading")]
        if asked and asked[-1] == "pause_reading":
            return True  # it is read again when the resident resumes, behind what that holds
        return self._resident.eof_received()

    # -- the resident's transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._later or self._closing or self._inside is not None:
            self._write_later("write", data, len(data))
            return
        try:
            sent = self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as exc:
            self._error = exc.with_traceback(None)  # which leads back here: a cycle
            self.abort()
            return
        if sent < len(data):
            self._write_later("write", bytes(data[sent:]), len(data) - sent)

    def writelines(self, parts: Iterable[bytes | bytearray | memoryview]) -> None:
        parts = list(parts)
        self._write_later("writelines", parts, sum(map(len, parts)))

    def _write_later(self, name: str, data: object, size: int) -> None:
        self._do(name, data)
        if self._inside is None and not self._closing:
            paused = self._unsent > 0
            self._unsent += size
            if not paused:
                self._resident.pause_writing()

    def _do(self, name: str, *arguments: object) -> None:
        """Let the loop's transport do it, as soon as there is one."""
        if self._inside is not None:
            getattr(self._inside, name)(*arguments)
        elif not self.done:
            self._later.append((name, arguments))

    def close(self) -> None:
        self._closing = True
        if self._later or self._moving:
            self._do("close")
        else:
            self.done = True

    def abort(self) -> None:
        self._closing = True
        if self._moving:
            self._do("abort")
        else:
            self.done = True

    def write_eof(self) -> None:
        self._do("write_eof")

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self._do("pause_reading")

    def resume_reading(self) -> None:
        self._do("resume_reading")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._do("set_write_buffer_limits", high, low)

    def get_write_buffer_size(self) -> int:
        return self._unsent if self._inside is None else self._inside.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._resident = cast("Flow", protocol)
        if self._inside is not None:
            self._inside.set_protocol(protocol)

    def is_closing(self) -> bool:
        return self._closing if self._inside is None else self._inside.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return a fact about the connection; of a socket without TLS there is one only."""
        if self._inside is not None:
            return self._inside.get_extra_info(name, default)
        if name != "peername":
            return default
        try:
            return self._sock.getpeername()
        except OSError:
            return default


def _raise(exc: BaseException) -> None:
    raise exc
