"""Says what a worker is stuck in, just before it is aborted.

SIGABRT finds no Python code to interrupt while the event loop waits inside a library written in C.
But as long as that lets other threads run, one of them can tell which requests are concerned.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Watchdog(threading.Thread):
    """Calls `bark` in its own thread when `beat` was not called for `timeout` seconds.

    It barks once for each time that the loop is stuck, and costs nothing in between: it sleeps
    for as long as the latest beat allows.
    """

    def __init__(self, timeout: float, bark: Callable[[float], None]) -> None:
        super().__init__(name="uvicorn-watchdog", daemon=True)
        self.barked = False
        self._timeout = timeout
        self._bark = bark
        self._beaten = time.monotonic()

    def beat(self) -> None:
        """The event loop turns."""
        self._beaten = time.monotonic()
        self.barked = False

    def run(self) -> None:
        while True:
            silent = time.monotonic() - self._beaten
            if silent < self._timeout:
                time.sleep(self._timeout - silent)
            elif self.barked:
                time.sleep(self._timeout)
            else:
                self._bark(silent)
                self.barked = True
