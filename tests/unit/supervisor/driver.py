"""A pool with imagined processes: answers its actions as the system would, and keeps watch.

    pool = Drive(count=2)
    pool.start()                    # both are ready
    pool.send(Reload())
    pool.ready(3)                   # the canary

`acted` are the actions of the latest event. Rules that hold always are checked at every step.
"""

from __future__ import annotations

from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.lifecycle import FORKING, KILLED, READY, STARTING, STOPPED
from uvicorn_supervisor.decisions.limits import NEVER, Limits
from uvicorn_supervisor.decisions.messages import (
    EndUpgrade,
    Examine,
    Exit,
    Exited,
    Forked,
    Observed,
    Prepare,
    Prepared,
    Ready,
    Reload,
    Say,
    Spawn,
    StartUpgrade,
    Tell,
    Tick,
)
from uvicorn_supervisor.decisions.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Action, Event


class Drive:
    """A pool, the time, and which pids are somebody's."""

    def __init__(self, count: int = 2, limits: Limits | None = None, *, forks: bool = True) -> None:
        self.configured = count
        self.limits = limits or Limits()
        self.pool = Pool(self.limits)
        self.now = 1000.0
        self.acted: list[Action] = []
        self.processes: dict[int, int] = {}  # pid by number
        self.asked: list[Spawn] = []  # without an answer
        self.exit_code: int | None = None
        self._forks = forks
        self._next_pid = 100

    def start(self) -> Drive:
        """Let the first release serve."""
        self.send(Reload())
        for number in tuple(self.processes):
            self.ready(number)
        return self

    def send(self, event: Event) -> list[Action]:
        """Give one event, answer what follows; return all actions."""
        acted: list[Action] = []
        events = [event]
        while events:
            event = events.pop(0)
            ready = {one.number: one for one in self.pool.workers.values() if one.state is READY}
            actions = self.pool.step(event, self.now)
            self.check_capacity(ready, actions)
            acted += actions
            for action in actions:
                events += self._answer(action)
            self.check(event)
        self.acted = acted
        return acted

    def _answer(self, action: Action) -> list[Event]:
        match action:
            case Prepare(release=release):
                return self.prepare(release)
            case Spawn(number=number):
                if self._forks:
                    return [self.fork(number)]
                self.asked.append(action)
            case Tell(number=number, pid=pid):
                assert self.processes.get(number) == pid, f"{action} to a pid that is nobody's"
            case Exit(code=code):
                assert not self.processes, "left although there are workers"
                assert self.exit_code is None, "left twice"
                self.exit_code = code
            case Examine() | StartUpgrade() | EndUpgrade() | _:
                pass
        return []

    def prepare(self, release: int) -> list[Event]:
        """Return how a release is prepared; to be overridden."""
        return [Prepared(release, self.configured, self.limits)]

    def fork(self, number: int) -> Forked:
        """Give a worker its process."""
        self._next_pid += 1
        self.processes[number] = self._next_pid
        return Forked(number, self._next_pid, 0.5)

    def ready(self, number: int) -> list[Action]:
        return self.send(Ready(number))

    def exit(self, number: int, code: int = 0) -> list[Action]:
        """Reap a worker's process."""
        del self.processes[number]
        return self.send(Exited(number, code, 0.0))

    def wait(self, seconds: float, *, beat: bool = True) -> list[Action]:
        """Let time pass as the loop does: a look each second; return all actions."""
        acted: list[Action] = []
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            for worker in tuple(self.pool.workers.values()):
                if beat and worker.state is READY:
                    acted += self.send(Observed(worker.number, self.now))
            acted += self.send(Tick())
        return acted

    def check(self, event: Event) -> None:
        """What holds after every step, whatever happens."""
        deadline = self.pool.next_deadline()
        assert deadline > self.now or event != Tick(), "the loop would spin"
        # Whoever was killed ends by itself; whoever is ready need not do anything.
        waits = {one.state for one in self.pool.workers.values()} - {READY, KILLED, STOPPED}
        if not self.limits.boot:
            waits -= {FORKING, STARTING}
        if waits:
            assert deadline < NEVER, "somebody is awaited for ever"

    def check_capacity(self, ready: Mapping[int, Worker], actions: Sequence[Action]) -> None:
        """Nobody who serves is told to go before somebody else does; `ready` served before."""
        pool = self.pool
        told = {one.number for one in actions if isinstance(one, Tell) and one.signal == SIGTERM}
        # Where memory is too small for two, it goes first.
        told = {number for number in told & ready.keys() if not ready[number].crowded}
        if told and not pool.ending and pool.count:
            assert pool.ready >= min(pool.count, len(ready)), f"{told} served, and nobody else does"

    # -- what to look at

    def state(self) -> dict[int, str]:
        """Return who is in which state."""
        return {number: one.state.value for number, one in self.pool.workers.items()}

    def told(self) -> dict[int, str]:
        """Return who was told what by the latest event."""
        return {a.number: a.signal.name for a in self.acted if isinstance(a, Tell)}

    def spawned(self) -> list[Spawn]:
        return [action for action in self.acted if isinstance(action, Spawn)]

    def said(self, level: str) -> list[str]:
        return [a.text for a in self.acted if isinstance(a, Say) and a.level == level]

    def killed(self) -> set[int]:
        return {a.number for a in self.acted if isinstance(a, Tell) and a.signal == SIGKILL}
