"""One worker: its states, and what each event makes of it. Pure.

    FORKING -> STARTING -> READY -> DRAINING -> STOPPED
                  |          |          |
                  +----------+----------+--> ABORTED -> KILLED -> STOPPED

FORKING  asked for, has no process yet           until the boot deadline, then KILLED
STARTING has a process, does not serve yet       until the boot deadline, then asked, ABORTED
READY    serves                                  until its loop has not turned for too long
DRAINING told to go when its work is done        until the end of its time, then ABORTED
QUITTING told to go now                          for two seconds, then KILLED
ABORTED  told to say where it is stuck and end   for a second, then KILLED
KILLED   sent SIGKILL
STOPPED  reaped, or never came to be: no process

STOPPED may follow any state. What comes late changes nothing: processes race with what they are
told. Who has no process yet is told as soon as it has one.
"""

from __future__ import annotations

import enum
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.deaths import describe_exit
from uvicorn_supervisor.decisions.limits import (
    ABORTING,
    NEVER,
    QUICK,
    SPEAKING,
    Lifetime,
    Limits,
    draw_lifetime,
)
from uvicorn_supervisor.decisions.messages import (
    Examine,
    Examined,
    Exited,
    Forked,
    ForkFailed,
    Leaving,
    Observed,
    Ready,
    Recycle,
    Tell,
    Tick,
)

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.messages import Action, Event

UNLIMITED: Final = Lifetime()

SILENT: Final = "its event loop has not turned"

# So often a worker that was kept from running is given another half of the limit.
MOST_EXTENSIONS: Final = 4


class WorkerState(enum.Enum):
    """Where a worker is in its life; the values are for the log."""

    FORKING = "forking"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    QUITTING = "quitting"
    ABORTED = "aborted"
    KILLED = "killed"
    STOPPED = "stopped"


FORKING, STARTING, READY, DRAINING, QUITTING, ABORTED, KILLED, STOPPED = WorkerState

# How a worker is told what its state says, once it has a process.
SIGNALS: Final = {
    DRAINING: signal.SIGTERM,
    QUITTING: signal.SIGQUIT,
    ABORTED: signal.SIGABRT,
    KILLED: signal.SIGKILL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What is known of one worker."""

    number: int
    slot: int
    release: int
    state: WorkerState = FORKING
    reason: str = ""  # why it is in this state
    deadline: float = NEVER  # of this state; NEVER: none
    pid: int = 0  # 0: has no process yet, or any more
    ready_at: float | None = None
    told: bool = False  # goes because it was told to, or said itself that it would
    code: int | None = None  # of its exit, as `Exited.code`; None: has had no process
    words: str = ""  # why it has ended, in its own words
    late: bool = False  # was not ready in time
    due: str = ""  # why it is to be replaced
    crowded: bool = False  # there is no memory for a successor beside it
    lifetime: Lifetime = UNLIMITED
    requests: int = 0
    memory: int | None = None  # as it was last measured
    heavy: int = 0  # samples in a row of too much memory
    heartbeat: float = 0.0  # when its loop turned last
    silent_since: float | None = None  # the heartbeat that made it suspect
    starved: bool = False
    extensions: int = 0

    @property
    def live(self) -> bool:
        """Whether it serves, or is going to."""
        return self.state in (FORKING, STARTING, READY)

    @property
    def leaving(self) -> bool:
        """Whether it has a process, or may have one soon, but will not serve on."""
        return not self.live and self.state is not STOPPED

    @property
    def failed_boot(self) -> bool:
        """Whether it could not boot, though nobody had told it to go."""
        return self.ready_at is None and not self.told and self.state is STOPPED

    @property
    def explanation(self) -> str:
        """Why it is in its state: its own words, where it has said any."""
        return self.words or self.reason

    @property
    def next_look(self) -> float:
        """When time alone changes something."""
        if self.state is READY and not self.due:
            return min(self.deadline, self.lifetime.expires)
        return self.deadline


# -- what a worker is told; beside the events that are named for it


@dataclass(frozen=True, slots=True)
class Retire:
    """Go when the work is done, within `grace` seconds."""

    reason: str
    grace: float


@dataclass(frozen=True, slots=True)
class Cut:
    """Go now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Do not do anything any more."""

    reason: str


Order = Retire | Cut | Kill
Step = tuple[Worker, "list[Action]"]


def step(worker: Worker, event: Event | Order, now: float, limits: Limits) -> Step:
    """Return the worker after the event, and what is to be done."""
    match event:
        case Exited(code=code, words=words):
            return replace(_stopped(worker, code, describe_exit(code)), words=words), []
        case ForkFailed(reason=reason) if not worker.pid:
            return _stopped(worker, None, f"no process: {reason}"), []
        case Forked():
            return _forked(worker, event, now, limits)
        case Retire() | Cut() | Kill():
            return _ordered(worker, event, now)
        case Tick() if now >= worker.deadline:
            return _overdue(worker, now, limits)
        case _:
            return _lives(worker, event, now, limits), []


def _stopped(worker: Worker, code: int | None, how: str) -> Worker:
    if worker.state is STOPPED:
        return worker
    if worker.state in (ABORTED, KILLED):
        how = f"{worker.reason}; {how}"
    return replace(worker, state=STOPPED, deadline=NEVER, pid=0, code=code, reason=how)


def _forked(worker: Worker, event: Forked, now: float, limits: Limits) -> Step:
    if worker.pid or worker.state is STOPPED:
        return worker, []
    worker = replace(
        worker, pid=event.pid, lifetime=draw_lifetime(limits, now, event.chance), heartbeat=now
    )
    if worker.state is FORKING:
        return replace(worker, state=STARTING), []
    return worker, _tell(worker)


def _ordered(worker: Worker, order: Order, now: float) -> Step:
    """Do as told, unless the worker goes at least as quickly already."""
    match order:
        case Retire(reason=reason, grace=grace) if worker.live:
            state = DRAINING if grace > 0 else QUITTING
            return _enter(worker, state, reason, now + (grace or QUICK), told=True)
        case Cut(reason=reason) if worker.live or worker.state is DRAINING:
            return _enter(worker, QUITTING, reason, now + QUICK, told=True)
        case Kill(reason=reason) if worker.state not in (KILLED, STOPPED):
            return _enter(worker, KILLED, reason, NEVER, told=True)
    return worker, []


def _overdue(worker: Worker, now: float, limits: Limits) -> Step:
    match worker.state:
        case _ if not worker.pid:
            return _enter(worker, KILLED, "no process in time", NEVER)
        case WorkerState.STARTING if not worker.late:
            # Where Python runs, the worker says where it is, and needs not be asked the hard way.
            asked = replace(worker, late=True, deadline=now + SPEAKING)
            return asked, [Tell(worker.number, worker.pid, signal.SIGURG)]
        case WorkerState.STARTING:
            return _enter(worker, ABORTED, f"not ready within {limits.boot:g} s", now + ABORTING)
        case WorkerState.READY:
            return _silent(worker, now, limits)
        case WorkerState.DRAINING:
            return _enter(worker, ABORTED, "its time to end is over", now + ABORTING)
        case WorkerState.QUITTING:
            return _enter(worker, KILLED, "its time to end is over", NEVER)
        case WorkerState.ABORTED:
            return _enter(worker, KILLED, worker.reason, NEVER)
    return worker, []


def _silent(worker: Worker, now: float, limits: Limits) -> Step:
    """Look into it at half the limit; end the worker at the limit, unless it is not to blame."""
    silent = now - worker.heartbeat
    examine = Examine(worker.number, worker.pid, silent)
    if worker.silent_since is None:
        deadline = max(worker.heartbeat + limits.healthcheck, now + limits.healthcheck / 2)
        return replace(worker, silent_since=worker.heartbeat, deadline=deadline), [examine]
    if worker.starved and worker.extensions < MOST_EXTENSIONS:
        extended = replace(
            worker,
            starved=False,
            extensions=worker.extensions + 1,
            deadline=now + limits.healthcheck / 2,
        )
        return extended, [examine]
    reason = f"{SILENT} for {silent:.1f} s"
    return _enter(worker, ABORTED, reason, now + ABORTING)


def _lives(worker: Worker, event: Event, now: float, limits: Limits) -> Worker:
    """Return what a worker that lives makes of news."""
    match worker.state, event:
        case WorkerState.STARTING, Ready():
            worker = replace(worker, state=READY, reason="", ready_at=now)
            return _beaten(worker, now, limits)
        case ((WorkerState.STARTING | WorkerState.READY), Leaving()):
            return replace(
                worker,
                state=DRAINING,
                told=True,
                reason="of its own accord",
                deadline=now + (limits.graceful or QUICK),
            )
        case WorkerState.READY, Observed():
            return _observed(worker, event, now, limits)
        case WorkerState.READY, Examined(starved=starved) if worker.silent_since is not None:
            return replace(worker, starved=starved)
        case WorkerState.READY, Recycle(reason=reason):
            return replace(worker, due=worker.due or reason)
        case WorkerState.READY, Tick():
            return _judged(worker, now)
    return worker


def _beaten(worker: Worker, heartbeat: float, limits: Limits) -> Worker:
    """Return a worker whose loop has turned."""
    return replace(
        worker,
        heartbeat=heartbeat,
        silent_since=None,
        starved=False,
        extensions=0,
        deadline=heartbeat + limits.healthcheck / 2 if limits.healthcheck else NEVER,
    )


def _observed(worker: Worker, seen: Observed, now: float, limits: Limits) -> Worker:
    if seen.heartbeat > worker.heartbeat:
        worker = _beaten(worker, seen.heartbeat, limits)
    if seen.memory is not None and worker.lifetime.memory:
        heavy = worker.heavy + 1 if seen.memory > worker.lifetime.memory else 0
        worker = replace(worker, memory=seen.memory, heavy=heavy, crowded=not seen.headroom)
    return _judged(replace(worker, requests=seen.requests), now)


def _judged(worker: Worker, now: float) -> Worker:
    """Return the worker with the reason why it is to be replaced, if there is one."""
    if worker.due:
        return worker
    return replace(
        worker, due=worker.lifetime.spent(now, worker.requests, worker.heavy, worker.memory)
    )


def _enter(
    worker: Worker, state: WorkerState, reason: str, deadline: float, *, told: bool = False
) -> Step:
    worker = replace(
        worker, state=state, reason=reason, deadline=deadline, told=worker.told or told
    )
    return worker, _tell(worker)


def _tell(worker: Worker) -> list[Action]:
    return [Tell(worker.number, worker.pid, SIGNALS[worker.state])] if worker.pid else []
