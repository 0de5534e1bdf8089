"""Writes lines to a log that is slow to be told off: it never blocks, and never raises.

The lines of one turn of the event loop go out in one piece, which costs a third of one write per
line. A pipe that nobody reads, a terminal that is stopped, a full disk: lines wait, up to a limit,
or are dropped and counted; the server goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
import os
import select
import stat
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from typing import TextIO

    from uvicorn_worker.state import Log

LIMIT: Final = 1024 * 1024  # bytes that wait for a log that is blocked: ten thousand lines
MIN_PAUSE: Final = 0.001  # seconds between looks at a log that is blocked: a pipe holds 64 KiB
MAX_PAUSE: Final = 0.1  # when it has been so for a while
PATIENCE: Final = 0.05  # seconds without any progress after which a reader is given up
NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)  # Linux; 0: unknown here


class LineSink:
    """Writes to the stream of one handler, under its lock; on one event loop.

    What others write through the handler comes behind the lines that were written before it if
    they call `flush` first.
    """

    def __init__(self, handler: logging.StreamHandler[TextIO], log: Log) -> None:
        self._handler = handler
        self._log = log
        self.pending: list[str] = []  # of this turn of the event loop; always the same list
        self._rest = bytearray()  # what there was no room for
        self._timer: asyncio.TimerHandle | None = None  # while there is a rest
        self._pause = 0.0  # seconds
        self._stalled = False  # nobody reads
        self._failing = False
        self._dropped = 0
        self._fd = -1
        self._encoding = handler.stream.encoding
        self._patient = True  # a write may take its time: it is a file
        self._nowait = NOWAIT

    def write(self, line: str) -> None:
        """Take a line with its end; it is written at the end of this turn of the loop."""
        if self._timer is not None:
            self._write_behind(line)
            return
        lines = self.pending
        lines.append(line)
        if len(lines) == 1:
            try:
                asyncio.get_running_loop().call_soon(self.flush)
            except RuntimeError:  # no loop: at once
                self.flush()

    def _write_behind(self, line: str) -> None:
        """Take a line while the log is blocked; wait for a slow reader, not for one that sleeps."""
        if len(self._rest) > LIMIT:
            if not self._stalled and not self._has_room(PATIENCE):
                self._stalled = True
            if self._stalled:
                self._dropped += 1
                return
            self.flush()
        self._rest += line.encode(self._encoding, "backslashreplace")

    def flush(self) -> None:
        """Write what has gathered, as far as that is possible without waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        data = self._rest
        data += "".join(self.pending).encode(self._encoding, "backslashreplace")
        self.pending.clear()
        if not data:
            return
        handler = self._handler
        handler.acquire()
        try:
            if handler.stream is None:
                raise ValueError("it is closed")
            handler.stream.flush()  # what was printed before
            self._look_at(handler.stream.fileno())
            self._put(data)
        except (OSError, ValueError) as exc:  # ValueError: it is closed
            self._fail(exc)
        finally:
            handler.release()
        if data:
            self._retry()
        elif self._dropped and not self._failing:
            self._recover()

    def _look_at(self, fd: int) -> None:
        """Find out how to write to a descriptor, once."""
        if fd != self._fd:
            mode = os.fstat(fd).st_mode
            self._patient = stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(fd))
            self._fd = fd

    def _put(self, data: bytearray) -> None:
        """Write, and take what was written off the beginning."""
        while data:
            try:
                done = os.write(self._fd, data) if self._patient else self._try(data)
            except BlockingIOError:
                return
            del data[:done]
            self._pause = 0.0
            self._stalled = self._failing = False

    def _try(self, data: bytearray) -> int:
        """Write a part without waiting; raises BlockingIOError where nothing has room."""
        if self._nowait:
            try:
                return os.pwritev(self._fd, [data], -1, self._nowait)
            except OSError as exc:
                if exc.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ESPIPE):
                    raise
                self._nowait = 0  # a terminal, an old kernel
        if not self._has_room(0.0):
            raise BlockingIOError
        return os.write(self._fd, data[: select.PIPE_BUF])

    def _has_room(self, timeout: float) -> bool:
        """Return whether a small write would not block, within some seconds."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(timeout * 1000))

    def _retry(self) -> None:
        self._pause = min(MAX_PAUSE, 2 * self._pause or MIN_PAUSE)
        with contextlib.suppress(RuntimeError):  # no loop: the next line tries again
            self._timer = asyncio.get_running_loop().call_later(self._pause, self.flush)

    def _fail(self, exc: Exception) -> None:
        self._dropped += self._rest.count(b"\n")
        self._rest.clear()
        if not self._failing:
            self._failing = True
            reason = getattr(exc, "strerror", None) or exc
            self._log.error("The access log cannot be written, lines are dropped: %s", reason)

    def _recover(self) -> None:
        self._log.warning("The access log can be written again: %d lines are lost", self._dropped)
        self._dropped = 0


def line_handler(handler: logging.Handler) -> logging.StreamHandler[TextIO] | None:
    """Return the handler where a `LineSink` can write in its place, None where it cannot.

    Its stream has to be a file for the system as well, and ASCII has to be itself there.
    """
    if type(handler) not in (logging.StreamHandler, logging.FileHandler):
        return None
    found = cast("logging.StreamHandler[TextIO]", handler)
    stream = found.stream
    if not isinstance(stream, io.TextIOWrapper) or found.terminator != "\n":
        return None
    try:
        stream.fileno()
        plain = "a\n".encode(stream.encoding) == b"a\n"
    except (OSError, ValueError, LookupError):
        return None
    return found if plain else None
