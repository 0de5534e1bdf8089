"""Who leads: one worker at a time, whoever dies, hangs or goes on when its time is over."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import NOBODY
from uvicorn_worker.leader import Leader
from uvicorn_worker.lease import LEASE, Lease, is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = os.getpid()
PARENT = os.getppid()


def held(lease: Lease, now: float) -> list[int]:
    return [pid for pid in (OURS, PARENT, NOBODY) if lease.is_held(pid, now)]


def test_the_first_who_asks_leads_until_its_time_is_over() -> None:
    lease = Lease()
    assert held(lease, 100.0) == []

    assert lease.renew(OURS, 100.0)
    assert not lease.renew(PARENT, 100.0)
    assert held(lease, 100.0 + LEASE - 0.01) == [OURS]
    assert held(lease, 100.0 + LEASE) == [], "it has not renewed it"
    assert lease.term == 1


def test_who_renews_leads_on() -> None:
    lease = Lease()
    for second in range(20):
        assert lease.renew(OURS, 100.0 + second)
        assert not lease.renew(PARENT, 100.5 + second)

    assert lease.term == 1


def test_a_worker_that_was_stopped_does_not_lead_when_it_goes_on() -> None:
    lease = Lease()
    lease.renew(OURS, 100.0)

    assert lease.renew(PARENT, 100.0 + LEASE)
    assert held(lease, 100.0 + LEASE) == [PARENT]
    assert not lease.renew(OURS, 100.1 + LEASE)
    assert held(lease, 100.1 + LEASE) == [PARENT]
    assert lease.term == 2


def test_a_lease_that_has_run_out_is_a_new_one_for_its_holder_too() -> None:
    lease = Lease()
    lease.renew(OURS, 100.0)

    assert lease.renew(OURS, 200.0)
    assert lease.term == 2, "somebody may have led meanwhile, for all that it knows"


def test_the_dead_are_not_waited_for() -> None:
    lease = Lease()
    lease.renew(NOBODY, 100.0)

    assert lease.renew(OURS, 100.1)
    assert held(lease, 100.1) == [OURS]


def test_only_its_holder_gives_a_lease_up() -> None:
    lease = Lease()
    lease.renew(OURS, 100.0)
    lease.release(PARENT)
    assert held(lease, 100.1) == [OURS]

    lease.release(OURS)

    assert held(lease, 100.1) == []
    assert lease.renew(PARENT, 100.1)


def test_nobody_leads_beside_the_workers_of_a_predecessor() -> None:
    lease = Lease()
    lease.wait_for(PARENT)
    assert not lease.renew(OURS, 100.0)

    lease.wait_for(NOBODY)

    assert lease.renew(OURS, 100.0)


def test_who_has_the_lock_is_not_waited_for() -> None:
    """A child has it, and was stopped there."""
    import fcntl

    lease = Lease()
    begun, end = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        fcntl.lockf(lease._file, fcntl.LOCK_EX)
        os.write(begun[1], b".")
        os.read(end[0], 1)
        os._exit(0)
    try:
        os.read(begun[0], 1)
        assert not lease.renew(OURS, 100.0)
        lease.release(OURS)
    finally:
        os.write(end[1], b".")
        os.waitpid(child, 0)
        for descriptor in (*begun, *end):
            os.close(descriptor)
    assert lease.renew(OURS, 100.0)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_process_that_is_alone_leads_from_start_to_end(loop: asyncio.AbstractEventLoop) -> None:
    leader = Leader()
    assert not leader

    leader.begin(loop)
    assert leader
    assert repr(leader) == "<Leader True, term 1>"
    leader.resign()
    assert not leader


def test_a_leader_is_asked_anew_each_time(loop: asyncio.AbstractEventLoop) -> None:
    lease = Lease()
    leader = Leader(lease)
    leader.begin(loop)
    assert leader
    assert leader.term == 1

    lease.release(OURS)
    lease.renew(PARENT, 0.0)

    assert not leader
    leader.resign()


def test_children_of_the_application_do_not_lead(loop: asyncio.AbstractEventLoop) -> None:
    leader = Leader(Lease())
    leader.begin(loop)
    child = os.fork()
    if child == 0:
        os._exit(10 + bool(leader))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
    leader.resign()


def test_who_is_alive() -> None:
    # 1 is another user's where the tests do not run as root.
    assert [is_alive(pid) for pid in (OURS, 1, NOBODY, 0, -1)] == [True, True, False, False, False]
