"""Requests that are being answered while a test does something to their server."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from tests.support.gunicorn import RunningGunicorn
    from tests.support.replies import Reply


def in_flight(
    server: RunningGunicorn, clients: ThreadPoolExecutor, *paths: str
) -> list[Future[Reply]]:
    """Send requests to slow paths (they mark "sleeping"); return once all have begun."""
    before = len(server.marks("sleeping"))
    answers = [clients.submit(server.get, path, timeout=30) for path in paths]
    server.wait_for_marks("sleeping", before + len(paths))
    return answers


def was_cut_off(answer: Future[Reply]) -> bool:
    """Return whether the request ended with an error: of the connection, or told by a status.

    A client that waited in vain does not count.
    """
    if answer.exception() is None:
        return answer.result().status >= 500
    return isinstance(answer.exception(), (http.client.HTTPException, ConnectionError))
