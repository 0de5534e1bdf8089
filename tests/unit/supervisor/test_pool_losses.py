"""The pool: workers that are recycled, and workers that die."""

from __future__ import annotations

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.decisions.limits import (
    LONGEST_PAUSE,
    STABLE,
    Limits,
)
from uvicorn_supervisor.decisions.messages import (
    Leaving,
    Observed,
    Reopen,
    Spawn,
    Tick,
)

# -- recycling


def test_a_worker_that_is_due_is_relieved_by_its_successor() -> None:
    pool = Drive(count=2, limits=Limits(requests=100)).start()

    pool.send(Observed(1, pool.now, requests=100))
    assert pool.spawned() == [Spawn(3, 1, 1)]
    assert pool.told() == {}
    pool.send(Observed(2, pool.now, requests=100))
    assert pool.spawned() == [], "one at a time"
    pool.ready(3)

    assert pool.told() == {1: "SIGTERM"}
    assert pool.spawned() == [Spawn(4, 2, 1)]
    assert pool.pool.workers[1].reason == "requests 100/100"


def test_a_successor_that_cannot_boot_is_tried_again_later() -> None:
    pool = Drive(count=1, limits=Limits(requests=100)).start()
    pool.send(Observed(1, pool.now, requests=100))

    pool.exit(2, 3)
    assert pool.spawned(), "at once"
    pool.exit(3, 3)
    assert not pool.spawned()
    assert pool.state() == {1: "ready"}
    assert pool.pool.next_deadline() == pool.now + 0.5


@pytest.mark.parametrize("headroom", [True, False])
def test_memory_is_no_reason_for_two_where_there_is_no_room(headroom: bool) -> None:
    pool = Drive(count=2, limits=Limits(memory=100)).start()

    for _ in range(3):
        pool.send(Observed(1, pool.now, memory=200, headroom=headroom))

    if headroom:
        assert (pool.told(), len(pool.spawned())) == ({}, 1)
    else:
        assert (pool.told(), pool.spawned()) == ({1: "SIGTERM"}, [Spawn(3, 1, 1)])


def test_nobody_is_replaced_while_too_many_are_on_their_way_out() -> None:
    pool = Drive(count=1, limits=Limits(requests=1)).start()
    for number in (1, 2):
        pool.send(Observed(number, pool.now, requests=1))
        pool.ready(number + 1)
    assert pool.state() == {1: "draining", 2: "draining", 3: "ready"}

    pool.send(Observed(3, pool.now, requests=1))
    assert pool.spawned() == []
    pool.exit(1)

    assert len(pool.spawned()) == 1


# -- deaths


def test_a_death_is_made_good_at_once_and_repeated_ones_later() -> None:
    pool = Drive(count=2).start()
    pauses = []
    number = 2
    for _ in range(4):
        pool.exit(number, -9)
        before = pool.now
        while not pool.spawned():
            pool.now = pool.pool.next_deadline()
            pool.send(Tick())
        pauses.append(pool.now - before)
        number = pool.spawned()[0].number
        pool.ready(number)

    assert pauses == [0.0, 0.5, 1.0, 2.0]
    pool.wait(STABLE)
    pool.exit(number, -9)
    assert len(pool.spawned()) == 1, "it has served long enough"


def test_an_exit_code_of_a_worker_that_has_served_is_no_failed_boot() -> None:
    pool = Drive(count=2).start()

    pool.exit(1, 3)

    assert len(pool.spawned()) == 1
    assert pool.exit_code is None
    assert not pool.pool.ending


def test_workers_that_cannot_boot_any_more_are_tried_one_at_a_time() -> None:
    pool = Drive(count=4).start()
    for number in (1, 2, 3):
        pool.exit(number, -9)  # successors: 5, 6, 7
    for number in (5, 6, 7):
        pool.exit(number, 3)

    forks = 0
    for _ in range(100):
        pool.wait(1)
        booting = [number for number, state in pool.state().items() if state == "starting"]
        assert len(booting) <= 1
        for number in booting:
            forks += 1
            pool.exit(number, 3)

    assert 3 <= forks <= 8
    assert pool.pool.ready == 1
    assert pool.pool.next_deadline() <= pool.now + LONGEST_PAUSE * 1.25


def test_a_worker_that_goes_by_itself_is_replaced_at_once() -> None:
    pool = Drive(count=1).start()

    pool.send(Leaving(1))

    assert pool.told() == {}
    assert len(pool.spawned()) == 1
    pool.exit(1)
    assert pool.spawned() == []


def test_a_hung_worker_is_replaced() -> None:
    pool = Drive(count=1, limits=Limits(healthcheck=4)).start()

    pool.wait(4, beat=False)

    assert pool.told() == {1: "SIGABRT"}
    assert len(pool.spawned()) == 1


def test_time_in_which_the_supervisor_did_not_run_is_nobodys_fault() -> None:
    pool = Drive(count=1, limits=Limits(healthcheck=30)).start()
    pool.wait(3)

    pool.now += 3600
    pool.send(Tick())

    assert pool.acted == []
    assert pool.pool.next_deadline() > pool.now


def test_logs_are_reopened_by_those_that_have_a_process() -> None:
    pool = Drive(count=2).start()
    pool.exit(1, -9)
    pool.ready(3)
    pool.exit(3, -9)  # a pause

    pool.send(Reopen())

    assert pool.told() == {2: "SIGUSR1"}
