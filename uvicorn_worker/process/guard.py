"""The last resort of a worker that was told to go: a thread that sees to it that it does.

An event loop that does not turn runs no timers, and threads of the application that do not end
keep a process alive for ever; nobody else ends a worker after a reload.
"""

from __future__ import annotations

import _thread
import faulthandler
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Guard:
    """Calls `interrupt` at one instant and ends the process with `code` at another.

    Instants are monotonic; the end of the process is the end of the guard. `report` is the
    descriptor that gets the stacks of the threads that were left. May be made in a signal
    handler, and again: the first guard that is due acts.
    """

    __slots__ = ("_armed",)

    def __init__(
        self,
        interrupt_at: float,
        interrupt: Callable[[], None],
        end_at: float,
        code: int,
        report: int,
    ) -> None:
        self._armed = True
        # Not `threading`: its locks may be held by the very code that a signal has interrupted.
        _thread.start_new_thread(self._watch, (interrupt_at, interrupt, end_at, code, report))

    def disarm(self) -> None:
        """Do nothing any more: the process need not end."""
        self._armed = False

    def _watch(
        self,
        interrupt_at: float,
        interrupt: Callable[[], None],
        end_at: float,
        code: int,
        report: int,
    ) -> None:
        _sleep_until(interrupt_at)
        if self._armed:
            interrupt()
        _sleep_until(end_at)
        if self._armed:
            # Nothing here may wait for a lock, as logging does.
            os.write(
                report, b"Worker (pid:%d) leaves although threads of it still run:\n" % os.getpid()
            )
            faulthandler.dump_traceback(report, all_threads=True)
            os._exit(code)


def _sleep_until(instant: float) -> None:
    while (left := instant - time.monotonic()) > 0:
        time.sleep(left)
