"""Another level for the loggers of a process while it runs, and the way back."""

from __future__ import annotations

import logging
from typing import Final

from uvicorn_worker.config import LEVELS, TRACE
from uvicorn_worker.logs.setup import LOGGERS

# By the words of `--log-level`.
NUMBERS: Final[dict[str, int]] = {
    word: TRACE if word == "trace" else getattr(logging, word.upper()) for word in LEVELS.choices
}


class Levels:
    """What the loggers' levels were before `apply`; 0 stands for those.

    Made before the forks: a child goes back to what was configured, too.
    """

    def __init__(self) -> None:
        self._configured: dict[str, int] = {}
        self._level = 0

    def apply(self, level: int) -> None:
        """Let all loggers of ours log from this level on; 0: as they were configured."""
        for name in LOGGERS:
            logger = logging.getLogger(name)
            if not self._level:
                self._configured[name] = logger.level
            logger.setLevel(level or self._configured.get(name, logger.level))
        self._level = level

    def configured(self) -> None:
        """Note that logging has just been configured anew, and go on with the level that was."""
        level, self._level = self._level, 0
        self.apply(level)
