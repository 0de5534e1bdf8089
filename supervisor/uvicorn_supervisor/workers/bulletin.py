"""What the supervisor wants of workers that run: a level for the log, a report. Shared memory.

A signal says that there is something to be read here (`ERRAND`): by itself it means nothing, so
nobody's harm is done by one from elsewhere. A worker that is forked later reads the level as well.
"""

from __future__ import annotations

import mmap
import signal
from typing import Final

# Ignored by default; neither asyncio nor any known server uses it (out-of-band data, of which HTTP
# has none).
ERRAND: Final = signal.SIGURG

_LEVEL: Final = 0
_ASKED: Final = 1


class Bulletin:
    """Written by the supervisor alone; make it before the first fork.

    Args:
        slots: those of the scoreboard.
    """

    def __init__(self, slots: int = 1024) -> None:
        self._cells = memoryview(mmap.mmap(-1, 8 * (_ASKED + slots))).cast("q")

    @property
    def level(self) -> int:
        """The level from which on all processes log; 0: as it is configured."""
        return int(self._cells[_LEVEL])

    @level.setter
    def level(self, level: int) -> None:
        self._cells[_LEVEL] = level

    def ask(self, slot: int) -> None:
        """Ask the worker with this slot on the scoreboard for a report."""
        self._cells[_ASKED + slot] += 1

    def asked(self, slot: int) -> int:
        """Return how often a report was asked for, of whoever has had the slot."""
        return int(self._cells[_ASKED + slot])
