"""`--preload`: the application is loaded once per release, in a process of its own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.processes import alive, children, title
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.supervisor import RunningSupervisor, StartSupervisor

GOOD = "from tests.apps.basic import app\n"


def loader(server: RunningSupervisor) -> int:
    """Return the process that loads and forks."""
    (pid,) = (pid for pid in children(server.pid) if "loader" in title(pid))
    return pid


def test_preloaded_workers_are_reloaded_with_new_code(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--workers", "3", "--preload", files={"shop.py": GOOD})
    before = server.wait_for_workers(3)
    first = loader(server)
    assert server.marked("import") == [first], "once, and not in the supervisor"
    with Load(server.address, busy=4, reconnecting=3) as load:
        load.wait_for_requests(100)
        server.signal(signal.SIGHUP)
        after = server.wait_for_workers(3, without=before)
        eventually(lambda: after <= load.outcomes.served_by.keys())
        second = loader(server)
        assert server.marked("import") == [first, second]
        assert not alive(first)

        (server.folder / "shop.py").write_text("app = undefined\n")
        server.signal(signal.SIGHUP)
        server.wait_for_log("Reload called off")
        assert server.worker_pids() == after
        assert loader(server) == second

        server.signal(signal.SIGKILL, min(after))  # the loader that serves forks its successor
        third = server.wait_for_workers(3, without={min(after)})
        assert len(third & after) == 2
        eventually(lambda: third <= load.outcomes.served_by.keys())
    assert not load.outcomes.losses(allowed=["cut", "reset_kept", "reset_new", "closed_early"])
    assert server.marked("import") == [first, second]


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("app = undefined\n", 4, ["NameError"]),
        (
            "import os\nos.kill(os.getpid(), 11)\n",
            3,
            ['shop.py", line 2', "ended: killed by SIGSEGV: C code has crashed"],
        ),
    ],
)
def test_a_broken_application_ends_the_start(
    supervisor: StartSupervisor, code: str, exit_code: int, said: list[str]
) -> None:
    server = supervisor("shop:app", "--preload", files={"shop.py": code}, expect_exit=exit_code)

    assert server.wait_exit(5) == exit_code
    for text in said:
        assert text in server.log_text()


def test_a_loader_that_dies_takes_no_worker_along(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--workers", "2", "--preload", files={"shop.py": GOOD})
    before = server.wait_for_workers(2)

    server.signal(signal.SIGKILL, loader(server))
    server.wait_for_log("new workers load it themselves")
    assert server.worker_pids() == before
    server.signal(signal.SIGKILL, min(before))
    loaded = server.wait_for_workers(2, without={min(before)})
    assert [server.marked("import").count(pid) for pid in loaded - before] == [1], "by itself"
    server.signal(signal.SIGHUP)

    server.wait_for_workers(2, without=before | loaded)
    assert server.marked("import")[-1] == loader(server)


def test_workers_of_a_loader_go_when_the_supervisor_is_killed(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--preload", files={"shop.py": GOOD}, expect_exit=-9)
    server.wait_for_workers(1)

    server.signal(signal.SIGKILL)

    server.wait_until_gone(5)
