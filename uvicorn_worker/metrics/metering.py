"""Lets a server count: what its connections do by themselves, and what is to be looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uvicorn_worker.http1.connection import HTTPConnection
from uvicorn_worker.http1.cycle import RequestCycle
from uvicorn_worker.metrics.meter import Meter
from uvicorn_worker.metrics.pauses import Pauses

if TYPE_CHECKING:
    from uvicorn_worker.http1.state import HTTPState


class Metering:
    """The metrics of one server; `look` is called every `interval` seconds."""

    def __init__(self, state: HTTPState, room: memoryview, *, interval: float) -> None:
        """`room` is the worker's own on the scoreboard; `state` has everything else by now."""
        self._state = state
        limit = state.config.limit_concurrency or 0
        self.meter = Meter(room, interval=interval, limit=limit)
        self._every = max(1, round(1.0 / interval))
        self._looks = 0
        self._late_requests = 0
        self._pauses = Pauses(room, now=time.monotonic())
        state.meter = self.meter

    def begin(self) -> None:
        """Clients may come from now on, and wait; what the start took is no matter."""
        self._pauses.begin()

    def end(self) -> None:
        """Nobody is served any more."""
        self._pauses.end()
        self.show()

    def look(self) -> None:
        """Measure how late the loop is; once a second show what has added up."""
        now = time.monotonic()
        self.meter.looked(now)
        self._looks += 1
        if self._looks % self._every == 0:
            self._pauses.look(now)
            self.show(now)

    def show(self, now: float | None = None) -> None:
        """Show everything: others see the rest of what was counted."""
        state = self._state
        http = sum(isinstance(one, HTTPConnection) for one in state.connections)
        late, self._late_requests = state.late_requests - self._late_requests, state.late_requests
        self.meter.show(
            time.monotonic() if now is None else now,
            in_flight=sum(isinstance(one, RequestCycle) for one in state.cycles),
            http=http,
            websockets=len(state.connections) - http,
            late=late,
        )
