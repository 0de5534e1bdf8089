"""Workers that Gunicorn replaces while it serves: after so many requests, and when code changes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from tests.support.asking import told
from tests.support.gunicorn import MARKING_HOOKS
from tests.support.processes import alive
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.gunicorn import RunningGunicorn, StartGunicorn

APP = "tests.apps.report:app"

# -- max_requests


def test_max_requests_recycles_the_worker(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--max-requests=5")

    pids = [told(server)["pid"] for _ in range(18)]

    # Somebody who comes while the only worker goes is answered by it.
    first, second, *_ = (pids.count(pid) for pid in dict.fromkeys(pids))
    assert 5 <= first <= 7
    assert 5 <= second <= 7
    assert server.log_text().count("Autorestarting worker after current request.") >= 2
    assert "exited with code" not in server.log_text()


BOOTS_WHEN_OPEN = """
import os, time
while os.path.exists(os.environ["CLOSED"]):
    time.sleep(0.02)
from tests.apps.report import app
"""


def test_workers_take_turns_at_max_requests(gunicorn: StartGunicorn, tmp_path: Path) -> None:
    """The last one that serves goes beyond its limit until the other one's successor is there."""
    closed = tmp_path / "closed"
    files, variables = {"mine.py": BOOTS_WHEN_OPEN}, {"CLOSED": str(closed)}
    server = gunicorn("mine:app", "--workers=2", "--max-requests=5", files=files, env=variables)
    old = server.wait_for_workers(2)
    closed.touch()

    def left_after_one_more() -> set[int]:
        told(server)
        return old & server.worker_pids()

    eventually(lambda: len(left_after_one_more()) == 1)
    (last,) = left_after_one_more()
    assert {told(server)["pid"] for _ in range(10)} == {last}
    closed.unlink()
    eventually(lambda: told(server)["pid"] not in old and server.worker_pids().isdisjoint(old))


def test_jitter_is_drawn_for_every_worker(gunicorn: StartGunicorn) -> None:
    server = gunicorn(
        APP,
        "--workers=8",
        "--max-requests=1000",
        "--max-requests-jitter=100000",
        config="def post_worker_init(worker): worker.log.info('LIMIT %s', worker.max_requests)",
    )

    log = server.wait_for_log("LIMIT ", count=8)

    limits = {int(number) for number in re.findall(r"LIMIT (\d+)", log)}
    assert len(limits) > 1
    assert all(1000 <= limit <= 101_000 for limit in limits)


# -- reload


def test_changed_code_is_served_soon(gunicorn: StartGunicorn) -> None:
    code = "from tests.apps.basic import lifespan, reply\n" + (
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan': return await lifespan(scope, receive, send)\n"
        "    await reply(send, b'first')\n"
    )
    server = gunicorn("shop:app", "--reload", files={"shop.py": code}, config=MARKING_HOOKS)
    assert server.get("/").text == "first"
    [old] = server.worker_pids()
    _wait_for_reloader()

    changed = time.monotonic()
    _write(server, "shop.py", code.replace("first", "second"))
    eventually(lambda: server.get("/").text == "second", timeout=5)

    assert time.monotonic() - changed < 3.5
    assert server.marks("stop")[0] == old  # the lifespan's shutdown ran
    assert server.marks("worker_int") == [old]
    assert server.marks("worker_exit") == [old]


def test_syntax_error_is_shown_until_it_is_mended(gunicorn: StartGunicorn) -> None:
    code = "from tests.apps.basic import app\n"
    server = gunicorn("shop:app", "--reload", files={"shop.py": "def broken(:\n"})

    page = server.get("/")
    assert page.status == 500
    assert "SyntaxError" in page.text
    assert "shop.py" in page.text
    _wait_for_reloader()
    _write(server, "shop.py", code)

    eventually(lambda: server.get("/").status == 200, timeout=5)


def test_extra_files_are_watched(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--reload", "--reload-extra-file=page.html", files={"page.html": "one"})
    [old] = server.wait_for_workers(1)
    _wait_for_reloader()

    _write(server, "page.html", "two")

    eventually(lambda: not alive(old), timeout=5)
    assert told(server)["pid"] != old


def _wait_for_reloader() -> None:
    """Let Gunicorn's polling reloader, which compares modification times, see the files once."""
    end = time.monotonic() + 1.2
    eventually(lambda: time.monotonic() > end)


def _write(server: RunningGunicorn, name: str, text: str) -> None:
    (server.folder / name).write_text(text)
