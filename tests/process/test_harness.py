"""The fixture `gunicorn` itself: it sees a boot, an exit code and a process left behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.gunicorn import RunningGunicorn
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gunicorn import StartGunicorn

SYNC = "sync"
"""These tests are about the fixture, so they use a worker class that they need not trust."""

WSGI = {
    "wsgi.py": """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
}


def test_get_is_answered_by_a_worker(gunicorn: StartGunicorn) -> None:
    server = gunicorn("wsgi:app", "--workers", "2", worker_class=SYNC, files=WSGI)
    reply = server.get("/")
    assert reply.status == 200
    assert int(reply.text) in server.worker_pids()
    eventually(lambda: len(server.worker_pids()) == 2)


def test_unix_socket_is_served(gunicorn: StartGunicorn) -> None:
    server = gunicorn("wsgi:app", worker_class=SYNC, bind=["unix:{folder}/sock"], files=WSGI)
    server.wait_for_log("Booting worker")
    assert server.get("/").status == 200


def test_stop_demands_the_exit_code(tmp_path: Path) -> None:
    server = RunningGunicorn(tmp_path, "nothing_here:app", worker_class=SYNC)
    server.wait_exit()
    with pytest.raises(AssertionError, match="exit code 3, expected 0"):
        server.stop()


def test_stop_finds_and_kills_orphans(tmp_path: Path) -> None:
    hooks = "import time\ndef post_worker_init(worker): time.sleep(600)\n"
    server = RunningGunicorn(
        tmp_path, "wsgi:app", worker_class=SYNC, config=hooks, files=WSGI, expect_exit=None
    )
    worker = eventually(server.worker_pids).pop()
    server.signal(signal.SIGSTOP, worker)
    server.signal(signal.SIGKILL)
    server.wait_exit()
    with pytest.raises(AssertionError, match=f"processes were left .*{worker}"):
        server.stop(timeout=0.5)
    assert not server.processes()
