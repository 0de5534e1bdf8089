"""What the workers of one master share, and their first moment after the fork.

Gunicorn makes a worker object in the master and forks at once afterwards. That is when the slot on
the scoreboard is reserved.

A master that is told to stop right after a fork sends SIGTERM once, maybe before the child has run
at all; and Python forgets, in a child, what came in before its own first steps. So the signals are
blocked from before the fork until the child has its handlers: the kernel keeps them that long.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.process.family import Family
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.slots import Slot

# What somebody may send to a worker that has just been forked.
HELD_BACK: Final = (
    signal.SIGTERM,
    signal.SIGQUIT,
    signal.SIGINT,
    signal.SIGABRT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGHUP,
)

_boards: dict[int, Scoreboard] = {}
_expected: Forked | None = None
_registered = False
_mask: set[int] | None = None  # of the forking thread, while signals are held back


class Forked(Protocol):
    """A worker object as the fork finds it."""

    pid: int | str

    def forked(self) -> None:
        """Called in the child, before any other Python code."""


def scoreboard() -> Scoreboard:
    """Return the board of the workers that this process is the master of."""
    pid = os.getpid()
    if pid not in _boards:
        _boards.clear()  # a former process's: we were forked, and its workers are not ours
        _boards[pid] = board = Scoreboard()
        if os.environ.get("GUNICORN_PID") == str(os.getppid()):  # SIGUSR2 has started this one
            board.lease.wait_for(os.getppid())
    return _boards[pid]


def reserve(board: Scoreboard, generation: int) -> Slot:
    """Return a slot for a worker; one that nobody else sees when all are taken."""
    now = time.monotonic()
    slot = board.reserve(generation, now) or Scoreboard(1).reserve(generation, now)
    assert slot is not None
    return slot


def expect_fork(worker: Forked) -> None:
    """Call `worker.forked()` in the child that is about to be forked for this worker."""
    global _expected, _registered
    _expected = worker
    if not _registered:
        _registered = True
        os.register_at_fork(
            before=_before_fork, after_in_parent=_let_through, after_in_child=_in_child
        )


def _is_expected() -> bool:
    # The master gives a worker its number right after the fork: with one, this is another fork
    # (of a second master, of a process of the application's).
    return _expected is not None and not isinstance(_expected.pid, int)


def _before_fork() -> None:
    global _mask
    if _is_expected():
        _mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)


def _in_child() -> None:
    try:
        if _expected is not None and _is_expected():
            _expected.forked()
    finally:
        _let_through()


def _let_through() -> None:
    global _mask
    if _mask is not None:
        mask, _mask = _mask, None
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Siblings(Family):
    """Who else there is, for workers that Gunicorn replaces when they have gone."""

    def successor(self) -> int:
        """Return the generation of the youngest worker that is booting; 0: none is."""
        return max(self._younger(Phase.BOOTING), default=0)

    def relieved(self, since: float) -> bool:
        return any(view.heartbeat > since for view in self._board.siblings(self._slot, Phase.READY))

    def expected(self, youngest: int) -> bool:
        # One that has failed counts until it was reaped: Gunicorn's own count changes then.
        may_serve = self._younger(Phase.BOOTING, Phase.READY, Phase.FAILED)
        return any(generation <= youngest for generation in may_serve)

    def dismissed(self, generation: int) -> bool:
        view = self._board.find(generation)
        return view is not None and view.phase in (Phase.DRAINING, Phase.EXITED)

    def irreplaceable(self) -> bool:
        """Return whether nobody else serves, and whoever would replace this worker cannot boot."""
        return self._board.boots.last_failed and not self.ready()

    def awaited(self) -> bool:
        """Return whether nobody else serves, but others are on their way to it or from it."""
        return not self.ready() and self._board.has_company(self._slot)
