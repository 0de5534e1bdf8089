"""What the connections of one process share: settings made ready to use, registries, counters.

The server makes one `ServerState` and hands it to every connection. Whoever wants to follow
requests (a Gunicorn worker: access log, hooks) implements `RequestObserver`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from uvicorn_worker.asgi import Address, Application, Headers, Scope
    from uvicorn_worker.serverconfig import ServerConfig

# Warnings about malformed requests per second; the rest is counted and summed up in one line.
REFUSALS_LOGGED_PER_SECOND = 5

# In English whatever the locale, which `time.strftime` follows (RFC 9110 section 5.6.7).
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


class Log(Protocol):
    """The part of a logger that the server uses; Gunicorn's loggers and `logging`'s have it."""

    def debug(self, msg: str, /, *args: object) -> None: ...
    def info(self, msg: str, /, *args: object) -> None: ...
    def warning(self, msg: str, /, *args: object) -> None: ...
    def error(self, msg: str, /, *args: object, exc_info: BaseException | None = None) -> None: ...
    def exception(self, msg: str, /, *args: object) -> None: ...


class Exchange(Protocol):
    """One request and its response, as observers see it (HTTP, or a WebSocket handshake)."""

    @property
    def scope(self) -> Scope:
        """The ASGI scope that the application got; do not change it."""

    @property
    def target(self) -> bytes:
        """The request target exactly as received, with its query."""

    @property
    def request_headers(self) -> Headers:
        """The fields as received, names lower-case."""

    @property
    def peer(self) -> Address:
        """The socket's peer, or the source that a PROXY header named; never X-Forwarded-For."""

    @property
    def local(self) -> Address:
        """The socket's own address."""

    @property
    def started(self) -> float:
        """`loop.time()` at the end of the request's head, in seconds."""

    @property
    def status(self) -> int:
        """Status code of the response; 0 while none has been sent."""

    @property
    def sent(self) -> int:
        """Bytes of the response's body handed to the transport, framing not counted."""

    @property
    def response_head(self) -> bytes:
        """The response's head as sent, up to and with the empty line; empty while none was."""


class RequestObserver(Protocol):
    """Is told about every request of the process; called on the event loop."""

    def before(self, exchange: Exchange) -> None:
        """Called before the application. Raising answers 500 and skips the application."""

    def after(self, exchange: Exchange) -> None:
        """Called once when the response has ended or the client has left."""

    def refused(self, peer: Address, head: bytes, status: int) -> None:
        """Called for a message refused before it became a request; `head` as far as it came."""


class ServerState:
    """The shared state of one server process."""

    __slots__ = (
        "_date_line",
        "_extra_lines",
        "_renew_date",
        "_server_line",
        "app",
        "close_code",
        "common_end",
        "common_lines",
        "config",
        "connections",
        "cycles",
        "draining",
        "lifespan_state",
        "log",
        "loop",
        "meter",
        "observer",
        "on_connection_lost",
        "on_request_ended",
        "refusals",
        "refusals_hidden",
        "requests_total",
        "shed_window",
        "time",
        "tls",
    )

    def __init__(
        self,
        config: ServerConfig,
        app: Application,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        *,
        tls: bool,
    ) -> None:
        self.config = config
        self.app = app
        self.loop = loop
        self.log = log
        self.observer: RequestObserver | None = None
        # Where requests are counted (`metrics.meter.Meter`), for those that are: see `metrics`.
        self.meter: Any = None
        self.tls = tls
        self.time = loop.time
        # Open connections (anything with `start_draining`, `shed`, `abort`, `deadline`, `expired`).
        self.connections: set[Any] = set()
        # Calls of the application that have not returned, background work included.
        self.cycles: set[Any] = set()
        self.lifespan_state: dict[str, Any] = {}
        self.draining = False
        # What WebSockets are told when the server goes: that it restarts, unless its owner knows
        # better (1001 then).
        self.close_code = 1012
        # Seconds to close WebSockets in, once others accept their clients; None before.
        self.shed_window: float | None = None
        self.requests_total = 0
        self.refusals = 0
        self.refusals_hidden = 0
        self.on_request_ended: Callable[[], None] | None = None
        self.on_connection_lost: Callable[[], None] | None = None
        # Lines of every response's head, each beginning with CRLF. A configured Date or Server
        # takes the place of ours.
        lines = {b"server": b"uvicorn"} if config.server_header else {}
        self._extra_lines = b""
        for name, value in config.headers:
            field, content = name.encode("latin-1").lower(), value.encode("latin-1")
            if field in (b"server", b"date"):
                lines[field] = content
            else:
                self._extra_lines += b"\r\n%b: %b" % (field, content)
        self._server_line = b"\r\nserver: " + lines[b"server"] if b"server" in lines else b""
        self._date_line = b"\r\ndate: " + lines[b"date"] if b"date" in lines else b""
        self._renew_date = config.date_header and not self._date_line
        self.tick()

    def tick(self) -> None:
        """Renew what changes once a second: the Date line and the budget for warnings."""
        if self._renew_date:
            self._date_line = b"\r\ndate: " + http_date(time.time()).encode()
        self.common_lines = self._date_line + self._server_line + self._extra_lines
        self.common_end = self.common_lines + b"\r\n\r\n"
        if self.refusals_hidden:
            self.log.warning("%d more malformed requests were refused", self.refusals_hidden)
        self.refusals = self.refusals_hidden = 0

    def end_beside(self, *, date: bool, server: bool) -> bytes:
        """Return `common_end` less those lines that the application has set itself."""
        return (
            (b"" if date else self._date_line)
            + (b"" if server else self._server_line)
            + self._extra_lines
            + b"\r\n\r\n"
        )

    def log_refusal(self, peer: Address, reason: str) -> None:
        """Warn who sent a malformed request and why it was refused, a few times a second."""
        self.refusals += 1
        if self.refusals <= REFUSALS_LOGGED_PER_SECOND:
            host = peer[0] if peer else "a UNIX socket"
            self.log.warning("Invalid request from ip=%s: %s", host, reason)
        else:
            self.refusals_hidden += 1


def http_date(now: float) -> str:
    """Return seconds since the epoch as fields have them: `Sun, 06 Nov 1994 08:49:37 GMT`."""
    # `email.utils` does the same, and takes 2 ms of a start to import.
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(now)
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04}"
    return f"{date} {hour:02}:{minute:02}:{second:02} GMT"
