"""What signals told a worker: facts that handlers note, for the event loop to act upon."""

from __future__ import annotations

import time
from typing import NamedTuple


class Term(NamedTuple):
    """SIGTERM, however often it came: some masters repeat it."""

    at: float
    """When it came first."""
    again_at: float
    """When it came last."""
    successor: int
    """Generation of the youngest worker that was booting when it came, if any was; else 0."""


class Orders:
    """Written in signal handlers, so nothing here logs, waits or allocates much.

    Instants are monotonic; None: not told. `pending` are signals to be dealt with by and by.
    """

    __slots__ = (
        "_called_off",
        "_term",
        "aborted",
        "overdue",
        "pending",
        "quit_at",
        "quit_noticed",
    )

    def __init__(self) -> None:
        self._term: Term | None = None
        self._called_off: Term | None = None
        self.quit_at: float | None = None
        self.quit_noticed = False  # the loop acts upon it
        self.aborted = False
        self.overdue = False  # time is up, and the loop did not come round to ending the worker
        self.pending: list[int] = []

    @property
    def told(self) -> Term | None:
        """SIGTERM, unless what it asked for was called off."""
        return None if self._term is self._called_off else self._term

    @property
    def to_go(self) -> bool:
        return self.told is not None or self.quit_at is not None or self.aborted

    def term(self, successor: int = 0) -> bool:
        """Note SIGTERM, and the youngest worker that is booting; return whether it is the first.

        One that comes again because of the same workers may find them gone.
        """
        told, now = self.told, time.monotonic()
        if told is None:
            self._term = Term(now, now, successor)
        else:
            self._term = Term(told.at, now, successor or told.successor)
        return told is None

    def call_off(self, term: Term) -> None:
        """Forget SIGTERM as it was known when that was decided; one that has come since counts."""
        self._called_off = term

    def quit(self) -> bool:
        """Note SIGQUIT or SIGINT; return whether it is the first."""
        first = self.quit_at is None
        if first:
            self.quit_at = time.monotonic()
        return first
