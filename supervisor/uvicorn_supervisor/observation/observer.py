"""What the supervisor sees of its workers, as events: scoreboard, memory, processes.

Only looks; nothing here changes anything.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.autoworkers import choose
from uvicorn_supervisor.decisions.deaths import Death, describe, how, killed_for_memory
from uvicorn_supervisor.decisions.lifecycle import READY, STARTING
from uvicorn_supervisor.decisions.messages import (
    Examine,
    Examined,
    Leaving,
    Observed,
    Ready,
    Resize,
)
from uvicorn_supervisor.observation.examine import judge
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Event
    from uvicorn_supervisor.decisions.pool import Pool
    from uvicorn_supervisor.observation.examine import Look
    from uvicorn_supervisor.system import System
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.memory import SlotView

SAMPLE_AGE: Final = 3.0  # seconds after which memory is looked at again, for who asks
SAMPLING: Final = 0.05  # seconds of a second, for all workers together

log: Final = logging.getLogger("uvicorn.supervisor")


class Observer:
    """Looks at the workers of a pool."""

    def __init__(self, pool: Pool, board: Scoreboard, system: System) -> None:
        self._pool = pool
        self._board = board
        self._system = system
        self._looks: dict[int, tuple[float, Look | None]] = {}  # by number: heartbeat, look then
        self._measured = 0.0  # when memory was looked at
        self._memory: dict[int, tuple[float, int]] = {}  # by number: when, bytes
        self._counts = system.counts()
        self._second = self._spent = 0.0  # since when, and how long memory was looked at

    def observe(self, memory_interval: float) -> Iterator[Event]:
        """Yield what workers have written on the scoreboard, and what memory they use."""
        now = self._system.now()
        measures = self._pool.limits.memory > 0 and now - self._measured >= memory_interval
        if measures:
            self._measured = now
        for view in self._board.views():
            yield from self.changed_phase(view)
            worker = self._pool.workers.get(view.generation)
            if worker is not None and worker.state is READY:
                self._look(worker, view.heartbeat)
                memory, headroom = self._measure(worker) if measures else (None, True)
                yield Observed(worker.number, view.heartbeat, view.total, memory, headroom)

    def booted(self) -> Iterator[Ready]:
        """Yield who has become ready; nothing else that is on the scoreboard."""
        for view in self._board.views():
            for event in self.changed_phase(view):
                if isinstance(event, Ready):
                    yield event

    def changed_phase(self, view: SlotView) -> Iterator[Event]:
        """Yield what a worker has said of itself that the pool does not know yet."""
        worker = self._pool.workers.get(view.generation)
        if worker is None:
            return
        if view.phase is Phase.READY and worker.state is STARTING:
            yield Ready(worker.number)
        elif view.phase in (Phase.DRAINING, Phase.EXITED) and worker.live:
            yield Leaving(worker.number)

    def fit(self) -> Resize | None:
        """Return how many workers fit, as soon as one is ready to be measured."""
        for worker in self._pool.workers.values():
            if worker.state is READY and (used := self._system.memory(worker.pid)):
                resources = self._system.resources()
                if resources.memory is not None:
                    # What this one has is there for workers as well.
                    resources = replace(resources, memory=resources.memory + used)
                return Resize(*choose(resources, used))
        return None

    def examine(self, action: Examine) -> Examined:
        """Log why a worker's loop does not turn; say whether it is to blame."""
        after = self._system.look(action.pid)
        if after is None:
            return Examined(action.number, starved=False)
        finding = judge(self._looks.get(action.number, (0.0, None))[1], after)
        log.warning(
            "Worker %d (pid %d): its event loop has not turned for %.1f s: %s",
            self._pool.workers[action.number].slot,
            action.pid,
            action.silent,
            finding.text,
        )
        return Examined(action.number, finding.starved)

    def memory(self, worker: Worker) -> int | None:
        """Return what a worker uses, as of some seconds ago; None where that is not known."""
        now = self._system.now()
        when, used = self._memory.get(worker.number, (now - SAMPLE_AGE, None))
        if now - when < SAMPLE_AGE or not self._may_measure(now):
            return used
        measured = self._system.memory(worker.pid)
        self._spent += self._system.now() - now
        if measured is not None:
            self._memory[worker.number] = now, measured
        return measured

    def _may_measure(self, now: float) -> bool:
        """Whether there is time for a look: the kernel takes milliseconds for a large process."""
        if now - self._second >= 1.0:
            self._second, self._spent = now, 0.0
        return self._spent < SAMPLING

    def died(self, worker: Worker, view: SlotView, code: int, words: str) -> str:
        """Log what is known of the end of a worker, where nothing has announced it.

        `words` are the worker's own; returns them, or why one could not boot that has said none.
        """
        counts, before = self._system.counts(), self._counts
        self._counts = counts
        measured = self._memory.pop(worker.number, None)
        self._looks.pop(worker.number, None)
        if worker.state is not READY and (words or worker.state is not STARTING):
            return words
        now = self._system.now()
        death = Death(
            code=code,
            memory=measured[1] if measured else None,
            memory_age=now - measured[0] if measured else 0.0,
            oom=killed_for_memory(before, counts),
            in_flight=view.in_flight,
            answered=view.total,
            beat_age=now - view.heartbeat,
            lived=None if worker.ready_at is None else now - worker.ready_at,
        )
        log.error("Worker %d (pid %d) has died: %s", worker.slot, worker.pid, describe(death))
        return words if worker.state is READY else how(death)

    def _look(self, worker: Worker, heartbeat: float) -> None:
        """Keep what the process was like when its loop turned last."""
        if self._looks.get(worker.number, (None,))[0] != heartbeat:
            self._looks[worker.number] = heartbeat, self._system.look(worker.pid)

    def _measure(self, worker: Worker) -> tuple[int | None, bool]:
        used, free = self._system.memory(worker.pid), self._system.free_memory()
        if used is None:
            return None, True
        self._memory[worker.number] = self._system.now(), used
        return used, free is None or free >= used
