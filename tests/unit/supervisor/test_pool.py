"""The pool: start, reload, recycling, scaling, deaths, upgrade, stop. Time is a number here."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM
from typing import TYPE_CHECKING

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.decisions.limits import (
    LONGEST_PAUSE,
    MOST_WORKERS,
    SPEAKING,
    STABLE,
    Limits,
)
from uvicorn_supervisor.decisions.messages import (
    CloseListeners,
    Discard,
    EndUpgrade,
    Exit,
    Fewer,
    ForkFailed,
    Leaving,
    More,
    Observed,
    Prepare,
    Prepared,
    PrepareFailed,
    Quit,
    Reload,
    Reopen,
    Spawn,
    StartUpgrade,
    Stop,
    Tick,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
    Withdraw,
)

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.messages import Event

# -- start


def test_a_start_asks_for_all_workers_at_once() -> None:
    pool = Drive(count=3)

    pool.send(Reload())

    assert pool.acted[0] == Prepare(1)
    assert pool.spawned() == [Spawn(1, 1, 1), Spawn(2, 2, 1), Spawn(3, 3, 1)]
    assert pool.state() == {1: "starting", 2: "starting", 3: "starting"}


@pytest.mark.parametrize("code", [3, 4])
def test_a_first_worker_that_cannot_boot_ends_everything(code: int) -> None:
    pool = Drive(count=2)
    pool.send(Reload())

    pool.exit(1, code)

    assert pool.told() == {2: "SIGTERM"}
    assert pool.said("error") == [f"workers cannot boot: exit code {code}"]
    pool.exit(2)
    assert pool.acted == [Exit(code)]


def test_other_failures_of_the_first_boots_are_tried_again_a_few_times() -> None:
    pool = Drive(count=1)
    pool.send(Reload())

    pool.exit(1, -SIGKILL)
    assert pool.spawned(), "at once"
    pool.exit(2, 1)
    assert not pool.spawned(), "after a pause"
    pool.wait(1)
    pool.exit(3, 1)

    assert pool.exit_code == 3


def test_workers_that_cannot_be_forked_at_first_are_the_end() -> None:
    pool = Drive(count=1, forks=False)
    pool.send(Reload())

    for number in (1, 2, 3):
        pool.send(ForkFailed(number, "no memory"))
        pool.wait(2)

    assert pool.exit_code == 3


def test_a_first_release_that_cannot_be_prepared_is_the_end() -> None:
    class Unprepared(Drive):
        def prepare(self, release: int) -> list[Event]:
            return [PrepareFailed(release, "no such file", 1)]

    pool = Unprepared()

    pool.send(Reload())

    assert pool.exit_code == 1
    assert pool.said("error") == ["cannot start: no such file"]


def test_a_boot_that_takes_too_long_is_aborted_then_killed() -> None:
    pool = Drive(count=1, limits=Limits(boot=10))
    pool.send(Reload())

    pool.wait(10)
    assert pool.told() == {1: "SIGURG"}, "it may say where it is"
    pool.wait(SPEAKING)
    assert pool.told() == {1: "SIGABRT"}
    pool.wait(1)
    assert pool.told() == {1: "SIGKILL"}
    pool.exit(1, -9)
    assert pool.told() == {2: "SIGTERM"}, "one that takes too long is enough"
    pool.exit(2)
    assert pool.exit_code == 3


# -- reload


def test_a_reload_tries_one_worker_then_replaces_one_at_a_time() -> None:
    pool = Drive(count=3).start()

    pool.send(Reload())
    assert pool.spawned() == [Spawn(4, 1, 2)], "the canary, beside the oldest"
    assert pool.told() == {}
    pool.ready(4)
    assert Discard(1) in pool.acted
    assert pool.told() == {1: "SIGTERM"}
    assert pool.spawned() == [Spawn(5, 2, 2)]
    pool.exit(1)
    assert pool.spawned() == []
    pool.ready(5)
    assert pool.told() == {2: "SIGTERM"}
    assert pool.spawned() == [Spawn(6, 3, 2)]
    pool.ready(6)

    assert pool.told() == {3: "SIGTERM"}
    assert pool.spawned() == []
    assert pool.pool.ready == 3


def test_max_replacing_replaces_more_at_once() -> None:
    pool = Drive(count=4, limits=Limits(max_replacing=3)).start()
    pool.send(Reload())

    pool.ready(5)

    assert [spawn.slot for spawn in pool.spawned()] == [2, 3, 4]


@pytest.mark.parametrize("code", [1, 3, 4, -9])
def test_a_reload_whose_worker_cannot_boot_is_called_off(code: int) -> None:
    pool = Drive(count=2).start()
    pool.send(Reload())

    pool.exit(3, code)

    assert pool.told() == {}
    assert Discard(2) in pool.acted
    assert "called off" in pool.said("error")[0]
    assert pool.state() == {1: "ready", 2: "ready"}
    assert pool.wait(100) == []


def test_a_reload_whose_worker_does_not_get_ready_is_called_off() -> None:
    pool = Drive(count=2, limits=Limits(boot=5)).start()
    pool.send(Reload())

    pool.wait(5)
    pool.wait(SPEAKING)

    assert pool.told() == {3: "SIGABRT"}
    assert "not ready within 5 s" in pool.said("error")[0]


def test_a_reload_that_cannot_be_prepared_is_called_off() -> None:
    pool = Drive(count=1).start()
    pool.prepare = lambda release: [PrepareFailed(release, "a typing error", 1)]  # type: ignore[method-assign]  # the system's answer, from now on

    pool.send(Reload())

    assert "a typing error" in pool.said("error")[0]
    assert pool.spawned() == []
    assert pool.exit_code is None


def test_a_release_that_is_not_prepared_in_time_is_called_off() -> None:
    pool = Drive(count=1).start()
    pool.prepare = lambda release: []  # type: ignore[method-assign]  # no answer
    pool.send(Reload())

    pool.wait(60)

    assert "not prepared within 60 s" in pool.said("error")[0]
    assert pool.send(Prepared(2, 1, Limits())) == [Discard(2)], "too late"


def test_a_second_reload_replaces_the_canary() -> None:
    pool = Drive(count=2).start()
    pool.send(Reload())

    pool.send(Reload())

    assert pool.told() == {3: "SIGTERM"}
    assert Discard(2) in pool.acted
    assert pool.spawned() == [Spawn(4, 1, 3)]
    pool.exit(3)
    assert pool.said("error") == []
    pool.ready(4)
    assert pool.told() == {1: "SIGTERM"}


def test_a_reload_during_preparation_prepares_again() -> None:
    pool = Drive(count=1).start()
    prepare, pool.prepare = pool.prepare, lambda release: []  # type: ignore[method-assign]  # later
    pool.send(Reload())
    assert pool.send(Reload()) == []
    pool.prepare = prepare  # type: ignore[method-assign]

    pool.send(Prepared(2, 1, Limits()))

    assert pool.acted == [Discard(2), Prepare(3), Spawn(2, 1, 3)]


def test_a_reload_during_the_replacement_replaces_all_again() -> None:
    pool = Drive(count=2).start()
    pool.send(Reload())
    pool.ready(3)  # 1 goes; 4 is started for 2
    pool.exit(1)

    pool.send(Reload())
    pool.ready(4)
    assert pool.told() == {2: "SIGTERM"}
    pool.exit(2)
    pool.ready(5)  # the canary, of release 3, in the seat of 2 and 4
    assert pool.told() == {4: "SIGTERM"}
    pool.exit(4)
    pool.ready(6)
    assert pool.told() == {3: "SIGTERM"}

    assert {worker.release for worker in pool.pool.workers.values() if worker.live} == {3}


def test_a_reload_takes_the_new_number_of_workers() -> None:
    pool = Drive(count=3).start()
    pool.configured = 1

    pool.send(Reload())
    pool.ready(4)

    assert pool.told() == {1: "SIGTERM", 2: "SIGTERM", 3: "SIGTERM"}
    assert pool.pool.ready == 1


def test_a_reload_of_nobody_starts_its_canary_alone() -> None:
    pool = Drive(count=1).start()
    pool.exit(1, 1)
    pool.exit(2, 1)  # dies in its boot: a pause

    pool.send(Reload())

    assert [spawn.release for spawn in pool.spawned()] == [2]


def test_a_reload_while_nobody_serves_yet_takes_nobody_away() -> None:
    pool = Drive(count=2)
    pool.send(Reload())

    pool.send(Reload())
    assert pool.told() == {}
    assert pool.spawned() == [Spawn(3, 1, 2)], "beside one that boots"
    pool.ready(1)
    pool.ready(3)

    assert pool.told() == {1: "SIGTERM"}


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


# -- scaling


def test_one_worker_more_and_one_fewer() -> None:
    pool = Drive(count=1).start()

    pool.send(More())
    assert pool.spawned() == [Spawn(2, 2, 1)]
    pool.ready(2)
    pool.send(Fewer())
    assert pool.told() == {1: "SIGTERM"}, "the oldest goes"
    pool.send(Fewer())

    assert pool.told() == {}, "one is left"


def test_there_are_never_more_than_a_supervisor_can_keep() -> None:
    pool = Drive(count=MOST_WORKERS).start()

    pool.send(More())

    assert pool.spawned() == []


def test_fewer_lets_go_those_that_do_not_serve_yet() -> None:
    pool = Drive(count=1).start()
    pool.send(More())

    pool.send(Fewer())

    assert pool.told() == {2: "SIGTERM"}


def test_fewer_does_not_take_the_canary() -> None:
    pool = Drive(count=2)
    pool.send(Reload())
    pool.ready(2)
    pool.exit(2, 1)  # nobody is ready when the reload comes
    pool.send(Reload())
    canary = pool.pool.releases.canary
    pool.ready(1)

    pool.send(Fewer())

    assert pool.pool.workers[canary].live
    assert pool.pool.ready == 1
    assert pool.said("error") == []


def test_withdraw_lets_all_go_until_a_reload_or_one_more() -> None:
    pool = Drive(count=2).start()

    pool.send(Withdraw())
    assert pool.told() == {1: "SIGTERM", 2: "SIGTERM"}
    pool.exit(1)
    pool.exit(2)
    assert pool.wait(100) == []
    assert pool.exit_code is None
    pool.send(Reload())
    pool.ready(3)

    assert len(pool.pool.workers) == 2


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


# -- stop


def test_a_stop_ends_when_all_have_gone() -> None:
    pool = Drive(count=2).start()

    pool.send(Stop())
    assert CloseListeners() in pool.acted
    assert pool.told() == {1: "SIGTERM", 2: "SIGTERM"}
    pool.exit(1)
    assert pool.spawned() == []
    pool.exit(2)

    assert pool.acted == [Exit(0)]
    assert pool.send(Tick()) == []


def test_a_stop_gives_the_time_of_the_drain_and_its_delay() -> None:
    pool = Drive(count=1, limits=Limits(graceful=20, drain_delay=10)).start()
    pool.send(Stop())

    pool.wait(29)
    assert pool.told() == {}
    pool.wait(1)
    assert pool.told() == {1: "SIGABRT"}
    pool.wait(1)
    assert pool.told() == {1: "SIGKILL"}
    pool.exit(1, -9)

    assert pool.exit_code == 0


def test_quit_is_quick_and_twice_is_at_once() -> None:
    pool = Drive(count=2).start()

    pool.send(Quit())
    assert pool.told() == {1: "SIGQUIT", 2: "SIGQUIT"}
    pool.exit(1)
    pool.send(Quit())
    assert pool.told() == {2: "SIGKILL"}
    pool.exit(2, -9)

    assert pool.exit_code == 0


def test_quit_after_stop_is_quick() -> None:
    pool = Drive(count=1).start()
    pool.send(Stop())

    pool.send(Quit())

    assert pool.told() == {1: "SIGQUIT"}


@pytest.mark.parametrize("event", [Reload(), More(), Withdraw(), Upgrade(), Stop()])
def test_a_stop_is_not_changed_by_other_orders(event: Event) -> None:
    pool = Drive(count=1).start()
    pool.send(Stop())

    assert pool.send(event) == []


def test_a_stop_before_anybody_was_forked_waits_for_the_fork() -> None:
    pool = Drive(count=1, forks=False)
    pool.send(Reload())
    pool.send(Stop())
    assert pool.exit_code is None

    pool.send(pool.fork(1))
    assert pool.told() == {1: "SIGTERM"}
    pool.exit(1)

    assert pool.exit_code == 0


def test_a_stop_during_a_reload_drops_the_release() -> None:
    pool = Drive(count=1).start()
    pool.send(Reload())

    pool.send(Stop())

    assert Discard(2) in pool.acted
    assert pool.told() == {1: "SIGTERM", 2: "SIGTERM"}


def test_an_end_before_the_start_is_at_once() -> None:
    pool = Drive()

    assert pool.send(Stop()) == [CloseListeners(), Exit(0)]


# -- upgrade


def test_an_upgrade_that_gets_ready_lets_everybody_here_go() -> None:
    pool = Drive(count=1).start()
    assert pool.send(Upgrade()) == [StartUpgrade()]
    pool.send(Upgrading(99))

    pool.send(UpgradeReady())

    assert pool.told() == {1: "SIGTERM"}
    assert not any(isinstance(action, EndUpgrade) for action in pool.acted)
    pool.exit(1)
    assert pool.exit_code == 0


def test_an_upgrade_that_fails_changes_nothing() -> None:
    pool = Drive(count=1).start()
    pool.send(Upgrade())
    assert pool.send(Upgrade()) != [StartUpgrade()]
    pool.send(Upgrading(99))

    pool.send(UpgradeFailed("exit code 1"))

    assert pool.said("error") == ["upgrade called off: exit code 1"]
    assert pool.send(Upgrade()) == [StartUpgrade()], "another attempt"


def test_an_upgrade_that_does_not_get_ready_is_ended() -> None:
    pool = Drive(count=1, limits=Limits(boot=10)).start()
    pool.send(Upgrade())
    pool.send(Upgrading(99))

    assert EndUpgrade(99, SIGTERM) in pool.wait(10)
    assert EndUpgrade(99, SIGKILL) in pool.wait(5)
    assert pool.wait(20) == []


def test_a_stop_ends_the_new_supervisor_too() -> None:
    pool = Drive(count=1).start()
    pool.send(Upgrade())
    pool.send(Stop())

    assert pool.send(Upgrading(99)) == [EndUpgrade(99, SIGTERM)]
