"""One worker leads, under Gunicorn and the supervisor, whatever happens to whoever does."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import psutil

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor

# Each worker that leads says so in a file, again and again: term and process.
SHOP = """
import asyncio, contextlib, os
from tests.apps.basic import app as basic

async def tell(leader):
    while True:
        if leader:
            with open("leaders", "ab", buffering=0) as file:
                file.write(b"%d %d\\n" % (leader.term, os.getpid()))
        await asyncio.sleep(0.02)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        task = asyncio.create_task(tell(scope["state"]["worker.leader"]))
        await basic(scope, receive, send)
        task.cancel()
    else:
        await basic(scope, receive, send)
"""

HOOKS = """
def on_starting(supervisor):
    with open("starts", "a") as file:
        file.write(f"{supervisor.predecessor}\\n")
"""


class Leaders:
    """What the workers have said, in its order."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "leaders"

    def said(self) -> list[tuple[int, int]]:
        if not self._file.exists():
            return []
        lines = [line.split() for line in self._file.read_text().splitlines()]
        return [(int(term), int(pid)) for term, pid in lines]

    def next(self, *, but: int = 0) -> int:
        """Wait for a leader that says so from now on, and is not `but`; return its process."""
        before = len(self.said())
        new = eventually(
            lambda: [pid for _, pid in self.said()[before:] if pid != but],
            timeout=20.0,
            message=f"a leader that is not {but}",
        )
        return new[-1]

    def assert_one_at_a_time(self) -> None:
        """Check that terms grow, and that each has one leader."""
        for (term, pid), (following, other) in pairwise(self.said()):
            assert following > term or (following, other) == (term, pid), self.said()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process, and let it go on at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_lead_moves_when_its_holder_dies_hangs_or_leaves(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--workers", "3", files={"shop.py": SHOP})
    workers = server.wait_for_workers(3)
    leaders = Leaders(server.folder)
    first = leaders.next()
    assert first in workers

    os.kill(first, signal.SIGKILL)
    second = leaders.next(but=first)
    with stopped(second):
        third = leaders.next(but=second)
    eventually(lambda: leaders.next() == third)
    server.signal(signal.SIGHUP)
    renewed = server.wait_for_workers(3, without=server.worker_pids())
    eventually(lambda: leaders.next() in renewed)

    leaders.assert_one_at_a_time()


def test_nobody_leads_in_a_new_program_before_the_old_one_has_ended(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(
        "shop:app", "--hooks", "hooks.py", files={"shop.py": SHOP, "hooks.py": HOOKS}
    )
    [old] = server.wait_for_workers(1)
    leaders = Leaders(server.folder)
    assert leaders.next() == old

    server.signal(signal.SIGUSR2)
    server.wait_exit()
    new = leaders.next(but=old)

    os.kill(psutil.Process(new).ppid(), signal.SIGTERM)
    server.wait_until_gone()
    pids = [pid for _, pid in leaders.said()]
    assert (server.folder / "starts").read_text().split() == ["0", str(server.pid)]
    assert pids == sorted(pids, key=(old, new).index), "one after the other"


def test_workers_of_gunicorn_have_a_leader(gunicorn: StartGunicorn) -> None:
    server = gunicorn("shop:app", "--workers", "2", files={"shop.py": SHOP})
    workers = server.wait_for_workers(2)
    leaders = Leaders(server.folder)
    first = leaders.next()
    assert first in workers

    os.kill(first, signal.SIGKILL)
    second = leaders.next(but=first)
    server.signal(signal.SIGHUP)
    leaders.next(but=second)

    leaders.assert_one_at_a_time()
