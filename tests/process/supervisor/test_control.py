"""`uvicorn-supervisorctl` and a real supervisor: each command, and what can go wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.control import Control, outcome
from tests.support.waiting import eventually
from uvicorn_supervisor.control.client import Client, NoAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

# /held and /stuck are answered as soon as there is a file `go`.
GOOD = """
import asyncio
import logging
import os
from tests.apps.basic import app as basic, mark, pid

async def app(scope, receive, send):
    path = scope.get("path")
    logging.getLogger("uvicorn.error").debug("asked for %s", path)
    if path not in ("/held", "/stuck"):
        return await basic(scope, receive, send)
    mark(path)
    while not os.path.exists("go"):
        await held() if path == "/held" else stuck()
    await pid(scope, receive, send)

async def held():
    await asyncio.sleep(0.05)

def stuck():
    while not os.path.exists("go"):
        pass
"""
BAD = "app = undefined\n"
NOBODY = 65534

WORDS = ["critical", "error", "warning", "info", "debug", "trace", "default"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that everybody may enter: what keeps others out is the socket's own."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@contextlib.contextmanager
def another_user() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def asked_for(server: RunningSupervisor) -> int:
    """Ask for something, and return how often workers have logged that they were asked."""
    server.get("/")
    return server.log_text().count("asked for /")


def tells_what_there_is(ctl: Control, server: RunningSupervisor) -> None:
    code, out, _ = ctl("status")
    assert code == 0
    assert "shop:app on http://127.0.0.1:" in out
    assert "serving, 2 of 2 workers ready" in out
    status = json.loads(ctl("status", "--json").out)
    assert status["supervisor"]["pid"] == server.pid
    assert {one["pid"] for one in status["workers"]} == server.worker_pids()
    assert all(one["memory"] > 2**20 for one in status["workers"])
    code, out, _ = ctl("workers")
    assert [line.split()[0] for line in out.splitlines()] == ["WORKER", "1", "2"]


def changes_how_many_there_are(ctl: Control) -> None:
    assert ctl("scale", "3") == (0, "workers to keep ready: 3\n", "")
    seats = ctl.wait_for_seats(3)
    for wrong in ("0", "-1", "many"):
        code, _, err = ctl("scale", "--", wrong)
        assert code == 2
        assert f"argument N: '{wrong}': expected a number from 1 to 256" in err

    assert ctl("recycle", "2") == (0, "it has been replaced\n", "")
    after = ctl.seats()
    assert after[2] != seats[2]
    assert (after[1], after[3]) == (seats[1], seats[3])
    assert ctl("recycle", str(seats[1])) == (0, "it has been replaced\n", "")
    code, _, err = ctl("recycle", "99")
    assert (code, "there is no worker '99'; there are 1 (pid " in err) == (1, True)


def shows_where_they_are(
    ctl: Control, server: RunningSupervisor, clients: ThreadPoolExecutor
) -> None:
    answer = clients.submit(server.get, "/held")
    server.wait_for_mark("/held")
    busy = server.marked("/held")[0]
    code, out, err = ctl("stacks", str(busy))
    assert code == 0, err
    assert "await held()" in out, "the task of the request"
    assert "Requests in flight: 1\n" in out
    assert "GET /held from 127.0.0.1, not answered yet" in out
    assert "Thread uvicorn-watchdog" in out
    (server.folder / "go").touch()
    assert int(answer.result().text.split()[0]) == busy, "it goes on"

    (server.folder / "go").unlink()
    answer = clients.submit(server.get, "/stuck")
    server.wait_for_mark("/stuck")
    code, out, err = ctl("stacks", str(server.marked("/stuck")[0]))
    (server.folder / "go").touch()
    assert code == 0, err
    assert "in stuck\n" in out, "where the loop stands still"
    assert answer.result().status == 200


def changes_what_they_log(ctl: Control, server: RunningSupervisor) -> None:
    assert ctl("log-level", "debug") == (0, "log level: debug\n", "")
    eventually(lambda: asked_for(server) > 0)
    code, _, err = ctl("log-level", "loud")
    assert code == 1
    assert err.endswith(f"level='loud': expected one of {', '.join(WORDS)}\n")


def changes_their_code(ctl: Control, server: RunningSupervisor) -> None:
    shop = server.folder / "shop.py"
    before = ctl.seats()
    assert ctl("reload") == (0, "release 2 serves with 2 workers\n", "")
    assert set(ctl.seats().values()).isdisjoint(before.values())
    lines = asked_for(server)
    eventually(lambda: asked_for(server) > lines + 5)

    shop.write_text(BAD)
    before = ctl.seats()
    code, out, err = ctl("reload")
    assert (code, out) == (1, "")
    assert "cannot load 'shop:app': its own code failed with NameError" in err
    assert ctl.seats() == before

    shop.write_text(GOOD)
    both = [ctl.start("reload"), ctl.start("restart")]
    for code, out, err in map(outcome, both):
        assert code == 0, err
        assert out.endswith("serves with 2 workers\n")


@pytest.mark.timeout(120)  # thirty commands, and as many processes
def test_orders_are_carried_out_and_their_verdict_is_told(
    supervisor: StartSupervisor, folder: Path, clients: ThreadPoolExecutor
) -> None:
    path = folder / "control"
    server = supervisor(
        "shop:app", "--workers", "2", "--control", str(path), files={"shop.py": GOOD}
    )
    server.wait_for_workers(2)
    ctl = Control(path)

    # Somebody who never finishes a request keeps nobody waiting.
    slow = socket.socket(socket.AF_UNIX)
    slow.connect(str(path))
    slow.sendall(b"GET /status HTTP/1.1\r\n")

    tells_what_there_is(ctl, server)
    changes_how_many_there_are(ctl)
    shows_where_they_are(ctl, server, clients)
    changes_what_they_log(ctl, server)
    changes_their_code(ctl, server)

    # -- the end
    slow.close()
    assert ctl("stop") == (0, "stopped\n", "")
    assert server.process.poll() == 0, "it is waited for"
    assert not path.exists()
    code, _, err = ctl("status")
    assert code == 1
    assert "there is no such socket; is the supervisor running" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")
def test_others_may_not_control(supervisor: StartSupervisor, folder: Path) -> None:
    path = folder / "control"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as stale:
        stale.bind(str(path))
    server = supervisor("tests.apps.basic:app", "--control", str(path))
    server.wait_for_workers(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with another_user(), pytest.raises(NoAnswer, match="be the user that the supervisor runs as"):
        Client(str(path)).ask("GET", "/status")
    path.chmod(0o666)  # by somebody who means well
    with another_user():
        reply = Client(str(path)).ask("POST", "/stop")

    assert reply.status == 403
    assert reply.content["text"] == f"user {NOBODY} may not control a server of user 0"
    assert Client(str(path)).ask("GET", "/status").good
    server.wait_for_log(f"Control: user {NOBODY} may not control")


def test_an_upgrade_takes_the_control_socket_over_without_a_gap(
    supervisor: StartSupervisor, folder: Path
) -> None:
    path = folder / "control"
    settings = '[tool.uvicorn]\nmetrics = "unix:metrics"\n'
    server = supervisor(
        "shop:app", "--control", str(path), files={"shop.py": GOOD, "pyproject.toml": settings}
    )
    server.wait_for_workers(1)
    ctl, shop = Control(path), server.folder / "shop.py"
    shop.write_text(BAD)
    code, _, err = ctl("upgrade")
    assert code == 1
    assert "exit code 4: cannot load 'shop:app': its own code failed with NameError" in err
    shop.write_text(GOOD)
    (server.folder / "pyproject.toml").write_text("")
    assert ctl("scale", "2").code == 0
    assert ctl("log-level", "debug").code == 0
    ctl.wait_for_seats(2)
    assert (server.folder / "metrics").is_socket()
    done, seen = threading.Event(), set()

    def ask_all_the_time() -> None:
        while not done.is_set():
            reply = Client(str(path)).ask("GET", "/status")
            seen.add(reply.content["supervisor"]["pid"])

    with contextlib.ExitStack() as stack:
        asking = threading.Thread(target=ask_all_the_time)
        asking.start()
        stack.callback(asking.join)
        stack.callback(done.set)
        assert ctl("upgrade") == (0, "a new supervisor has taken over\n", "")
        assert server.wait_exit() == 0
        new = eventually(lambda: seen - {server.pid})
        eventually(lambda: ctl.status()["supervisor"]["pid"] in new)
        assert asking.is_alive(), "no question has failed"
    assert not (server.folder / "metrics").exists(), "nobody asks there any more"

    # What the old one was told; a reload goes by the configuration where that says something.
    assert len(ctl.wait_for_seats(2)) == 2
    lines = asked_for(server)
    eventually(lambda: asked_for(server) > lines)
    assert ctl("reload") == (0, "release 2 serves with 1 worker\n", "")
    assert len(ctl.seats()) == 1
    lines = asked_for(server)
    eventually(lambda: asked_for(server) > lines)
    assert ctl("stop").code == 0
    server.wait_until_gone()
    assert not path.exists()


def test_a_socket_in_use_is_not_taken(supervisor: StartSupervisor, folder: Path) -> None:
    path = folder / "control"
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))
        other.listen()
        server = supervisor("tests.apps.basic:app", "--control", str(path), expect_exit=1)

        assert server.wait_exit() == 1
    assert f"control: cannot listen on unix:{path}: another process listens" in server.log_text()
