"""Log records as JSON: one object per record, in one line."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from uvicorn_worker.logs.records import AccessArgs

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.logs.records import AccessFields
    from uvicorn_worker.state import Exchange

quote: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii
encode: Final = json.JSONEncoder(allow_nan=False, default=repr).encode
# What `extra` cannot name.
OWN_KEYS: Final = frozenset({"time", "level", "logger", "exception", "stack"})
ACCESS_KEYS: Final = frozenset({
    "client", "method", "path", "query", "http_version", "status", "bytes", "duration",
    "request_id",
})  # fmt: skip
MAX_ID: Final = 200  # characters of a request's identification: it comes from outside


class JsonFormatter(logging.Formatter):
    """One JSON object per record, in one line of ASCII, whatever the record holds.

    Always `time` (UTC, RFC 3339), `level`, `logger` and `message`; `exception` and `stack` where
    there are any; then whatever was given as `extra`, as its `repr` where JSON has no such value,
    under `extra_NAME` where the name is taken.
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
        self._last = -1, ""  # second, and its text

    def format(self, record: logging.LogRecord) -> str:
        taken = OWN_KEYS
        parts = [
            f'{{"time": "{self._time(record.created)}"',
            f'"level": {_dump(record.levelname)}',
            f'"logger": {_dump(record.name)}',
            f'"message": {quote(_message(record))}',
        ]
        if isinstance(record.args, AccessArgs):
            args = record.args
            parts.append(_members(_quote_all(args), args.exchange, args.duration))
            taken = OWN_KEYS | ACCESS_KEYS
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            parts.append(f'"exception": {_dump(record.exc_text)}')
        if record.stack_info:
            parts.append(f'"stack": {_dump(self.formatStack(record.stack_info))}')
        parts += [
            f"{quote(f'extra_{key}' if key in taken else str(key))}: {_dump(value)}"
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
        quoted = _quote_all(fields)
        client, method, full_path, http_version, status = quoted
        message = (
            quote(line)[1:-1]
            if line
            else f'{client} - \\"{method} {full_path} HTTP/{http_version}\\" {status}'
        )
        return (
            f'{{"time": "{self._time(created)}", "level": "INFO", "logger": "uvicorn.access", '
            f'"message": "{message}", {_members(quoted, exchange, duration)}}}'
        )

    def _time(self, created: float) -> str:
        second = int(created)
        last, stamp = self._last
        if second != last:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._last = second, stamp  # at once: handlers in other threads may share it
        return f"{stamp}.{int((created - second) * 1000):03}Z"


def _quote_all(fields: AccessFields) -> AccessFields:
    """Return the fields as they stand in JSON, between quotation marks."""
    client, method, full_path, http_version, status = fields
    return (
        quote(client)[1:-1],
        quote(method)[1:-1],
        quote(full_path)[1:-1],
        quote(http_version)[1:-1],
        status,
    )


def _members(quoted: AccessFields, exchange: Exchange, duration: float) -> str:
    """Return what JSON says about a request: members of an object."""
    client, method, full_path, http_version, status = quoted
    path, mark, query = full_path.partition("?")
    if mark:
        path = f'{path}", "query": "{query}'
    text = (
        f'"client": "{client}", "method": "{method}", "path": "{path}", '
        f'"http_version": "{http_version}", "status": {status}, "bytes": {exchange.sent}, '
        f'"duration": {duration:.6f}'
    )
    request_id = find_request_id(exchange)
    return f'{text}, "request_id": {quote(request_id)}' if request_id else text


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
