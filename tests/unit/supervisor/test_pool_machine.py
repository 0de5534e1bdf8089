"""The pool under any order of events: what has to hold whatever happens.

- Workers that serve are never fewer than the configured number by the pool's own doing: whoever
  is told to go leaves enough behind, unless there was no memory for two.
- No pid gets a signal that is not, or no longer, a worker's (the driver sees to it).
- The loop always has a next deadline, or nothing to wait for (the driver as well).
- Whoever has given an order is told what became of it, once the pool has come to rest.
- Left alone with workers that boot, the pool comes to rest with as many as it is to have.
"""

from __future__ import annotations

from signal import SIGURG
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.decisions.lifecycle import DRAINING, READY, STARTING
from uvicorn_supervisor.decisions.limits import Limits
from uvicorn_supervisor.decisions.messages import (
    Examined,
    Fewer,
    ForkFailed,
    Leaving,
    More,
    Notify,
    Observed,
    Prepared,
    PrepareFailed,
    Quit,
    Recycle,
    Reload,
    Reopen,
    Resize,
    Stop,
    Tell,
    Tick,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
    Withdraw,
)
from uvicorn_supervisor.decisions.verdicts import Replaced, Serves, Upgraded

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Action, Event
    from uvicorn_supervisor.decisions.verdicts import Goal

# Short limits: their deadlines are met within a run of some dozen events.
LIMITS = Limits(
    boot=8, healthcheck=6, graceful=10, drain_delay=2, requests=50, requests_jitter=10, age=40,
    memory=100,
)  # fmt: skip

CODES = st.sampled_from([0, 1, 3, 4, -9, -11])


class Machine(Drive):
    """A driver in which releases and forks take their time."""

    def __init__(self, count: int, limits: Limits) -> None:
        super().__init__(count, limits, forks=False)
        self.preparing: list[int] = []

    def prepare(self, release: int) -> list[Event]:
        self.preparing.append(release)
        return []

    def send(self, event: Event) -> list[Action]:
        before = self.pool.ready, self.pool.count
        lost = self._goes_by_itself(event)
        acted = super().send(event)
        self._check_capacity(acted, before, lost)
        return acted

    def _goes_by_itself(self, event: Event) -> bool:
        return isinstance(event, Leaving)

    def _check_capacity(self, acted: list[Action], before: tuple[int, int], lost: bool) -> None:
        """Whoever is told SIGTERM leaves as many behind as there are to be."""
        told = [a.number for a in acted if isinstance(a, Tell) and a.signal.name == "SIGTERM"]
        served = [
            number
            for number in told
            if (worker := self.pool.workers.get(number)) is not None
            and worker.ready_at is not None
            and worker.state is DRAINING
            and "no room for two" not in worker.reason
        ]
        if served and not self.pool.ending and not lost:
            wanted = min(before[1], self.pool.count) if self.pool.count else 0
            assert self.pool.ready >= min(wanted, before[0]), (told, self.state())

    def wanted(self) -> int:
        return 0 if self.pool.ending else self.pool.count


class AnyOrder(RuleBasedStateMachine):
    """Events in any order, from a system in which everything may fail."""

    @initialize(count=st.integers(1, 4), replacing=st.integers(1, 3))
    def start(self, count: int, replacing: int) -> None:
        limits = Limits(
            **{name: getattr(LIMITS, name) for name in Limits.__slots__}
            | {"max_replacing": replacing}
        )
        self.drive = Machine(count, limits)
        self.goals: list[Goal] = []
        self.drive.send(Reload())

    def workers(self, *states: object) -> list[Worker]:
        return [one for one in self.drive.pool.workers.values() if one.state in states]

    # -- the system

    @precondition(lambda self: self.drive.asked)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        spawn = data.draw(st.sampled_from(self.drive.asked))
        self.drive.asked.remove(spawn)
        if data.draw(st.integers(0, 9)):
            self.drive.send(self.drive.fork(spawn.number))
        else:
            self.drive.send(ForkFailed(spawn.number, "no memory", 0.5))

    @precondition(lambda self: self.drive.preparing)
    @rule(works=st.sampled_from([True, True, True, False]), count=st.integers(1, 4))
    def prepared(self, works: bool, count: int) -> None:
        release = self.drive.preparing.pop(0)
        if works:
            self.drive.send(Prepared(release, count, self.drive.limits))
        else:
            self.drive.send(PrepareFailed(release, "a typing error", 1))

    @precondition(lambda self: self.workers(STARTING))
    @rule(data=st.data())
    def gets_ready(self, data: st.DataObject) -> None:
        self.drive.ready(data.draw(st.sampled_from(self.workers(STARTING))).number)

    @precondition(lambda self: self.drive.processes)
    @rule(data=st.data(), code=CODES)
    def exits(self, data: st.DataObject, code: int) -> None:
        self.drive.exit(data.draw(st.sampled_from(sorted(self.drive.processes))), code)

    @precondition(lambda self: self.workers(READY))
    @rule(data=st.data(), requests=st.integers(0, 70), memory=st.integers(0, 200))
    def observed(self, data: st.DataObject, requests: int, memory: int) -> None:
        worker = data.draw(st.sampled_from(self.workers(READY)))
        headroom = data.draw(st.booleans())
        beat = self.drive.now - data.draw(st.integers(0, 3))
        self.drive.send(Observed(worker.number, beat, requests, memory, headroom))

    @precondition(lambda self: self.drive.processes)
    @rule(data=st.data(), starved=st.booleans(), what=st.sampled_from(["leaving", "examined"]))
    def news(self, data: st.DataObject, starved: bool, what: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.drive.processes)))
        self.drive.send(Leaving(number) if what == "leaving" else Examined(number, starved))

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.0, 4.0, 9.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.drive.now += seconds
        self.drive.send(Tick())
        self.drive.send(Tick())

    @rule()
    def time_comes(self) -> None:
        """Time passes until the next deadline, in steps as the loop's."""
        end = min(self.drive.pool.next_deadline(), self.drive.now + 60)
        while self.drive.now < end:
            self.drive.now = min(end, self.drive.now + 1)
            self.drive.send(Tick())

    # -- people

    @rule(event=st.sampled_from([More(), Fewer(), Resize(2, "control"), Reopen(), Notify(SIGURG)]))
    def order(self, event: Event) -> None:
        self.drive.send(event)

    @rule(alone=st.booleans())
    def reload(self, alone: bool) -> None:
        self.goals.append(Serves.after_reload(self.drive.pool, alone=alone))
        self.drive.send(Reload())

    @rule()
    def start_upgrade(self) -> None:
        self.goals.append(Upgraded.after_upgrade(self.drive.pool))
        self.drive.send(Upgrade())

    @precondition(lambda self: self.workers(READY))
    @rule(data=st.data())
    def recycle(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(self.workers(READY)))
        self.goals.append(Replaced(worker.number))
        self.drive.send(Recycle(worker.number, "told so"))

    @rule(event=st.sampled_from([Upgrading(9), UpgradeFailed("exit code 1"), Reload(), Fewer()]))
    def upgrade(self, event: Event) -> None:
        self.drive.send(event)

    @rule(chance=st.integers(0, 9), event=st.sampled_from([Stop(), Quit(), UpgradeReady()]))
    def stop(self, chance: int, event: Event) -> None:
        if chance == 0:
            self.drive.send(event)

    @rule(chance=st.integers(0, 4))
    def withdraw(self, chance: int) -> None:
        if chance == 0:
            self.drive.send(Withdraw())

    # -- what holds

    @invariant()
    def processes_are_bounded(self) -> None:
        pool = self.drive.pool
        live = sum(worker.live for worker in pool.workers.values())
        most = max(1, pool.count, self.drive.configured) + self.drive.limits.max_replacing + 1
        # A seat can have a successor of an older release and a canary beside it.
        assert live <= 2 * most

    @invariant()
    def an_end_is_an_end(self) -> None:
        if self.drive.exit_code is not None:
            assert not self.drive.pool.workers

    def teardown(self) -> None:
        """Everything works from now on: the pool comes to rest as it should be."""
        drive = self.drive
        end = drive.now + 50
        while drive.now < end and drive.exit_code is None:
            if self._move():
                continue
            drive.now += 2.0
            for worker in self.workers(READY):
                drive.send(Observed(worker.number, drive.now))
            drive.send(Tick())
        pool = drive.pool
        if pool.successor.attempts > pool.successor.failed:  # the system always answers
            drive.send(UpgradeFailed("exit code 1"))
        assert [one for one in self.goals if one.verdict(pool) is None] == [], drive.state()
        if pool.ending:
            assert drive.exit_code is not None, drive.state()
        elif pool.releases.serving:
            assert pool.ready >= pool.count, drive.state()
            assert len(pool.workers) <= pool.count + 2 * max(1, pool.count) + 3

    def _move(self) -> bool:
        """Let one process do what it is about to; return whether there was one."""
        drive = self.drive
        gone = [one.number for one in drive.pool.workers.values() if one.pid and one.leaving]
        if drive.preparing:
            drive.send(Prepared(drive.preparing.pop(0), 2, drive.limits))
        elif drive.asked:
            drive.send(drive.fork(drive.asked.pop(0).number))
        elif gone:
            drive.exit(gone[0])
        elif booting := self.workers(STARTING):
            drive.ready(booting[0].number)
        else:
            return False
        return True


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(
    max_examples=50,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
