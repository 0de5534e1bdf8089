"""No processes, no descriptors, no disk, too many signals: what serves goes on serving."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import open_files
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

APP = "tests.apps.basic:app"
PIDS = Path("/sys/fs/cgroup/pids")  # of cgroups, version 1

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of running processes")


@contextlib.contextmanager
def limited(pid: int, kind: int, number: int) -> Iterator[None]:
    """Let a running process have no more than `number` of something, for a while."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (number, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


@contextlib.contextmanager
def no_more_processes(server: RunningSupervisor) -> Iterator[None]:
    """Let every fork of the supervisor fail."""
    if os.getuid():
        with limited(server.pid, resource.RLIMIT_NPROC, 1):
            yield
        return
    # Root is exempt from that limit.
    group = PIDS / f"uvicorn-test-{server.pid}"
    try:
        group.mkdir()
    except OSError:
        pytest.skip("root without a cgroup that counts processes")
    try:
        (group / "pids.max").write_text("1")
        (group / "cgroup.procs").write_text(str(server.pid))
        yield
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            (PIDS / "cgroup.procs").write_text(pid)
        group.rmdir()


def test_forks_that_fail_leave_the_others_serving(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2")
    before = server.wait_for_workers(2)

    with no_more_processes(server):
        server.signal(signal.SIGKILL, min(before))
        server.wait_for_log("no process: Resource temporarily unavailable", count=2)
        assert server.get("/").status == 200
        server.signal(signal.SIGHUP)
        server.wait_for_log("Reload called off")

    server.wait_for_workers(2)
    server.signal(signal.SIGHUP)
    server.wait_for_workers(2, without=before)


def test_a_start_without_processes_ends(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, env={"IMPORT_SECONDS": "60"}, expect_exit=3)
    eventually(server.worker_pids)

    with no_more_processes(server):
        for pid in server.worker_pids():
            server.signal(signal.SIGKILL, pid)
        assert server.wait_exit(10) == 3

    assert "Workers cannot boot" in server.log_text()


def test_a_reload_without_descriptors_is_called_off(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2")
    before = server.wait_for_workers(2)

    # The new worker inherits the limit: it cannot make an event loop.
    with limited(server.pid, resource.RLIMIT_NOFILE, open_files(server.pid)):
        server.signal(signal.SIGHUP)
        server.wait_for_log("Reload called off")
        assert server.worker_pids() == before
        assert server.get("/").status == 200

    server.signal(signal.SIGHUP)
    server.wait_for_workers(2, without=before)


def test_a_worker_without_descriptors_accepts_when_it_has_some(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(APP)
    pids = server.wait_for_workers(1)
    (pid,) = pids

    with (
        limited(pid, resource.RLIMIT_NOFILE, open_files(pid) + 1),
        contextlib.ExitStack() as stack,
    ):
        for _ in range(5):
            stack.enter_context(server.connect())
        server.wait_for_log("Too many open files")

    assert server.get("/").status == 200
    assert server.worker_pids() == pids


def test_logs_on_a_full_disk_end_nothing(supervisor: StartSupervisor) -> None:
    full = ("--error-logfile", "/dev/full", "--access-logfile", "/dev/full")
    server = supervisor(APP, "--workers", "2", *full)
    before = server.wait_for_workers(2)

    for _ in range(20):
        assert server.get("/").status == 200
    server.signal(signal.SIGUSR1)
    server.signal(signal.SIGHUP)
    server.wait_for_workers(2, without=before)
    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    text = server.log_text()
    assert "Traceback" not in text
    # At most one line for each process and each time that the log was opened.
    assert 1 <= text.count("lines of the log are lost") <= 8, text


@pytest.mark.parametrize("seed", [1, 2])
def test_signals_in_every_phase_are_survived(supervisor: StartSupervisor, seed: int) -> None:
    chance = random.Random(seed)
    server = supervisor(APP, "--workers", "2", env={"IMPORT_SECONDS": "0.1"})
    server.wait_for_workers(2)
    orders = (
        signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGWINCH,
        signal.SIGCHLD,
    )  # fmt: skip
    for _ in range(40):
        server.signal(chance.choice(orders))
        if chance.random() < 0.3 and (pids := server.worker_pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(
                    chance.choice(sorted(pids)), chance.choice((signal.SIGKILL, signal.SIGTERM))
                )

    # Of those that wait the kernel delivers the lowest number first, whichever came last.
    eventually(lambda: not waiting(server.pid))
    server.signal(signal.SIGHUP)  # as many workers as the configuration says
    server.wait_for_workers(2)
    assert server.get("/").status == 200
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert "Traceback" not in server.log_text()


def waiting(pid: int) -> bool:
    """Return whether signals wait to be delivered to a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = [line.split()[1] for line in lines if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(mask, 16) for mask in masks)
