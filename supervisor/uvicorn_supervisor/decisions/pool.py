"""All workers: how many there are, who replaces whom, and how it ends. Pure.

`Pool.step` takes note of what has happened and then looks at the whole: see `seating`. As soon as
the younger of two workers in a seat is ready, the older one is told to go; until then, it serves.
`count` is how many seats there are to be.

**Releases.** A reload prepares a release. One worker of it, the canary, is started beside those
that serve. When it is ready, the release takes over: everybody else is outdated and replaced. When
it cannot boot, the release is dropped, and nothing has changed. The very first release has no
canary: nobody serves.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions import seating
from uvicorn_supervisor.decisions.lifecycle import READY, STOPPED, Cut, Kill, Retire
from uvicorn_supervisor.decisions.limits import MOST_WORKERS, Limits
from uvicorn_supervisor.decisions.messages import (
    CloseListeners,
    Exit,
    Fewer,
    More,
    Notify,
    Prepared,
    PrepareFailed,
    Quit,
    Reload,
    Reopen,
    Resize,
    Say,
    Stop,
    Tell,
    Tick,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
    Withdraw,
)
from uvicorn_supervisor.decisions.releases import Releases
from uvicorn_supervisor.decisions.staff import Staff
from uvicorn_supervisor.decisions.successor import Successor

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.messages import Action, Event, Level

EXIT_STOPPED: Final = 0
EXIT_BOOT_ERROR: Final = 3
EXIT_APP_LOAD_ERROR: Final = 4

# Before any worker has served: so many failures that do not say that they are final are the end.
FIRST_ATTEMPTS: Final = 3

# The supervisor did not run for so long: it was stopped, or the machine was. Nobody's deadline
# counts for that time. (It calls `step` once a second at least.)
PAUSED: Final = 5.0


class Pool:
    """The workers of one supervisor; the first event is a `Reload`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.count = 0  # seats; the configuration says how many, then signals may
        self.staff = Staff(limits or Limits())
        self.releases = Releases()
        self.successor = Successor()
        self.ending = False
        self.exit_code = EXIT_STOPPED
        self._cut = False  # told to quit
        self.exited = False
        self.refusal = ""  # why the latest reload was called off
        self._looked: float | None = None
        self._actions: list[Action] = []

    @property
    def workers(self) -> dict[int, Worker]:
        """Who has a process, or is about to, by number."""
        return self.staff.workers

    @property
    def gone(self) -> dict[int, Worker]:
        """Whose process has ended in the latest step."""
        return self.staff.gone

    @property
    def limits(self) -> Limits:
        return self.staff.limits

    @property
    def ready(self) -> int:
        """How many workers serve."""
        return self.staff.ready

    def step(self, event: Event, now: float) -> list[Action]:
        """Take note of an event and return what is to be done, in this order."""
        self._forgive_pause(now)
        self._actions = self.staff.actions = []
        self.staff.gone = {}
        self._order(event, now)
        self._news(event, now)
        if self.ending:
            self._leave()
        else:
            self._try_candidate(now)
            self._seat(now)
        return self._actions

    def next_deadline(self) -> float:
        """Return when time alone changes something; infinity: an event has to come first."""
        instants = [worker.next_look for worker in self.workers.values()]
        instants.append(self.successor.deadline)
        if self.releases.preparing and self.releases.candidate is not None:
            instants.append(self.releases.candidate.deadline)
        if not self.ending:
            instants += [until for until in self.staff.pauses() if until > (self._looked or 0.0)]
        return min(instants)

    # -- orders of people

    def _order(self, event: Event, now: float) -> None:
        match event:
            case Stop():
                self._end(EXIT_STOPPED, "the supervisor stops", now)
            case Quit():
                self._quit(now)
            case Reopen():
                self._tell_all(signal.SIGUSR1)
            case Notify(number=number, signal=sent):
                self._tell_all(sent, number)
            case _ if self.ending:
                pass
            case Reload():
                self.refusal = ""
                self.staff.forget_failures()
                self._drop_canary("a newer reload", now)
                self._actions += self.releases.reload(self.limits.boot_deadline(now))
            case More() | Fewer() | Resize() | Withdraw():
                self._scale(event, now)
            case Upgrade() if self.successor.under_way:
                self._say("warning", "upgrade ignored: one is under way")
            case Upgrade():
                self._actions += self.successor.start(self.limits.boot_deadline(now))

    def _scale(self, event: More | Fewer | Resize | Withdraw, now: float) -> None:
        match event:
            case More():
                self.count = min(MOST_WORKERS, self.count + 1)
            case Fewer():
                self.count = max(1, self.count - 1)
            case Resize(count=count):
                self.count = count
            case Withdraw():
                self.count = 0
                self.refusal = "all workers were told to go"
                self._drop_canary("all workers go", now)
                self._actions += self.releases.drop()
        reason = f" ({event.reason})" if isinstance(event, Resize) else ""
        self._say("info", f"workers to keep ready: {self.count}{reason}")

    def _tell_all(self, number: signal.Signals, only: int = 0) -> None:
        """Send a signal to every worker that has a process, or to one of them."""
        for worker in self.workers.values():
            if worker.pid and only in (0, worker.number):
                self._actions.append(Tell(worker.number, worker.pid, number))

    def _end(self, code: int, reason: str, now: float) -> None:
        """Let all workers go, and end when they have gone."""
        if self.ending:
            return
        self.ending, self.exit_code = True, code
        self._actions += self.releases.drop()
        self._actions += self.successor.end(now)
        self._actions.append(CloseListeners())
        grace = self.limits.graceful and self.limits.graceful + self.limits.drain_delay
        self.staff.advance_all(Retire(reason, grace), now)

    def _quit(self, now: float) -> None:
        if self._cut:
            self.staff.advance_all(Kill("told to quit twice"), now)
            return
        self._cut = True
        self._end(EXIT_STOPPED, "the supervisor quits", now)
        self.staff.advance_all(Cut("the supervisor quits"), now)

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
                self.successor.take_over()
                self._end(EXIT_STOPPED, "a new supervisor has taken over", now)
            case UpgradeFailed(reason=reason):
                self.successor.fail(reason)
                if not self.ending:
                    self._say("error", f"upgrade called off: {self.successor.failure}")
            case Tick():
                self._tick(now)
        worker = self.workers.get(getattr(event, "number", 0))
        if worker is not None:
            changed = self.staff.advance(worker, event, now)
            if changed.state is STOPPED:
                self._lost(changed, getattr(event, "chance", 0.0), now)

    def _tick(self, now: float) -> None:
        self._actions += self.successor.tick(now)
        candidate = self.releases.candidate
        if candidate and self.releases.preparing and now >= candidate.deadline:
            reason = f"not prepared within {self.limits.boot:g} s"
            self._prepare_failed(PrepareFailed(candidate.release, reason, EXIT_BOOT_ERROR), now)
        self.staff.advance_all(Tick(), now)

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
        self.refusal = reason
        if not self.releases.serving:
            self._say("error", f"cannot start: {reason}")
            self._end(code, "the supervisor cannot start", now)
        else:
            self._say("error", f"reload called off, workers serve on as they were: {reason}")

    def _lost(self, worker: Worker, chance: float, now: float) -> None:
        """Count a failure; at the very first boots, it may be the end."""
        if worker.number == self.releases.canary or self.ending:
            return  # a canary's is the end of its release: there is no other attempt
        self.staff.count_failure(worker, chance, now)
        if worker.failed_boot and not self.staff.ever_ready:
            self._first_boot_failed(worker, now)

    def _first_boot_failed(self, worker: Worker, now: float) -> None:
        says_so = worker.code in (EXIT_BOOT_ERROR, EXIT_APP_LOAD_ERROR)
        self.refusal = worker.explanation
        if says_so or worker.late or self.staff.boots.failures >= FIRST_ATTEMPTS:
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
            if self.staff.room_to_leave(self.count):
                seat = seating.canary_seat(self.staff)
                self.releases.try_with(self.staff.spawn(seat, candidate.release, now))
        elif canary is not None and canary.state is READY:
            self._take_over(candidate.prepared)
        elif canary is None or not canary.live:
            canary = canary or self.staff.gone.get(candidate.canary)
            why = "see above" if canary is None else canary.explanation
            self._call_off(f"the first new worker could not boot ({why})", EXIT_BOOT_ERROR, now)

    def _take_over(self, prepared: Prepared) -> None:
        first = not self.releases.serving
        self._actions += self.releases.take_over()
        self.count, self.staff.limits = prepared.count, prepared.limits
        if not first:
            self._say("info", f"reload: release {prepared.release} serves, others are replaced")

    def _seat(self, now: float) -> None:
        """Let go who is not needed any more, start who is."""
        staff, release = self.staff, self.releases.serving
        seating.relieve(staff, now)
        seating.shrink(staff, self.count, self.releases.canary, now)
        if self.releases.candidate is None:
            seating.replace_unfit(staff, self.count, release, now)
        if release:
            seating.fill(staff, self.count, release, now)

    def _leave(self) -> None:
        if not self.workers and not self.exited:
            self.exited = True
            self._actions.append(Exit(self.exit_code))

    # -- inside

    def _drop_canary(self, reason: str, now: float) -> None:
        canary = self.workers.get(self.releases.canary)
        if canary is not None:
            self.staff.retire(canary, reason, now)

    def _say(self, level: Level, text: str) -> None:
        self._actions.append(Say(level, text))

    def _forgive_pause(self, now: float) -> None:
        """Move all deadlines by the time in which this process did not run."""
        gap = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        if gap > PAUSED:
            self.staff.postpone(gap)
