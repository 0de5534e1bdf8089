"""What has been seen to go wrong with other supervisors, by name: none of it happens here.

Elsewhere in this folder: a TERM during the boot that is ignored, INT and TERM together that hang a
worker, failures that exit with 0 (`test_lifecycle`), requests lost at a reload (`test_no_loss`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import read_reply
from tests.support.replies import open_connection
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import socket
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

APP = "tests.apps.basic:app"
GOOD = "from tests.apps.basic import app\n"

# How long a small write waits for the peer's acknowledgement where TCP_NODELAY is not set.
DELAYED_ACK = 0.04

EXITS = """
import os
from tests.apps.basic import app as basic

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/exit":
        os._exit(int(scope["query_string"]))
    await basic(scope, receive, send)
"""

# A thread that is well says nothing of the event loop.
THREAD_IS_WELL = """
import threading, time
from tests.apps.basic import app as basic, mark

def well():
    while True:
        time.sleep(0.05)

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/hang":
        threading.Thread(target=well, daemon=True).start()
        mark("sleeping")
        time.sleep(60)
    await basic(scope, receive, send)
"""

# Python ignores what a signal handler raises in a destructor; this code, anywhere.
DEAF = """
import time
from tests.apps.basic import app, mark

class Dying:
    def __del__(self):
        mark("sleeping")
        time.sleep(60)

dying = Dying()
del dying
try:
    time.sleep(60)
except:
    pass
time.sleep(60)
"""


def is_refused(server: RunningSupervisor) -> bool:
    try:
        server.connect(1.0).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_stop_is_heard_while_one_worker_hangs_and_another_boots(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(
        "shop:app", "--workers", "2", "--timeout-graceful-shutdown", "1", files={"shop.py": GOOD}
    )
    server.wait_for_workers(2)
    clients.submit(server.get, "/stubborn?s=60")
    server.wait_for_mark("sleeping")
    (server.folder / "shop.py").write_text("import time\ntime.sleep(60)\n")
    server.signal(signal.SIGHUP)
    eventually(lambda: len(server.worker_pids()) == 3)

    server.signal(signal.SIGTERM)

    # One second for requests, one for the report of the worker that hangs.
    assert server.wait_exit(4) == 0


def test_a_stop_is_heard_by_code_that_swallows_it_while_it_is_imported(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor("deaf:app", "--workers", "2", files={"deaf.py": DEAF})
    eventually(lambda: len(server.marked("sleeping")) == 2)

    server.signal(signal.SIGTERM)

    assert server.wait_exit(4) == 0
    log = server.log_text()
    assert "ignored" not in log, "not even that Python ignores something"
    assert "Traceback" not in log


def test_a_thread_that_is_well_does_not_hide_a_loop_that_is_not(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor("hang:app", "--timeout", "1", files={"hang.py": THREAD_IS_WELL})
    before = server.wait_for_workers(1)
    clients.submit(server.get, "/hang")
    server.wait_for_mark("sleeping")

    server.wait_for_workers(1, without=before)

    log = server.log_text()
    assert "time.sleep(60)" in log
    assert "it is blocked in a call that waits" in log


def test_nobody_accepts_for_workers_that_go(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    server = supervisor(APP, "--workers", "2")
    server.wait_for_workers(2)
    answer = clients.submit(server.get, "/sleep?s=2")
    server.wait_for_mark("sleeping")

    server.signal(signal.SIGTERM)

    eventually(lambda: is_refused(server), timeout=5.0)
    assert not answer.done(), "the supervisor still waits for its answer"
    assert answer.result().status == 200
    assert server.wait_exit() == 0


def test_exit_codes_of_an_application_are_not_ours(supervisor: StartSupervisor) -> None:
    server = supervisor("exits:app", files={"exits.py": EXITS})
    pids = server.wait_for_workers(1)

    for code in (3, 4, 0):
        with contextlib.suppress(OSError, http.client.HTTPException):
            server.get(f"/exit?{code}")
        pids = server.wait_for_workers(1, without=pids)

    assert server.get("/").status == 200
    assert "exit code 3" in server.log_text()


def test_code_that_breaks_later_is_not_forked_for_ever(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--workers", "2", files={"shop.py": GOOD})
    before = server.wait_for_workers(2)
    (server.folder / "shop.py").write_text("import no_such_module\n")
    began = time.monotonic()

    server.signal(signal.SIGKILL, min(before))
    server.wait_for_log("exit code 4", count=4, timeout=20)

    # At once, then at once again, then after half a second and one second.
    assert time.monotonic() - began >= 1.5
    assert server.get("/").status == 200, "the other worker serves on"
    (server.folder / "shop.py").write_text(GOOD)
    assert max(before) in server.wait_for_workers(2)


def test_a_start_that_always_dies_is_the_end_of_it(supervisor: StartSupervisor) -> None:
    code = "import os\nfrom tests.apps.basic import app\nos.kill(os.getpid(), 9)\n"
    server = supervisor("dies:app", files={"dies.py": code}, expect_exit=3)

    assert server.wait_exit(10) == 3
    assert len(server.marked("import")) <= 5


def test_the_death_of_all_workers_is_not_the_end_of_the_service(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(APP, "--workers", "2")
    before = server.wait_for_workers(2)

    for pid in before:
        server.signal(signal.SIGKILL, pid)

    assert server.get("/").status == 200  # it waits in the queue of the socket
    server.wait_for_workers(2, without=before)


def test_a_second_instance_does_not_take_the_socket_of_the_first(
    supervisor: StartSupervisor, tmp_path: Path
) -> None:
    path = str(tmp_path / "app.sock")
    server = supervisor(APP, "--uds", path, own_address=True)
    server.wait_for_workers(1)

    second = supervisor(APP, "--uds", path, own_address=True, expect_exit=1)

    assert second.wait_exit() == 1
    assert "another process listens there" in second.log_text()
    assert server.get("/").status == 200


def test_a_second_instance_does_not_share_the_port_of_the_first(
    supervisor: StartSupervisor,
) -> None:
    server = supervisor(APP, "--port", "0", own_address=True)
    server.wait_for_workers(1)
    port = str(server.tcp[1])

    second = supervisor(APP, "--port", port, own_address=True, expect_exit=1)

    assert second.wait_exit() == 1
    log = second.log_text()
    assert f"127.0.0.1:{port}" in log
    assert "in use" in log
    assert len(log.splitlines()) == 1, log


@pytest.mark.parametrize("own", [False, True], ids=["inherited", "bound"])
def test_small_writes_are_not_held_back(supervisor: StartSupervisor, own: bool) -> None:
    words = ("--port", "0") if own else ()
    server = supervisor(APP, *words, own_address=own)
    server.wait_for_workers(1)
    times = []
    with server.connect() as sock:
        for _ in range(30):
            began = time.monotonic()
            sock.sendall(b"GET /stream?n=3&s=0 HTTP/1.1\r\nHost: a\r\n\r\n")
            read_reply(sock)
            times.append(time.monotonic() - began)

    # New connections are acknowledged at once, later ones not; one that is quick is enough.
    assert min(times[20:]) < DELAYED_ACK / 2, times


def test_somebody_accepts_all_through_a_reload(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, env={"IMPORT_SECONDS": "2"})
    before = server.wait_for_workers(1)
    server.signal(signal.SIGHUP)
    waits: list[float] = []
    answered: set[int] = set()

    while answered <= before:
        began = time.monotonic()
        answered.add(int(server.get("/pid").text.split()[0]))
        waits.append(time.monotonic() - began)

    assert max(waits) < 1.5, "the import takes longer"


@pytest.mark.parametrize(
    "signals",
    [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGINT, signal.SIGINT)],
    ids=["int-int", "term-int-int"],
)
def test_another_ctrl_c_is_heard_by_a_group_that_hangs(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor, signals: tuple[int, ...]
) -> None:
    server = supervisor(APP, "--workers", "2")
    server.wait_for_workers(2)
    clients.submit(server.get, "/cblock?s=8")
    server.wait_for_mark("sleeping")

    for number in signals:
        os.killpg(server.pid, number)

    assert server.wait_exit(5) == 0


def test_a_connection_announced_as_open_is_open(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2", "--limit-max-requests", "15")
    server.wait_for_workers(2)
    closed = 0

    while closed < 6:
        with open_connection(server.address, 10.0) as sock:
            closed += use_until_closed(sock)


def use_until_closed(sock: socket.socket) -> bool:
    """Send requests until an answer announces the end; raises if it comes without."""
    while True:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = read_reply(sock)  # fails at a connection that was announced as open
        if reply.headers.get("connection", "").lower() == "close":
            assert sock.recv(1) == b"", "announced as closed"
            return True


def test_gunicorn_is_never_imported(supervisor: StartSupervisor) -> None:
    gunicorn = 'from tests.apps.basic import mark\nmark("gunicorn")\n'
    server = supervisor(APP, "--limit-max-requests", "2", files={"gunicorn.py": gunicorn})
    before = server.wait_for_workers(1)

    assert [server.get("/").status for _ in range(2)] == [200, 200]
    server.wait_for_workers(1, without=before)
    server.signal(signal.SIGTERM)

    assert server.wait_exit() == 0
    assert server.marked("gunicorn") == []
