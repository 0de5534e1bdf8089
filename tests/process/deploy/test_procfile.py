"""deploy/procfile/: each line of them is run as a platform runs it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command import environment
from tests.support.ports import free_port
from tests.support.processes import children
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.command import RunningCommand, StartCommand

FOLDER = Path(__file__).parents[3] / "deploy" / "procfile"
NAMES = ["Procfile", "Procfile.gunicorn"]
LIMIT = 30
"""Seconds that Heroku gives a dyno to end."""

pytestmark = pytest.mark.slow


def line(name: str, process: str) -> list[str]:
    """Return the command of a process, found where this Python's commands are."""
    lines = (FOLDER / name).read_text().splitlines()
    (found,) = (text.partition(": ")[2] for text in lines if text.startswith(f"{process}: "))
    program, *words = shlex.split(found.replace("app:app", "tests.apps.basic:app"))
    return [f"{sysconfig.get_path('scripts')}/{program}", *words]


def on_a_platform(start: StartCommand, name: str) -> RunningCommand:
    """Start the process `web` with two workers on a port that was given to it."""
    port = free_port()
    env = {"PORT": str(port), "WEB_CONCURRENCY": "2"}
    server: RunningCommand = start(*line(name, "web")[1:], command=(line(name, "web")[0],), env=env)
    server.listens_on(("127.0.0.1", port))
    eventually(lambda: server.marks("start") == 2, timeout=20.0)
    return server


@pytest.mark.parametrize("name", NAMES)
def test_web_serves_and_stops_when_all_its_processes_are_told_twice(
    command: StartCommand, name: str
) -> None:
    """Heroku sends SIGTERM to every process of a dyno, and maybe more than once."""
    server = on_a_platform(command, name)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(server.get, "/sleep?s=1")
        server.wait_for_mark("sleeping")
        for _ in range(2):
            for pid in [server.pid, *children(server.pid)]:
                os.kill(pid, signal.SIGTERM)
        assert answer.result().status == 200
    assert server.wait_exit() == 0
    assert server.marks("import") == 1  # the application is loaded once
    assert server.marks("stop") == 2


@pytest.mark.parametrize("name", NAMES)
def test_web_ends_in_time(name: str) -> None:
    words = line(name, "web")
    graceful = {"--graceful-timeout", "--timeout-graceful-shutdown"} & set(words)
    assert int(words[words.index(graceful.pop()) + 1]) < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_release_refuses_what_cannot_be_loaded(tmp_path: Path, name: str) -> None:
    words = line(name, "release")
    for app, is_there in (("tests.apps.basic:app", True), ("tests.apps.basic:ap", False)):
        done = subprocess.run(
            [sys.executable, *[word.replace("tests.apps.basic:app", app) for word in words]],
            cwd=tmp_path,
            env=environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is is_there, (words, done.stdout, done.stderr)
