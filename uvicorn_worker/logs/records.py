"""Records of access lines: what their `args` say, and how they are made in little time."""

from __future__ import annotations

import logging
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from uvicorn_worker.state import Exchange

    # client address, method, path with query, HTTP version, status code
    AccessFields: TypeAlias = tuple[str, str, str, str, int]

ACCESS_MESSAGE: Final = '%s - "%s %s HTTP/%s" %d'
MAKERS: Final = ("info", "_log", "makeRecord")


class AccessArgs(tuple[str, str, str, str, int]):
    """The `args` of an access record: `AccessFields`, and what a formatter may ask for beside.

    `duration` is in seconds. `line` is the message where a format was given, else empty. The
    exchange has ended and stays as it is.
    """

    exchange: Exchange
    duration: float
    line: str

    def __bool__(self) -> bool:
        return not self.line  # a message that is complete takes no arguments

    def __reduce__(self) -> tuple[type, tuple[list[object]]]:
        return tuple, (list(self),)


class RecordMaker:
    """Makes the INFO records of one logger and one function, from a template.

    `logging.Logger.info` looks for its caller and asks the system for names that are the same each
    time, which takes longer than to format and write a line.

    Call `renew` once a second. Where somebody has replaced the machinery of `logging` (tracing
    libraries do), it says no: use the logger's own methods then.
    """

    __slots__ = ("_logger", "_place", "_second", "_start", "_template")

    def __init__(self, logger: logging.Logger, file: str, function: str) -> None:
        self._logger = logger
        self._place = file, function
        self._second = -1
        self._start = 0.0
        self._template: dict[str, Any] = {}

    def renew(self, second: int, message: str) -> bool:
        """Take the time on; return whether records can be made here."""
        self._second = second
        if logging.getLogRecordFactory() is not logging.LogRecord or not own_methods(
            logging.Logger, MAKERS
        ):
            return False
        file, function = self._place
        record = logging.LogRecord(
            self._logger.name, logging.INFO, file, 0, message, (), None, function
        )
        self._template = vars(record)
        self._start = record.created - record.relativeCreated / 1000
        return True

    def make(self, args: Any, clock: float) -> logging.LogRecord:
        """Return a record of the message with `args`, made at `clock` (`time.time()`)."""
        record = logging.LogRecord.__new__(logging.LogRecord)
        record.__dict__ = fields = self._template.copy()
        fields["args"] = args
        fields["created"] = clock
        fields["msecs"] = int((clock - self._second) * 1000) + 0.0
        fields["relativeCreated"] = (clock - self._start) * 1000
        return record


def own_methods(cls: type, names: Iterable[str]) -> bool:
    """Return whether nobody has replaced these methods of a class of `logging`."""
    return all(_is_of_logging(getattr(cls, name)) for name in names)


def _is_of_logging(function: object) -> bool:
    return type(function) is FunctionType and function.__globals__ is vars(logging)


def copy_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record of its own for what one formatter adds (copy.copy takes 3 times as long)."""
    made = logging.LogRecord.__new__(logging.LogRecord)
    made.__dict__ = vars(record).copy()
    return made
