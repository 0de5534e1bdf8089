"""A server that answers signals while it runs; what it does about them is not here.

Handlers only note what they were told (`single.Orders`) and wake the loop. One acts at once: who
is told to stop while the application is being loaded is interrupted there, as no loop turns yet.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import EXIT_STOPPED
from uvicorn_worker.process.guard import Guard
from uvicorn_worker.process.interruption import Interruption
from uvicorn_worker.process.single import IDLE, IDLE_IN_A_HURRY, Orders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
OTHER_SIGNALS: Final = (signal.SIGHUP, signal.SIGUSR1)

# Seconds after the second signal: a loop that does not turn is interrupted, then the process ends.
INTERRUPT: Final = 1.5
END: Final = 4.0

STDERR: Final = 2  # the descriptor


class SignalledServer:
    """What a server knows of its orders.

    Attributes: `should_exit`, set it to let the server end what it does and go, `force_exit` to
    let it go at once; any thread may, and signal handlers.
    """

    def __init__(self) -> None:
        self._orders = Orders()
        self._loading = Interruption()  # of the application
        self._overdue = False
        self._capturing = False
        self._guard: Guard | None = None
        self._terminals: list[int] = []

    @property
    def should_exit(self) -> bool:
        """Whether the server is to stop, or has."""
        return self._orders.stop

    @should_exit.setter
    def should_exit(self, value: bool) -> None:
        self._orders.stop = value

    @property
    def force_exit(self) -> bool:
        """Whether it is to stop without waiting for anything in flight."""
        return self._orders.force

    @force_exit.setter
    def force_exit(self, value: bool) -> None:
        self._orders.force = value

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Answer signals meanwhile, in the main thread; others have none to answer."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._terminals = [fd for fd in range(3) if os.isatty(fd)]
        before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, *OTHER_SIGNALS)}
        self.install_signal_handlers()
        self._capturing = True
        try:
            yield
        finally:
            self._capturing = False
            if self._guard is not None:
                self._guard.disarm()  # what comes now is the program's business
            for number, handler in before.items():
                # None: installed by something else than Python, which cannot be put back.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def install_signal_handlers(self) -> None:
        """Let this server answer signals; to be overridden by who wants to answer them himself."""
        # `signal.signal`, not the loop's handlers: those lose what comes before the loop turns.
        for number in STOP_SIGNALS:
            signal.signal(number, self.handle_exit)
        for number in OTHER_SIGNALS:
            signal.signal(number, self.handle_other)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGINT and SIGTERM: go when the work is done; the second time: go now."""
        if self._loading.running:  # it may take its time, and nothing could be lost yet
            if self._orders.stop:
                self._arm_guard()
            self._orders.stop = True
            self._loading.strike(frame)
            return
        if self._overdue:
            raise SystemExit(EXIT_STOPPED)
        if self._orders.stop:
            self._orders.force = True
            self._arm_guard()
            return
        # A proxy may send something yet, a person waits.
        self._orders.idle = IDLE if sig == signal.SIGTERM else IDLE_IN_A_HURRY
        self._orders.stop = True

    def handle_other(self, sig: int, frame: FrameType | None) -> None:
        """SIGHUP and SIGUSR1: note them for the loop, as logging takes locks."""
        if sig not in self._orders.pending:
            self._orders.pending.append(sig)
        self._orders.wake()

    def _arm_guard(self) -> None:
        """See to it that the process ends, although the loop may be blocked."""
        if self._guard is None:
            now = time.monotonic()
            self._guard = Guard(now + INTERRUPT, self._interrupt, now + END, EXIT_STOPPED, STDERR)

    def _interrupt(self) -> None:
        """Break into what keeps the loop from ending; called by the guard, in its thread."""
        self._overdue = True
        main = threading.main_thread().ident
        if self._capturing and main is not None:  # else nothing of ours keeps the process
            signal.pthread_kill(main, signal.SIGTERM)

    def _terminal_is_gone(self) -> bool:
        """Whether SIGHUP meant what it did first: somebody has closed the window."""
        return bool(self._terminals) and not any(map(os.isatty, self._terminals))
