"""Whom a request's forwarding headers are believed, and what they change in its scope. Pure.

Nothing here looks at sockets: the connection asks once whether its peer is trusted, then gives
each request's header fields to `ForwardingPolicy`. Client, scheme and server are the business of
`origin`; the PROXY protocol, which comes before HTTP, that of `proxy_protocol`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ApplicationError, BadRequest, ConfigError
from uvicorn_worker.proxies.origin import OriginReader
from uvicorn_worker.proxies.peers import PeerList

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from uvicorn_worker.asgi import Headers, Scope
    from uvicorn_worker.serverconfig import ServerConfig

# Untrusted peers that are named in the log because they send such fields: whoever forgot to name
# his proxy sees it at once, and strangers cannot fill the log.
MAX_NAMED: Final = 10

_SCRIPT_NAME: Final = b"script_name"


class ForwardingPolicy:
    """What a server's settings let forwarding headers do.

    **Mount points.** Three sources, the first that is there counts: a trusted proxy's SCRIPT_NAME
    header, the `root_path` setting, SCRIPT_NAME in the environment. They differ in what the
    client's path holds: `root_path` was cut off by a proxy, so the scope's path is `root_path`
    plus the path of the request; SCRIPT_NAME is still in the path, which does not change. So
    the one who builds a scope sets its `root_path` to `root_path` and puts `path_prefix` (and
    `raw_path_prefix`) before the request's path. `apply` replaces that when a trusted header says
    otherwise. Last, where `script_name` is not empty, `check_mount` looks at the path.

    Args:
        config: the server's settings.
        environ: where SCRIPT_NAME is looked up.
        warn: takes a line for the log, once for each field that cannot be understood.

    Raises:
        ConfigError: a setting or SCRIPT_NAME cannot be understood.
    """

    __slots__ = (
        "_drops",
        "_forwarder_headers",
        "_mounts",
        "_named",
        "_origin",
        "filters",
        "names",
        "path_prefix",
        "peers",
        "raw_path_prefix",
        "root_path",
        "script_name",
    )

    peers: PeerList
    """Whose headers count (`forwarded_allow_ips`)."""
    names: frozenset[bytes]
    """Lower-case names of the fields that `apply` reads; without one of them it does nothing."""
    filters: bool
    """Whether `filter` could do anything at all."""
    root_path: str
    """The mount point of a request for which no trusted header names another."""
    path_prefix: str
    """What to put before the request's decoded path."""
    raw_path_prefix: bytes
    """What to put before the request's path in bytes."""
    script_name: str
    """SCRIPT_NAME of the environment where it is the mount point, else empty: see `check_mount`."""

    def __init__(
        self,
        config: ServerConfig,
        environ: Mapping[str, str],
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.peers = PeerList(config.forwarded_allow_ips)
        self.filters = config.header_map != "dangerous"
        self._drops = config.header_map == "drop"
        self._forwarder_headers = frozenset(
            _encode("forwarder_headers", name.strip().lower()) for name in config.forwarder_headers
        )
        secure = {
            _encode("secure_scheme_headers", name.strip().lower()): _encode(
                "secure_scheme_headers", value
            )
            for name, value in config.secure_scheme_headers.items()
        }
        self._origin = OriginReader(self.peers, secure, warn) if config.proxy_headers else None
        self._mounts = self._survives(_SCRIPT_NAME)
        self._named: set[str] = set()
        names = set(self._origin.names) if self._origin is not None else set()
        self.names = frozenset(names | {_SCRIPT_NAME} if self._mounts else names)
        self.path_prefix = config.root_path
        self.raw_path_prefix = config.root_path.encode()
        self.script_name = "" if config.root_path else _read_script_name(environ)
        self.root_path = config.root_path or self.script_name

    def filter(self, headers: Headers, trusted: bool) -> Headers:
        """Return the fields that `header_map` lets through; for when some name has a `_`.

        A CGI-like application cannot tell `X_Foo` from `X-Foo`, so names with `_` are dropped or
        refused unless a trusted peer may set them (`forwarder_headers`).

        Raises:
            BadRequest: `header_map` is `refuse` and a peer sent such a field.
        """
        if not self.filters:
            return headers
        kept: Headers = []
        for field in headers:
            name = field[0]
            if b"_" not in name or (trusted and self._survives(name)):
                kept.append(field)
            elif not self._drops:
                raise BadRequest(f"header name with an underscore: {name.decode('latin-1')!r}")
        return kept

    def apply(self, scope: Scope, headers: Headers) -> None:
        """Change origin and mount point of `scope` as a trusted peer's `headers` say.

        `headers` may be as received or filtered: underscores in the names that `forwarder_headers`
        or `secure_scheme_headers` list are meant.

        Raises:
            BadRequest: fields contradict each other, or one is ambiguous.
            ApplicationError: the path is not below SCRIPT_NAME; answer 500.
        """
        names = self.names
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            if name in names:
                if name in found:
                    found[name].append(value)
                else:
                    found[name] = [value]
        if self._origin is not None:
            self._origin.apply(scope, found)
        if self._mounts and _SCRIPT_NAME in found:
            self._apply_mount(scope, found[_SCRIPT_NAME])

    def disbelieved(self, host: str, headers: Headers) -> str | None:
        """Return what to log of a peer that is not trusted but sends such fields.

        None where it sends none, or was named before; not more than MAX_NAMED are.
        """
        if self._origin is None or host in self._named or len(self._named) >= MAX_NAMED:
            return None
        for name, _ in headers:
            if name in self._origin.names:
                self._named.add(host)
                return (
                    f"{_title(name)} from {host} is ignored: add it to forwarded_allow_ips if it "
                    "is your proxy"
                )
        return None

    def check_mount(self, scope: Scope) -> None:
        """Check that the path is below SCRIPT_NAME of the environment, where that is in effect.

        Called after `apply`, for every request, if `script_name` is not empty.

        Raises:
            ApplicationError: it is not; answer 500.
        """
        if scope["root_path"] == self.script_name:
            _check_mount(scope["path"], self.script_name, "environment variable")

    def _survives(self, name: bytes) -> bool:
        return name in self._forwarder_headers or b"*" in self._forwarder_headers

    def _apply_mount(self, scope: Scope, values: Sequence[bytes]) -> None:
        if len(set(values)) > 1:
            raise BadRequest("contradictory SCRIPT_NAME headers")
        path: str = scope["path"]
        path = path.removeprefix(self.path_prefix)
        try:
            mount = values[0].decode().rstrip("/")
        except UnicodeDecodeError:
            raise BadRequest("SCRIPT_NAME header is not UTF-8") from None
        if "%" in mount and not _is_below(path, mount):
            from urllib.parse import unquote  # seldom of use

            mount = unquote(mount)  # the proxy copied it from a URL
        _check_mount(path, mount, "header")
        scope["root_path"] = mount
        scope["path"] = path
        raw_path: bytes | None = scope.get("raw_path")
        if raw_path is not None:
            scope["raw_path"] = raw_path.removeprefix(self.raw_path_prefix)


def _encode(setting: str, text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ConfigError(f"{setting}: {text!r} cannot stand in a header field") from None


def trust_summary(config: ServerConfig) -> str:
    """Return one line for the log: whose headers are believed."""
    peers = PeerList(config.forwarded_allow_ips)
    if not config.proxy_headers:
        line = "Proxy headers are believed from nobody: proxy_headers is off"
    else:
        line = f"Proxy headers are believed from {peers}"
        if peers.everyone:
            line += ": whoever reaches this server can pass for any client"
    if config.proxy_protocol != "off":
        line += f"; PROXY protocol headers from {PeerList(config.proxy_allow_ips)}"
    return line


def _title(name: bytes) -> str:
    return name.decode("latin-1").title()


def _read_script_name(environ: Mapping[str, str]) -> str:
    value = environ.get("SCRIPT_NAME", "")
    if value and not value.startswith("/"):
        raise ConfigError(f"SCRIPT_NAME={value!r} in the environment: expected a path like '/app'")
    return value.rstrip("/")


def _is_below(path: str, mount: str) -> bool:
    return path.startswith(mount) and (len(path) == len(mount) or path[len(mount)] == "/")


def _check_mount(path: str, mount: str, source: str) -> None:
    # `OPTIONS *` is about the server as a whole (RFC 9110 section 9.3.7): below no mount point.
    if mount and path != "*" and not _is_below(path, mount):
        raise ApplicationError(
            f"the path {path!r} is not below {mount!r}, which the {source} SCRIPT_NAME names as "
            f"mount point: let the proxy pass the path on unchanged, or use root_path"
        )
