"""The pool: reloads and upgrades."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.decisions.limits import (
    SPEAKING,
    Limits,
)
from uvicorn_supervisor.decisions.messages import (
    Discard,
    EndUpgrade,
    Prepare,
    Prepared,
    PrepareFailed,
    Reload,
    Spawn,
    StartUpgrade,
    Stop,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
)

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
