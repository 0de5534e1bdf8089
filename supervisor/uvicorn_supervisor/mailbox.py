"""Where everything arrives that wakes the supervisor: signals, and news of workers.

One pipe for both. For every signal Python itself writes the number into it, at once and whatever
the supervisor is doing, so none is lost or overtaken (there is room for 65,536); a worker writes a
zero when the scoreboard has something new. Handlers do nothing at all.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.messages import (
    Fewer,
    More,
    Quit,
    Reload,
    Reopen,
    Stop,
    Upgrade,
    Withdraw,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Protocol

    from uvicorn_supervisor.decisions.messages import Event

    class HasFileno(Protocol):
        """What `select` takes."""

        def fileno(self) -> int: ...


ORDERS: Final[dict[int, Event]] = {
    signal.SIGTERM: Stop(),
    signal.SIGINT: Quit(),
    signal.SIGQUIT: Quit(),
    signal.SIGHUP: Reload(),
    signal.SIGUSR1: Reopen(),
    signal.SIGUSR2: Upgrade(),
    signal.SIGTTIN: More(),
    signal.SIGTTOU: Fewer(),
    signal.SIGWINCH: Withdraw(),
}
HANDLED: Final = (*ORDERS, signal.SIGCHLD)

NEWS: Final = b"\0"


class Mailbox:
    """Takes over the process's signals when it is made; from then on none is lost."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        for descriptor in (self.reader, self.writer):
            os.set_blocking(descriptor, False)
        self._before = {number: signal.signal(number, _ignore) for number in HANDLED}
        self._fd_before = signal.set_wakeup_fd(self.writer, warn_on_full_buffer=False)

    def wait(
        self,
        timeout: float | None,
        others: Sequence[HasFileno] = (),
        writers: Sequence[HasFileno] = (),
    ) -> list[int]:
        """Return the signals that came, in order; wait for one, or for news, if there is none.

        `timeout` is in seconds, None: no limit. News is also that one of `others` can be read, or
        one of `writers` be written to; nothing is in both.
        """
        poll = select.poll()  # unlike select(2), for descriptors above 1023 as well
        poll.register(self.reader, select.POLLIN)
        for other in others:
            poll.register(other, select.POLLIN)
        for writer in writers:
            poll.register(writer, select.POLLOUT)
        poll.poll(None if timeout is None else math.ceil(timeout * 1000))
        received: list[int] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reader, 4096):
                received += [number for number in data if number]
        return received

    def close(self, *, last: bool = False) -> None:
        """Give the signals back; orders are ignored where this is the `last` of the process.

        A signal that comes while Python ends would make a stop that went well look like a crash.
        """
        signal.set_wakeup_fd(self._fd_before)
        for number, handler in self._before.items():
            if last and number in ORDERS:
                handler = signal.SIG_IGN  # Python keeps that to its end, unlike its own handlers
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        os.close(self.reader)
        os.close(self.writer)


def tell(writer: int) -> None:
    """Say that there is news; `writer` is the mailbox's. Any process that has it may."""
    # Full: there is enough to wake up for. Closed at the other end: nobody is to be woken.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(writer, NEWS)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: Python has written the number into the pipe already."""
