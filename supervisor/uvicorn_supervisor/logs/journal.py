"""What the log says of single workers: one line for every change of state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.lifecycle import ABORTED, FORKING, KILLED, STARTING, STOPPED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_supervisor.decisions.lifecycle import Worker

log: Final = logging.getLogger("uvicorn.supervisor")


class Journal:
    """Compares workers before and after each event."""

    def __init__(self) -> None:
        self._known: dict[int, Worker] = {}

    def note(
        self, workers: Mapping[int, Worker], stopped: Mapping[int, Worker]
    ) -> list[tuple[Worker, int]]:
        """Log what has become of the workers; return those that have changed, and their pids.

        `stopped` are those that have just ended.
        """
        changed = []
        for number, worker in {**workers, **stopped}.items():
            before = self._known.get(number)
            if before is None or before.state is not worker.state:
                pid = worker.pid or (before.pid if before else 0)
                changed.append((worker, pid))
                self._log(worker, before, pid)
        self._known = dict(workers)
        return changed

    def _log(self, worker: Worker, before: Worker | None, pid: int) -> None:
        if worker.state is FORKING:
            return
        log.log(
            _level(worker),
            "Worker %d (pid %d): %s -> %s%s",
            worker.slot,
            pid,
            before.state.value if before else "none",
            worker.state.value,
            f" ({worker.reason})" if worker.reason else "",
        )


def _level(worker: Worker) -> int:
    if worker.state in (ABORTED, KILLED):
        return logging.ERROR
    if worker.state is STOPPED and not worker.told:
        return logging.ERROR
    if worker.state is STOPPED and worker.code:
        return logging.WARNING
    return logging.DEBUG if worker.state is STARTING else logging.INFO
