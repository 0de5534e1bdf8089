"""No request is lost at any restart, under load from busy, reconnecting and idle clients.

Every scenario runs on until the new workers have answered requests, so none passes for lack of
traffic.
"""

from __future__ import annotations

import pprint
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.processes import alive
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.basic:app"


def mixed_load(server: RunningGunicorn, *, until_refused: bool = False) -> Load:
    """Return clients of every kind; the idle ones stay below the default keep-alive of 2 s."""
    return Load(
        server.address,
        busy=4,
        reconnecting=3,
        idle=6,
        pipelining=1,
        idle_time=0.7,
        until_refused=until_refused,
    )


def assert_no_loss(load: Load, *, allowed: Sequence[str] = ()) -> None:
    losses = load.outcomes.losses(allowed=allowed)
    assert not losses, pprint.pformat(losses, width=120)


def new_workers_serve(load: Load, pids: set[int]) -> None:
    """Wait until each of these workers has answered."""
    eventually(lambda: pids <= load.outcomes.served_by.keys(), message=f"answers from {pids}")


def reload(server: RunningGunicorn, count: int) -> set[int]:
    """Send SIGHUP, wait until every worker was replaced, and return the new ones."""
    before = server.worker_pids()
    server.signal(signal.SIGHUP)
    return server.wait_for_workers(count, without=before)


@pytest.mark.parametrize("workers", [1, 2])
def test_three_reloads(gunicorn: StartGunicorn, workers: int) -> None:
    server = gunicorn(APP, "--workers", str(workers))
    server.wait_for_workers(workers)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        for _ in range(3):
            new_workers_serve(load, reload(server, workers))
    assert_no_loss(load)


def test_reload_over_a_unix_socket(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2", bind=["unix:{folder}/socket"])
    server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        new_workers_serve(load, reload(server, 2))
    assert_no_loss(load)


def test_reload_of_workers_with_their_own_queues(gunicorn: StartGunicorn) -> None:
    """With `reuse_port` nobody else takes over the connections in a worker's queue.

    The instant between the last look into it and its close is there at every restart, so it may
    cost a connection; not twice in a row (see `test_stop_under_load`).
    """
    load = reload_with_own_queues(gunicorn)
    if load.outcomes.reset_new:
        load = reload_with_own_queues(gunicorn)
    assert_no_loss(load)


def reload_with_own_queues(gunicorn: StartGunicorn) -> Load:
    """Reload a new server under load; return the load, with no other loss than fresh resets."""
    with socket.socket() as reserved:  # bound, so that the port stays ours, but not listening
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        server = gunicorn(APP, "--workers", "2", "--reuse-port", bind=[f"127.0.0.1:{port}"])
        server.wait_for_workers(2)
        with mixed_load(server) as load:
            load.wait_for_requests(200)
            new_workers_serve(load, reload(server, 2))
    assert_no_loss(load, allowed=["reset_new"])
    return load


def test_reload_with_asyncio_and_h11(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2", worker_class="uvicorn_worker.UvicornH11Worker")
    server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        new_workers_serve(load, reload(server, 2))
    assert_no_loss(load)


def test_reload_of_a_preloaded_application(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2", "--preload")
    server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        new_workers_serve(load, reload(server, 2))
    assert_no_loss(load)


def test_slow_boot_of_the_new_generation(gunicorn: StartGunicorn) -> None:
    """The old worker goes on accepting while its successor imports and starts up."""
    slow = {"IMPORT_SECONDS": "0.5", "STARTUP_SECONDS": "0.5"}
    server = gunicorn(APP, env=slow)
    server.wait_for_workers(1)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        new_workers_serve(load, reload(server, 1))
    assert_no_loss(load)


def test_storm_of_reloads(gunicorn: StartGunicorn) -> None:
    """Six SIGHUPs, each sent as soon as Gunicorn has taken notice of the one before."""
    server = gunicorn(APP, "--workers", "2")
    first = server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        for number in range(1, 7):
            server.signal(signal.SIGHUP)
            server.wait_for_log("Handling signal: hup", count=number)
        new_workers_serve(load, server.wait_for_workers(2, without=first))
    assert_no_loss(load)


def test_storm_of_reloads_while_workers_boot(gunicorn: StartGunicorn) -> None:
    """Five SIGHUPs, each sent when a worker of the generation before has just become ready."""
    server = gunicorn(APP, "--workers", "2")
    first = server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        for _ in range(5):
            started = len(server.marks("start"))
            server.signal(signal.SIGHUP)
            server.wait_for_marks("start", started + 1)
        new_workers_serve(load, server.wait_for_workers(2, without=first))
    assert_no_loss(load)


@pytest.mark.parametrize("workers", [1, 2])
def test_max_requests(gunicorn: StartGunicorn, workers: int) -> None:
    server = gunicorn(APP, "--workers", str(workers), "--max-requests", "200")
    server.wait_for_workers(workers)
    with mixed_load(server) as load:
        # Not a number of requests: that would pass while one worker overshoots its limit.
        eventually(lambda: len(load.outcomes.served_by) >= 5, timeout=30)
    assert_no_loss(load)


def test_more_and_fewer_workers(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2")
    server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGTTIN)
        server.wait_for_workers(3)
        for left in (2, 1):
            server.signal(signal.SIGTTOU)
            server.wait_for_workers(left)
        server.signal(signal.SIGTTIN)
        new_workers_serve(load, server.wait_for_workers(2))
    assert_no_loss(load)


def test_upgrade_of_the_master(gunicorn: StartGunicorn) -> None:
    """SIGUSR2 starts a second master; SIGTERM retires the first one and its workers."""
    server = gunicorn(APP, "--workers", "2", bind=["127.0.0.1:0"])
    server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGUSR2)
        second = server.second_master()
        workers = server.wait_for_workers(2, master=second)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        new_workers_serve(load, workers)
        load.wait_for_requests(200)
    assert_no_loss(load)
    assert len(server.marks("stop")) == 2


def test_upgrade_of_a_daemon_by_winch_and_quit(gunicorn: StartGunicorn) -> None:
    """As the Gunicorn manual does it: SIGWINCH drains the first master's workers, SIGQUIT ends
    it. Gunicorn heeds SIGWINCH only as a daemon."""
    options = ["--workers", "2", "--daemon", "--log-file", "gunicorn.log"]
    server = gunicorn(APP, *options, bind=["127.0.0.1:0"])
    assert server.wait_exit() == 0
    first = server.daemon_master()
    server.wait_for_workers(2, master=first)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGUSR2, first)
        second = server.second_master()
        workers = server.wait_for_workers(2, master=second)
        server.signal(signal.SIGWINCH, first)
        eventually(lambda: not server.worker_pids(first))
        server.signal(signal.SIGQUIT, first)
        eventually(lambda: not alive(first))
        new_workers_serve(load, workers)
        load.wait_for_requests(200)
    assert_no_loss(load)


def test_abandoned_upgrade(gunicorn: StartGunicorn) -> None:
    """The second master is stopped again: the first one serves as before."""
    server = gunicorn(APP, "--workers", "2", bind=["127.0.0.1:0"])
    workers = server.wait_for_workers(2)
    with mixed_load(server) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGUSR2)
        second = server.second_master()
        server.wait_for_workers(2, master=second)
        server.signal(signal.SIGTERM, second)
        eventually(lambda: not alive(second))
        load.wait_for_requests(200)
    assert_no_loss(load)
    assert server.worker_pids() == workers


def test_stop_answers_requests_in_flight(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2")
    server.wait_for_workers(2)
    with ThreadPoolExecutor(10) as clients:
        answers = [clients.submit(server.get, "/sleep?s=1") for _ in range(10)]
        server.wait_for_marks("sleeping", 10)
        server.signal(signal.SIGTERM)
        assert [answer.result().status for answer in answers] == [200] * 10
    assert server.wait_exit() == 0
    assert len(server.marks("stop")) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_stop_under_load(gunicorn: StartGunicorn, workers: int) -> None:
    """Whoever got a connection gets answers until the announced close, then nobody listens.

    The kernel has no "close if the queue is empty": a connection that comes between the last look
    and the close is reset. That takes microseconds, so it does not happen twice in a row.
    """
    load = stop_under_load(gunicorn, workers)
    if load.outcomes.reset_new:
        load = stop_under_load(gunicorn, workers)
    assert_no_loss(load, allowed=["refused"])


def stop_under_load(gunicorn: StartGunicorn, workers: int) -> Load:
    """Stop a new server under load; return the load, with no other loss than fresh resets."""
    server = gunicorn(APP, "--workers", str(workers))
    server.wait_for_workers(workers)
    with mixed_load(server, until_refused=True) as load:
        load.wait_for_requests(200)
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
        load.join()
    assert_no_loss(load, allowed=["refused", "reset_new"])
    assert len(server.marks("stop")) == workers
    return load
