"""The workers of a supervisor: who they are, what befalls them, how often they fail. Pure.

Facts and the ways to change them; who is to come and who is to go is decided in `seating`.

**Seats.** A worker and the one that is to replace it share a slot, and with that a seat.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.lifecycle import READY, STOPPED, Retire, Worker, step
from uvicorn_supervisor.decisions.limits import STABLE, Backoff, Limits
from uvicorn_supervisor.decisions.messages import Spawn

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Order
    from uvicorn_supervisor.decisions.messages import Action, Event

Seats = dict[int, list[Worker]]
"""Workers that serve or are going to, by slot; in each the oldest first."""

# Workers on their way out for each that is to serve: beyond it, nobody is replaced for a while.
MOST_LEAVING: Final = 2


class Staff:
    """All workers that have a process, or are about to; `actions` grow by what is to be done."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.workers: dict[int, Worker] = {}  # by number
        self.gone: dict[int, Worker] = {}  # whoever ended in the latest step
        self.actions: list[Action] = []
        self.ever_ready = False
        self.starts: dict[int, int] = {}  # of workers, by slot
        self.failure = ""  # why the latest boot has failed
        self.boots = Backoff()  # failed ones, of anybody
        self.deaths: dict[int, Backoff] = {}  # of workers that had served, by slot
        self._numbers = 0

    @property
    def ready(self) -> int:
        """How many workers serve."""
        return sum(worker.state is READY for worker in self.workers.values())

    def seats(self) -> Seats:
        seats: Seats = {}
        for worker in sorted(self.workers.values(), key=lambda worker: worker.number):
            if worker.live:
                seats.setdefault(worker.slot, []).append(worker)
        return seats

    def spawn(self, slot: int | None, release: int, now: float) -> int:
        """Start a worker, in a seat of its own if none is given; return its number."""
        if slot is None:
            seats = self.seats()
            slot = next(free for free in range(1, len(seats) + 2) if free not in seats)
        self._numbers += 1
        number = self._numbers
        self.workers[number] = Worker(
            number=number, slot=slot, release=release, deadline=self.limits.boot_deadline(now)
        )
        self.starts[slot] = self.starts.get(slot, 0) + 1
        self.actions.append(Spawn(number, slot, release))
        return number

    def advance(self, worker: Worker, event: Event | Order, now: float) -> Worker:
        """Let a worker take note of an event; return what has become of it."""
        changed, actions = step(worker, event, now, self.limits)
        self.actions += actions
        if changed.state is STOPPED:
            del self.workers[worker.number]
            self.gone[worker.number] = changed
        else:
            self.workers[worker.number] = changed
        if changed.state is READY and worker.state is not READY:
            self.ever_ready, self.boots = True, Backoff()
        return changed

    def advance_all(self, event: Event | Order, now: float) -> None:
        for worker in tuple(self.workers.values()):
            self.advance(worker, event, now)

    def retire(self, worker: Worker, reason: str, now: float) -> None:
        self.advance(worker, Retire(reason, self.limits.graceful), now)

    def move(self, worker: Worker, slot: int) -> None:
        """Give a worker another seat."""
        self.workers[worker.number] = replace(worker, slot=slot)

    def postpone(self, seconds: float) -> None:
        """Move all deadlines: the supervisor itself did not run for so long."""
        for worker in tuple(self.workers.values()):
            self.workers[worker.number] = replace(worker, deadline=worker.deadline + seconds)

    # -- failures

    def count_failure(self, worker: Worker, chance: float, now: float) -> None:
        """Count the failed boot, or the death, that a worker's end was."""
        if worker.failed_boot:
            self.boots = self.boots.failed(now, chance)
            self.failure = worker.explanation
        elif not worker.told and worker.ready_at is not None:
            stable = now - worker.ready_at >= STABLE
            before = Backoff() if stable else self.deaths.get(worker.slot, Backoff())
            self.deaths[worker.slot] = before.failed(now, chance)

    def forget_failures(self) -> None:
        """Try everything at once: what failed may have been mended."""
        self.boots, self.deaths = Backoff(), {}

    def pauses(self) -> list[float]:
        """Return the instants at which something may be tried again."""
        return [pause.until for pause in (self.boots, *self.deaths.values())]

    def may_try(self, now: float) -> bool:
        """Whether another boot makes sense; while boots fail, one at a time."""
        if now < self.boots.until:
            return False
        booting = any(one.live and one.state is not READY for one in self.workers.values())
        return not (self.boots.failures and booting)

    def room_to_leave(self, count: int) -> bool:
        """Whether one more worker may be on its way out, of `count`; drains can be long."""
        leaving = sum(worker.leaving for worker in self.workers.values())
        return leaving < MOST_LEAVING * max(1, count, self.limits.max_replacing)
