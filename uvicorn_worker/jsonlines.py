"""Log records as JSON: one object per record, in one line."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from uvicorn_worker.records import ACCESS_MESSAGE, AccessArgs

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.records import AccessFields
    from uvicorn_worker.state import Exchange

quote: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii
encode: Final = json.JSONEncoder(allow_nan=False, default=repr).encode
QUERY: Final = '"query": '
REQUEST_ID: Final = ', "request_id": '
MAX_ID: Final = 200  # characters of a request's identification: it comes from outside


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
            f'"message": {quote(_message(record))}',
        ]
        if isinstance(record.args, AccessArgs):
            args = record.args
            parts.append(access_members(args, args.exchange, args.duration))
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

    def access_line(
        self, fields: AccessFields, exchange: Exchange, duration: float, line: str, created: float
    ) -> str:
        """Return what `format` does for an access record, made without one.

        `duration` is in seconds, `line` the message, or empty for the usual one.
        """
        return (
            f'{{"time": "{self._time(created)}", "level": "INFO", "logger": "uvicorn.access", '
            f'"message": {quote(line or ACCESS_MESSAGE % fields)}, '
            f"{access_members(fields, exchange, duration)}}}"
        )

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{int((created - second) * 1000):03}Z"


def access_members(fields: AccessFields, exchange: Exchange, duration: float) -> str:
    """Return what JSON says about a request: members of an object."""
    client, method, full_path, http_version, status = fields
    path, mark, query = full_path.partition("?")
    request_id = find_request_id(exchange)
    return (
        f'"client": {quote(client)}, "method": {quote(method)}, "path": {quote(path)}, '
        f"{f'{QUERY}{quote(query)}, ' if mark else ''}"
        f'"http_version": {quote(http_version)}, "status": {status}, "bytes": {exchange.sent}, '
        f'"duration": {duration:.6f}{REQUEST_ID + quote(request_id) if request_id else ""}'
    )


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


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as exc:  # a wrong call of a logger must not cost its message
        return f"{record.msg!r} with {record.args!r}: {exc}"


def _dump(value: object) -> str:
    try:
        return encode(value)
    except Exception:  # cycles, keys that are no text, a `repr` that fails
        try:
            return quote(repr(value))
        except Exception:
            return quote(f"<{type(value).__qualname__}>")
