"""Formatters: coloured text for people, JSON for machines.

Public: logging configurations name these classes, people extend them. They take the place of
Uvicorn's of the same names, with the same arguments.
"""

from __future__ import annotations

import copy
import http
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, ClassVar, Final, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from uvicorn_worker.state import Exchange

    # client address, method, path with query, HTTP version, status code
    AccessFields: TypeAlias = tuple[str, str, str, str, int]

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
PREFIX_WIDTH: Final = 10  # of "CRITICAL: " or of "INFO:     "
MAX_ID: Final = 200  # characters of a request's identification: it comes from outside


class AccessArgs(tuple[str, str, str, str, int]):
    """The `args` of an access record: `AccessFields`, and what a formatter may ask for beside.

    `duration` is in seconds. The exchange has ended and stays as it is.
    """

    exchange: Exchange
    duration: float

    def __reduce__(self) -> tuple[type, tuple[AccessFields]]:
        return tuple, (tuple(self),)  # type: ignore[return-value]  # of five, as before


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
        shown = _copy(record)
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
        text = f"{status_code} {_phrase(status_code)}"
        color = STATUS_COLORS.get(status_code // 100) if self.use_colors else None
        return f"{color}{text}{RESET}" if color else text

    def formatMessage(self, record: logging.LogRecord) -> str:
        args = record.args
        if not (isinstance(args, tuple) and len(args) == 5 and isinstance(args[4], int)):
            return f"{self.level_prefix(record.levelname, record.levelno)} {record.message}"
        client_addr, method, full_path, http_version, status_code = cast("AccessFields", args)
        request_line = f"{method} {full_path} HTTP/{http_version}"
        shown = _copy(record)
        vars(shown).update(
            client_addr=client_addr,
            request_line=f"{BOLD}{request_line}{RESET}" if self.use_colors else request_line,
            status_code=self.get_status_code(status_code),
        )
        return super().formatMessage(shown)


class JsonFormatter(logging.Formatter):
    """One JSON object per record, in one line of ASCII, whatever the record holds.

    Always `time` (UTC, RFC 3339), `level`, `logger` and `message`; `exception` and `stack` where
    there are any; then whatever was given as `extra`, as its `repr` where JSON has no such value.
    Access records have `client`, `method`, `path`, `query`, `http_version`, `status`, `bytes`,
    `duration` (seconds) and `request_id`: X-Request-ID, else the trace-id of `traceparent`.
    """

    # Not those of `logging` itself, nor those that other formatters leave behind.
    KNOWN: ClassVar[frozenset[str]] = frozenset(vars(logging.makeLogRecord({}))) | {
        "asctime", "color_message", "message", "taskName",
    }  # fmt: skip

    def __init__(
        self,
        fmt: str | None = None,
        datefmt: str | None = None,
        style: Literal["%", "{", "$"] = "%",
        **_: object,
    ) -> None:
        """Take what other formatters take: the keys are always the same."""
        super().__init__()
        self._second = -1
        self._stamp = ""

    def format(self, record: logging.LogRecord) -> str:
        parts = [
            f'{{"time": "{self._time(record.created)}"',
            f'"level": {_dump(record.levelname)}',
            f'"logger": {_dump(record.name)}',
            f'"message": {_dump(_message(record))}',
        ]
        if isinstance(record.args, AccessArgs):
            parts.append(_dump(access_fields(record.args))[1:-1])
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            parts.append(f'"exception": {_dump(record.exc_text)}')
        if record.stack_info:
            parts.append(f'"stack": {_dump(self.formatStack(record.stack_info))}')
        parts += [
            f"{_dump(str(key))}: {_dump(value)}"
            for key, value in vars(record).items()
            if key not in self.KNOWN
        ]
        return ", ".join(parts) + "}"

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{int((created - second) * 1000):03}Z"


def access_fields(args: AccessArgs) -> dict[str, object]:
    """Return what a structured log says about a request."""
    client, method, full_path, http_version, status = args
    path, mark, query = full_path.partition("?")
    fields: dict[str, object] = {"client": client, "method": method, "path": path}
    if mark:
        fields["query"] = query
    fields |= {
        "http_version": http_version,
        "status": status,
        "bytes": args.exchange.sent,
        "duration": round(args.duration, 6),
    }
    if request_id := find_request_id(args.exchange):
        fields["request_id"] = request_id
    return fields


def find_request_id(exchange: Exchange) -> str:
    """Return what names a request across services, empty where it has no name.

    X-Request-ID, else the trace-id of `traceparent` (W3C Trace Context, section 3.2.2.3).
    """
    trace_id = ""
    for name, value in exchange.request_headers:
        if name == b"x-request-id" and value:
            return value[:MAX_ID].decode("latin-1")
        if name == b"traceparent" and value.count(b"-") >= 3:
            trace_id = value.split(b"-", 2)[1][:MAX_ID].decode("latin-1")
    return trace_id


def _copy(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record of its own for what one formatter adds (copy.copy takes 3 times as long)."""
    made = logging.LogRecord.__new__(logging.LogRecord)
    made.__dict__ = vars(record).copy()
    return made


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as exc:  # a wrong call of a logger must not cost its message
        return f"{record.msg!r} with {record.args!r}: {exc}"


def _dump(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False, default=repr)
    except Exception:  # cycles, keys that are no text, a `repr` that fails
        try:
            return json.dumps(repr(value))
        except Exception:
            return json.dumps(f"<{type(value).__qualname__}>")
