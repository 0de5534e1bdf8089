"""Hooks of a Python file, called in the right process at the right moment."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.supervisor import StartSupervisor

APP = "tests.apps.basic:app"

HOOKS = """
import os

def _mark(event):
    with open(os.environ["MARKS"], "ab", buffering=0) as file:
        file.write(f"{event} {os.getpid()}\\n".encode())

def _mark_worker(event, worker):
    _mark(f"{event}-{worker.slot}-{worker.release}-{bool(worker.pid)}")

def on_starting(supervisor): _mark("on_starting")
def when_ready(supervisor): _mark("when_ready")
def pre_fork(supervisor, worker): _mark_worker("pre_fork", worker)
def post_fork(supervisor, worker): _mark_worker("post_fork", worker)
def worker_ready(supervisor, worker): _mark_worker("worker_ready", worker)
def worker_exit(supervisor, worker): _mark_worker("worker_exit", worker)
def child_exit(supervisor, worker): _mark_worker("child_exit", worker)
def on_reload(supervisor): _mark("on_reload"); raise RuntimeError("a hook's own fault")
def on_exit(supervisor): _mark("on_exit")
"""


@pytest.mark.parametrize("preload", [False, True])
def test_hooks_are_called_in_their_process(supervisor: StartSupervisor, preload: bool) -> None:
    words = ["--hooks", "hooks.py", *(["--preload"] if preload else [])]
    server = supervisor(APP, *words, files={"hooks.py": HOOKS})
    (first,) = server.wait_for_workers(1)
    server.signal(signal.SIGHUP)
    (second,) = server.wait_for_workers(1, without={first})
    server.signal(signal.SIGTERM)
    server.wait_exit()

    marked = {
        line.split()[0]: int(line.split()[1]) for line in server.marks_file.read_text().splitlines()
    }
    ours = {name: pid for name, pid in marked.items() if "_" in name}
    assert ours == {
        "on_starting": server.pid,
        "pre_fork-1-1-False": server.pid,
        "post_fork-1-1-True": first,
        "worker_ready-1-1-True": server.pid,
        "when_ready": server.pid,
        "on_reload": server.pid,
        "pre_fork-1-2-False": server.pid,
        "post_fork-1-2-True": second,
        "worker_ready-1-2-True": server.pid,
        "worker_exit-1-1-True": first,
        "child_exit-1-1-True": server.pid,
        "worker_exit-1-2-True": second,
        "child_exit-1-2-True": server.pid,
        "on_exit": server.pid,
    }
    assert "The hook on_reload has failed: RuntimeError: a hook's own fault" in server.log_text()


def test_a_hook_may_refuse_the_start(supervisor: StartSupervisor) -> None:
    hooks = "def on_starting(supervisor): raise RuntimeError('no licence')\n"
    server = supervisor(APP, "--hooks", "hooks.py", files={"hooks.py": hooks}, expect_exit=1)

    eventually(lambda: server.process.poll() is not None)

    assert "the hook on_starting refuses to start: RuntimeError: no licence" in server.log_text()
