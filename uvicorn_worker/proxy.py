"""Whom a request's forwarding headers are believed, and what they change in its scope. Pure.

Nothing here looks at sockets: the connection asks once whether its peer is trusted, then gives
each request's header fields to `ForwardingPolicy`. The PROXY protocol, which comes before HTTP,
is in `proxy_protocol`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

from uvicorn_worker.errors import ApplicationError, BadRequest, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uvicorn_worker.asgi import Headers, Scope
    from uvicorn_worker.serverconfig import ServerConfig

Ip: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
Client: TypeAlias = "tuple[str, int]"

# Answers remembered per list and policy. Peers choose what is looked up, so number and size of
# the keys are bounded: 1024 is more proxies than a server has, and clients enough for a second.
MAX_REMEMBERED: Final = 1024
MAX_KEY: Final = 256

_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 section 2.5.5.2

_FORWARDED_FOR: Final = b"x-forwarded-for"
_SCRIPT_NAME: Final = b"script_name"


class PeerList:
    """The peers that a setting names: addresses, networks (CIDR), or `*` for all of them.

    Args:
        entries: the entries, or one string of them with commas between.

    Raises:
        ConfigError: an entry is none of these; the message names it.
    """

    __slots__ = ("_answers", "_networks", "everyone")

    def __init__(self, entries: Sequence[str] | str) -> None:
        if isinstance(entries, str):
            entries = entries.split(",")
        names = [name for entry in entries if (name := entry.strip())]
        self.everyone = "*" in names
        self._networks = [_parse_network(name) for name in names if name != "*"]
        self._answers: dict[str, bool] = {}

    def trusts(self, host: str | None) -> bool:
        """Return whether the peer of a socket is in the list.

        `host` is its address; None, an empty string or a path is the peer of a UNIX socket, which
        got in by the permissions of a file and is always trusted. Not for text out of a message.
        """
        if not host or self.everyone:
            return True
        answer = self._answers.get(host)
        if answer is None:
            ip = _parse_ip(host.partition("%")[0])  # a link-local address may name its interface
            answer = ip is None or self.contains(ip)
            if len(self._answers) < MAX_REMEMBERED and len(host) < MAX_KEY:
                self._answers[host] = answer
        return answer

    def contains(self, ip: Ip) -> bool:
        """Return whether an address is in the list.

        A dual-stack socket shows an IPv4 peer as IPv6 (`::ffff:192.0.2.1`): either form counts.
        """
        if self.everyone:
            return True
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return any(ip in one or (mapped is not None and mapped in one) for one in self._networks)


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

    Raises:
        ConfigError: a setting or SCRIPT_NAME cannot be understood.
    """

    __slots__ = (
        "_clients",
        "_drops",
        "_forwarder_headers",
        "_proxy_headers",
        "_secure",
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

    def __init__(self, config: ServerConfig, environ: Mapping[str, str]) -> None:
        self.peers = PeerList(config.forwarded_allow_ips)
        self.filters = config.header_map != "dangerous"
        self._drops = config.header_map == "drop"
        self._forwarder_headers = frozenset(
            _encode("forwarder_headers", name.strip().lower()) for name in config.forwarder_headers
        )
        self._proxy_headers = config.proxy_headers
        self._secure = {
            _encode("secure_scheme_headers", name.strip().lower()): _encode(
                "secure_scheme_headers", value
            )
            for name, value in config.secure_scheme_headers.items()
        }
        names = {_FORWARDED_FOR, *self._secure} if config.proxy_headers else set()
        if self._survives(_SCRIPT_NAME):
            names.add(_SCRIPT_NAME)
        self.names = frozenset(names)
        self._clients: dict[bytes, Client | None] = {}
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
        """Change scheme, client and mount point of `scope` as a trusted peer's `headers` say.

        `headers` may be as received or filtered: underscores in the names that `forwarder_headers`
        or `secure_scheme_headers` list are meant.

        Raises:
            BadRequest: fields contradict each other.
            ApplicationError: the path is not below SCRIPT_NAME; answer 500.
        """
        forwarded_for: list[bytes] = []
        secure: list[tuple[bytes, bytes]] = []
        mounts: list[bytes] = []
        names = self.names
        for field in headers:
            name = field[0]
            if name in names:
                if name == _FORWARDED_FOR:
                    forwarded_for.append(field[1])
                elif name == _SCRIPT_NAME:
                    mounts.append(field[1])
                # Not `elif`: the setting may name any field.
                if name in self._secure:
                    secure.append(field)
        if secure and self._proxy_headers:
            self._apply_scheme(scope, secure)
        if forwarded_for:
            client = self._find_client(b",".join(forwarded_for))
            if client is not None:
                scope["client"] = client
        if mounts:
            self._apply_mount(scope, mounts)

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

    def _apply_scheme(self, scope: Scope, fields: Headers) -> None:
        websocket = scope["type"] == "websocket"
        answers = set()
        for name, value in fields:
            expected = self._secure[name]
            # Some proxies name the scheme of the WebSocket, not of the handshake.
            wss = websocket and value == b"wss" and expected == b"https"
            answers.add(wss or value == expected)
        if len(answers) > 1:
            raise BadRequest("contradictory scheme headers")
        plain = "ws" if websocket else "http"
        scope["scheme"] = f"{plain}s" if answers.pop() else plain

    def _find_client(self, value: bytes) -> Client | None:
        """Return the client that X-Forwarded-For names, None to keep the socket's peer."""
        try:
            return self._clients[value]
        except KeyError:
            client = self._read_client(value)
        if len(value) < MAX_KEY:
            if len(self._clients) >= MAX_REMEMBERED:
                self._clients.clear()
            self._clients[value] = client
        return client

    def _read_client(self, value: bytes) -> Client | None:
        # RFC 9110 section 5.6.1: empty elements of a list do not count.
        hops = [hop for item in value.decode("latin-1").split(",") if (hop := item.strip())]
        if self.peers.everyone:
            hops = hops[:1]
        client = None
        # Each proxy adds the peer it saw on the right, so what stands right of the first address
        # that is no proxy of ours was written by our proxies; what stands left of it, by anybody.
        for hop in reversed(hops):
            found = _parse_hop(hop)
            if found is None:
                return None
            client, ip = found
            if not self.peers.contains(ip):
                break
        return client

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


def _parse_network(entry: str) -> Network:
    """Return an address or network as a network, IPv4-mapped IPv6 as IPv4."""
    try:
        network = ipaddress.ip_network(entry)
    except ValueError as exc:
        raise ConfigError(
            f"{entry!r} names no peers ({exc}): expected an address like '10.0.0.1' or "
            f"'2001:db8::1', a network like '10.0.0.0/8', or '*' for everyone"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        address = network.network_address.ipv4_mapped
        return ipaddress.IPv4Network(f"{address}/{network.prefixlen - _MAPPED.prefixlen}")
    return network


def _parse_ip(text: str) -> Ip | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _parse_hop(text: str) -> tuple[Client, Ip] | None:
    """Return client and address of one entry of X-Forwarded-For, None where it is unusable.

    Proxies write the address alone, with a port (brackets around IPv6), or the one or the other
    in quotes, and names such as `unknown` where they do not know or do not tell.
    """
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else "0"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        port = "0"
    ip = _parse_ip(host)
    if ip is None or "%" in host or not _is_port(port):
        return None
    return (host, int(port)), ip


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535


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
