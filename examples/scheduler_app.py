"""A scheduler that runs once, not once per worker: in whichever worker leads.

    pip install uvicorn-worker
    gunicorn -k uvicorn_worker.UvicornWorker --chdir examples scheduler_app:app -w 4
    uvicorn-supervisor scheduler_app:app --app-dir examples --workers 4
    curl http://127.0.0.1:8000/

`state["worker.leader"]` is true in one worker at most, and moves within seconds when that one goes,
dies or hangs. Ask it before each piece of work. `term` grows with each change: write it beside
what a job does, and refuse what comes with an older one, where a job must on no account run twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Scope = dict[str, Any]
    Receive = Callable[[], Awaitable[dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

EVERY = float(os.environ.get("EVERY", "10"))  # seconds

log = logging.getLogger("uvicorn.error")


async def send_newsletter(term: int) -> None:
    """Do what is to be done once."""
    log.warning("Newsletter sent by worker %d, term %d", os.getpid(), term)


async def schedule(leader: Any) -> None:
    while True:
        if leader:
            try:
                await send_newsletter(leader.term)
            except Exception:
                log.exception("The newsletter has failed; it is tried again")
        await asyncio.sleep(EVERY)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    task = asyncio.create_task(schedule(scope["state"]["worker.leader"]))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await send({"type": "lifespan.shutdown.complete"})


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    assert scope["type"] == "http"
    leads = bool(scope["state"]["worker.leader"])
    body = f"Worker {os.getpid()} {'leads' if leads else 'does not lead'}.\n".encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
