"""One worker: every state with every event, and what time does to it."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGABRT, SIGKILL, SIGQUIT, SIGTERM, SIGURG, Signals
from typing import TYPE_CHECKING

import pytest

from uvicorn_supervisor.decisions.lifecycle import (
    ABORTED,
    DRAINING,
    FORKING,
    KILLED,
    MOST_EXTENSIONS,
    QUITTING,
    READY,
    STARTING,
    STOPPED,
    Cut,
    Kill,
    Retire,
    Worker,
    WorkerState,
    step,
)
from uvicorn_supervisor.decisions.limits import ABORTING, NEVER, QUICK, SPEAKING, Lifetime, Limits
from uvicorn_supervisor.decisions.messages import (
    Examine,
    Examined,
    Exited,
    Forked,
    ForkFailed,
    Leaving,
    Observed,
    Ready,
    Tell,
    Tick,
)

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.lifecycle import Order
    from uvicorn_supervisor.decisions.messages import Event

LIMITS = Limits(boot=60, healthcheck=30, graceful=20)
PID = 4711
DEADLINE = 160.0
NOW = 150.0

EVENTS: dict[str, Event | Order] = {
    "forked": Forked(1, PID),
    "fork failed": ForkFailed(1, "no memory"),
    "ready": Ready(1),
    "leaving": Leaving(1),
    "observed": Observed(1, NOW - 1),
    "examined": Examined(1, True),
    "exited": Exited(1, 0),
    "tick": Tick(),
    "overdue": Tick(),
    "retire": Retire("reload", 20.0),
    "cut": Cut("quit"),
    "kill": Kill("quit twice"),
}

# For every state, with a process unless it says otherwise: the state that follows, and the signal.
# What is not listed changes nothing.
Change = tuple[WorkerState, Signals | None]
TABLE: dict[str, dict[str, Change]] = {
    "forking": {
        "forked": (STARTING, None),
        "fork failed": (STOPPED, None),
        "exited": (STOPPED, None),
        "overdue": (KILLED, None),
        "retire": (DRAINING, None),
        "cut": (QUITTING, None),
        "kill": (KILLED, None),
    },
    "draining, no process": {
        "forked": (DRAINING, SIGTERM),
        "fork failed": (STOPPED, None),
        "exited": (STOPPED, None),
        "overdue": (KILLED, None),
        "cut": (QUITTING, None),
        "kill": (KILLED, None),
    },
    "quitting, no process": {
        "forked": (QUITTING, SIGQUIT),
        "fork failed": (STOPPED, None),
        "exited": (STOPPED, None),
        "overdue": (KILLED, None),
        "kill": (KILLED, None),
    },
    "killed, no process": {
        "forked": (KILLED, SIGKILL),
        "fork failed": (STOPPED, None),
        "exited": (STOPPED, None),
    },
    "starting": {
        "ready": (READY, None),
        "leaving": (DRAINING, None),
        "exited": (STOPPED, None),
        "overdue": (STARTING, SIGURG),
        "retire": (DRAINING, SIGTERM),
        "cut": (QUITTING, SIGQUIT),
        "kill": (KILLED, SIGKILL),
    },
    "starting, late": {
        "ready": (READY, None),
        "leaving": (DRAINING, None),
        "exited": (STOPPED, None),
        "overdue": (ABORTED, SIGABRT),
        "retire": (DRAINING, SIGTERM),
        "cut": (QUITTING, SIGQUIT),
        "kill": (KILLED, SIGKILL),
    },
    "ready": {
        "leaving": (DRAINING, None),
        "exited": (STOPPED, None),
        "retire": (DRAINING, SIGTERM),
        "cut": (QUITTING, SIGQUIT),
        "kill": (KILLED, SIGKILL),
    },
    "draining": {
        "exited": (STOPPED, None),
        "overdue": (ABORTED, SIGABRT),
        "cut": (QUITTING, SIGQUIT),
        "kill": (KILLED, SIGKILL),
    },
    "quitting": {
        "exited": (STOPPED, None),
        "overdue": (KILLED, SIGKILL),
        "kill": (KILLED, SIGKILL),
    },
    "aborted": {
        "exited": (STOPPED, None),
        "overdue": (KILLED, SIGKILL),
        "kill": (KILLED, SIGKILL),
    },
    "killed": {"exited": (STOPPED, None)},
    "stopped": {},
}


def worker_in(state: str) -> Worker:
    name, _, rest = state.partition(", ")
    pid = 0 if rest == "no process" or name in ("forking", "stopped") else PID
    deadline = NEVER if name in ("killed", "stopped") else DEADLINE
    return Worker(
        number=1,
        slot=1,
        release=1,
        state=WorkerState(name),
        pid=pid,
        deadline=deadline,
        heartbeat=NOW - 15,
        ready_at=NOW - 50 if name == "ready" else None,
        told=name in ("draining", "quitting"),
        late=rest == "late",
    )


@pytest.mark.parametrize(
    ("state", "event"), [(state, event) for state in TABLE for event in EVENTS]
)
def test_every_event_in_every_state(state: str, event: str) -> None:
    worker = worker_in(state)
    now = DEADLINE if event == "overdue" else NOW

    after, actions = step(worker, EVENTS[event], now, LIMITS)

    follows, told = TABLE[state].get(event, (worker.state, None))
    assert after.state is follows
    signals = [action for action in actions if isinstance(action, Tell)]
    assert signals == ([] if told is None else [Tell(1, PID, told)])
    if (state, event) in (("ready", "overdue"),):
        assert actions == [Examine(1, PID, silent=25.0)]
    elif event not in TABLE[state] and state != "ready":
        assert after == worker, "a late event changes nothing"
    if follows is STOPPED:
        assert (after.pid, after.deadline) == (0, NEVER)


def test_the_table_knows_every_state() -> None:
    assert {state.partition(",")[0] for state in TABLE} == {state.value for state in WorkerState}


@pytest.mark.parametrize(
    ("state", "event", "deadline"),
    [
        ("starting", "ready", NOW + 15),  # half of what its loop may be silent
        ("ready", "observed", NOW - 1 + 15),
        ("ready", "leaving", NOW + 20),
        ("ready", "retire", NOW + 20),
        ("ready", "cut", NOW + QUICK),
        ("starting", "overdue", DEADLINE + SPEAKING),
        ("starting, late", "overdue", DEADLINE + ABORTING),
        ("draining", "overdue", DEADLINE + ABORTING),
        ("quitting", "overdue", NEVER),
    ],
)
def test_a_state_has_a_deadline(state: str, event: str, deadline: float) -> None:
    now = DEADLINE if event == "overdue" else NOW

    after, _ = step(worker_in(state), EVENTS[event], now, LIMITS)

    assert after.deadline == deadline


def test_without_time_to_drain_a_worker_is_told_to_go_now() -> None:
    after, actions = step(worker_in("ready"), Retire("reload", 0.0), NOW, LIMITS)

    assert (after.state, after.deadline) == (QUITTING, NOW + QUICK)
    assert actions == [Tell(1, PID, SIGQUIT)]


def test_limits_are_drawn_when_there_is_a_process() -> None:
    limits = Limits(requests=100, requests_jitter=10, age=50)

    after, _ = step(worker_in("forking"), Forked(1, PID, chance=0.5), NOW, limits)

    assert after.lifetime == Lifetime(requests=105, expires=NOW + 50)


# -- due


def ready(lifetime: Lifetime, limits: Limits = LIMITS) -> Worker:
    worker, _ = step(worker_in("starting"), Ready(1), NOW, limits)
    return replace(worker, lifetime=lifetime)


def test_a_worker_is_due_after_its_requests() -> None:
    worker = ready(Lifetime(requests=100))

    worker, _ = step(worker, Observed(1, NOW, requests=99), NOW, LIMITS)
    assert worker.due == ""
    worker, _ = step(worker, Observed(1, NOW, requests=103), NOW, LIMITS)
    assert worker.due == "requests 103/100"
    assert worker.state is READY, "whether it goes is not for one worker to decide"


def test_a_worker_is_due_after_three_samples_of_too_much_memory_in_a_row() -> None:
    worker = ready(Lifetime(memory=100))

    for memory in (101, 102, 99, None, 101, None, 101):
        worker, _ = step(worker, Observed(1, NOW, memory=memory), NOW, LIMITS)
        assert worker.due == ""
    worker, _ = step(worker, Observed(1, NOW, memory=101, headroom=False), NOW, LIMITS)
    assert worker.due.startswith("memory")
    assert worker.crowded


def test_a_worker_is_due_by_age_when_time_passes() -> None:
    worker = ready(Lifetime(expires=NOW + 5))
    assert worker.next_look == NOW + 5

    worker, actions = step(worker, Tick(), NOW + 5, LIMITS)

    assert (worker.due, actions) == ("age", [])
    assert worker.next_look == NOW + 15, "what is left is the heartbeat"


# -- silence


def test_a_silent_worker_is_looked_into_at_half_the_limit_and_ended_at_the_limit() -> None:
    worker = ready(Lifetime())

    worker, actions = step(worker, Tick(), NOW + 14.9, LIMITS)
    assert actions == []
    worker, actions = step(worker, Tick(), NOW + 15, LIMITS)
    assert actions == [Examine(1, PID, silent=15.0)]
    assert (worker.state, worker.deadline) == (READY, NOW + 30)
    worker, actions = step(worker, Examined(1, starved=False), NOW + 15, LIMITS)
    worker, actions = step(worker, Tick(), NOW + 30, LIMITS)
    assert worker.state is ABORTED
    assert actions == [Tell(1, PID, SIGABRT)]
    assert worker.reason == "its event loop has not turned for 30.0 s"
    assert not worker.told, "its end counts as a death"


def test_a_beat_clears_a_silent_worker() -> None:
    worker = ready(Lifetime())
    worker, _ = step(worker, Tick(), NOW + 15, LIMITS)

    worker, _ = step(worker, Observed(1, NOW + 16), NOW + 17, LIMITS)

    assert (worker.silent_since, worker.deadline) == (None, NOW + 16 + 15)


def test_an_old_beat_clears_nothing() -> None:
    worker = ready(Lifetime())
    worker, _ = step(worker, Tick(), NOW + 15, LIMITS)

    again, _ = step(worker, Observed(1, NOW - 1), NOW + 17, LIMITS)

    assert again == worker


def test_a_starved_worker_gets_more_time_but_not_for_ever() -> None:
    worker = ready(Lifetime())
    now, looks = NOW + 15, 0
    while worker.state is READY:
        worker, actions = step(worker, Tick(), now, LIMITS)
        looks += any(isinstance(action, Examine) for action in actions)
        worker, _ = step(worker, Examined(1, starved=True), now, LIMITS)
        now += 15

    assert worker.state is ABORTED
    assert looks == 1 + MOST_EXTENSIONS


def test_without_a_limit_silence_means_nothing() -> None:
    limits = Limits(healthcheck=0)
    worker = ready(Lifetime(), limits)

    assert worker.next_look == NEVER
    assert step(worker, Tick(), NOW + 1e6, limits) == (worker, [])


# -- ends


def test_our_own_kill_is_not_taken_for_the_kernels() -> None:
    worker, _ = step(worker_in("quitting"), Tick(), DEADLINE, LIMITS)

    worker, _ = step(worker, Exited(1, -SIGKILL), NOW, LIMITS)

    assert worker.reason == "its time to end is over; killed by SIGKILL"


@pytest.mark.parametrize(
    ("state", "event", "failed"),
    [
        ("starting", "exited", True),
        ("forking", "fork failed", True),
        ("ready", "exited", False),
        ("draining", "exited", False),
        ("quitting", "exited", False),
    ],
)
def test_a_failed_boot_is_one_that_nobody_asked_for(state: str, event: str, failed: bool) -> None:
    after, _ = step(worker_in(state), EVENTS[event], NOW, LIMITS)

    assert after.failed_boot is failed


def test_words_for_where_a_worker_is() -> None:
    assert worker_in("forking").live
    assert worker_in("killed").leaving
    assert not worker_in("stopped").leaving
    assert FORKING.value == "forking"
    assert KILLED.value == "killed"
    assert STARTING.value == "starting"
