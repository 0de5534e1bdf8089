"""What questions are answered from: the pool, the scoreboard and what else there is to see.

Only `take` changes anything: it gives the pool an event, as signals do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from uvicorn_supervisor.control.status import Sources, describe_pool, describe_workers
from uvicorn_worker import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_supervisor.decisions.messages import Event
    from uvicorn_supervisor.decisions.pool import Pool
    from uvicorn_supervisor.workers.bulletin import Bulletin
    from uvicorn_worker.logs.levels import Levels
    from uvicorn_worker.scoreboard.board import Scoreboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A supervisor, for whoever is asked about it."""

    pool: Pool
    board: Scoreboard
    now: Callable[[], float]  # monotonic seconds
    take: Callable[[Event], None]
    sources: Sources
    bulletin: Bulletin
    levels: Levels
    app: str
    place: str  # where the server listens
    started: float  # monotonic seconds

    def status(self) -> dict[str, Any]:
        """Return what there is to know at this moment, as JSON has it."""
        now = self.now()
        views = {view.generation: view for view in self.board.views()}
        return {
            "supervisor": {
                "pid": os.getpid(),
                "version": __version__,
                "app": self.app,
                "listens": self.place,
                "uptime": now - self.started,
                **describe_pool(self.pool),
            },
            "workers": describe_workers(self.pool, views, now, self.sources),
            "time": now,
        }
