"""`--reload`: files change, the next answer is the new code's."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from tests.support.supervisor import RunningSupervisor, StartSupervisor

SHOP = """
from tests.apps.basic import app as basic, reply

async def app(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/version":
        await reply(send, b"VERSION")
    else:
        await basic(scope, receive, send)
"""


def write(server: RunningSupervisor, text: str) -> None:
    draft = server.folder / "shop.draft"
    draft.write_text(text)
    draft.rename(server.folder / "shop.py")


def answers(server: RunningSupervisor, version: str) -> bool:
    return version in server.get("/version").text


def shows_mistake(server: RunningSupervisor) -> bool:
    """Ask once: while workers take turns, the next answer may be the old one's again."""
    reply = server.get("/version")
    return reply.status == 500 and "SyntaxError" in reply.text


def test_changes_are_served_mistakes_are_shown(
    supervisor: StartSupervisor, clients: ThreadPoolExecutor
) -> None:
    files = {"shop.py": SHOP.replace("VERSION", "one")}
    server = supervisor("shop:app", "--reload", files=files)
    server.wait_for_log("Watching ")
    assert answers(server, "one")
    clients.submit(server.get, "/stream?s=0.1")  # an endless one holds nothing up
    server.wait_for_mark("sleeping")

    began = time.monotonic()
    write(server, SHOP.replace("VERSION", "two"))
    eventually(lambda: answers(server, "two"), timeout=5)
    took = time.monotonic() - began
    assert took < 3, "well under a second where nothing else runs"
    eventually(lambda: server.marked("stop"), message="the old worker's lifespan shutdown")
    assert "aborted" not in server.log_text(), "a stream is no reason to take it for hung"

    write(server, SHOP + "\ndef broken(:\n")
    eventually(lambda: shows_mistake(server), timeout=5)
    write(server, SHOP.replace("VERSION", "three"))
    eventually(lambda: answers(server, "three"), timeout=5)
    server.wait_for_workers(1)
    server.signal(signal.SIGINT)
    assert server.wait_exit(4) == 0


def test_a_mistake_at_the_start_is_shown_and_waited_for(supervisor: StartSupervisor) -> None:
    server = supervisor("shop:app", "--reload", files={"shop.py": "import nonsense\n"})
    server.wait_for_log("Watching ")

    assert "ModuleNotFoundError" in server.get("/").text
    write(server, SHOP.replace("VERSION", "mended"))

    eventually(lambda: answers(server, "mended"), timeout=5)


@pytest.mark.parametrize("words", [("--reload-dir", "no/such"), ("--reload-delay", "0")])
def test_what_cannot_be_watched_is_refused(
    supervisor: StartSupervisor, words: tuple[str, str]
) -> None:
    server = supervisor("shop:app", "--reload", *words, expect_exit=None)

    assert server.wait_exit() in (1, 2)
    assert "Error: " in server.log_text()
    assert "Traceback" not in server.log_text()
