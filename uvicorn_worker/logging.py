"""Formatters: coloured text for people, JSON for machines.

Public: logging configurations name these classes, people extend them. They take the place of
Uvicorn's of the same names, with the same arguments.
"""

from __future__ import annotations

import copy
import http
import logging
import os
import sys
from typing import TYPE_CHECKING, Final, Literal, cast

from uvicorn_worker.logs.records import copy_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.logs.jsonlines import JsonFormatter
    from uvicorn_worker.logs.records import AccessFields

__all__ = ["AccessFormatter", "ColourizedFormatter", "DefaultFormatter", "JsonFormatter"]

# SGR parameters, ECMA-48 section 8.3.117.
RESET: Final = "\033[0m"
BOLD: Final = "\033[1m"
RED: Final = "\033[31m"
GREEN: Final = "\033[32m"
YELLOW: Final = "\033[33m"
BLUE: Final = "\033[34m"
CYAN: Final = "\033[36m"
BRIGHT_RED: Final = "\033[91m"
BRIGHT_WHITE: Final = "\033[97m"

LEVEL_COLORS: Final[Mapping[int, str]] = {
    5: BLUE,  # config.TRACE
    logging.DEBUG: CYAN,
    logging.INFO: GREEN,
    logging.WARNING: YELLOW,
    logging.ERROR: RED,
    logging.CRITICAL: BRIGHT_RED,
}
# By the first digit of a status code.
STATUS_COLORS: Final[Mapping[int, str]] = {
    1: BRIGHT_WHITE,
    2: GREEN,
    3: YELLOW,
    4: RED,
    5: BRIGHT_RED,
}
PHRASES: Final[Mapping[int, str]] = {status.value: status.phrase for status in http.HTTPStatus}
PREFIX_WIDTH: Final = 10  # of "CRITICAL: " or of "INFO:     "


def __getattr__(name: str) -> object:
    """Return `JsonFormatter`, loaded when somebody wants JSON: 2 ms of a start."""
    if name != "JsonFormatter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from uvicorn_worker.logs.jsonlines import JsonFormatter

    return JsonFormatter


def wants_colors(stream: object) -> bool:
    """Return whether text for this stream should be coloured: it is a terminal that can.

    A variable NO_COLOR that is not empty says no: https://no-color.org.
    """
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]  # asked for below
    except (AttributeError, ValueError):  # no file, or a closed one
        return False


class ColourizedFormatter(logging.Formatter):
    """Text with a `%(levelprefix)s`: the level's name, a colon, blanks up to the ninth column.

    `use_colors` None: as the stream suggests, once the formatter belongs to a handler that the
    server configured; until then as standard output (or error, in `DefaultFormatter`) suggests.
    A record with `color_message` has that for its message where there are colours.
    """

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        use_colors: bool | None = None,
    ) -> None:
        super().__init__(fmt, datefmt, style)
        self.decided = use_colors is not None
        self.use_colors = self.should_use_colors() if use_colors is None else use_colors

    def should_use_colors(self) -> bool:
        """Return whether to colour where nobody has decided."""
        return wants_colors(sys.stdout)

    def for_stream(self, stream: object) -> ColourizedFormatter:
        """Return the formatter as it should be for a stream, None for what is no stream."""
        made = copy.copy(self)
        made.use_colors = wants_colors(stream)
        return made

    def color_level_name(self, level_name: str, level_no: int) -> str:
        """Return the name of a level in its colour."""
        color = LEVEL_COLORS.get(level_no)
        return f"{color}{level_name}{RESET}" if color else level_name

    def level_prefix(self, level_name: str, level_no: int) -> str:
        """Return the value of `%(levelprefix)s`."""
        blanks = " " * (PREFIX_WIDTH - 2 - len(level_name))
        name = self.color_level_name(level_name, level_no) if self.use_colors else level_name
        return f"{name}:{blanks}"

    def formatMessage(self, record: logging.LogRecord) -> str:
        shown = copy_record(record)
        fields = vars(shown)
        fields["levelprefix"] = self.level_prefix(record.levelname, record.levelno)
        if self.use_colors and "color_message" in fields:
            shown.msg = fields["color_message"]
            shown.message = shown.getMessage()
        return super().formatMessage(shown)


class DefaultFormatter(ColourizedFormatter):
    """The server's messages."""

    def should_use_colors(self) -> bool:
        return wants_colors(sys.stderr)


class AccessFormatter(ColourizedFormatter):
    """Access lines; adds `%(client_addr)s`, `%(request_line)s` and `%(status_code)s`.

    A record with other arguments than those of `AccessFields` is shown by its message.
    """

    def get_status_code(self, status_code: int) -> str:
        """Return a status code with its phrase, in colour where wanted."""
        text = f"{status_code} {PHRASES.get(status_code, '')}"
        color = STATUS_COLORS.get(status_code // 100) if self.use_colors else None
        return f"{color}{text}{RESET}" if color else text

    def formatMessage(self, record: logging.LogRecord) -> str:
        args = record.args
        if not (isinstance(args, tuple) and len(args) == 5 and isinstance(args[4], int)):
            return f"{self.level_prefix(record.levelname, record.levelno)} {record.message}"
        client_addr, method, full_path, http_version, status_code = cast("AccessFields", args)
        line = f"{method} {full_path} HTTP/{http_version}"
        shown = copy_record(record)
        vars(shown).update(
            client_addr=client_addr,
            request_line=f"{BOLD}{line}{RESET}" if self.use_colors else line,
            status_code=self.get_status_code(status_code),
        )
        return super().formatMessage(shown)
