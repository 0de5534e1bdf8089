"""What garbage collections take: while one runs, in whichever thread, nothing else does.

Python calls back at the start and the end of each; our own code makes one necessary in some ten
thousand requests.
"""

from __future__ import annotations

import contextlib
import gc
import time
from typing import TYPE_CHECKING, Any

from uvicorn_worker.metrics import layout
from uvicorn_worker.metrics.meter import WINDOW

if TYPE_CHECKING:
    from collections.abc import Mapping


class Pauses:
    """Counts the collections of this process into a worker's room, from `begin` to `end`."""

    __slots__ = ("_began", "_floats", "_since")

    def __init__(self, room: memoryview, *, now: float) -> None:
        """`now` is monotonic time, in seconds, as for `look`."""
        self._floats = room.cast("d")
        self._began = 0.0
        self._since = now

    def begin(self) -> None:
        gc.callbacks.append(self._called)

    def end(self) -> None:
        with contextlib.suppress(ValueError):  # it has not begun
            gc.callbacks.remove(self._called)

    def look(self, now: float) -> None:
        """Forget the longest pause after a while; a scrape in that time has seen it."""
        if now - self._since >= WINDOW:
            self._since = now
            self._floats[layout.PAUSE_MAX_BEFORE] = self._floats[layout.PAUSE_MAX]
            self._floats[layout.PAUSE_MAX] = 0.0

    def _called(self, phase: str, info: Mapping[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.took(time.perf_counter() - self._began)

    def took(self, seconds: float) -> None:
        """Count one collection."""
        self._floats[layout.COLLECTING] += seconds
        if seconds > self._floats[layout.PAUSE_MAX]:
            self._floats[layout.PAUSE_MAX] = seconds
