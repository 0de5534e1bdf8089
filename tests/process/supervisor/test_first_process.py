"""As process 1, as in a container: orphans of others are reaped, and signals are heard."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.processes import children
from tests.support.supervisor import COMMAND, RunningSupervisor
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.supervisor import StartSupervisor

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child")

# A child that ends at once leaves behind a child of its own, which does so soon.
LEAVES_ORPHANS = """
import os, subprocess
from tests.apps.basic import app as basic

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/orphan":
        subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True)
    await basic(scope, receive, send)
"""

# Becomes `unshare`, whose child is process 1 and becomes the supervisor.
BECOME = f"import os, sys; os.execvp('unshare', [*{NAMESPACE!r}, sys.executable, *sys.argv[1:]])"


def may_unshare() -> bool:
    try:
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not may_unshare(), reason="needs a namespace for processes"
)


@pytest.fixture
def first(supervisor: StartSupervisor, monkeypatch: pytest.MonkeyPatch) -> RunningSupervisor:
    """Start a supervisor as process 1; `pid` is its process id outside."""
    monkeypatch.setattr("tests.support.supervisor.COMMAND", ("-c", BECOME, *COMMAND))
    server = supervisor("orphans:app", files={"orphans.py": LEAVES_ORPHANS}, expect_exit=None)
    (server.pid,) = eventually(lambda: children(server.process.pid))
    return server


def test_a_first_process_reaps_orphans_and_answers_signals(first: RunningSupervisor) -> None:
    before = first.wait_for_workers(1)
    first.wait_for_log("supervisor process [1]")

    first.get("/orphan")
    first.get("/orphan")
    eventually(lambda: ends(first.pid) == before)
    assert "sleep" not in first.log_text(), "nobody is told of strangers"

    first.signal(signal.SIGUSR2)
    first.wait_for_log("Upgrade called off: this is process 1")
    first.signal(signal.SIGHUP)
    first.wait_for_workers(1, without=before)
    first.signal(signal.SIGTERM)
    assert first.wait_exit() == 0


def ends(pid: int) -> set[int]:
    """Return all children of a process, those that wait to be reaped included."""
    return {child.pid for child in psutil.Process(pid).children()}
