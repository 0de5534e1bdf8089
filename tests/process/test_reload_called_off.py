"""When those who are to take over cannot boot: the old workers stay, and serve as before.

Gunicorn does not know of it. It has told them to go, and a SIGTERM does not say what for; so these
tests also look at the stops that must not be taken for such a reload.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import ask, read_reply
from tests.support.load import Load
from tests.support.rawws import TEXT, RawWebSocket, close_frame, frame
from tests.support.stopping import QUICK, workers_end_within
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.basic:app"

CALLED_OFF = "Reload called off"

WORKING = """
from tests.apps import basic, websocket

async def app(scope, receive, send):
    chosen = websocket.marking if scope["type"] == "websocket" else basic.app
    await chosen(scope, receive, send)
"""

FAILING_LIFESPAN = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""

# Not before the old worker has noticed its SIGTERM: it looks then for those that are booting.
DYING = """
import os, time
time.sleep(0.5)
{}
"""

SHORT = ["--graceful-timeout", "1"]
"""Gunicorn 24 and newer hears no signal for that long after SIGHUP, as old workers remain."""


def reload(server: RunningGunicorn, text: str) -> None:
    """Replace the application's code, and let Gunicorn load it."""
    (server.folder / "mine.py").write_text(text)
    server.signal(signal.SIGHUP)


def test_old_workers_serve_on_until_the_code_is_mended(gunicorn: StartGunicorn) -> None:
    server = gunicorn("mine:app", "--workers", "2", *SHORT, files={"mine.py": WORKING})
    old = server.wait_for_workers(2)
    eventually(lambda: {int(server.get("/pid").text.split()[0]) for _ in range(10)} == old)
    assert isinstance(server.address, tuple)
    with RawWebSocket(server.address) as client, server.connect() as kept:
        client.open()
        assert int(str(client.read_message())) in old

        for attempt in (1, 2):
            reload(server, "raise RuntimeError('no database')\n")
            server.wait_for_log(CALLED_OFF, count=2 * attempt)
        eventually(lambda: server.worker_pids() == old)
        for _ in range(3):
            kept.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert "connection" not in read_reply(kept).headers
        client.send(frame(TEXT, b"still here"))
        assert client.read_message() == "still here"

        reload(server, WORKING)
        assert client.read_close() == (1012, "")
        client.send(close_frame(1012))
    server.wait_for_workers(2, without=old)
    assert server.log_text().count(CALLED_OFF) == 4


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("raise SystemExit('no secret key')\n", id="exits"),
        pytest.param(DYING.format("os._exit(7)"), id="exits at once"),
        pytest.param(DYING.format("os.kill(os.getpid(), 9)"), id="is killed"),
        pytest.param("app = 1\n", id="not ASGI"),
        pytest.param(FAILING_LIFESPAN, id="lifespan fails"),
    ],
)
def test_whatever_keeps_new_workers_from_serving(gunicorn: StartGunicorn, text: str) -> None:
    server = gunicorn("mine:app", *SHORT, files={"mine.py": WORKING})
    assert ask(server).status == 200
    old = server.worker_pids()

    reload(server, text)
    server.wait_for_log(CALLED_OFF)

    eventually(lambda: server.worker_pids() == old)
    assert ask(server).status == 200


def test_reloads_during_an_outage_lose_no_request(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    """Two in a row: Gunicorn up to 23 tells new workers to go that are booting still."""
    outage = tmp_path / "outage"
    variables = {"STARTUP_FAILS_WHILE": str(outage)}
    server = gunicorn(APP, "--workers", "2", *SHORT, env=variables)
    old = server.wait_for_workers(2)
    with Load(server.address, busy=2, reconnecting=2, idle=2) as load:
        load.wait_for_requests(100)
        outage.touch()
        for number in (1, 2):
            server.signal(signal.SIGHUP)
            server.wait_for_log("Handling signal: hup", count=number)
        server.wait_for_log(CALLED_OFF, count=2)
        eventually(lambda: server.worker_pids() == old)
        load.wait_for_requests(100)
        outage.unlink()
        server.signal(signal.SIGHUP)
        new = server.wait_for_workers(2, without=old)
        eventually(lambda: new <= load.outcomes.served_by.keys())
    assert load.outcomes.losses() == {}


def test_a_stop_while_it_is_not_clear_whether_the_reload_fails(
    gunicorn: StartGunicorn, tmp_path: Path
) -> None:
    outage = tmp_path / "outage"
    server = gunicorn(APP, "--workers", "2", *SHORT, env={"STARTUP_FAILS_WHILE": str(outage)})
    server.wait_for_workers(2)
    outage.touch()
    server.signal(signal.SIGHUP)
    server.wait_for_log("no database today")
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(server.marks("stop")) == 2  # neither was killed


def test_a_stop_during_an_outage_waits_for_nobody(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    outage = tmp_path / "outage"
    options = ["--workers", "2", "--graceful-timeout", "6"]
    server = gunicorn(APP, *options, env={"STARTUP_FAILS_WHILE": str(outage)})
    pids = server.wait_for_workers(2)
    outage.touch()
    server.signal(signal.SIGKILL, pids.pop())
    server.wait_for_log("no database today")
    with workers_end_within(server, QUICK):
        server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(server.marks("stop")) == 1
    assert CALLED_OFF not in server.log_text()


def test_the_last_worker_that_serves_stays(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    """Neither SIGTTOU nor `max_requests` takes it away while its sibling cannot be replaced."""
    outage = tmp_path / "outage"
    variables = {"STARTUP_FAILS_WHILE": str(outage)}
    server = gunicorn(APP, "--workers", "2", "--max-requests", "20", env=variables)
    pids = server.wait_for_workers(2)
    outage.touch()
    server.signal(signal.SIGKILL, pids.pop())
    (last,) = pids
    server.wait_for_log("no database today")
    served = {server.get("/pid").text.split()[0] for _ in range(30)}
    assert served == {str(last)}
    server.wait_for_log("max_requests is reached")

    server.signal(signal.SIGTTOU)  # Gunicorn takes the oldest
    server.wait_for_log(CALLED_OFF)
    eventually(lambda: server.worker_pids() == {last})
    assert server.get("/pid").text.split()[0] == str(last)

    outage.unlink()
    server.signal(signal.SIGTTIN)
    server.wait_for_workers(2)
    eventually(lambda: server.get("/pid").status == 200 and last not in server.worker_pids())
