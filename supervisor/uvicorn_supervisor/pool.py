"""All workers: how many there are, who replaces whom, and how it ends. Pure.

`Pool.step` takes note of what has happened and then looks at the whole: which seats are empty,
which workers have been relieved, which are to be replaced. Nothing is planned ahead, so nothing
has to be called off when a worker dies in the middle of it.

**Seats.** A worker and the one that is to replace it share a slot. As soon as the younger one is
ready, the older one is told to go; until then, the older one serves. `count` is how many seats
there are to be.

**Releases.** A reload prepares a release. One worker of it, the canary, is started beside those
that serve. When it is ready, the release takes over: everybody else is outdated and replaced. When
it cannot boot, the release is dropped, and nothing has changed. The very first release has no
canary: nobody serves.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.lifecycle import READY, STOPPED, Cut, Kill, Retire, Worker, step
from uvicorn_supervisor.limits import STABLE, Backoff, Limits
from uvicorn_supervisor.messages import (
    CloseListeners,
    Exit,
    Fewer,
    More,
    Prepared,
    PrepareFailed,
    Quit,
    Reload,
    Reopen,
    Resize,
    Say,
    Spawn,
    Stop,
    Tell,
    Tick,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
    Withdraw,
)
from uvicorn_supervisor.releases import Releases
from uvicorn_supervisor.successor import Successor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.lifecycle import Order
    from uvicorn_supervisor.messages import Action, Event, Level

EXIT_STOPPED: Final = 0
EXIT_BOOT_ERROR: Final = 3
EXIT_APP_LOAD_ERROR: Final = 4

# Before any worker has served: so many failures that do not say that they are final are the end.
FIRST_ATTEMPTS: Final = 3

# The supervisor did not run for so long: it was stopped, or the machine was. Nobody's deadline
# counts for that time. (It calls `step` once a second at least.)
PAUSED: Final = 5.0

# Workers on their way out for each that is to serve: beyond it, nobody is replaced for a while.
MOST_LEAVING: Final = 2


class Pool:
    """The workers of one supervisor; the first event is a `Reload`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.count = 0  # seats; the configuration says how many, then signals may
        self.workers: dict[int, Worker] = {}  # by number; whoever has no process any more is gone
        self.gone: dict[int, Worker] = {}  # whoever went in the latest step
        self.releases = Releases()
        self.successor = Successor()
        self.ending = False
        self.exit_code = EXIT_STOPPED
        self._cut = False  # told to quit
        self._exited = False
        self._numbers = 0
        self._ever_ready = False
        self._boots = Backoff()
        self._deaths: dict[int, Backoff] = {}  # by slot
        self._looked: float | None = None
        self._actions: list[Action] = []

    def step(self, event: Event, now: float) -> list[Action]:
        """Take note of an event and return what is to be done, in this order."""
        self._forgive_pause(now)
        self._actions, self.gone = [], {}
        self._order(event, now)
        self._news(event, now)
        if self.ending:
            self._leave()
        else:
            self._try_candidate(now)
            self._relieve(now)
            self._shrink(now)
            self._replace(now)
            self._fill(now)
        return self._actions

    def next_deadline(self) -> float:
        """Return when time alone changes something; infinity: an event has to come first."""
        instants = [worker.next_look for worker in self.workers.values()]
        instants.append(self.successor.deadline)
        if self.releases.preparing and self.releases.candidate is not None:
            instants.append(self.releases.candidate.deadline)
        if not self.ending:
            pauses = (self._boots, *self._deaths.values())
            instants += [pause.until for pause in pauses if pause.until > (self._looked or 0.0)]
        return min(instants)

    @property
    def ready(self) -> int:
        """How many workers serve."""
        return sum(worker.state is READY for worker in self.workers.values())

    # -- orders of people

    def _order(self, event: Event, now: float) -> None:
        match event:
            case Stop():
                self._end(EXIT_STOPPED, "the supervisor stops", now)
            case Quit():
                self._quit(now)
            case Reopen():
                self._reopen()
            case _ if self.ending:
                pass
            case Reload():
                self._boots, self._deaths = Backoff(), {}  # what failed may have been mended
                self._drop_canary("a newer reload", now)
                self._actions += self.releases.reload(self.limits.boot_deadline(now))
            case More() | Fewer() | Resize() | Withdraw():
                self._scale(event, now)
            case Upgrade() if self.successor.wanted:
                self._say("warning", "upgrade ignored: one is under way")
            case Upgrade():
                self._actions += self.successor.start(self.limits.boot_deadline(now))

    def _scale(self, event: More | Fewer | Resize | Withdraw, now: float) -> None:
        match event:
            case More():
                self.count += 1
            case Fewer():
                self.count = max(1, self.count - 1)
            case Resize(count=count):
                self.count = count
            case Withdraw():
                self.count = 0
                self._drop_canary("all workers go", now)
                self._actions += self.releases.drop()
        reason = f" ({event.reason})" if isinstance(event, Resize) else ""
        self._say("info", f"workers to keep ready: {self.count}{reason}")

    def _reopen(self) -> None:
        for worker in self.workers.values():
            if worker.pid:
                self._actions.append(Tell(worker.number, worker.pid, signal.SIGUSR1))

    def _end(self, code: int, reason: str, now: float) -> None:
        """Let all workers go, and end when they have gone."""
        if self.ending:
            return
        self.ending, self.exit_code = True, code
        self._actions += self.releases.drop()
        self._actions += self.successor.end(now)
        self._actions.append(CloseListeners())
        grace = self.limits.graceful and self.limits.graceful + self.limits.drain_delay
        self._tell_all(Retire(reason, grace), now)

    def _quit(self, now: float) -> None:
        if self._cut:
            self._tell_all(Kill("told to quit twice"), now)
            return
        self._cut = True
        self._end(EXIT_STOPPED, "the supervisor quits", now)
        self._tell_all(Cut("the supervisor quits"), now)

    # -- what has happened

    def _news(self, event: Event, now: float) -> None:
        match event:
            case Prepared():
                self._actions += self.releases.prepared(event, self.limits.boot_deadline(now))
            case PrepareFailed():
                self._prepare_failed(event, now)
            case Upgrading(pid=pid):
                self._actions += self.successor.started(pid, now)
            case UpgradeReady() if not self.ending:
                self.successor.over()
                self._end(EXIT_STOPPED, "a new supervisor has taken over", now)
            case UpgradeFailed(reason=reason):
                self.successor.over()
                if not self.ending:
                    self._say("error", f"upgrade called off: {reason}")
            case Tick():
                self._tick(now)
        number = getattr(event, "number", None)
        if number in self.workers:
            self._advance(self.workers[number], event, now)

    def _tick(self, now: float) -> None:
        self._actions += self.successor.tick(now)
        candidate = self.releases.candidate
        if candidate and self.releases.preparing and now >= candidate.deadline:
            reason = f"not prepared within {self.limits.boot:g} s"
            self._prepare_failed(PrepareFailed(candidate.release, reason, EXIT_BOOT_ERROR), now)
        for worker in tuple(self.workers.values()):
            self._advance(worker, Tick(), now)

    def _prepare_failed(self, event: PrepareFailed, now: float) -> None:
        if not self.releases.is_preparing(event.release):
            return
        again = self.releases.retry(self.limits.boot_deadline(now))
        if again is not None:
            self._actions += again
        else:
            self._call_off(event.reason, event.code, now)

    def _call_off(self, reason: str, code: int, now: float) -> None:
        """Go on as if there had been no reload; there is nothing to go on with at the first."""
        self._actions += self.releases.drop()
        if not self.releases.serving:
            self._say("error", f"cannot start: {reason}")
            self._end(code, "the supervisor cannot start", now)
        else:
            self._say("error", f"reload called off, workers serve on as they were: {reason}")

    def _advance(self, worker: Worker, event: Event | Order, now: float) -> None:
        """Let one worker take note of an event."""
        changed, actions = step(worker, event, now, self.limits)
        self._actions += actions
        if changed.state is STOPPED:
            del self.workers[worker.number]
            self.gone[worker.number] = changed
            self._lost(changed, getattr(event, "chance", 0.0), now)
            return
        self.workers[worker.number] = changed
        if changed.state is READY and worker.state is not READY:
            self._ever_ready, self._boots = True, Backoff()

    def _lost(self, worker: Worker, chance: float, now: float) -> None:
        """Count a death or a failed boot."""
        if worker.number == self.releases.canary or self.ending:
            return  # a canary's is the end of its release: there is no other attempt
        if worker.failed_boot:
            self._boots = self._boots.failed(now, chance)
            if not self._ever_ready:
                self._first_boot_failed(worker, now)
        elif not worker.told and worker.ready_at is not None:
            stable = now - worker.ready_at >= STABLE
            before = Backoff() if stable else self._deaths.get(worker.slot, Backoff())
            self._deaths[worker.slot] = before.failed(now, chance)

    def _first_boot_failed(self, worker: Worker, now: float) -> None:
        says_so = worker.code in (EXIT_BOOT_ERROR, EXIT_APP_LOAD_ERROR)
        if says_so or worker.late or self._boots.failures >= FIRST_ATTEMPTS:
            code = worker.code if says_so and worker.code else EXIT_BOOT_ERROR
            self._say("error", f"workers cannot boot: {worker.reason}")
            self._end(code, "workers cannot boot", now)

    # -- what follows

    def _try_candidate(self, now: float) -> None:
        """Start the candidate's canary, or act upon what became of it."""
        candidate = self.releases.candidate
        if candidate is None or candidate.prepared is None:
            return
        canary = self.workers.get(candidate.canary)
        if not self.releases.serving:
            self._take_over(candidate.prepared)
        elif not candidate.canary:
            if self._room_to_leave():
                ready = [worker for worker in self.workers.values() if worker.state is READY]
                seat = min(ready, key=lambda worker: worker.number).slot if ready else None
                self.releases.try_with(self._spawn(seat, candidate.release, now))
        elif canary is not None and canary.state is READY:
            self._take_over(candidate.prepared)
        elif canary is None or not canary.live:
            why = "see above" if canary is None else canary.reason
            self._call_off(f"the first new worker could not boot ({why})", EXIT_BOOT_ERROR, now)

    def _take_over(self, prepared: Prepared) -> None:
        first = not self.releases.serving
        self._actions += self.releases.take_over()
        self.count, self.limits = prepared.count, prepared.limits
        if not first:
            self._say("info", f"reload: release {prepared.release} serves, others are replaced")

    def _relieve(self, now: float) -> None:
        """Let workers go in whose seat a younger one serves."""
        for seat in self._seats().values():
            serving = [worker for worker in seat if worker.state is READY]
            for worker in seat:
                if serving and worker.number < serving[-1].number:
                    reason = worker.due or "its successor has taken over"
                    self._retire(worker, reason, now)

    def _shrink(self, now: float) -> None:
        """Empty seats that are too many: those in which nobody serves yet, then the oldest."""
        seats = self._seats()
        count = max(self.count, bool(self.releases.canary))
        while len(seats) > count:
            slot = min(seats, key=lambda slot: self._shrinks_first(seats[slot]))
            seat = seats.pop(slot)
            canary = self.workers.get(self.releases.canary)
            if canary is not None and canary in seat and seats:
                # It decides on a release: it may sit beside somebody.
                self.workers[canary.number] = replace(canary, slot=min(seats))
                seat.remove(canary)
            for worker in seat:
                self._retire(worker, "one worker fewer", now)

    def _shrinks_first(self, seat: list[Worker]) -> tuple[bool, bool, int]:
        serves = any(worker.state is READY for worker in seat)
        canary = any(worker.number == self.releases.canary for worker in seat)
        return serves, canary, seat[0].number if serves else -seat[0].number

    def _replace(self, now: float) -> None:
        """Start successors of workers that are outdated or due, the oldest first."""
        seats = self._seats()
        if self.releases.candidate is not None or len(seats) < self.count:
            return
        room = self.limits.max_replacing - sum(len(seat) > 1 for seat in seats.values())
        for seat in sorted(seats.values(), key=lambda seat: seat[0].number):
            worker = seat[-1]
            if room <= 0 or not (self._room_to_leave() and self._may_try(now)):
                return
            if len(seat) > 1 or worker.state is not READY or not self._unfit(worker):
                continue
            room -= 1
            if worker.crowded and worker.due.startswith("memory"):
                if all(one[-1].state is READY for one in seats.values()):
                    self._retire(worker, f"{worker.due}, and no room for two", now)
                return
            self._spawn(worker.slot, self.releases.serving, now)

    def _fill(self, now: float) -> None:
        """Start workers for empty seats."""
        if not self.releases.serving:
            return
        seats = self._seats()
        free = (slot for slot in range(1, 2 * self.count + 1) if slot not in seats)
        for slot in list(free)[: max(0, self.count - len(seats))]:
            pause = self._deaths.get(slot, Backoff())
            if now >= pause.until and self._may_try(now):
                self._spawn(slot, self.releases.serving, now)

    def _unfit(self, worker: Worker) -> bool:
        return bool(worker.due) or worker.release != self.releases.serving

    def _may_try(self, now: float) -> bool:
        """Whether another boot makes sense; while boots fail, one at a time."""
        if now < self._boots.until:
            return False
        booting = any(worker.live and worker.state is not READY for worker in self._all())
        return not (self._boots.failures and booting)

    def _room_to_leave(self) -> bool:
        """Whether one more worker may be on its way out; drains can be long."""
        leaving = sum(worker.leaving for worker in self._all())
        return leaving < MOST_LEAVING * max(1, self.count, self.limits.max_replacing)

    def _leave(self) -> None:
        if not self.workers and not self._exited:
            self._exited = True
            self._actions.append(Exit(self.exit_code))

    # -- inside

    def _all(self) -> Iterator[Worker]:
        return iter(self.workers.values())

    def _seats(self) -> dict[int, list[Worker]]:
        """Return the workers that serve or are going to, by slot, in each the oldest first."""
        seats: dict[int, list[Worker]] = {}
        for worker in sorted(self._all(), key=lambda worker: worker.number):
            if worker.live:
                seats.setdefault(worker.slot, []).append(worker)
        return seats

    def _spawn(self, slot: int | None, release: int, now: float) -> int:
        """Start a worker, in a seat of its own if none is given; return its number."""
        seats = self._seats()
        if slot is None:
            slot = next(free for free in range(1, len(seats) + 2) if free not in seats)
        self._numbers += 1
        number = self._numbers
        self.workers[number] = Worker(
            number=number, slot=slot, release=release, deadline=self.limits.boot_deadline(now)
        )
        self._actions.append(Spawn(number, slot, release))
        return number

    def _retire(self, worker: Worker, reason: str, now: float) -> None:
        self._advance(worker, Retire(reason, self.limits.graceful), now)

    def _drop_canary(self, reason: str, now: float) -> None:
        canary = self.workers.get(self.releases.canary)
        if canary is not None:
            self._retire(canary, reason, now)

    def _tell_all(self, order: Order, now: float) -> None:
        for worker in tuple(self.workers.values()):
            self._advance(worker, order, now)

    def _say(self, level: Level, text: str) -> None:
        self._actions.append(Say(level, text))

    def _forgive_pause(self, now: float) -> None:
        """Move all deadlines by the time in which this process did not run."""
        gap = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        if gap > PAUSED:
            for worker in tuple(self.workers.values()):
                self.workers[worker.number] = replace(worker, deadline=worker.deadline + gap)
