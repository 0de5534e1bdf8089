"""The pool: start, scaling, stop. Time is a number here."""

from __future__ import annotations

from signal import SIGKILL
from typing import TYPE_CHECKING

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.decisions.limits import (
    MOST_WORKERS,
    SPEAKING,
    Limits,
)
from uvicorn_supervisor.decisions.messages import (
    CloseListeners,
    Discard,
    Exit,
    Fewer,
    ForkFailed,
    More,
    Prepare,
    PrepareFailed,
    Quit,
    Reload,
    Spawn,
    Stop,
    Tick,
    Upgrade,
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
