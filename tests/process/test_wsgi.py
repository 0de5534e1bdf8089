"""A WSGI application under Gunicorn and our worker: served where asked for, else refused."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import ask
from tests.support.gunicorn import MARKING_HOOKS
from tests.support.inflight import in_flight, was_cut_off
from tests.support.stopping import workers_end_within

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.gunicorn import StartGunicorn

APP = """
import os, threading

def app(environ, start_response):
    if environ["PATH_INFO"] == "/hang":
        with open(os.environ["MARKS"], "a") as marks:
            marks.write(f"sleeping {os.getpid()}\\n")
        threading.Event().wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["PATH_INFO"].encode()]
"""


@pytest.mark.parametrize("graceful", [True, False])
def test_a_call_that_hangs_ends_with_the_worker(
    graceful: bool, gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(
        "plain:app",
        "--graceful-timeout=1",
        config=MARKING_HOOKS,
        env={"UVICORN_INTERFACE": "wsgi"},
        files={"plain.py": APP},
    )
    assert ask(server).body == b"GET /"
    assert "in 10 threads" in server.log_text()

    [answer] = in_flight(server, clients, "/hang")
    with workers_end_within(server, 2.0):
        server.signal(signal.SIGTERM if graceful else signal.SIGQUIT)

    assert server.wait_exit() == 0
    assert was_cut_off(answer)
    assert len(server.marks("worker_exit")) == 1
    assert "was sent SIG" not in server.log_text()
    assert "Traceback" not in server.log_text()


def test_a_wsgi_application_is_not_served_by_mistake(gunicorn: StartGunicorn) -> None:
    server = gunicorn("plain:app", files={"plain.py": APP}, expect_exit=3)

    assert server.wait_exit() == 3
    assert "looks like a WSGI application" in server.log_text()
    assert "or set UVICORN_INTERFACE=wsgi" in server.log_text()
    assert "Traceback" not in server.log_text()
