"""Loggers of a test: left as they were, and handlers that keep what they are given."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "uvicorn.supervisor")
GUNICORNS = ("gunicorn.access", "gunicorn.error")


class Records(logging.Handler):
    """Keeps the records that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Lines(logging.Handler):
    """Keeps the lines made of the records that reach it, by `formatter` or as they are."""

    def __init__(self, formatter: logging.Formatter | None = None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextlib.contextmanager
def restored_loggers() -> Iterator[None]:
    """Clear the servers' loggers before and behind a test, and put the root logger back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    reset_loggers(*NAMES, *GUNICORNS)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        reset_loggers(*NAMES, *GUNICORNS)


def reset_loggers(*names: str) -> None:
    """Take handlers, filters and levels off loggers; files that they write are closed."""
    for name in names:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            for one in (handler, getattr(handler, "target", None)):
                if isinstance(one, logging.FileHandler):
                    one.close()
        logger.filters.clear()
        logger.propagate = True
        logger.disabled = False
        logger.setLevel(logging.NOTSET)
