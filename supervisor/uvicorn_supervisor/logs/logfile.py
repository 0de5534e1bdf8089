"""A log file whose disk may be full: lines are lost then, one line says so, and it goes on.

What `logging` does is to print a traceback for every line that it cannot write, and to keep a part
of what it could not write for later.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import Final

LOST: Final = "%d lines are missing above: %s"


class LogFile(logging.FileHandler):
    """Appends lines, each by one write, so that those of several processes do not mix."""

    def __init__(self, filename: str, encoding: str = "utf-8") -> None:
        self._lost = 0
        self._why = ""
        super().__init__(filename, "a", encoding)

    def _open(self) -> io.TextIOWrapper:
        """Open the file without buffers: nothing is left in one that could not be written."""
        raw = io.FileIO(self.baseFilename, "a")
        return io.TextIOWrapper(raw, self.encoding, self.errors, write_through=True)

    def emit(self, record: logging.LogRecord) -> None:
        lost = self._lost
        super().emit(record)
        if lost and lost == self._lost:
            self._lost = 0
            args = (lost, self._why)
            super().emit(
                logging.LogRecord(record.name, logging.WARNING, "", 0, LOST, args, None, None)
            )

    def handleError(self, record: logging.LogRecord) -> None:
        exc = sys.exc_info()[1]
        if not isinstance(exc, OSError):
            super().handleError(record)
            return
        self._lost += 1
        if self._lost == 1:
            self._why = exc.strerror or str(exc)
            self._complain()

    def _complain(self) -> None:
        # That cannot be written either, or is closed, or there is none.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{self.baseFilename}: {self._why}: lines of the log are lost\n")
