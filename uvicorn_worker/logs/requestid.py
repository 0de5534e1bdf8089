"""What names a request across services: `X-Request-ID`, and the trace of W3C `traceparent`."""

from __future__ import annotations

import os
import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Headers
    from uvicorn_worker.state import Exchange

FIELD: Final = b"x-request-id"
NAMING: Final = frozenset({FIELD, b"traceparent"})
MAX_ID: Final = 200  # characters: it comes from outside, and goes into logs
RANDOM: Final = 16  # bytes of an id that is made here: as many as a trace-id has

NAMELESS: Final = ("", "", "")

current: Final[ContextVar[str]] = ContextVar("uvicorn_request_id", default="")
"""The id of the request that the running task answers; empty: it has none, or there is no task."""

# No spaces, quotes or control characters: an id goes into other people's headers and logs.
_is_id = re.compile(rb"[A-Za-z0-9_.:;,=+/@~$!*()\[\]{}-]{1,%d}" % MAX_ID).fullmatch
# W3C Trace Context, section 3.2.2: version, trace-id, parent-id, flags; later versions may have
# more behind them. Zeros alone are no ids.
_read_trace = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?"
).fullmatch


def new_id() -> str:
    """Return an id that nobody else makes."""
    return os.urandom(RANDOM).hex()


def received_id(headers: Headers) -> str:
    """Return the id that a request has come with, empty where it has none that may be used."""
    found = [value for name, value in headers if name == FIELD]
    return found[0].decode() if len(found) == 1 and _is_id(found[0]) else ""


def find_names(exchange: Exchange) -> tuple[str, str, str]:
    """Return what names a request in the log: its id, its trace-id, and the caller's span-id.

    The id is that which the application knows (`--request-id`), else the field X-Request-ID as it
    came, else what stands in the place of the trace-id. What there is not, is empty.
    """
    request_id = traceparent = b""
    for name, value in exchange.request_headers:
        if name in NAMING:
            if name == FIELD:
                request_id = request_id or value
            else:
                traceparent = value
    known = exchange.scope.get("state")
    if known and type(known.get("request_id")) is str:
        request_id = known["request_id"].encode("latin-1", "replace")
    if not (request_id or traceparent):
        return NAMELESS
    trace_id = span_id = b""
    if traceparent:
        if found := _read_trace(traceparent):
            trace_id, span_id = found.groups()
        if not request_id and traceparent.count(b"-") >= 3:
            request_id = traceparent.split(b"-", 2)[1]
    return request_id[:MAX_ID].decode("latin-1"), trace_id.decode(), span_id.decode()
