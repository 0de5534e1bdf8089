"""Says what a worker is stuck in, before it is aborted.

SIGABRT finds no Python code to interrupt while the event loop waits inside a library written in C.
But as long as that lets other threads run, one of them can tell which requests are concerned.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

Alarm = tuple[float, Callable[[float], None]]


class Watchdog(threading.Thread):
    """Calls functions in its own thread when `beat` was not called for some time.

    `alarms` are seconds, the shortest first, and what is called then with the seconds of silence.
    Each is called once for each time that the loop is stuck, and it costs nothing in between: the
    thread sleeps for as long as the latest beat allows.
    """

    def __init__(self, *alarms: Alarm) -> None:
        super().__init__(name="uvicorn-watchdog", daemon=True)
        self.barked = 0
        """How many of the alarms have been raised since the latest beat."""
        self._alarms = alarms
        self._beaten = time.monotonic()

    def beat(self) -> None:
        """The event loop turns."""
        self._beaten = time.monotonic()
        self.barked = 0

    def run(self) -> None:
        while True:
            beaten, barked = self._beaten, self.barked
            silent = time.monotonic() - beaten
            if barked == len(self._alarms):
                time.sleep(self._alarms[0][0])
                continue
            timeout, bark = self._alarms[barked]
            if silent < timeout:
                time.sleep(timeout - silent)
                continue
            bark(silent)
            if self._beaten == beaten:
                self.barked = barked + 1
