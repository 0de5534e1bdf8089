"""What signals told a worker: facts that handlers note, for the event loop to act upon."""

from __future__ import annotations

import signal
import time
from typing import Final

# Of these a worker takes note only; nobody who knows Gunicorn sends it SIGHUP or SIGUSR2.
IGNORED: Final = (signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH)


class Orders:
    """Written in signal handlers, so nothing here logs, waits or allocates much.

    Instants are monotonic; None: not told. `pending` are signals to be dealt with by and by.
    """

    __slots__ = ("aborted", "overdue", "pending", "quit_at", "quit_noticed", "term_at")

    def __init__(self) -> None:
        self.term_at: float | None = None
        self.quit_at: float | None = None
        self.quit_noticed = False  # the loop acts upon it
        self.aborted = False
        self.overdue = False  # time is up, and the loop did not come round to ending the worker
        self.pending: list[int] = []

    @property
    def to_go(self) -> bool:
        return self.term_at is not None or self.quit_at is not None or self.aborted

    def term(self) -> bool:
        """Note SIGTERM; return whether it is the first: Gunicorn repeats it every second."""
        first = self.term_at is None
        if first:
            self.term_at = time.monotonic()
        return first

    def quit(self) -> bool:
        """Note SIGQUIT or SIGINT; return whether it is the first."""
        first = self.quit_at is None
        if first:
            self.quit_at = time.monotonic()
        return first
