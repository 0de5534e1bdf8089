"""What becomes of an order, as whoever waits for it is told."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM, SIGURG
from typing import TYPE_CHECKING

import pytest

from tests.unit.supervisor.driver import Drive
from uvicorn_supervisor.control.commands import TOLD
from uvicorn_supervisor.decisions.limits import Limits
from uvicorn_supervisor.decisions.messages import (
    EndUpgrade,
    Exited,
    Notify,
    PrepareFailed,
    Recycle,
    Reload,
    StartUpgrade,
    Stop,
    Upgrade,
    UpgradeFailed,
    UpgradeReady,
    Upgrading,
    Withdraw,
)
from uvicorn_supervisor.decisions.verdicts import (
    STOPPED,
    Ended,
    Replaced,
    Serves,
    Upgraded,
    Verdict,
)
from uvicorn_supervisor.observation.tally import reason_of
from uvicorn_worker.metrics.layout import REASONS

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.messages import Event
    from uvicorn_supervisor.decisions.verdicts import Goal


def fails(pool: Drive, number: int, words: str = "", code: int = 4) -> None:
    """Let a worker end that could not boot."""
    del pool.processes[number]
    pool.send(Exited(number, code, 0.0, words))


class Failing(Drive):
    """Releases that cannot be had."""

    def prepare(self, release: int) -> list[Event]:
        if release == 1:
            return super().prepare(release)
        return [PrepareFailed(release, "no such file", 1)]


# -- reload and restart


def test_a_reload_is_good_when_new_workers_serve_everywhere() -> None:
    pool = Drive(count=2).start()
    reload, restart = Serves.after_reload(pool.pool), Serves.after_reload(pool.pool, alone=True)
    pool.send(Reload())
    assert reload.verdict(pool.pool) is None

    pool.ready(3)
    assert reload.verdict(pool.pool) is None, "it has taken over, in one seat of two"
    pool.ready(4)

    assert reload.verdict(pool.pool) == Verdict(True, "release 2 serves with 2 workers")
    assert restart.verdict(pool.pool) is None, "the old ones have not gone"
    pool.exit(1)
    pool.exit(2)
    assert restart.verdict(pool.pool) == Verdict(True, "release 2 serves with 2 workers")


@pytest.mark.parametrize(
    ("words", "why"), [("no module named shop", "no module named shop"), ("", "exit code 4")]
)
def test_a_reload_fails_with_what_the_worker_said(words: str, why: str) -> None:
    pool = Drive(count=1).start()
    goal = Serves.after_reload(pool.pool)
    pool.send(Reload())

    fails(pool, 2, words)

    assert goal.verdict(pool.pool) == Verdict(False, f"the first new worker could not boot ({why})")
    again = Serves.after_reload(pool.pool)
    pool.send(Reload())
    assert again.verdict(pool.pool) is None, "what has failed before is another story"


def test_a_reload_fails_when_there_is_no_release() -> None:
    pool = Failing(count=1).start()
    goal = Serves.after_reload(pool.pool)

    pool.send(Reload())

    assert goal.verdict(pool.pool) == Verdict(False, "no such file")


def test_of_two_reloads_at_once_the_later_one_counts_for_both() -> None:
    pool = Drive(count=1).start()
    goals = []
    for _ in range(2):
        goals.append(Serves.after_reload(pool.pool))
        pool.send(Reload())
    assert [goal.verdict(pool.pool) for goal in goals] == [None, None]
    pool.exit(2)  # the canary of the first one was told to go
    pool.ready(3)

    assert {goal.verdict(pool.pool) for goal in goals} == {
        Verdict(True, "release 3 serves with 1 worker")
    }


def test_a_reload_fails_when_new_workers_boot_only_once() -> None:
    pool = Drive(count=2).start()
    goal = Serves.after_reload(pool.pool)
    pool.send(Reload())
    pool.ready(3)

    for number in (4, 5, 6):
        fails(pool, number, "no room", 3)
        pool.wait(3)

    why = "the new code serves, but not everywhere: no room; tried again"
    assert goal.verdict(pool.pool) == Verdict(False, why)


@pytest.mark.parametrize(
    ("event", "why"),
    [(Stop(), "the supervisor stops"), (Withdraw(), "all workers were told to go")],
)
def test_a_reload_that_is_overtaken_fails(event: Event, why: str) -> None:
    pool = Drive(count=1).start()
    goal = Serves.after_reload(pool.pool)
    pool.send(Reload())

    pool.send(event)

    assert goal.verdict(pool.pool) == Verdict(False, why)


# -- upgrade


def test_an_upgrade_is_good_when_the_new_supervisor_serves() -> None:
    pool = Drive(count=1).start()
    goal = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())
    joining = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())
    pool.send(Upgrading(900))
    assert goal.verdict(pool.pool) is None

    pool.send(UpgradeReady())

    assert goal == joining, "there is one at a time"
    assert goal.verdict(pool.pool) == Verdict(True, "a new supervisor has taken over")


def test_an_upgrade_fails_with_the_reason_and_the_next_one_does_not() -> None:
    pool = Drive(count=1).start()
    first = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())
    pool.send(Upgrading(900))

    pool.send(UpgradeFailed("no such program"))

    second = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())
    assert first.verdict(pool.pool) == Verdict(False, "no such program")
    assert second.verdict(pool.pool) is None


def test_an_upgrade_that_takes_too_long_says_so_and_ends_before_the_next() -> None:
    pool = Drive(count=1, limits=Limits(boot=3)).start()
    goal = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())
    pool.send(Upgrading(900))
    assert EndUpgrade(900, SIGTERM) in pool.wait(3)

    assert StartUpgrade() not in pool.send(Upgrade()), "its process is still there"
    pool.send(UpgradeFailed("killed by SIGTERM"))

    why = "the new supervisor was not ready in time; killed by SIGTERM"
    assert goal.verdict(pool.pool) == Verdict(False, why)
    assert StartUpgrade() in pool.send(Upgrade())


def test_an_upgrade_fails_with_the_supervisor() -> None:
    pool = Drive(count=1).start()
    goal = Upgraded.after_upgrade(pool.pool)
    pool.send(Upgrade())

    pool.send(Stop())

    assert goal.verdict(pool.pool) == STOPPED


# -- one worker


def test_a_worker_is_replaced_its_successor_first() -> None:
    pool = Drive(count=2).start()
    goal = Replaced(1)
    pool.send(Recycle(1, "told so"))
    assert pool.told() == {}
    assert [spawn.slot for spawn in pool.spawned()] == [1]
    assert goal.verdict(pool.pool) is None

    pool.ready(3)

    assert pool.told() == {1: "SIGTERM"}
    assert goal.verdict(pool.pool) == Verdict(True, "it has been replaced")


def test_a_worker_serves_on_when_its_successor_cannot_boot() -> None:
    pool = Drive(count=1).start()
    pool.send(Recycle(1, "told so"))

    fails(pool, 2, "no database")

    why = "the new worker could not boot: no database; the old one serves on, and it is tried again"
    assert Replaced(1).verdict(pool.pool) == Verdict(False, why)
    assert pool.state()[1] == "ready"


def test_a_worker_that_dies_meanwhile_is_replaced_as_well() -> None:
    pool = Drive(count=1).start()
    pool.send(Recycle(1, "told so"))

    pool.exit(1, -SIGKILL)

    assert Replaced(1).verdict(pool.pool) == Verdict(True, "it has been replaced")


# -- the end, and news


def test_a_stop_is_over_when_no_worker_is_left() -> None:
    pool = Drive(count=1).start()
    goals: list[Goal] = [Ended(), Replaced(1)]
    pool.send(Stop())
    assert [goal.verdict(pool.pool) for goal in goals] == [None, STOPPED]

    pool.exit(1)

    assert Ended().verdict(pool.pool) == Verdict(True, "stopped")


def test_news_go_to_one_worker_or_to_all() -> None:
    pool = Drive(count=2).start()

    pool.send(Notify(SIGURG))
    assert pool.told() == {1: "SIGURG", 2: "SIGURG"}
    pool.send(Notify(SIGURG, 2))
    assert pool.told() == {2: "SIGURG"}
    pool.send(Notify(SIGURG, 99))
    assert pool.told() == {}


def test_a_recycled_worker_is_counted_as_told() -> None:
    pool = Drive(count=1).start()
    pool.send(Recycle(1, TOLD))
    pool.ready(2)

    pool.exit(1)

    reason = reason_of(pool.pool.gone[1], serving=1)
    assert reason == "told"
    assert reason in REASONS, "or it could not be counted"
