"""Leaves `logging` as it was: configuring it is what some tests are about."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "uvicorn.supervisor")


@contextlib.contextmanager
def restored_loggers(*names: str) -> Iterator[None]:
    """Take handlers, filters and levels off the server's loggers, before and behind a test."""
    _reset(*NAMES, *names)
    try:
        yield
    finally:
        _reset(*NAMES, *names)


def _reset(*names: str) -> None:
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
