"""No request is lost at any restart, under load from busy, reconnecting and idle clients.

Every scenario runs on until the new workers have answered requests.
"""

from __future__ import annotations

import pprint
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

APP = "tests.apps.basic:app"


def mixed_load(server: RunningSupervisor, *, until_refused: bool = False) -> Load:
    """Return clients of every kind; the idle ones stay below the keep-alive time of 5 s."""
    return Load(
        server.address,
        busy=4,
        reconnecting=3,
        idle=6,
        pipelining=1,
        idle_time=0.7,
        until_refused=until_refused,
    )


def assert_no_loss(load: Load, *, allowed: Sequence[str] = ()) -> None:
    losses = load.outcomes.losses(allowed=allowed)
    assert not losses, pprint.pformat(losses, width=120)


def new_workers_serve(load: Load, pids: set[int]) -> None:
    """Wait until each of these workers has answered."""
    eventually(lambda: pids <= load.outcomes.served_by.keys(), message=f"answers from {pids}")


@pytest.mark.parametrize("workers", [1, 2])
def test_three_reloads(supervisor: StartSupervisor, workers: int) -> None:
    server = supervisor(APP, "--workers", str(workers))
    pids = server.wait_for_workers(workers)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        for _ in range(3):
            server.signal(signal.SIGHUP)
            pids = server.wait_for_workers(workers, without=pids)
            new_workers_serve(load, pids)
    assert_no_loss(load)


@pytest.mark.parametrize("workers", [1, 2])
def test_recycling_every_200_requests(supervisor: StartSupervisor, workers: int) -> None:
    server = supervisor(APP, "--workers", str(workers), "--limit-max-requests", "200")
    server.wait_for_workers(workers)
    with mixed_load(server) as load:
        eventually(lambda: len(load.outcomes.served_by) >= workers + 3, timeout=40)
    assert_no_loss(load)


def test_more_and_fewer_workers(supervisor: StartSupervisor) -> None:
    server = supervisor(APP)
    server.wait_for_workers(1)
    with mixed_load(server) as load:
        server.signal(signal.SIGTTIN)
        server.wait_for_workers(2)  # two at once are one to the kernel
        server.signal(signal.SIGTTIN)
        new_workers_serve(load, server.wait_for_workers(3))
        server.signal(signal.SIGTTOU)
        server.wait_for_workers(2)
        server.signal(signal.SIGTTOU)
        pids = server.wait_for_workers(1)
        server.signal(signal.SIGTTOU)  # the last one stays
        server.wait_for_log("Workers to keep ready: 1", count=2)
        assert server.wait_for_workers(1) == pids
        load.wait_for_requests(50)
    assert_no_loss(load)


def test_a_stop_answers_all_it_has_accepted(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2")
    server.wait_for_workers(2)
    with mixed_load(server, until_refused=True) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        load.join()
    # Who comes when nobody listens any more is refused, or was in the queue that is closed.
    assert_no_loss(load, allowed=["refused", "reset_new"])
    assert len(server.marked("stop")) == 2


def test_a_reload_that_cannot_boot_changes_nothing(supervisor: StartSupervisor) -> None:
    good = "from tests.apps.basic import app\n"
    server = supervisor("shop:app", "--workers", "2", files={"shop.py": good})
    before = server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(100)
        (server.folder / "shop.py").write_text("import no_such_module\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Reload called off")
        load.wait_for_requests(100)
        assert server.worker_pids() == before
        (server.folder / "shop.py").write_text(good)
        server.signal(signal.SIGHUP)
        new_workers_serve(load, server.wait_for_workers(2, without=before))
    assert_no_loss(load)
    assert "no_such_module" in server.log_text()
