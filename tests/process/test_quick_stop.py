"""SIGINT and SIGQUIT, and every stop that comes while a worker still boots.

Gunicorn waits `graceful_timeout` for the workers of a quick stop, so they must leave by
themselves; requests may be cut, hooks and lifespan shutdown may not.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.gunicorn import MARKING_HOOKS, VERSION
from tests.support.inflight import in_flight, was_cut_off
from tests.support.load import Load
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


@pytest.mark.parametrize(
    ("number", "paths"),
    [
        pytest.param(signal.SIGINT, [], id="INT idle"),
        pytest.param(signal.SIGQUIT, [], id="QUIT idle"),
        pytest.param(signal.SIGINT, STUCK, id="INT stuck"),
        pytest.param(signal.SIGQUIT, STUBBORN, id="QUIT stubborn"),
    ],
)
def test_int_and_quit_end_quickly(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor, number: int, paths: list[str]
) -> None:
    """Sent to the master alone, as containers and `kill -INT` do."""
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS)
    workers = server.wait_for_workers(2)
    answers = in_flight(server, clients, *paths)
    with workers_end_within(server, QUICK):
        server.signal(number)
    assert server.wait_exit() == 0
    assert all(was_cut_off(answer) for answer in answers)
    assert_ended_well(server, workers=2)
    assert sorted(server.marks("worker_int")) == sorted(workers)


def test_ctrl_c_is_one_quick_stop(gunicorn: StartGunicorn) -> None:
    """A terminal sends SIGINT to every process; the master then adds SIGQUIT."""
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS)
    workers = server.wait_for_workers(2)
    with workers_end_within(server, QUICK):
        os.killpg(server.pid, signal.SIGINT)
    assert server.wait_exit() == 0
    assert_ended_well(server, workers=2)
    assert sorted(server.marks("worker_int")) == sorted(workers)


@pytest.mark.skipif(VERSION < (25, 0), reason="older masters ignore a signal while they stop")
def test_int_cuts_a_graceful_stop_short(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS)
    server.wait_for_workers(1)
    in_flight(server, clients, "/sleep?s=60")
    server.signal(signal.SIGTERM)
    eventually(lambda: refuses(server))
    with workers_end_within(server, QUICK):
        server.signal(signal.SIGINT)
    assert server.wait_exit() == 0
    assert_ended_well(server)
    assert len(server.marks("worker_int")) == 1


def test_quick_stop_under_load(gunicorn: StartGunicorn) -> None:
    """Requests may be cut, but the hooks and the lifespan shutdown are not."""
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS)
    server.wait_for_workers(2)
    with Load(server.address, busy=8, reconnecting=4, until_refused=True) as load:
        load.wait_for_requests(200)
        with workers_end_within(server, QUICK):
            server.signal(signal.SIGQUIT)
        assert server.wait_exit() == 0
    assert load.outcomes.wrong == load.outcomes.timeout == 0
    assert_ended_well(server, workers=2)


# Stops during the boot.


def test_term_during_import_skips_the_lifespan(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS, env={"IMPORT_SECONDS": "1"})
    server.wait_for_marks("import")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert server.marks("starting") == []
    assert len(server.marks("worker_exit")) == 1
    assert "was sent SIG" not in server.log_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quick_stop_during_import(gunicorn: StartGunicorn, number: int) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS, env={"IMPORT_SECONDS": "1"})
    server.wait_for_marks("import")
    with workers_end_within(server, QUICK):
        server.signal(number)
    assert server.wait_exit() == 0
    assert server.marks("starting") == []
    assert len(server.marks("worker_exit")) == 1
    assert "was sent SIG" not in server.log_text()


def test_term_during_lifespan_startup_finishes_it_first(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS, env={"STARTUP_SECONDS": "1"})
    server.wait_for_marks("starting")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(server.marks("start")) == 1
    assert_ended_well(server)


def test_term_ends_a_stuck_lifespan_startup(gunicorn: StartGunicorn) -> None:
    options = ["--graceful-timeout", "3"]
    server = gunicorn(APP, *options, config=MARKING_HOOKS, env={"STARTUP_SECONDS": "60"})
    server.wait_for_marks("starting")
    with workers_end_within(server, 3):
        server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(server.marks("worker_exit")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_quick_stop_during_lifespan_startup(gunicorn: StartGunicorn, number: int) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS, env={"STARTUP_SECONDS": "60"})
    server.wait_for_marks("starting")
    with workers_end_within(server, QUICK):
        server.signal(number)
    assert server.wait_exit() == 0
    assert len(server.marks("worker_exit")) == 1
    assert len(server.marks("worker_int")) == 1
    assert "lifespan" not in server.log_text()  # that it was cancelled is not its fault
