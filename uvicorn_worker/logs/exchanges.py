"""What can be said about one request and its response: in access lines, to hooks and loggers.

Read from an `Exchange`, when asked; nothing is kept. Variables have the names of CGI and WSGI.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from uvicorn_worker import __version__

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Headers, Scope
    from uvicorn_worker.proxies.proxy_protocol import ProxyInfo
    from uvicorn_worker.state import Exchange

# nginx's code for a client that left before there was a response: RFC 9110 has none.
CLIENT_LEFT: Final = 499

# How much of a refused message's head is looked at: a log line wants its beginning.
MAX_REFUSED: Final = 16 * 1024
MAX_REFUSED_TARGET: Final = 2 * 1024

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_match_request_line = re.compile(rb"(" + _TOKEN + rb") (\S+)(?: HTTP/([0-9]\.[0-9])\r?\n)?").match
_match_field = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)").fullmatch
_find_invisible = re.compile(rb"[^\x21-\x7e]")
_find_unusual = re.compile(r"[^\x21-\x7e]")


class Site(NamedTuple):
    """What is the same for all requests of a server.

    `root_path` and `script_name` are those of `proxy.ForwardingPolicy`.
    """

    root_path: str = ""
    script_name: str = ""
    software: str = f"uvicorn-worker/{__version__}"


class RefusedExchange:
    """A message that was refused before it became a request, as far as it can be understood."""

    def __init__(self, peer: Address, head: bytes, status: int) -> None:
        head = head[:MAX_REFUSED]
        found = _match_request_line(head)
        name, target, version = found.groups() if found else (b"-", b"-", None)
        if len(target) > MAX_REFUSED_TARGET:
            target = target[:MAX_REFUSED_TARGET] + b"..."
        self.target = _find_invisible.sub(lambda match: b"\\x%02x" % ord(match[0]), target)
        self.scope: Scope = {
            "type": "http",
            "method": name.decode(),
            "http_version": (version or b"").decode(),
            "scheme": "http",
            "root_path": "",
        }
        # The first line is the request line, the last one may be cut off.
        fields = map(_match_field, (line.rstrip(b"\r") for line in head.split(b"\n")[1:-1]))
        self.request_headers: Headers = [
            (field[1].lower(), field[2].rstrip(b" \t")) for field in fields if field
        ]
        self.peer = peer
        self.local: Address = None
        self.started = 0.0
        self.status = status
        self.sent = 0
        self.response_head = b""


def make_environ(exchange: Exchange, site: Site) -> dict[str, str]:
    """Return the variables of CGI and WSGI that describe a request; all values are strings."""
    scope = exchange.scope
    uri = exchange.target.decode("latin-1")
    path, query = split_target(uri)
    script_name, path_info = _split_path(exchange, unquote(path), site)
    environ = {
        "REQUEST_METHOD": method(scope),
        "RAW_URI": uri,
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": protocol(scope),
        "SERVER_SOFTWARE": site.software,
        "wsgi.url_scheme": scheme(scope),
    }
    for name, value in exchange.request_headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    if client := endpoint(exchange.peer):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _server(exchange.local, environ)
    proxy = proxy_info(exchange)
    if proxy is not None:
        environ["PROXY_PROTOCOL"] = proxy.family
        if proxy.destination is not None:
            environ["PROXY_ADDR"], port = proxy.destination
            environ["PROXY_PORT"] = str(port)
    return environ


def duration(exchange: Exchange, now: float) -> timedelta:
    """Return how long an exchange took that ended at `now` (the clock of `started`)."""
    return timedelta(seconds=max(0.0, now - exchange.started))


def method(scope: Scope) -> str:
    """Return the request's method; the handshake of a WebSocket is a GET."""
    value: str = scope.get("method", "GET")
    return value


def protocol(scope: Scope) -> str:
    """Return the protocol as a request line names it, `-` where none could be read."""
    version: str = scope["http_version"]
    return f"HTTP/{version}" if version else "-"


def scheme(scope: Scope) -> str:
    """Return http or https, for a WebSocket too."""
    return "https" if scope["scheme"] in ("https", "wss") else "http"


def endpoint(address: Address) -> tuple[str, int] | None:
    """Return host and port of an address, None for what has none: UNIX sockets."""
    if address is None or address[1] is None:
        return None
    return address[0], address[1]


def split_target(uri: str) -> tuple[str, str]:
    """Return path and query of a request target, both as received."""
    path, _, query = uri.partition("?")
    if not path.startswith("/") and "://" in path:  # absolute-form, RFC 9112 section 3.2.2
        _, slash, path = path.partition("://")[2].partition("/")
        path = slash + path
    return path, query


def show_target(target: bytes) -> str:
    """Return path and query as received; bytes that are no visible ASCII are percent-encoded."""
    text = target.decode("latin-1")
    if text[:1] == "/" and text.isprintable() and text.isascii():
        return text  # as good as always
    if "://" in text.partition("?")[0]:
        path, query = split_target(text)
        text = f"{path}?{query}" if query else path
    return _find_unusual.sub(lambda match: f"%{ord(match[0]):02X}", text)


def path_info(exchange: Exchange, site: Site) -> str:
    """Return the decoded path below the mount point."""
    path, _ = split_target(exchange.target.decode("latin-1"))
    return _split_path(exchange, unquote(path), site)[1]


def _split_path(exchange: Exchange, path: str, site: Site) -> tuple[str, str]:
    """Return SCRIPT_NAME and PATH_INFO.

    The scope cannot be asked: frameworks extend its `root_path` in place when a part of the
    application is mounted. But what the server wrote there is still its beginning.
    """
    root_path: str = exchange.scope["root_path"]
    if not root_path:
        return "", path
    for name, value in exchange.request_headers:
        if name == b"script_name":
            mount = value.decode("latin-1").rstrip("/")
            if mount and _is_below(root_path, mount) and _is_below(path, mount):
                return mount, path[len(mount) :]
    if site.script_name and _is_below(path, site.script_name):
        return site.script_name, path[len(site.script_name) :]
    return site.root_path, path


def _is_below(path: str, mount: str) -> bool:
    return path == mount or path.startswith(f"{mount}/")


def _server(local: Address, environ: dict[str, str]) -> tuple[str, str]:
    """Return SERVER_NAME and SERVER_PORT: the socket's own, else what the client asked for."""
    if own := endpoint(local):
        return own[0], str(own[1])
    host = environ.get("HTTP_HOST", "")
    if not host:
        return (local[0] if local else "", "")
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        return name, port
    return host.rstrip(":"), "443" if environ["wsgi.url_scheme"] == "https" else "80"


def proxy_info(exchange: Exchange) -> ProxyInfo | None:
    """Return the connection's PROXY header, where the exchange tells."""
    info: ProxyInfo | None = getattr(exchange, "proxy", None)
    return info


def read_basic_user(authorization: str) -> str | None:
    """Return the user name of a field Authorization, None without one (RFC 7617 section 2)."""
    scheme_name, _, credentials = authorization.partition(" ")
    if scheme_name.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials.strip()).partition(b":")[0].decode()
    except ValueError:  # no base64, or no UTF-8
        return None
