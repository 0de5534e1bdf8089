"""Counts why workers had to be replaced, for the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.lifecycle import SILENT, STOPPED
from uvicorn_worker.errors import EXIT_APP_EXITED
from uvicorn_worker.metrics.layout import REASONS, RESTARTS
from uvicorn_worker.scoreboard.rooms import MASTER

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_worker.scoreboard.board import Scoreboard


class Tally:
    """The counters of one supervisor, which alone writes there."""

    def __init__(self, board: Scoreboard) -> None:
        self._counts = board.rooms[MASTER].cast("q")

    def note(self, worker: Worker, serving: int) -> None:
        """Count a worker that has ended, where another one has to take its place.

        `serving` is the release that serves now.
        """
        if worker.state is STOPPED and (reason := reason_of(worker, serving)):
            self._counts[RESTARTS + REASONS.index(reason)] += 1


def reason_of(worker: Worker, serving: int) -> str:
    """Return why a worker that has ended had to be replaced; empty: it was not needed any more."""
    if worker.failed_boot:
        return "boot"
    if not worker.told:
        return "hung" if worker.reason.startswith(SILENT) else "died"
    if worker.due:
        return worker.due.split()[0]
    if worker.code == EXIT_APP_EXITED:
        return "exit"
    return "reload" if worker.release < serving else ""
