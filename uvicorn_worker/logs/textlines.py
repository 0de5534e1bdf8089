"""Access lines as `logging.AccessFormatter` writes them, made without a record."""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Final

from uvicorn_worker.logging import BOLD, RESET, AccessFormatter
from uvicorn_worker.logs.records import ACCESS_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from uvicorn_worker.logs.records import AccessFields
    from uvicorn_worker.state import Exchange

    # (fields, exchange, duration in seconds, message or "" for the usual one, time of the record)
    LineMaker: TypeAlias = Callable[[AccessFields, Exchange, float, str, float], str]

_find_fields = re.compile(r"%\((\w+)\)").findall
ALWAYS: Final = frozenset({"client_addr", "request_line", "status_code"})
SAME: Final = frozenset({"levelname", "levelprefix", "name"})  # in all lines
SOMETIMES: Final = frozenset({"asctime", "message"})


def make_text_lines(formatter: logging.Formatter | None) -> LineMaker | None:
    """Return what makes the lines of a formatter, None where a record is needed for them."""
    if type(formatter) is not AccessFormatter or type(formatter._style) is not logging.PercentStyle:
        return None
    names = frozenset(_find_fields(formatter._fmt or ""))
    return TextLines(formatter, names) if names <= ALWAYS | SAME | SOMETIMES else None


class TextLines:
    """Makes lines; what is the same in all of them is put into the format once."""

    __slots__ = (
        "_bare", "_bold", "_formatter", "_names", "_parts", "_plain", "_second", "_stamp",
        "_statuses", "_template",
    )  # fmt: skip

    def __init__(self, formatter: AccessFormatter, names: frozenset[str]) -> None:
        self._formatter = formatter
        self._names = names & SOMETIMES
        self._bold, self._plain = (BOLD, RESET) if formatter.use_colors else ("", "")
        self._statuses: dict[int, str] = {}
        self._second = -1
        self._stamp = ""
        same = {
            "levelname": "INFO",
            "levelprefix": formatter.level_prefix("INFO", logging.INFO),
            "name": "uvicorn.access",
        }
        self._template = re.sub(
            r"%\((levelname|levelprefix|name)\)(-?\d*s)",
            lambda match: (f"%{match[2]}" % same[match[1]]).replace("%", "%%"),
            formatter._fmt or "",
        )
        self._bare = self._template == "%(message)s"
        # What stands between the three fields, where it is just these, in Uvicorn's order.
        usual = re.fullmatch(
            r"([^%]*)%\(client_addr\)s([^%]*)%\(request_line\)s([^%]*)%\(status_code\)s([^%]*)",
            self._template,
        )
        self._parts = usual.groups() if usual else None

    def __call__(
        self, fields: AccessFields, exchange: Exchange, duration: float, line: str, created: float
    ) -> str:
        if self._bare and line:
            return line
        client_addr, method, full_path, http_version, status = fields
        status_code = self._statuses.get(status) or self._name(status)
        request_line = f"{self._bold}{method} {full_path} HTTP/{http_version}{self._plain}"
        if self._parts is not None:
            a, b, c, d = self._parts
            return f"{a}{client_addr}{b}{request_line}{c}{status_code}{d}"
        shown = {
            "client_addr": client_addr,
            "request_line": request_line,
            "status_code": status_code,
        }
        names = self._names
        if "asctime" in names:
            shown["asctime"] = self._time(created)
        if "message" in names:
            shown["message"] = line or ACCESS_MESSAGE % fields
        return self._template % shown

    def _name(self, status: int) -> str:
        self._statuses[status] = name = self._formatter.get_status_code(status)
        return name

    def _time(self, created: float) -> str:
        """Return what `formatTime` does; a date is made once a second."""
        formatter, second = self._formatter, int(created)
        if second != self._second:
            date_format = formatter.datefmt or formatter.default_time_format
            self._stamp = time.strftime(date_format, formatter.converter(second))
            self._second = second
        if formatter.datefmt or not formatter.default_msec_format:
            return self._stamp
        return formatter.default_msec_format % (self._stamp, int((created - second) * 1000))
