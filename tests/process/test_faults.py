"""When something breaks: a blocked loop, a dead master, an application that cannot start.

A worker that hangs says where and is replaced; a worker without a master goes; a server that can
never work halts with a clear exit code, and one that has worked goes on with what it has (reloads
that fail: test_reload_called_off.py).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.gunicorn import MARKING_HOOKS
from tests.support.inflight import in_flight, was_cut_off
from tests.support.load import Load
from tests.support.processes import alive, open_files
from tests.support.scraping import DIED, scrape
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.support.gunicorn import StartGunicorn

APP = "tests.apps.basic:app"

CORE_FILES = """
import resource

_hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (_hard, _hard))
"""
"""A configuration that allows core files, as far as the machine does."""


# A worker that hangs.


def test_loop_blocked_in_python_says_where_and_is_replaced(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    env = {"UVICORN_METRICS": "unix:metrics.sock"}
    server = gunicorn(APP, "--timeout", "1", config=MARKING_HOOKS + CORE_FILES, env=env)
    (old,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/block?s=60")
    (new,) = server.wait_for_workers(1, without={old})
    assert was_cut_off(answer)
    assert server.get("/pid").text.split()[0] == str(new)
    assert server.marks("worker_abort") == server.marks("worker_exit") == [old]
    log = server.log_text()
    assert "[CRITICAL] WORKER TIMEOUT" in log
    assert "tests/apps/basic.py" in log
    assert "in block" in log  # the function that blocks
    assert "GET /block?s=60" in log  # the request in flight
    assert f"Worker (pid:{old}) exited with code 1" in log
    restarts = scrape(str(server.folder / "metrics.sock"))
    assert restarts['uvicorn_worker_restarts_total{reason="hung"}'] == 1
    assert restarts[DIED] == 0
    assert not list(server.folder.glob("core*"))


def test_loop_blocked_in_c_says_where_and_is_replaced(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    """No Python code of the worker runs any more, so only the stacks can be shown."""
    server = gunicorn(APP, "--timeout", "1", config=MARKING_HOOKS + CORE_FILES)
    (old,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/cblock?s=60")
    (new,) = server.wait_for_workers(1, without={old})
    assert was_cut_off(answer)
    assert server.get("/pid").text.split()[0] == str(new)
    log = server.log_text()
    assert "tests/apps/basic.py" in log
    assert "in cblock" in log
    assert not list(server.folder.glob("core*"))


def test_stopped_worker_is_replaced(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--timeout", "1", config=CORE_FILES)
    (old,) = server.wait_for_workers(1)
    server.signal(signal.SIGSTOP, old)
    (new,) = server.wait_for_workers(1, without={old})
    assert server.get("/pid").text.split()[0] == str(new)
    assert not list(server.folder.glob("core*"))


def test_siblings_serve_while_one_worker_hangs(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, "--workers", "2", "--timeout", "30")
    server.wait_for_workers(2)
    (answer,) = in_flight(server, clients, "/block?s=1")
    hung = server.marks("sleeping")
    assert {int(server.get("/pid").text.split()[0]) for _ in range(20)}.isdisjoint(hung)
    assert answer.result().status == 200


# What looks like hanging, and is not.


@pytest.mark.parametrize("drain", ["TERM", "HUP", "max_requests"])
def test_draining_worker_outlives_the_timeout(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor, drain: str
) -> None:
    options = ["--timeout", "1", "--max-requests", "1" if drain == "max_requests" else "0"]
    server = gunicorn(APP, *options, config=MARKING_HOOKS)
    (old,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/sleep?s=3")
    if drain == "max_requests":
        assert server.get("/pid").status == 200
        server.wait_for_log("Autorestarting worker")
    else:
        server.signal(signal.Signals[f"SIG{drain}"])
    assert answer.result().status == 200
    assert answer.result().text.split()[0] == str(old)
    eventually(lambda: not alive(old))
    assert server.marks("stop")[:1] == server.marks("worker_exit")[:1] == [old]
    assert "WORKER TIMEOUT" not in server.log_text()


def test_slow_import_startup_and_shutdown_outlive_the_timeout(gunicorn: StartGunicorn) -> None:
    slow = {"IMPORT_SECONDS": "1.5", "STARTUP_SECONDS": "1.5", "SHUTDOWN_SECONDS": "2.5"}
    server = gunicorn(APP, "--timeout", "1", config=MARKING_HOOKS, env=slow)
    (old,) = server.wait_for_workers(1)
    assert server.get("/pid").text.split()[0] == str(old)
    server.signal(signal.SIGTERM, old)  # the worker's own: a master that stops looks at no timeout
    eventually(lambda: not alive(old))
    assert server.marks("stop") == server.marks("worker_exit") == [old]
    assert "WORKER TIMEOUT" not in server.log_text()


# A worker that is left alone.


def test_orphan_answers_what_is_in_flight_and_goes(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor
) -> None:
    server = gunicorn(APP, "--workers", "2", config=MARKING_HOOKS, expect_exit=-signal.SIGKILL)
    workers = server.wait_for_workers(2)
    (answer,) = in_flight(server, clients, "/sleep?s=2")
    server.signal(signal.SIGKILL)
    assert answer.result().status == 200
    server.wait_until_gone(timeout=6)
    assert set(server.marks("stop")) == set(server.marks("worker_exit")) == workers
    with pytest.raises(ConnectionRefusedError):
        server.connect()


@pytest.mark.parametrize("phase", ["IMPORT_SECONDS", "STARTUP_SECONDS"])
def test_orphan_that_still_boots_goes(gunicorn: StartGunicorn, phase: str) -> None:
    server = gunicorn(APP, env={phase: "2"}, config=MARKING_HOOKS, expect_exit=-signal.SIGKILL)
    server.wait_for_marks("import" if phase == "IMPORT_SECONDS" else "starting")
    server.signal(signal.SIGKILL)
    server.wait_until_gone(timeout=8)
    assert len(server.marks("worker_exit")) == 1


# An application that cannot start.


@pytest.mark.parametrize(
    ("app", "code", "text"),
    [
        pytest.param("nothing_here:app", 3, "nothing_here", id="no module"),
        pytest.param(f"{APP}lication", 4, "application", id="no attribute"),
        pytest.param("broken:app", 3, "ZeroDivisionError", id="import raises"),
        pytest.param("wsgi:app", 3, "ASGI", id="not ASGI"),
        pytest.param(APP, 3, "no database today", id="lifespan fails"),
    ],
)
def test_server_that_never_worked_halts(
    gunicorn: StartGunicorn, tmp_path: Path, app: str, code: int, text: str
) -> None:
    """With one worker: when two fail at once, Gunicorn trips over the second and exits with 1."""
    files = {
        "broken.py": "1 / 0\n",
        "wsgi.py": "def app(environ, start_response):\n    return []\n",
    }
    variables = {"STARTUP_FAILS_WHILE": str(tmp_path)}  # always there
    server = gunicorn(app, config=MARKING_HOOKS, files=files, env=variables, expect_exit=code)
    assert server.wait_exit() == code
    log = server.log_text()
    assert text in log
    booted = log.count("Booting worker")
    assert booted <= 2  # no loop of respawns
    # Gunicorn 22 and 23 may run the hook in the master as well, by a slip.
    assert len(set(server.marks("worker_exit")) - {server.pid}) == booted


def test_worker_that_cannot_boot_leaves_its_siblings_at_work(
    gunicorn: StartGunicorn, tmp_path: Path
) -> None:
    """The database is down when a worker has to be replaced: that is no reason to stop all."""
    outage = tmp_path / "outage"
    server = gunicorn(APP, "--workers", "2", env={"STARTUP_FAILS_WHILE": str(outage)})
    pids = server.wait_for_workers(2)
    outage.touch()
    server.signal(signal.SIGKILL, pids.pop())
    (sibling,) = pids
    server.wait_for_log("no database today", count=2)
    assert len(server.marks("starting")) <= 2 + 2  # it pauses between two attempts
    assert server.get("/pid").text.split()[0] == str(sibling)
    outage.unlink()
    assert sibling in server.wait_for_workers(2)


@pytest.mark.parametrize("delay", ["0", "0.05"], ids=["at once", "after an await"])
def test_exit_in_the_application_harms_no_other_request(
    gunicorn: StartGunicorn, clients: ThreadPoolExecutor, delay: str
) -> None:
    server = gunicorn(APP, config=MARKING_HOOKS)
    (old,) = server.wait_for_workers(1)
    (answer,) = in_flight(server, clients, "/sleep?s=1")
    leaving = clients.submit(server.get, f"/leave?s={delay}")
    assert answer.result().status == 200
    assert was_cut_off(leaving)
    (new,) = server.wait_for_workers(1, without={old})
    assert server.get("/pid").text.split()[0] == str(new)
    assert server.marks("stop") == server.marks("worker_exit") == [old]


# Resources.


def test_descriptors_do_not_grow_with_connections_and_reloads(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP)
    (worker,) = server.wait_for_workers(1)
    assert server.get("/pid").status == 200
    in_master, in_worker = open_files(server.pid), open_files(worker)
    with Load(server.address, reconnecting=8, pause=0, paths=("/pid",)) as load:
        load.wait_for_requests(1000, timeout=30)
    assert load.outcomes.losses() == {}
    eventually(lambda: open_files(worker) <= in_worker)
    for _ in range(3):
        server.signal(signal.SIGHUP)
        (worker,) = server.wait_for_workers(1, without={worker})
    assert server.get("/pid").status == 200
    eventually(lambda: open_files(server.pid) <= in_master)
    eventually(lambda: open_files(worker) <= in_worker)


def test_unix_socket_belongs_to_the_master(gunicorn: StartGunicorn) -> None:
    """Its file outlives workers, however they end, and goes with the master."""
    server = gunicorn(APP, bind=["unix:{folder}/socket"])
    (worker,) = server.wait_for_workers(1)
    path = server.folder / "socket"
    inode = path.stat().st_ino
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
        server.signal(number, worker)
        (worker,) = server.wait_for_workers(1, without={worker})
        assert path.stat().st_ino == inode
        assert server.get("/pid").text.split()[0] == str(worker)
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not path.exists()
