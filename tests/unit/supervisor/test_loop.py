"""The loop with an imagined system: what cannot be had from real processes at will.

A script says what each wait brings: signals, workers that get ready, processes that end.
"""

from __future__ import annotations

import errno
import os
from signal import SIGCHLD, SIGHUP, SIGKILL, SIGTERM, SIGTTIN
from typing import TYPE_CHECKING, Any, cast

import pytest

from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_supervisor.decisions.autoworkers import Resources
from uvicorn_supervisor.holdings.handover import NOTHING_WISHED, Wishes
from uvicorn_supervisor.loop import TICK, Supervisor
from uvicorn_supervisor.observation.cgroups import Counts
from uvicorn_supervisor.system import Died
from uvicorn_worker.scoreboard.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.holdings.place import Place
    from uvicorn_supervisor.mailbox import Mailbox


class World:
    """A system, a mailbox and a place, in one: all that the loop touches."""

    def __init__(self, *turns: Any) -> None:
        self.turns: Iterator[Any] = iter(turns)
        self.clock = 1000.0
        self.pids: list[int] = []
        self.killed: list[tuple[int, int]] = []
        self.ended: list[Died] = []
        self.waits: list[float | None] = []
        self.forks_fail = False
        self.sockets: list[Any] = []
        self.stopped = False
        self.successor = self
        self.counters: dict[str, list[Any]] = {}
        self.reader, self.writer = os.pipe()
        self.supervisor: Supervisor | None = None

    def run(self, **options: Any) -> int:
        config = SupervisorConfig("shop:app", log_config=None, **options)
        self.supervisor = Supervisor(
            config, lambda: config, cast("Place", self), cast("Mailbox", self), self
        )
        try:
            return self.supervisor.run()
        finally:
            os.close(self.reader)
            os.close(self.writer)

    # -- for scripts

    def ready(self, *pids: int) -> None:
        """Let workers say that they serve."""
        assert self.supervisor is not None
        pool, nursery = self.supervisor._pool, self.supervisor._nursery
        for worker in pool.workers.values():
            if worker.pid in pids:
                nursery.slots[worker.number].claim(worker.pid, self.clock)
                nursery.slots[worker.number].set_phase(Phase.READY)

    def end(self, *pids: int, code: int = 0) -> None:
        """Let processes end, by default all that were forked."""
        self.ended += [Died(pid, code) for pid in pids or self.pids]

    def serve_and_exit(self, pid: int, code: int) -> None:
        """Let a worker serve and end before anybody has looked."""
        self.ready(pid)
        self.end(pid, code=code)

    # -- the mailbox

    def wait(self, timeout: float | None, others: object = (), writers: object = ()) -> list[int]:
        self.waits.append(timeout)
        self.clock += min(TICK, timeout or 0.0)
        turn = next(self.turns)
        return list(turn(self) or []) if callable(turn) else list(turn)

    # -- the system

    def now(self) -> float:
        return self.clock

    def chance(self) -> float:
        return 0.5

    def fork(self, child: object) -> int:
        if self.forks_fail:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self.pids.append(100 + len(self.pids))
        return self.pids[-1]

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))

    def reap(self) -> list[Died]:
        ended, self.ended = self.ended, []
        return ended

    def memory(self, pid: int) -> int | None:
        return 50 * 1024**2

    def free_memory(self) -> int | None:
        return None

    def resources(self) -> Resources:
        return Resources(processors=3)

    def look(self, pid: int = 0) -> None:
        """Tell nothing of a process; as a place, there is nothing to look at."""

    def counts(self) -> Counts:
        return Counts()

    def set_title(self, title: str) -> None:
        pass

    # -- the place

    succeeding = False
    wishes = NOTHING_WISHED
    rooms: tuple[int, ...] = ()
    predecessor = 0

    def serving(self) -> None:
        pass

    def explain(self, why: str) -> None:
        pass

    def stopping(self, *, accepting: bool) -> None:
        self.stopped = True

    def reaped(self, pid: int) -> bool:
        return False


def test_a_life_from_start_to_stop() -> None:
    world = World(
        lambda w: w.ready(100, 101),
        [SIGTERM],
        lambda w: w.end(100),
        lambda w: w.end(101),
    )

    assert world.run(workers=2) == 0
    assert world.pids == [100, 101]
    assert world.killed == [(100, SIGTERM), (101, SIGTERM)]
    assert world.stopped
    assert all(wait is not None and wait <= TICK for wait in world.waits), "there are workers"


def test_many_signals_at_once_are_all_seen() -> None:
    world = World(
        lambda w: w.ready(100),
        [SIGTTIN, SIGTTIN, SIGHUP, SIGCHLD, SIGTERM],
        lambda w: w.end(),
    )

    assert world.run() == 0
    assert len(world.pids) == 4, "two more, and a canary"
    assert {pid for pid, number in world.killed if number == SIGTERM} == set(world.pids)


def test_a_worker_that_served_unseen_has_not_failed_to_boot() -> None:
    world = World(
        lambda w: w.serve_and_exit(100, 3),
        lambda w: w.ready(101),
        [SIGTERM],
        lambda w: w.end(101),
    )

    assert world.run() == 0
    assert world.pids == [100, 101]


def test_strangers_are_reaped_quietly(caplog: pytest.LogCaptureFixture) -> None:
    world = World(
        lambda w: w.ready(100),
        lambda w: w.end(99999, code=7),
        [SIGTERM],
        lambda w: w.end(100),
    )

    assert world.run() == 0
    assert "99999" not in "".join(r.getMessage() for r in caplog.records if r.levelname != "DEBUG")


def test_without_processes_it_ends() -> None:
    world = World(*[[]] * 10)
    world.forks_fail = True

    assert world.run(workers=4) == 3


def test_forks_that_fail_later_are_tried_again() -> None:
    def fail(world: World) -> None:
        world.forks_fail = True
        world.end(100, code=-SIGKILL)

    def mend(world: World) -> None:
        world.forks_fail = False

    world = World(
        lambda w: w.ready(100, 101), fail, [], mend, [], [], [], [SIGTERM],
        lambda w: w.end(*w.pids[1:]),
    )  # fmt: skip

    assert world.run(workers=2) == 0
    assert len(world.pids) == 3


def test_as_many_as_fit_are_started_when_one_was_measured() -> None:
    world = World(
        lambda w: w.ready(100),
        lambda w: w.ready(101, 102),
        [SIGTERM],
        lambda w: w.end(),
    )

    assert world.run(workers="auto") == 0
    assert len(world.pids) == 3


@pytest.mark.parametrize(("workers", "later"), [("auto", 3), (1, 1)])
def test_what_a_predecessor_was_told_holds_until_a_reload(workers: object, later: int) -> None:
    counts = []

    def count(world: World) -> None:
        assert world.supervisor is not None
        counts.append(world.supervisor._pool.count)

    world = World(
        lambda w: w.ready(100, 101),
        count,
        [SIGHUP],
        lambda w: w.ready(102),
        count,
        [SIGTERM],
        lambda w: w.end(),
    )
    world.succeeding, world.predecessor = True, 1
    world.wishes = Wishes(workers=2)

    assert world.run(workers=workers) == 0
    assert counts == [2, later]
