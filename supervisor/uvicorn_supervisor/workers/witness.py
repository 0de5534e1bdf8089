"""What a worker says of itself while its event loop does not turn, or is not there in time.

At half of what it may be silent: where it is, and for whom. Before its end: what else there is to
know, and where it is by then if it has moved. A thread says it. Where C code keeps all threads from
running, `faulthandler` writes the stacks, as the supervisor asks for them (SIGUSR2), or ends the
worker (SIGABRT). Who is not ready in time is asked first, by a signal that Python handles (SIGURG).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.diagnostics.watchdog import Watchdog
from uvicorn_worker.scoreboard.phases import BOOTING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from types import FrameType

    from uvicorn_worker.diagnostics.reports import Reports
    from uvicorn_worker.scoreboard.slots import Slot

    Doing = tuple[asyncio.AbstractEventLoop | None, Iterable[Any]]

# Shares of the limit; the supervisor asks at half of it, and ends the worker when it is over.
FIRST: Final = 0.45
LAST: Final = 0.9


class Witness:
    """One worker's. `doing` returns its event loop, None while that is not run, and its cycles."""

    def __init__(
        self, reports: Reports, slot: Slot, seat: int, limit: float, doing: Callable[[], Doing]
    ) -> None:
        self._reports = reports
        self._slot = slot
        self._name = f"Worker {seat} (pid {os.getpid()})"
        self._limit = limit
        self._doing = doing
        self._log = logging.getLogger("uvicorn.error")
        self._watchdog: Watchdog | None = None
        self._said = 0
        self._late = False

    def beat(self) -> None:
        """The loop turns."""
        if self._said or self._late:
            self._go_on()
        if not self._limit:
            return
        if self._watchdog is None:
            self._watchdog = Watchdog(
                (FIRST * self._limit, self._explain), (LAST * self._limit, self._say_the_rest)
            )
            self._watchdog.start()
        self._watchdog.beat()

    def _go_on(self) -> None:
        """Let `faulthandler` speak again, unless the worker is about to be ended."""
        if not self._late or self._slot.snapshot().phase is not BOOTING:
            self._said, self._late = 0, False
            self._reports.follow_log()

    def late(self, frame: FrameType | None, seconds: float) -> None:
        """Say where the worker is, which is not ready and will be ended."""
        if not self._late:
            self._late = True
            where = self._reports.live(frame, *self._doing()).rstrip()
            self._log.error("%s: not ready after %.1f s. %s", self._name, seconds, where)
            self._reports.hush()

    def last_words(self, frame: FrameType | None) -> str:
        """Return what there is to say when the worker is ended, of which nothing was said yet."""
        if self._late:
            return "See above"
        if self._said == 2:
            return self._reports.moved(frame)
        return self._reports.stuck(frame, *self._doing())

    def _explain(self, silent: float) -> None:
        """Called by the watchdog, in its thread."""
        self._log.warning(
            "%s: its event loop has not turned for %.1f s. %s",
            self._name,
            silent,
            self._reports.stuck(_main_frame(), *self._doing()),
        )
        self._slot.explain(time.monotonic())
        self._reports.hush()
        self._said = 1

    def _say_the_rest(self, silent: float) -> None:
        """Called by the watchdog, in its thread."""
        self._log.warning(
            "%s: its event loop has not turned for %.1f s. %s",
            self._name,
            silent,
            self._reports.rest(_main_frame(), *self._doing()),
        )
        self._said = 2


def _main_frame() -> FrameType | None:
    return sys._current_frames().get(threading.main_thread().ident or 0)
