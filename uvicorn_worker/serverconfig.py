"""What the server is told: one frozen value, checked when it is made.

Names are Uvicorn's where Uvicorn has the option. Times are in seconds, sizes in bytes, and 0 or
None switches a limit off as each field says. Where a value comes from (Gunicorn's settings, the
environment, a command line) is somebody else's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import check_fields, describe, setting
from uvicorn_worker.options.values import (
    BOOLEAN,
    HEADERS,
    INTEGER,
    LIST,
    MAPPING,
    SECONDS,
    SIZE,
    SWITCH,
    at_least,
    choice,
    optional,
)
from uvicorn_worker.proxies.peers import PeerList

HttpParserName = Literal["auto", "httptools", "h11"]
LoopName = Literal["auto", "asyncio", "uvloop"]
LifespanMode = Literal["auto", "on", "off"]
WebSocketName = Literal["auto", "none", "websockets", "wsproto"]
HeaderMap = Literal["drop", "refuse", "dangerous"]
ProxyProtocol = Literal["off", "v1", "v2", "auto"]

# The topics of `--help`.
PROTOCOLS: Final = "Protocols"
RESPONSES: Final = "Responses"
TIMES: Final = "Timeouts"
LIMITS: Final = "Limits"
PROXIES: Final = "Proxies"
WEBSOCKETS: Final = "WebSockets"

# In bytes. Balancers pass lines and fields of up to 16 KiB, and servers behind them have to as
# well; under Gunicorn its own settings hold, which are smaller.
LINE_LIMIT: Final = 16 * 1024
FIELD_LIMIT: Final = 16 * 1024

# Fields whose meaning is the server's business on every single response.
_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding", "trailer"})


def header_fields(value: object) -> str | None:
    """Check fields for every response: (name, value) pairs of text that fit on a line."""
    expected = "expected pairs of a header name and a value"
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return expected
    for pair in value:
        if not isinstance(pair, tuple | list) or [type(part) for part in pair] != [str, str]:
            return expected
        name, text = pair
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name):
            return f"{name!r} is no header name"
        if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", text):
            return f"the value of {name!r} has characters that a header cannot carry"
        if name.lower() in _FRAMING:
            return f"{name!r} is set by the server"
    return None


def mount_point(value: object) -> str | None:
    """Check the path below which an application is reached."""
    if re.fullmatch(r"[^\x00-\x20?#]*", str(value)) and "://" not in str(value):
        return None
    return "expected a path such as '/api'"


def paths(value: object) -> str | None:
    """Check paths as clients send them."""
    if isinstance(value, Sequence) and all(str(path).startswith("/") for path in value):
        return None
    return "expected paths such as '/events'"


def one_path(value: object) -> str | None:
    """Check a path as clients send it; empty: none."""
    if not value or (str(value).startswith("/") and "?" not in str(value)):
        return None
    return "expected a path such as '/healthz'"


def peers(value: object) -> str | None:
    """Check addresses and networks of peers."""
    try:
        PeerList(cast("Sequence[str]", value))
    except ConfigError as exc:
        return str(exc)
    return None


# Comparison and `repr` are not generated: for so many fields that takes 2 ms of a start.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ServerConfig:
    """Settings of one server process; raises ConfigError when a value is out of range."""

    # -- implementation choices
    http: HttpParserName = setting(
        "auto",
        "HTTP parser: `auto` is httptools where it is installed, else h11",
        kind=choice("auto", "httptools", "h11"),
        group=PROTOCOLS,
    )
    loop: LoopName = setting(
        "auto",
        "event loop: `auto` is uvloop where it is installed, else asyncio",
        kind=choice("auto", "asyncio", "uvloop"),
        group=PROTOCOLS,
    )
    lifespan: LifespanMode = setting(
        "auto",
        "lifespan protocol: `auto` goes on where the application does not know it",
        kind=choice("auto", "on", "off"),
        group=PROTOCOLS,
    )

    # -- what the application and the client see
    root_path: str = setting(
        "", "mount point of the application, cut off by a proxy", mount_point, group=RESPONSES
    )
    server_header: bool = setting(True, "send a Server field", kind=SWITCH, group=RESPONSES)
    date_header: bool = setting(True, "send a Date field", kind=SWITCH, group=RESPONSES)
    headers: Sequence[tuple[str, str]] = setting(
        (),
        "fields to add to every response",
        header_fields,
        kind=HEADERS,
        group=RESPONSES,
        flag="--header",
    )
    health_path: str = setting(
        "",
        "path of requests that the server answers itself: 200, or 503 while it drains",
        one_path,
        group=RESPONSES,
    )
    request_id: bool = setting(
        False,
        "give requests an X-Request-ID, or keep the one they have, and answer with it",
        kind=SWITCH,
        group=RESPONSES,
    )
    sendfile: bool = setting(
        True, "let the kernel copy files that are sent by path", kind=SWITCH, group=RESPONSES
    )

    # -- times
    timeout_keep_alive: float = setting(
        5.0,
        "seconds that an idle connection is kept; 0: close after each response",
        at_least(0),
        group=TIMES,
        flags=("--keep-alive",),
    )
    timeout_request_head: float = setting(
        30.0, "seconds to receive a request's head; 0: no limit", at_least(0), group=TIMES
    )
    timeout_request_body: float = setting(
        60.0, "seconds between parts of a request's body; 0: no limit", at_least(0), group=TIMES
    )
    timeout_request: float = setting(
        0.0,
        "seconds for a whole request, 504 or a cut after it; 0: no limit",
        at_least(0),
        group=TIMES,
    )
    timeout_request_exempt: Sequence[str] = setting(
        (),
        "path that `timeout_request` leaves alone, with all below it; may be repeated",
        paths,
        kind=LIST,
        group=TIMES,
    )
    timeout_graceful_shutdown: float | None = setting(
        None,
        "seconds to end what is in flight when stopping; None: no limit",
        at_least(0),
        kind=optional(SECONDS),
        group=TIMES,
        flags=("--graceful-timeout",),
    )
    timeout_ssl_handshake: float = setting(
        15.0, "seconds for a TLS handshake", at_least(0.1), group=TIMES
    )
    warn_blocking: float = setting(
        0.0,
        "seconds that code may block the event loop, logged with its stack after that; 0: any",
        at_least(0),
        group=TIMES,
    )
    disconnect_grace_period: float | None = setting(
        None,
        "seconds until a call whose client has left is cancelled; None: never",
        at_least(0),
        kind=optional(SECONDS),
        group=TIMES,
    )

    # -- limits
    backlog: int = setting(
        2048, "connections that wait in the kernel's queue", at_least(0), group=LIMITS
    )
    limit_connections: int = setting(
        0, "open connections at which accepting pauses; 0: no limit", at_least(0), group=LIMITS
    )
    limit_connection_age: float = setting(
        0.0,
        "seconds after which the next answer ends a connection; 0: never",
        at_least(0),
        group=LIMITS,
    )
    limit_connection_age_jitter: float = setting(
        0.0,
        "up to so many seconds are added to limit_connection_age, by chance",
        at_least(0),
        group=LIMITS,
    )
    limit_concurrency: int | None = setting(
        None,
        "active requests from which on new ones are answered 503",
        at_least(1),
        kind=optional(INTEGER),
        group=LIMITS,
    )
    limit_max_requests: int = setting(
        0,
        "requests after which the process is replaced; 0: never",
        at_least(0),
        group=LIMITS,
        flags=("--max-requests",),
    )
    limit_request_line: int = setting(
        LINE_LIMIT, "bytes of a request line; 0: 1 MiB", at_least(0), kind=SIZE, group=LIMITS
    )
    limit_request_fields: int = setting(
        100, "fields of a request; 0: 32768", at_least(0), group=LIMITS
    )
    limit_request_field_size: int = setting(
        FIELD_LIMIT, "bytes of a field; 0: 1 MiB", at_least(0), kind=SIZE, group=LIMITS
    )
    h11_max_incomplete_event_size: int | None = setting(
        None,
        "bytes of a request's head, and of its lines where nothing limits them; with any parser",
        at_least(1),
        kind=optional(SIZE),
        group=LIMITS,
    )
    limit_request_body: int = setting(
        0, "bytes of a request's body, 413 above; 0: no limit", at_least(0), kind=SIZE, group=LIMITS
    )

    # -- leniency that somebody asked for
    permit_obsolete_folding: bool = setting(
        False, "join folded header lines; unsafe", kind=SWITCH, group=PROTOCOLS
    )
    permit_unconventional_http_version: bool = setting(
        False, "serve HTTP/1.2 to 1.9 as 1.1", kind=SWITCH, group=PROTOCOLS
    )

    # -- proxies
    proxy_headers: bool = setting(
        True,
        "believe X-Forwarded-* and Forwarded of trusted peers",
        kind=SWITCH,
        group=PROXIES,
    )
    forwarded_allow_ips: Sequence[str] = setting(
        ("127.0.0.1", "::1"),
        "trusted peers: addresses, networks, `*`; UNIX peers always are",
        peers,
        kind=LIST,
        group=PROXIES,
        also="FORWARDED_ALLOW_IPS",
    )
    secure_scheme_headers: Mapping[str, str] = setting(
        {"X-FORWARDED-PROTO": "https"},
        "fields and their values that mean https",
        kind=MAPPING,
        group=PROXIES,
    )
    forwarder_headers: Sequence[str] = setting(
        (),  # most proxies pass on what clients write: SCRIPT_NAME moves the whole application
        "names with `_` that trusted peers may send, as `SCRIPT_NAME`",
        kind=LIST,
        group=PROXIES,
    )
    header_map: HeaderMap = setting(
        "dangerous",
        "what to do with other names with `_`: drop, refuse, or keep them",
        kind=choice("drop", "refuse", "dangerous"),
        group=PROXIES,
    )
    proxy_protocol: ProxyProtocol = setting(
        "off",
        "PROXY header at the beginning of connections",
        kind=choice("off", "v1", "v2", "auto"),
        group=PROXIES,
    )
    proxy_allow_ips: Sequence[str] = setting(
        ("127.0.0.1", "::1"),
        "peers that may send a PROXY header",
        peers,
        kind=LIST,
        group=PROXIES,
    )

    # -- WebSockets
    ws: WebSocketName = setting(
        "auto",
        "WebSocket engine: `auto` is websockets where it is installed, else wsproto",
        kind=choice(
            "auto",
            "none",
            "websockets",
            "wsproto",
            aliases={"websockets-sansio": "websockets"},  # Uvicorn's name for the same engine
        ),
        group=WEBSOCKETS,
    )
    ws_max_size: int = setting(
        16 * 1024 * 1024,
        "bytes of a message, decompressed; 0: no limit",
        at_least(0),
        kind=SIZE,
        group=WEBSOCKETS,
    )
    ws_max_queue: int = setting(
        32,
        "messages that wait for the application before reading pauses",
        at_least(1),
        group=WEBSOCKETS,
    )
    ws_ping_interval: float | None = setting(
        20.0,
        "seconds of silence before a ping; None or 0: no pings",
        at_least(0),
        kind=optional(SECONDS),
        group=WEBSOCKETS,
    )
    ws_ping_timeout: float | None = setting(
        20.0,
        "seconds to wait for any answer to a ping; None or 0: for ever",
        at_least(0),
        kind=optional(SECONDS),
        group=WEBSOCKETS,
    )
    ws_per_message_deflate: bool = setting(
        True, "compress messages where the client can", kind=BOOLEAN, group=WEBSOCKETS
    )

    def __post_init__(self) -> None:
        check_fields(self)
        if self.root_path:  # `api` and `/api/` mean the same as `/api`; ASGI wants the last
            object.__setattr__(self, "root_path", f"/{self.root_path.strip('/')}".rstrip("/"))

    def __repr__(self) -> str:
        return describe(self)
