"""What is done to a server while clients are at work. Each takes a session and runs its load."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.endurance.running import Trouble
from tests.support.processes import alive
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.endurance.running import Session
    from tests.endurance.servers import Server
    from tests.support.load import Outcomes

SETTLED = 300  # good answers before the first order, and after the last one
RECYCLED = 200  # requests that a worker answers, where workers are recycled
MASTER_GONE = 5.0  # seconds until nothing may be left of a killed master
SLOW_IMPORT = {"IMPORT_SECONDS": "5"}
BROKEN = "def app(:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A name, what happens, and for which servers."""

    name: str
    summary: str
    run: Callable[[Session], Outcomes]
    able: Callable[[Server], bool] = lambda _server: True
    allowed: Sequence[str] = ()
    """Kinds of losses that nobody can avoid here."""
    max_requests: int = 0
    variables: dict[str, str] = field(default_factory=dict)


def _reload(session: Session, times: int) -> Outcomes:
    with session.load() as load:
        known = session.await_workers(load, session.wish.workers)
        load.wait_for_requests(SETTLED)
        load.outcomes.slowest = 0.0
        for _ in range(times):
            session.signal(signal.SIGHUP)
            known |= session.await_workers(load, session.wish.workers, without=known)
        load.wait_for_requests(SETTLED)
    return load.outcomes


def three_reloads(session: Session) -> Outcomes:
    return _reload(session, 3)


def one_reload(session: Session) -> Outcomes:
    return _reload(session, 1)


def recycling(session: Session) -> Outcomes:
    with session.load() as load:
        session.await_workers(load, session.wish.workers + 5)
    return load.outcomes


def scaling(session: Session) -> Outcomes:
    workers = session.wish.workers
    with session.load() as load:
        known = session.await_workers(load, workers)
        session.signal(signal.SIGTTIN)
        known |= session.await_workers(load, 1, without=known)
        session.signal(signal.SIGTTIN)
        known |= session.await_workers(load, 1, without=known)
        for left in (workers + 1, workers):
            session.signal(signal.SIGTTOU)
            _await_fewer(known, left)
        load.wait_for_requests(SETTLED)
    return load.outcomes


def upgrade(session: Session) -> Outcomes:
    with session.load() as load:
        known = session.await_workers(load, session.wish.workers)
        session.signal(signal.SIGUSR2)
        session.await_workers(load, session.wish.workers, without=known)
        if session.server.old_master_stays:
            session.signal(signal.SIGTERM)
        _await(lambda: session.process.poll() is not None, "the old master's end")
        load.wait_for_requests(SETTLED)
    return load.outcomes


def killed_worker(session: Session) -> Outcomes:
    with session.load() as load:
        known = session.await_workers(load, session.wish.workers)
        load.wait_for_requests(SETTLED)
        os.kill(random.choice(sorted(known)), signal.SIGKILL)
        begin = time.monotonic()
        session.await_workers(load, 1, without=known)
        session.remarks.append(f"replaced in {time.monotonic() - begin:.1f} s")
        load.wait_for_requests(SETTLED)
    return load.outcomes


def killed_master(session: Session) -> Outcomes:
    with session.load(until_refused=True) as load:
        session.await_workers(load, session.wish.workers)
        session.process.kill()
        session.process.wait()
        begin = time.monotonic()
        try:
            _await(lambda: not session.processes(), "the end of all", MASTER_GONE)
            session.remarks.append(f"all gone in {time.monotonic() - begin:.1f} s")
        except Trouble:
            still = "still accepting" if session.listens() else "not listening"
            session.remarks.append(f"{len(session.processes())} processes left, {still}")
            for pid in session.processes():
                os.kill(pid, signal.SIGKILL)
    return load.outcomes


def broken_release(session: Session) -> Outcomes:
    with session.load() as load:
        session.await_workers(load, session.wish.workers)
        session.application.write_text(BROKEN, "utf-8")
        session.signal(signal.SIGHUP)
        before = time.monotonic()
        eventually(lambda: time.monotonic() - before > 5, timeout=10)  # what users would live with
        answered = load.outcomes.ok
        try:
            load.wait_for_requests(SETTLED, timeout=5)
        except AssertionError:
            session.remarks.append(f"serves no more ({load.outcomes.ok - answered} in 5 s)")
    return load.outcomes


def stop(session: Session) -> Outcomes:
    with session.load(until_refused=True) as load:
        session.await_workers(load, session.wish.workers)
        load.wait_for_requests(SETTLED)
        session.signal(signal.SIGTERM)
        begin = time.monotonic()
        _await(lambda: session.process.poll() is not None, "its end")
        session.remarks.append(
            f"exit code {session.process.returncode} after {time.monotonic() - begin:.1f} s"
        )
    return load.outcomes


def _await_fewer(pids: set[int], count: int) -> None:
    _await(lambda: sum(map(alive, pids)) <= count, f"{count} workers left")


def _await(condition: Callable[[], object], what: str, limit: float = 45.0) -> None:
    try:
        eventually(condition, timeout=limit)
    except AssertionError:
        raise Trouble(f"{what}: not in {limit:g} s") from None


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="reloads",
            summary="three reloads (SIGHUP)",
            run=three_reloads,
            able=lambda server: server.reloads,
        ),
        Scenario(
            name="slow-import",
            summary="a reload of an application whose import takes 5 s",
            run=one_reload,
            able=lambda server: server.reloads,
            variables=SLOW_IMPORT,
        ),
        Scenario(
            name="recycling",
            summary=f"workers are replaced after {RECYCLED} requests",
            run=recycling,
            able=lambda server: server.recycles,
            max_requests=RECYCLED,
        ),
        Scenario(
            name="scaling",
            summary="two workers more, two fewer (SIGTTIN, SIGTTOU)",
            run=scaling,
            able=lambda server: server.scales,
        ),
        Scenario(
            name="upgrade",
            summary="a new master takes over (SIGUSR2)",
            run=upgrade,
            able=lambda server: server.upgrades,
        ),
        Scenario(name="killed-worker", summary="SIGKILL of one worker", run=killed_worker),
        Scenario(
            name="killed-master",
            summary=f"SIGKILL of the master: nothing is left after {MASTER_GONE:g} s",
            run=killed_master,
            allowed=("refused",),
        ),
        Scenario(
            name="broken-release",
            summary="a reload of code with a syntax error",
            run=broken_release,
            able=lambda server: server.reloads,
        ),
        Scenario(
            name="stop",
            summary="SIGTERM; refused connections after it do not count",
            run=stop,
            allowed=("refused",),
        ),
    )
}
