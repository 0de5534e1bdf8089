"""What is there when a worker begins to serve is out of the garbage collector's way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.command import StartCommand
    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor

APP = """
import gc, json, os, weakref

class Held:
    pass

if os.environ.get("MANUAL"):
    gc.disable()
imported = Held()
loaded = []
garbage = []

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        loaded.append(Held())
        dead = Held()
        dead.itself = dead
        garbage.append(weakref.ref(dead))
        del dead
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    seen = {id(one) for one in gc.get_objects()}
    body = json.dumps({
        "imported": id(imported) in seen,
        "loaded": id(loaded[0]) in seen,
        "garbage": garbage[0]() is not None,
        "inherited": gc.get_freeze_count() > 10_000,
    }).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})
"""
FILES = {"heap.py": APP}
KEPT = {"imported": False, "loaded": False, "garbage": False, "inherited": True}
MANUAL = {"imported": True, "loaded": True, "garbage": True, "inherited": True}


@pytest.fixture(params=["command", "supervisor", "preload", "gunicorn"])
def server(
    request: pytest.FixtureRequest,
    command: StartCommand,
    supervisor: StartSupervisor,
    gunicorn: StartGunicorn,
) -> Any:
    if request.param == "command":
        return command("heap:app", "--port=0", files=FILES)
    if request.param == "gunicorn":
        return gunicorn("heap:app", files=FILES)
    words = ["--preload"] if request.param == "preload" else []
    return supervisor("heap:app", *words, files=FILES)


def test_what_is_loaded_is_kept_and_garbage_is_collected_once(server: Any) -> None:
    assert json.loads(server.get().body) == KEPT


def test_an_application_that_switches_the_collector_off_is_left_alone(
    command: StartCommand,
) -> None:
    server = command("heap:app", "--port=0", files=FILES, env={"MANUAL": "1"})
    assert json.loads(server.get().body) == MANUAL
