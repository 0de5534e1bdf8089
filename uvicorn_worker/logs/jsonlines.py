"""Log records as JSON: one object per record, in one line."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from uvicorn_worker.logs.records import AccessArgs
from uvicorn_worker.logs.remembered import Remembered
from uvicorn_worker.logs.requestid import current, find_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.logs.records import AccessFields
    from uvicorn_worker.state import Exchange

quote: Final[Callable[[str], str]] = json.encoder.encode_basestring_ascii
encode: Final = json.JSONEncoder(allow_nan=False, default=repr).encode
# What `extra` cannot name.
OWN_KEYS: Final = frozenset({"time", "level", "logger", "exception", "stack"})
WITH_ID: Final = OWN_KEYS | {"request_id"}
ACCESS_KEYS: Final = frozenset({
    "client", "method", "path", "query", "http_version", "status", "bytes", "duration",
    "request_id", "trace_id", "span_id",
})  # fmt: skip


class JsonFormatter(logging.Formatter):
    """One JSON object per record, in one line of ASCII, whatever the record holds.

    Always `time` (UTC, RFC 3339), `level`, `logger` and `message`; `exception` and `stack` where
    there are any; then whatever was given as `extra`, as its `repr` where JSON has no such value,
    under `extra_NAME` where the name is taken.
    Access records have `client`, `method`, `path`, `query`, `http_version`, `status`, `bytes`,
    `duration` (seconds), `request_id` (X-Request-ID, else the trace-id of `traceparent`), and
    `trace_id` and `span_id`: the trace, and the caller's span in it. With `--request-id`, all that
    is logged while a request is answered has its `request_id`.
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
        self._last = -1, ""  # in milliseconds, and its text
        self._quoted = Remembered(_quote)
        self._paths = Remembered(_path_members)

    def format(self, record: logging.LogRecord) -> str:
        taken = OWN_KEYS
        parts = [
            f'{{"time": "{self._time(record.created)}"',
            f'"level": {_dump(record.levelname)}',
            f'"logger": {_dump(record.name)}',
            f'"message": {quote(_message(record))}',
        ]
        args = getattr(record.args, "access_args", record.args)  # Gunicorn's records have it
        if isinstance(args, AccessArgs):
            line = self.access_line(args, args.exchange, args.duration, "-", record.created)
            parts.append(line[line.index('"client": ') : -1])
            taken = OWN_KEYS | ACCESS_KEYS
        elif request_id := current.get():
            parts.append(f'"request_id": {quote(request_id)}')
            taken = WITH_ID
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
        client, method, full_path, http_version, status = fields
        quoted = self._quoted
        client, method = quoted[client], quoted[method]
        if line:
            message = quote(line)[1:-1]
        else:
            message = f'{client} - \\"{method} {quoted[full_path]} HTTP/{http_version}\\" {status}'
        request_id, trace_id, span_id = find_names(exchange)
        names = f', "request_id": {quote(request_id)}' if request_id else ""
        if trace_id:
            names += f', "trace_id": "{trace_id}", "span_id": "{span_id}"'
        return (
            f'{{"time": "{self._time(created)}", "level": "INFO", "logger": "uvicorn.access", '
            f'"message": "{message}", "client": "{client}", "method": "{method}", '
            f'{self._paths[full_path]}, "http_version": "{http_version}", "status": {status}, '
            f'"bytes": {exchange.sent}, "duration": {duration:.6f}{names}}}'
        )

    def _time(self, created: float) -> str:
        moment = int(created * 1000)
        last, stamp = self._last
        if moment != last:
            second, rest = divmod(moment, 1000)
            stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03}Z"
            self._last = moment, stamp  # at once: handlers in other threads may share it
        return stamp


def _quote(text: str) -> str:
    """Return a text as it stands in JSON, between quotation marks."""
    return quote(text)[1:-1]


def _path_members(full_path: str) -> str:
    path, mark, query = full_path.partition("?")
    members = f'"path": {quote(path)}'
    return f'{members}, "query": {quote(query)}' if mark else members


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
