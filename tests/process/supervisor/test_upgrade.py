"""SIGUSR2: a new supervisor takes the listeners and the pid file over, or leaves no trace."""

from __future__ import annotations

import os
import pprint
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.processes import children, title
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.supervisor import RunningSupervisor, StartSupervisor

GOOD = "from tests.apps.basic import app\n"


def successor(server: RunningSupervisor, old: int) -> int:
    """Wait until the old supervisor has ended, and return the new one."""
    eventually(lambda: server.masters() and old not in server.masters(), timeout=20)
    (new,) = server.masters()
    return new


def workers_of(pid: int) -> set[int]:
    return {child for child in children(pid) if "ready" in title(child)}


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:app.sock"])
def test_upgrades_under_load_lose_nothing(supervisor: StartSupervisor, bind: str) -> None:
    server = supervisor(
        "shop:app", "--workers", "2", "--pid", "pid", "--bind", bind,
        own_address=True, files={"shop.py": GOOD},
    )  # fmt: skip
    server.wait_for_workers(2)
    pidfile, old = server.folder / "pid", server.pid
    with Load(server.address, busy=4, reconnecting=3, idle=4, idle_time=0.7) as load:
        load.wait_for_requests(100)
        for _ in range(2):  # who has taken over can be upgraded as well
            os.kill(old, signal.SIGUSR2)
            new = successor(server, old)
            pids = eventually(lambda new=new: workers_of(new))  # type: ignore[misc]  # the default binds this turn's
            eventually(lambda pids=pids: pids <= load.outcomes.served_by.keys())  # type: ignore[misc]  # as above
            eventually(lambda new=new: pidfile.read_text() == f"{new}\n")  # type: ignore[misc]  # as above
            old = new
    losses = load.outcomes.losses()
    assert not losses, pprint.pformat(losses, width=120)
    assert server.wait_exit() == 0
    assert not (server.folder / "pid.2").exists()
    os.kill(old, signal.SIGTERM)
    server.wait_until_gone()
    assert not pidfile.exists()
    assert not (server.folder / "app.sock").exists()


def test_an_upgrade_that_cannot_boot_changes_nothing(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--pid", "pid", files={"shop.py": GOOD})
    before = server.wait_for_workers(1)
    (server.folder / "shop.py").write_text("app = undefined\n")

    server.signal(signal.SIGUSR2)
    server.wait_for_log("Upgrade called off: the new supervisor has ended: exit code 4")

    assert server.worker_pids() == before
    assert server.get("/pid").status == 200
    assert (server.folder / "pid").read_text() == f"{server.pid}\n"
    assert not (server.folder / "pid.2").exists()
    (server.folder / "shop.py").write_text(GOOD)
    server.signal(signal.SIGHUP)
    server.wait_for_workers(1, without=before)


def test_a_stop_during_an_upgrade_ends_both(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", files={"shop.py": GOOD})
    server.wait_for_workers(1)
    (server.folder / "shop.py").write_text("import time; time.sleep(60)\n" + GOOD)
    server.signal(signal.SIGUSR2)
    eventually(lambda: len(server.masters()) == 2)

    server.signal(signal.SIGTERM)

    assert server.wait_exit(5) == 0
    server.wait_until_gone(5)
