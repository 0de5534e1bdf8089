"""Where a request came from, as trusted proxies tell: client, scheme and server. Pure.

Each proxy adds what it saw on the right, so the right-most address that is no proxy of ours is the
client; what stands left of it was written by anybody. How values are written is in `forwarded`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from uvicorn_worker.errors import BadRequest
from uvicorn_worker.proxies.forwarded import (
    is_unnamed,
    read_element,
    read_host,
    read_node,
    read_port,
    split_elements,
    split_list,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from uvicorn_worker.asgi import Scope
    from uvicorn_worker.proxies.forwarded import Client
    from uvicorn_worker.proxies.peers import PeerList

    Fields = Mapping[bytes, Sequence[bytes]]

T = TypeVar("T")

# Answers remembered for each kind of field. Clients choose what is looked up, so number and size
# of the keys are bounded: 1024 are clients enough for a second.
MAX_REMEMBERED: Final = 1024
MAX_KEY: Final = 256

LONGEST_SHOWN: Final = 100  # characters of a value in the log

_FOR: Final = b"x-forwarded-for"
_HOST: Final = b"x-forwarded-host"
_PORT: Final = b"x-forwarded-port"
_FORWARDED: Final = b"forwarded"

_DEFAULT_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_SCHEMES: Final = {"http": "http", "ws": "http", "https": "https", "wss": "https"}


class Origin(NamedTuple):
    """What the element of `Forwarded` that counts says; None where it says nothing usable."""

    client: Client | None = None
    scheme: str | None = None
    server: tuple[str, int | None] | None = None


class OriginReader:
    """Changes scopes as the fields of trusted peers say.

    The customary fields (X-Forwarded-* and those that name a scheme) stand against `Forwarded`:
    where one of them is there, the latter is not looked at. A proxy that knows one kind passes the
    other on as its client wrote it, and nearly all know the customary ones.

    Host and port become the scope's `server`; the fields of the request stay as they were sent.

    Args:
        peers: our proxies.
        secure: lower-case names of fields and their values that mean encryption.
        warn: takes a line for the log, once for each field that cannot be understood.

    Attributes:
        names: lower-case names of the fields that are looked at.
    """

    __slots__ = ("_clients", "_complained", "_customs", "_origins", "_peers", "_secure", "_servers",
                 "_warn", "names")  # fmt: skip

    def __init__(
        self, peers: PeerList, secure: Mapping[bytes, bytes], warn: Callable[[str], None]
    ) -> None:
        self._peers = peers
        self._secure = secure
        self._warn = warn
        self._customs = frozenset({_FOR, _HOST, _PORT, *secure})
        self.names = self._customs | {_FORWARDED}
        self._clients: dict[bytes, Client | None] = {}
        self._servers: dict[bytes, tuple[str | None, int | None]] = {}
        self._origins: dict[bytes, Origin] = {}
        self._complained: set[str] = set()

    def apply(self, scope: Scope, found: Fields) -> None:
        """Change `scope` as the values `found`, by lower-case name and in order, say.

        Raises:
            BadRequest: fields contradict each other, or one is ambiguous.
        """
        if not self._customs.isdisjoint(found):
            self._apply_customs(scope, found)
        elif _FORWARDED in found:
            self._apply_forwarded(scope, _join(found[_FORWARDED]))

    def _apply_customs(self, scope: Scope, found: Fields) -> None:
        self._apply_scheme(scope, found)
        if values := found.get(_FOR):
            client = self._find_client(_join(values))
            if client is not None:
                scope["client"] = client
        if _HOST in found or _PORT in found:
            host, port = self._find_server(_join(found.get(_HOST)), _join(found.get(_PORT)))
            if host is not None:
                _set_server(scope, host, port)
            elif port is not None and (server := scope.get("server")) and server[1] is not None:
                scope["server"] = (server[0], port)

    def _apply_scheme(self, scope: Scope, found: Fields) -> None:
        secure: bool | None = None
        for name, expected in self._secure.items():
            for value in found.get(name, ()):
                answer = value == expected or _means(expected, value, scope["type"])
                if secure is None:
                    secure = answer
                elif secure is not answer:
                    raise BadRequest("contradictory scheme headers")
        if secure is not None:
            _set_scheme(scope, secure=secure)

    def _find_server(self, host: bytes, port: bytes) -> tuple[str | None, int | None]:
        """Return the address that the client has used, as X-Forwarded-Host and -Port name it."""
        key = b"%b %b" % (host, port)
        found = self._servers.get(key)
        if found is None:
            found = _remember(self._servers, key, self._read_server(host, port))
        return found

    def _read_server(self, hosts: bytes, ports: bytes) -> tuple[str | None, int | None]:
        # The last of several is the nearest proxy's word.
        name = port = None
        if items := split_list(hosts.decode("latin-1")):
            found = read_host(items[-1])
            if found is None:
                self._complain("X-Forwarded-Host", items[-1])
            else:
                name, port = found
        if items := split_list(ports.decode("latin-1")):
            told = read_port(items[-1])
            if told is None:
                self._complain("X-Forwarded-Port", items[-1])
            port = told or port
        return name, port

    def _find_client(self, value: bytes) -> Client | None:
        """Return the client that X-Forwarded-For names, None to keep the socket's peer."""
        try:
            return self._clients[value]
        except KeyError:
            return _remember(self._clients, value, self._read_client(value.decode("latin-1")))

    def _read_client(self, value: str) -> Client | None:
        hops = split_list(value)
        if self._peers.everyone:
            hops = hops[:1]
        client = None
        for hop in reversed(hops):
            found = read_node(hop)
            if found is None:
                if not is_unnamed(hop):
                    self._complain("X-Forwarded-For", hop)
                return None
            client, ip = found
            if not self._peers.contains(ip):
                break
        return client

    def _apply_forwarded(self, scope: Scope, value: bytes) -> None:
        """Take over what `Forwarded` says (RFC 7239); raises BadRequest as `split_elements`."""
        origin = self._origins.get(value)
        if origin is None:
            origin = _remember(self._origins, value, self._read_origin(value.decode("latin-1")))
        if origin.scheme is not None:
            _set_scheme(scope, secure=origin.scheme == "https")
        if origin.client is not None:
            scope["client"] = origin.client
        if origin.server is not None:
            _set_server(scope, *origin.server)

    def _read_origin(self, value: str) -> Origin:
        elements = split_elements(value)
        if self._peers.everyone:
            elements = elements[:1]
        origin = Origin()
        for text in reversed(elements):
            element = read_element(text)
            if element is None:
                self._complain("Forwarded", text)
                return Origin()
            node = read_node(hop := element.get("for", "unknown"))
            if node is None and not is_unnamed(hop):
                self._complain("Forwarded", text)
            origin = Origin(
                client=node[0] if node else None,
                scheme=_SCHEMES.get(element.get("proto", "").lower()),
                server=read_host(element.get("host", "")),
            )
            if node is None or not self._peers.contains(node[1]):
                break
        return origin

    def _complain(self, field: str, value: str) -> None:
        """Warn of a value that trusted proxies should not have let through, once a field."""
        if field not in self._complained:
            self._complained.add(field)
            shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}..."
            self._warn(
                f"{field} of a trusted proxy is ignored where it cannot be understood, "
                f"such as {shown!r}"
            )


def _remember(answers: dict[bytes, T], value: bytes, answer: T) -> T:
    if len(value) < MAX_KEY:
        if len(answers) >= MAX_REMEMBERED:
            answers.clear()
        answers[value] = answer
    return answer


def _join(values: Sequence[bytes] | None) -> bytes:
    """Return the value of a field that may be repeated (RFC 9110 section 5.3)."""
    if not values:
        return b""
    return values[0] if len(values) == 1 else b",".join(values)


def _means(expected: bytes, value: bytes, kind: str) -> bool:
    """Return whether a value other than the expected one means encryption, too."""
    # Some proxies name the scheme of the WebSocket, not of the handshake.
    also = b"wss" if kind == "websocket" and expected == b"https" else expected
    # One value of each proxy: a single one without encryption is one too many.
    return all(item.strip() in (expected, also) for item in value.split(b","))


def _set_scheme(scope: Scope, *, secure: bool) -> None:
    plain = "ws" if scope["type"] == "websocket" else "http"
    scope["scheme"] = f"{plain}s" if secure else plain


def _set_server(scope: Scope, host: str, port: int | None) -> None:
    scope["server"] = (host, port or _DEFAULT_PORTS[scope["scheme"]])
