"""Memory, age and the delay of a drain, with real workers; and a reload that takes its time."""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import read_reply
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import socket

    from tests.support.supervisor import StartSupervisor

APP = "tests.apps.basic:app"

HOARDER = """
from tests.apps.basic import app as basic
hoard = []

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/hoard":
        hoard.append(bytearray(b"x" * 80_000_000))
        scope = {**scope, "path": "/pid"}
    await basic(scope, receive, send)
"""


def test_a_worker_that_has_grown_is_replaced(supervisor: StartSupervisor) -> None:
    server = supervisor(
        "hoarder:app", "--limit-worker-memory", "80MiB", "--worker-memory-interval", "0.1",
        files={"hoarder.py": HOARDER},
    )  # fmt: skip
    before = server.wait_for_workers(1)

    server.get("/hoard")

    server.wait_for_workers(1, without=before)
    assert "-> draining (memory " in server.log_text()


def test_workers_are_replaced_by_age_one_at_a_time(supervisor: StartSupervisor) -> None:
    server = supervisor(APP, "--workers", "2", "--limit-worker-age", "1")
    before = server.wait_for_workers(2)

    eventually(lambda: len(server.marked("start")) >= 4)

    server.wait_for_log("-> draining (age)", count=2)
    eventually(lambda: not server.worker_pids() & before)


@pytest.mark.parametrize("bind", [(), ("--uds", "http.sock")], ids=["tcp", "unix"])
def test_a_drain_delay_announces_the_end_and_still_accepts(
    supervisor: StartSupervisor, bind: tuple[str, ...]
) -> None:
    words = ("--workers", "2", "--drain-delay", "3", *bind)
    server = supervisor(APP, *words, own_address=bool(bind))
    server.wait_for_workers(2)

    server.signal(signal.SIGTERM)
    began = time.monotonic()
    server.wait_for_log("the supervisor stops", count=2)
    eventually(lambda: server.get("/pid").headers.get("connection") == "close")

    assert server.get("/pid").status == 200, "new connections are accepted"
    assert server.wait_exit() == 0
    assert time.monotonic() - began >= 2.9
    assert not list(server.folder.glob("*.sock"))


@pytest.mark.parametrize("words", [(), ("--drain-delay", "0.5")], ids=["at-once", "delayed"])
def test_a_stop_tells_the_application_and_closes_idle_connections_one_by_one(
    supervisor: StartSupervisor, words: tuple[str, ...]
) -> None:
    server = supervisor(APP, *words)
    server.wait_for_workers(1)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(200)]
        for sock in socks:
            assert "draining" not in state_of_application(sock)

        server.signal(signal.SIGTERM)
        # Each answer that does not tell yet leaves its connection open.
        eventually(lambda: state_of_application(socks[0]).get("draining"))
        times = closed_at(socks[1:])

    # As far apart as 500 a second, whatever time that begins.
    assert max(times) - min(times) > 0.2, times
    assert server.wait_exit() == 0


def state_of_application(sock: socket.socket) -> dict[str, object]:
    sock.sendall(b"GET /state HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = read_reply(sock)
    state: dict[str, object] = json.loads(reply.body)
    assert (reply.headers.get("connection") == "close") is ("draining" in state)
    return state


def closed_at(socks: list[socket.socket]) -> list[float]:
    """Return when the server has closed each of some idle connections."""
    times = []
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ, sock)
        while selector.get_map():
            ready = selector.select(10)
            assert ready, "they are not closed"
            for key, _ in ready:
                times.append(time.monotonic())
                assert key.data.recv(1) == b""
                selector.unregister(key.fileobj)
    return times


def test_nobody_waits_for_an_import_at_a_reload(supervisor: StartSupervisor) -> None:
    good = "from tests.apps.basic import app\n"
    server = supervisor("shop:app", files={"shop.py": good})
    before = server.wait_for_workers(1)
    (server.folder / "shop.py").write_text("import time; time.sleep(2)\n" + good)

    server.signal(signal.SIGHUP)
    longest = 0.0
    while before & server.worker_pids():
        began = time.monotonic()
        assert server.get("/pid").status == 200
        longest = max(longest, time.monotonic() - began)

    assert longest < 1.0, "0.3 s on a machine that does nothing else"
