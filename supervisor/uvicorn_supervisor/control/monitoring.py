"""What is answered at `--metrics`: `/metrics`, `/livez` and `/readyz`, by the supervisor itself.

So `/livez` answers also while no worker does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_supervisor.control.deskhttp import Answer
from uvicorn_worker.metrics.answers import PATHS, Answers

if TYPE_CHECKING:
    from uvicorn_supervisor.control.desk import Routes
    from uvicorn_supervisor.control.deskhttp import Request
    from uvicorn_supervisor.control.scene import Scene


def routes(scene: Scene) -> Routes:
    """Return the routes of the counter."""
    pool = scene.pool
    answers = Answers(scene.board, ready=lambda: pool.ready > 0 and not pool.ending, now=scene.now)

    def ask(request: Request) -> Answer:
        return Answer(*answers.answer("GET", request.path, request.headers.get("accept", "")))

    return {("GET", path): ask for path in PATHS}
