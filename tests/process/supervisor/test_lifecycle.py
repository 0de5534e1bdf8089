"""Start, boot failures, deaths, hung workers, stop: one supervisor each, with real signals."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.processes import alive, title
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.supervisor import StartSupervisor

APP = "tests.apps.basic:app"

# A thread of the application's that computes leaves the event loop little, but something.
BUSY = """
import asyncio, time
from tests.apps.basic import app as basic

def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/busy":
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(None, compute, 5) for _ in range(3)))
        scope = {**scope, "path": "/pid"}
    elif scope["type"] == "http" and scope["path"] == "/exit":
        __import__("os")._exit(3)
    await basic(scope, receive, send)
"""


def is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return True
    return False


# -- start


def test_a_start_names_its_processes_and_writes_its_pid(supervisor: StartSupervisor) -> None:
    server = supervisor(
        APP, "--workers", "2", "--pid", "pid", "--port", "0", "--no-access-log", own_address=True
    )
    pids = server.wait_for_workers(2)

    assert (server.folder / "pid").read_text() == f"{server.pid}\n"
    assert psutil.Process(server.pid).num_threads() == 1, "it forks"
    assert title(server.pid).rstrip() == f"uvicorn-supervisor: master [{APP}]"
    assert {title(pid).split(" ready")[0] for pid in pids} == {
        "uvicorn-supervisor: worker 1",
        "uvicorn-supervisor: worker 2",
    }
    assert server.get("/pid").text.split()[0] in map(str, pids)
    host, port = server.tcp
    log = server.log_text()
    assert (
        f"Serving on http://{host}:{port} with 2 workers, supervisor process [{server.pid}]" in log
    )
    second = supervisor(APP, "--pid", str(server.folder / "pid"), expect_exit=1)
    assert second.wait_exit() == 1
    assert f"process {server.pid} runs with this file" in second.log_text()
    third = supervisor(APP, "--port", str(port), own_address=True, expect_exit=1)
    assert third.wait_exit() == 1
    assert "cannot listen on" in third.log_text()
    server.stop()
    assert not (server.folder / "pid").exists()
    assert is_free(port)


def test_as_many_workers_as_fit(supervisor: StartSupervisor) -> None:
    server = supervisor(
        APP, "--workers", "auto", "--error-logfile", "errors", "--access-logfile", "access"
    )
    count = len(os.sched_getaffinity(0))
    log, access = server.folder / "errors", server.folder / "access"
    eventually(lambda: log.exists() and "Serving on" in log.read_text())
    found = re.search(r"Workers to keep ready: (\d+) \((.+)\)", log.read_text())
    assert found, log.read_text()
    assert 1 <= int(found[1]) <= count
    assert server.log_text() == ""
    server.wait_for_workers(int(found[1]))

    server.get("/pid")
    eventually(lambda: "GET /pid" in access.read_text())
    access.rename(server.folder / "access.1")
    server.signal(signal.SIGUSR1)
    eventually(access.exists)
    server.get("/pid")
    eventually(lambda: "GET /pid" in access.read_text())


@pytest.mark.parametrize(
    ("app", "env", "code", "said"),
    [
        ("no_such_module:app", {}, 4, "no module 'no_such_module'"),
        ("broken:app", {}, 4, "NameError"),
        (APP, {"STARTUP_FAILS_WHILE": "broken.py"}, 3, "no database today"),
        ("leaves:app", {}, 4, "SystemExit"),
        ("quits:app", {}, 3, "has died: exit code 9 without a word: the application, or what it"),
        ("crashes:app", {}, 3, "has died: killed by SIGSEGV: C code has crashed"),
    ],
)
def test_an_application_that_cannot_boot_ends_the_start(
    supervisor: StartSupervisor, app: str, env: dict[str, str], code: int, said: str
) -> None:
    files = {
        "broken.py": "app = undefined\n",
        "leaves.py": "raise SystemExit(5)\n",
        "quits.py": "import os\nos._exit(9)\n",
        "crashes.py": "import os\nos.kill(os.getpid(), 11)\n",
    }
    server = supervisor(app, "--workers", "3", env=env, files=files, expect_exit=code)

    assert server.wait_exit(5) == code
    assert said in server.log_text()
    assert server.log_text().count("Workers cannot boot") == 1


def test_a_folder_that_is_not_there_is_a_wrong_option(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--app-dir", "nowhere", expect_exit=1)

    assert server.wait_exit(5) == 1
    assert server.log_text().splitlines() == ["Error: app_dir='nowhere': no such folder"]


def test_a_start_that_fails_says_why_once(supervisor: StartSupervisor) -> None:
    files = {"broken.py": "app = undefined\n"}
    server = supervisor("broken:app", "--workers", "4", files=files, expect_exit=4)

    assert server.wait_exit(5) == 4
    assert server.log_text().count("Traceback") == 1


def test_a_boot_that_hangs_is_told_where(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--timeout-boot", "1", env={"IMPORT_SECONDS": "60"}, expect_exit=3)

    assert server.wait_exit(20) == 3
    assert "not ready within 1 s" in server.log_text()
    said = server.log_text().partition(" s. Main thread (most recent call last):\n")[2]
    assert "basic.py" in said.splitlines()[0], "the stack of the import, and nothing before it"
    assert server.log_text().count("basic.py") == 1, "once"


def test_a_startup_that_hangs_is_told_where(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--timeout-boot", "1", env={"STARTUP_SECONDS": "60"}, expect_exit=3)

    assert server.wait_exit(20) == 3
    assert 'await asyncio.sleep(float(os.environ.get("STARTUP_SECONDS"' in server.log_text()


# -- deaths


def test_a_killed_worker_is_replaced_at_once(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2")
    before = server.wait_for_workers(2)
    victim = min(before)

    server.signal(signal.SIGKILL, victim)
    began = time.monotonic()
    eventually(lambda: len(server.worker_pids() - before) == 1)

    assert time.monotonic() - began < 1.0
    after = server.wait_for_workers(2)
    assert len(after - before) == 1
    assert "killed by SIGKILL" in server.log_text()


def test_a_worker_that_exits_in_a_request_is_only_that(supervisor: StartSupervisor) -> None:
    server = supervisor("busy:app", files={"busy.py": BUSY})
    before = server.wait_for_workers(1)

    with contextlib.suppress(OSError, Exception):
        server.get("/exit")

    server.wait_for_workers(1, without=before)
    assert server.get("/pid").status == 200


def test_a_worker_told_to_go_by_others_is_replaced(supervisor: StartSupervisor) -> None:
    server = supervisor(APP)
    before = server.wait_for_workers(1)

    server.signal(signal.SIGTERM, min(before))

    server.wait_for_workers(1, without=before)
    assert "of its own accord" in server.log_text()


def test_workers_go_when_the_supervisor_is_killed(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    # A drain delay is for load balancers; who starts a new supervisor needs the port.
    words = ("--workers", "2", "--drain-delay", "60")
    server = supervisor(APP, *words, expect_exit=-signal.SIGKILL)
    pids = server.wait_for_workers(2)
    answer = clients.submit(server.get, "/sleep?s=1")
    server.wait_for_mark("sleeping")

    server.signal(signal.SIGKILL)

    eventually(lambda: not any(map(alive, pids)), timeout=5.0)
    assert answer.result().status == 200, "what was in flight is answered"
    assert is_free(server.tcp[1])
    assert sorted(server.marked("stop")) == sorted(pids)
    assert server.log_text().count("The supervisor is gone") == 2


def test_a_blocked_worker_is_replaced_and_says_where(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(APP, "--timeout", "2")
    before = server.wait_for_workers(1)
    clients.submit(server.get, "/stall?s=60")
    server.wait_for_mark("sleeping")

    server.wait_for_workers(1, without=before)

    log = server.log_text()
    assert log.count("in stall\n") == 1, "its stack, once"
    assert log.count("It is where it was") == 2, "before it is ended, and then"
    assert log.count("GET /stall?s=60 from") == 2, "the request in flight, as it gets older"
    assert "its event loop has not turned for 2." in log
    assert "although threads of it still run" not in log
    assert server.get("/pid").status == 200


def test_a_worker_that_holds_the_interpreter_is_killed(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(APP, "--timeout", "1")
    before = server.wait_for_workers(1)
    clients.submit(server.get, "/cblock?s=20")
    server.wait_for_mark("sleeping")

    server.wait_for_workers(1, without=before)

    eventually(lambda: not alive(min(before)))
    log = server.log_text()
    assert "aborted -> killed" in log
    assert "in cblock" in log, "the stack, although no thread can run"


def test_a_stopped_worker_is_told_apart(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--timeout", "1")
    before = server.wait_for_workers(1)

    server.signal(signal.SIGSTOP, min(before))

    server.wait_for_workers(1, without=before)
    assert "it is stopped (SIGSTOP)" in server.log_text()


def test_a_busy_worker_is_left_alone(supervisor: StartSupervisor) -> None:
    server = supervisor("busy:app", "--timeout", "3", files={"busy.py": BUSY})
    before = server.wait_for_workers(1)

    assert server.get("/busy").text.split()[0] == str(min(before))
    assert server.worker_pids() == before


# -- stop


def test_a_stop_cuts_an_endless_stream_in_time(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(APP, "--workers", "2", "--timeout-graceful-shutdown", "2")
    pids = server.wait_for_workers(2)
    stream = clients.submit(server.get, "/stream?s=0.1")
    server.wait_for_mark("sleeping")

    server.signal(signal.SIGTERM)

    assert server.wait_exit(4) == 0
    assert sorted(server.marked("stop")) == sorted(pids)
    with contextlib.suppress(Exception):
        stream.result()


def test_quit_is_quick_and_twice_is_at_once(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(APP)
    server.wait_for_workers(1)
    clients.submit(server.get, "/stubborn?s=30")
    server.wait_for_mark("sleeping")

    server.signal(signal.SIGINT)
    server.wait_for_log("quitting")
    server.signal(signal.SIGINT)

    assert server.wait_exit(1.5) == 0


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGINT, signal.SIGTERM)])
def test_signals_to_the_whole_group_end_it_once(
    supervisor: StartSupervisor, signals: tuple[int, ...]
) -> None:
    server = supervisor(APP, "--workers", "3")
    pids = server.wait_for_workers(3)

    for number in signals:
        os.killpg(server.pid, number)

    assert server.wait_exit(5) == 0
    assert sorted(server.marked("stop")) == sorted(pids)
    assert "Traceback" not in server.log_text()


@pytest.mark.parametrize("slow", ["IMPORT_SECONDS", "STARTUP_SECONDS"])
def test_a_stop_while_workers_boot_is_quick(supervisor: StartSupervisor, slow: str) -> None:
    server = supervisor(APP, "--workers", "2", env={slow: "60"})
    event = "import" if slow == "IMPORT_SECONDS" else "starting"
    eventually(lambda: len(server.marked(event)) == 2)

    server.signal(signal.SIGTERM)

    assert server.wait_exit(3) == 0


def test_withdrawn_workers_come_back_at_a_reload(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2")
    before = server.wait_for_workers(2)

    server.signal(signal.SIGWINCH)
    eventually(lambda: not server.worker_pids())
    server.signal(signal.SIGHUP)

    server.wait_for_workers(2, without=before)


def test_a_reload_reads_options_again_and_names_those_that_stay(
    supervisor: StartSupervisor,
) -> None:
    toml = "[tool.uvicorn]\nworkers = {}\nbacklog = {}\n"
    server = supervisor(APP, files={"pyproject.toml": toml.format(1, 100)})
    server.wait_for_workers(1)

    (server.folder / "pyproject.toml").write_text(toml.format(3, 200))
    server.signal(signal.SIGHUP)
    server.wait_for_workers(3)
    assert "Until an upgrade (SIGUSR2) these stay: backlog" in server.log_text()

    (server.folder / "pyproject.toml").write_text(toml.format("'many'", 200))
    before = server.worker_pids()
    server.signal(signal.SIGHUP)
    server.wait_for_log("Reload called off, workers serve on as they were: pyproject.toml")
    assert server.worker_pids() == before


def test_a_window_that_is_closed_ends_it(supervisor: StartSupervisor) -> None:
    ours, theirs = pty.openpty()
    server = supervisor(APP, stdin=theirs)
    os.close(theirs)
    server.wait_for_workers(1)

    os.close(ours)  # the session's leader is told by SIGHUP, where it has this terminal
    server.signal(signal.SIGHUP)

    assert server.wait_exit() == 0
