"""What a supervisor says to systemd, and what it takes back from it: a real notification socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.command import BASIC
from tests.support.processes import alive
from tests.support.replies import ask, open_connection
from tests.support.systemd import Systemd
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command import StartCommand
    from tests.support.supervisor import StartSupervisor

GOOD = "from tests.apps.basic import app\n"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    manager = Systemd(tmp_path, abstract=sys.platform == "linux")
    yield manager
    manager.close()


def test_the_life_of_a_service(supervisor: StartSupervisor, systemd: Systemd) -> None:
    env = {**systemd.environ, "WATCHDOG_USEC": "400000"}
    words = ("--workers", "2", "--port", "0")
    server = supervisor("shop:app", *words, own_address=True, env=env, files={"shop.py": GOOD})
    systemd.wait_for("READY=1")
    server.wait_for_workers(2)
    assert systemd.count("EXTEND_TIMEOUT_USEC=20000000") >= 1  # from the start until then
    assert list(systemd.stored) == ["uvicorn-listener-0"]
    systemd.wait_for("STATUS=2 of 2 workers ready, 0 requests in flight")
    systemd.wait_for("WATCHDOG=1", 2)

    # A reload that works is over when the new release serves; another one is called off.
    server.signal(signal.SIGHUP)
    systemd.wait_for("READY=1", 2)
    assert int(systemd.wait_for("MONOTONIC_USEC=").partition("=")[2]) > 0
    assert systemd.count("RELOADING=1") == 1
    (server.folder / "shop.py").write_text("app = undefined\n")
    server.signal(signal.SIGHUP)
    systemd.wait_for("READY=1", 3)
    assert systemd.count("RELOADING=1") == 2
    assert "not reloaded: the first new worker could not boot" in systemd.wait_for("STATUS=")

    # One that cannot boot keeps silent: the service goes on.
    server.signal(signal.SIGUSR2)
    server.wait_for_log("Upgrade called off")

    # The new supervisor speaks as soon as systemd knows it, and nobody says that it stops.
    (server.folder / "shop.py").write_text(GOOD)
    server.signal(signal.SIGUSR2)
    new = int(systemd.wait_for("MAINPID=").partition("=")[2])
    assert server.wait_exit() == 0
    assert systemd.count("STOPPING=1") == 0
    assert list(systemd.stored) == ["uvicorn-listener-0"]
    systemd.wait_for("WATCHDOG=1", systemd.count("WATCHDOG=1") + 2)

    os.kill(new, signal.SIGTERM)
    systemd.wait_for("STOPPING=1")
    eventually(lambda: not alive(new))
    systemd.words()
    assert not systemd.stored
    assert systemd.count("READY=1") == 3


@pytest.mark.slow
def test_the_watchdog_is_not_fed_while_every_worker_is_stuck(
    supervisor: StartSupervisor, systemd: Systemd
) -> None:
    env = {**systemd.environ, "WATCHDOG_USEC": "200000"}
    server = supervisor("tests.apps.basic:app", env=env)
    [worker] = server.wait_for_workers(1)
    systemd.wait_for("WATCHDOG=1", 2)

    heard = [0, 0.0]  # how often, and when last

    def silent() -> bool:
        if (count := systemd.count("WATCHDOG=1")) != heard[0]:
            heard[:] = count, time.monotonic()
        return time.monotonic() - heard[1] > 1.0  # five times what it may take

    os.kill(worker, signal.SIGSTOP)
    try:
        eventually(silent, timeout=20.0)
    finally:
        os.kill(worker, signal.SIGCONT)
    systemd.wait_for("WATCHDOG=1", systemd.count("WATCHDOG=1") + 2)


def test_a_crash_of_the_supervisor_loses_no_connection_in_the_queue(
    supervisor: StartSupervisor, command: StartCommand, systemd: Systemd
) -> None:
    words = (*BASIC, "--no-access-log")
    first = supervisor(*words, own_address=True, env=systemd.environ, expect_exit=None)
    systemd.wait_for("READY=1")
    address = first.tcp
    eventually(lambda: systemd.stored)

    first.signal(signal.SIGKILL)
    first.wait_until_gone()
    waiting = open_connection(address, 10.0)  # nobody serves
    waiting.sendall(b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    [(name, descriptor)] = systemd.stored.items()
    passed = {"LISTEN_FDS": "1", "LISTEN_PID": "{pid}", "LISTEN_FDNAMES": name}
    again = command(
        *("exec", json.dumps([descriptor]), json.dumps({**systemd.environ, **passed})),
        *(sys.executable, "-m", "uvicorn_supervisor", *words),
        command=("-m", "tests.support.activated"),
        pass_fds=[descriptor],
    )

    with waiting:
        assert waiting.recv(1000).startswith(b"HTTP/1.1 200")
    assert ask(address, "/").status == 200
    systemd.wait_for("FDSTORE=1", 2)
    assert f"Serving on http://127.0.0.1:{address[1]} " in again.wait_for_log("Serving on")


def test_sockets_of_several_names_are_served(command: StartCommand, systemd: Systemd) -> None:
    """Lines of its log are objects, those of the supervisor and of its worker."""
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as admin,
    ):
        numbers = [web.fileno(), admin.fileno()]
        passed = {"LISTEN_FDS": "2", "LISTEN_PID": "{pid}", "LISTEN_FDNAMES": "web:admin"}
        server = command(
            *("exec", json.dumps(numbers), json.dumps({**systemd.environ, **passed})),
            *(sys.executable, "-m", "uvicorn_supervisor", "tests.apps.basic:app"),
            *("--log-format", "json"),
            command=("-m", "tests.support.activated"),
            pass_fds=numbers,
        )
        systemd.wait_for("READY=1")
        for sock in (web, admin):
            assert ask(sock.getsockname(), "/").status == 200
        assert not systemd.stored, "systemd has them anyway"
        server.wait_for_log("uvicorn.access", count=2)

    lines = [json.loads(line) for line in server.log_text().splitlines()]
    assert {line["logger"] for line in lines} >= {"uvicorn.supervisor", "uvicorn.access"}
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)
