"""Tells systemd how the supervisor is: what `announcing` says is sent here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.limits import NEVER
from uvicorn_supervisor.systemd.announcing import Announcer, Situation
from uvicorn_supervisor.systemd.sdnotify import is_asked, notify, watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_supervisor.decisions.pool import Pool
    from uvicorn_supervisor.holdings.place import Place
    from uvicorn_worker.scoreboard.board import Scoreboard


class Systemd:
    """One supervisor's word to systemd; silent where none has asked.

    As long as a predecessor serves, or since a successor does, it is for the other one to speak.
    """

    def __init__(
        self, place: Place, pool: Pool, board: Scoreboard, now: Callable[[], float]
    ) -> None:
        self._place = place
        self._pool = pool
        self._board = board
        self._now = now
        self._asked = is_asked(os.environ)
        if self._asked:
            before = place.predecessor
            self._announcer = Announcer(watchdog(os.environ, before), ready=before != 0)

    @property
    def deadline(self) -> float:
        """When `turn` is to be called at the latest."""
        return self._announcer.deadline(self._situation()) if self._speaks else NEVER

    def reloading(self) -> None:
        """Say that a reload begins."""
        words = self._announcer.reloading(self._now()) if self._speaks else []
        if words and not self._pool.ending:
            notify(os.environ, *words)

    def turn(self) -> None:
        """Say what there is to be said now."""
        if self._speaks:
            for message in self._announcer.step(self._situation(), self._now()):
                notify(os.environ, *message)

    @property
    def _speaks(self) -> bool:
        return self._asked and self._place.speaks

    def _situation(self) -> Situation:
        pool, views = self._pool, self._board.views()
        return Situation(
            ready=pool.ready,
            wanted=pool.count,
            beating=self._board.ready(self._now()),
            changing=pool.releases.candidate is not None,
            ending=pool.ending,
            refusal=pool.refusal,
            left=len(pool.workers),
            in_flight=sum(view.in_flight for view in views),
            connections=sum(view.connections for view in views),
        )
