"""Minutes of trouble for our supervisor: what grows, and which requests are lost.

Workers are recycled every second or so, killed, reloaded, made more and fewer, while clients are at
work and others reset their connections. At the end everything has to be as it was after the first
seconds: processes, descriptors and memory. Requests may only be lost with a killed worker.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.benchmarks import environments
from tests.endurance.running import running
from tests.endurance.servers import Server, Wish
from tests.support.processes import GONE, children, open_files
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.endurance.running import Session
    from tests.support.load import Outcomes

WORKERS = 3
EACH = 1.0  # seconds between two disturbances
WARM_UP = 20.0  # seconds until memory is compared with
BLAMED_ON_KILL = 1.0  # seconds after a kill in which its requests are found lost
GROWTH = 4 * 2**20  # bytes that the supervisor may gain in all
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class Sample(NamedTuple):
    """What the supervisor has at one moment."""

    processes: int
    descriptors: int
    memory: int  # bytes, USS


def soak(seconds: float) -> int:
    """Disturb a supervisor so long; print what came of it, return 1 if that is not good."""
    server = Server(name="supervisor", command=_command, ours=True)
    with running(server, environments.own(), workers=WORKERS) as session:
        with session.load() as load:
            session.await_workers(load, WORKERS)
            first, kills = _disturb(session, seconds)
            eventually(lambda: len(children(session.process.pid)) <= WORKERS + 1, timeout=30)
            load.wait_for_requests(500)
        eventually(lambda: len(children(session.process.pid)) == WORKERS, timeout=30)
        last = _sample(session)
        session.signal(signal.SIGTERM)
        session.process.wait(60)
        left = session.processes()
        code = session.process.returncode
    complaints = [*_growth(first, last), *_unexplained(load.outcomes, kills)]
    if code or left:
        complaints.append(f"exit code {code}, {len(left)} processes left")
    outcomes = load.outcomes
    print(f"{outcomes.ok} answered by {len(outcomes.served_by)} workers, {len(kills)} killed")
    print(f"lost: {len(outcomes.lost_at)}; first {first}, last {last}")
    for complaint in complaints:
        print(f"not good: {complaint}", file=sys.stderr)
    return int(bool(complaints))


def _command(wish: Wish) -> list[str]:
    words = ["-m", "uvicorn_supervisor", "--port", str(wish.port), "--workers", str(wish.workers)]
    words += ["--limit-worker-age", "2", "--limit-worker-age-jitter", "1", "--no-access-log"]
    return [*words, "--timeout-graceful-shutdown", "5", "--log-level", "warning", "basic:app"]


def _disturb(session: Session, seconds: float) -> tuple[Sample, list[float]]:
    """Disturb the server again and again; return a sample from early on, and when it killed."""
    chance = random.Random(1)
    begin = time.monotonic()
    first: Sample | None = None
    kills: list[float] = []
    while (now := time.monotonic()) < begin + seconds:
        if first is None and now > begin + min(WARM_UP, seconds / 3):
            first = _sample(session)
        match chance.randrange(8):
            case 0 | 1:
                kills += _kill_one(session, chance)
            case 2:
                session.signal(signal.SIGHUP)
            case 3:
                session.signal(signal.SIGTTIN)
            case 4:
                session.signal(signal.SIGTTOU)
            case _:
                _reset(session, chance)
        until = now + EACH
        eventually(lambda end=until: time.monotonic() > end)  # type: ignore[misc]  # the default binds this turn's end
    session.signal(signal.SIGHUP)  # as many workers as the configuration says
    return first or _sample(session), kills


def _kill_one(session: Session, chance: random.Random) -> list[float]:
    workers = sorted(children(session.process.pid))
    with contextlib.suppress(ProcessLookupError, IndexError):
        os.kill(chance.choice(workers), signal.SIGKILL)
        return [time.monotonic()]
    return []


def _reset(session: Session, chance: random.Random) -> None:
    """Leave in the middle of a request, of an answer, or of nothing."""
    with contextlib.suppress(OSError):
        sock = socket.create_connection(("127.0.0.1", session.wish.port), 5)
        with sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.sendall(
                chance.choice((b"", b"GET /pid HT", b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"))
            )


def _sample(session: Session) -> Sample:
    master = psutil.Process(session.process.pid)
    with contextlib.suppress(*GONE):
        memory = master.memory_full_info().uss
        return Sample(len(children(master.pid)), open_files(master.pid), memory)
    return Sample(0, 0, 0)


def _growth(first: Sample, last: Sample) -> list[str]:
    """Return what has grown; while workers come and go a few descriptors come and go with them."""
    found = []
    if last.descriptors > first.descriptors:
        found.append(f"descriptors: {first.descriptors}, then {last.descriptors}")
    if last.memory > first.memory + GROWTH:
        found.append(f"memory: {first.memory}, then {last.memory} bytes")
    return found


def _unexplained(outcomes: Outcomes, kills: list[float]) -> list[str]:
    """Return the losses that no killed worker explains."""
    strange = [
        at for at in outcomes.lost_at if not any(k <= at <= k + BLAMED_ON_KILL for k in kills)
    ]
    return [f"{len(strange)} lost without a kill: {outcomes.problems}"] if strange else []
