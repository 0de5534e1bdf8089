"""How a worker and its server end gracefully, and what its other signals do.

Whatever is left at `graceful_timeout` gets SIGKILL from Gunicorn, without its hooks and its
lifespan shutdown, so a worker must always be faster than that. Quick stops and stops during the
boot: test_quick_stop.py.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.gunicorn import MARKING_HOOKS
from tests.support.inflight import in_flight, was_cut_off
from tests.support.processes import alive
from tests.support.stopping import (
    QUICK,
    STUBBORN,
    STUCK,
    assert_ended_well,
    refuses,
    workers_end_within,
)
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.gunicorn import StartGunicorn

APP = "tests.apps.basic:app"


# A graceful stop.


def test_term_ends_an_idle_server(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS)
    server.wait_for_workers(2)
    with workers_end_within(server, QUICK):
        server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert_ended_well(server, workers=2)
    assert server.marks("worker_int") == []


def test_term_to_every_process_is_one_stop(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    """As `systemd` and some container runtimes send it; the master then sends it once more."""
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS)
    server.wait_for_workers(2)
    answers = in_flight(server, clients, *["/sleep?s=1"] * 4)
    os.killpg(server.pid, signal.SIGTERM)
    assert [answer.result().status for answer in answers] == [200] * 4
    assert server.wait_exit() == 0
    assert_ended_well(server, workers=2)


def test_repeated_term_cuts_no_request(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    """Gunicorn repeats SIGTERM to a surplus worker every second."""
    server = gunicorn(APP, config=MARKING_HOOKS)
    (worker,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/sleep?s=1")
    for _ in range(5):
        server.signal(signal.SIGTERM, worker)
    assert answer.result().status == 200
    eventually(lambda: not alive(worker))
    assert_ended_well(server)


def test_term_waits_for_work_after_the_answer(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS)
    server.wait_for_workers(1)
    assert server.get("/background?s=1").status == 200
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.marks("cancelled") == []
    assert len(server.marks("background")) == 1
    assert_ended_well(server)


@pytest.mark.parametrize("paths", [STUCK, STUBBORN], ids=["stuck", "stubborn"])
def test_term_with_stuck_requests_ends_before_the_kill(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor, paths: list[str]
) -> None:
    """At the deadline the application is cancelled; one that swallows that does not count."""
    server = gunicorn(APP, "--graceful-timeout", "3", config=MARKING_HOOKS)
    server.wait_for_workers(1)
    answers = in_flight(server, clients, *paths)
    with workers_end_within(server, 3, after=2.0):
        server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert all(was_cut_off(answer) for answer in answers)
    assert_ended_well(server)
    assert len(server.marks("cancelled")) >= len(paths)


def test_silent_connections_do_not_prolong_a_stop(gunicorn: StartGunicorn) -> None:
    """Fresh, half a head, kept alive: none is a request in flight."""
    server = gunicorn(APP, "--keep-alive", "30", config=MARKING_HOOKS)
    server.wait_for_workers(1)
    with server.connect(), server.connect() as half, server.connect() as kept:
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
        kept.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(1000).startswith(b"HTTP/1.1 200 ")
        with workers_end_within(server, 2.5):
            server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert_ended_well(server)


def test_request_on_a_kept_connection_is_answered_while_draining(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, "--keep-alive", "30", config=MARKING_HOOKS)
    (worker,) = server.wait_for_workers(1)
    with server.connect() as kept:
        kept.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"connection: close" not in kept.recv(1000).lower()
        in_flight(server, clients, "/sleep?s=1.5")
        server.signal(signal.SIGTERM)
        eventually(lambda: refuses(server))  # the worker drains: it closed its listener
        kept.sendall(b"GET /pid?id=2 HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while data := kept.recv(1000):  # to the end of the stream: it is closed, as announced
            answer += data
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"%d 2\n" % worker)
    assert server.wait_exit() == 0
    assert_ended_well(server)


# Reload with its own deadline: nobody kills the old worker, so it has to end itself.


def test_reload_ends_a_stuck_request_at_the_graceful_timeout(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, "--graceful-timeout", "3", config=MARKING_HOOKS)
    (old,) = server.wait_for_workers(1)
    in_flight(server, clients, "/sleep?s=60")
    begin = time.monotonic()
    server.signal(signal.SIGHUP)
    server.wait_for_workers(1, without={old})
    assert 2.0 < time.monotonic() - begin < 4.0
    assert server.marks("cancelled") == server.marks("stop") == server.marks("worker_exit") == [old]


def test_reload_without_graceful_timeout_is_quick(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, "--graceful-timeout", "0", config=MARKING_HOOKS, expect_exit=None)
    (old,) = server.wait_for_workers(1)
    in_flight(server, clients, "/sleep?s=60")
    begin = time.monotonic()
    server.signal(signal.SIGHUP)
    eventually(lambda: not alive(old))
    assert time.monotonic() - begin < 3.0
    assert server.marks("cancelled") == server.marks("stop") == server.marks("worker_exit") == [old]
    assert server.marks("worker_int") == []


# Signals that reach the worker itself.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM])
def test_signalled_worker_ends_well_and_is_replaced(gunicorn: StartGunicorn, number: int) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS)
    (old,) = server.wait_for_workers(1)
    server.signal(number, old)
    (new,) = server.wait_for_workers(1, without={old})
    assert server.get("/pid").text.split()[0] == str(new)
    assert_ended_well(server)
    assert server.marks("worker_int") == ([old] if number != signal.SIGTERM else [])
    assert server.marks("child_exit") == [old]


@pytest.mark.parametrize(
    "number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGCHLD]
)
def test_other_signals_leave_the_worker_at_work(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor, number: int
) -> None:
    """A stray `pkill -HUP` must not kill requests."""
    server = gunicorn(APP)
    (worker,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/sleep?s=0.3")
    server.signal(number, worker)
    assert answer.result().status == 200
    assert server.get("/pid").text.split()[0] == str(worker)


def test_usr1_reopens_the_log_of_master_and_workers(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        "--error-logfile",
        "error.log",
        "--access-logfile",
        "access.log",
        "--log-level",
        "debug",
    )
    server.wait_for_workers(1)
    server.get("/pid")
    for name in ("error.log", "access.log"):
        eventually(lambda name=name: (server.folder / name).stat().st_size)  # type: ignore[misc]  # the default binds this turn's name
        (server.folder / name).rename(server.folder / f"{name}.1")
    server.signal(signal.SIGUSR1)
    access = server.folder / "access.log"
    eventually(lambda: server.get("/pid").body and access.exists() and access.stat().st_size)
    assert (server.folder / "error.log").exists()
