"""The listening sockets of a configuration, made once and handed to whoever accepts on them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.binds import EVERY_IPV4, EVERY_IPV6, TCP, Inherited, Unix, binds_of
from uvicorn_worker.sockets.inherited import activated, adopt
from uvicorn_worker.sockets.unix import LONGEST_PATH, UnixListener

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping, Sequence

    from uvicorn_worker.config import Config
    from uvicorn_worker.sockets.binds import Bind
    from uvicorn_worker.state import Log

# The port that was free for a name's first address may be taken at its second one.
PORT_TRIES: Final = 16

# A name may have addresses that the machine lacks: `localhost` is ::1 in /etc/hosts also where
# IPv6 is switched off.
LACKING: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class Endpoint(NamedTuple):
    """One address of a bind, as getaddrinfo(3) gives it."""

    family: socket.AddressFamily
    address: tuple[Any, ...]


class Keep:
    """Listeners of an earlier process, to be taken in place of new ones; close it at the end."""

    def __init__(self, passed: Iterable[Inherited] = (), *, backlog: int = 0) -> None:
        """Take what was passed; what cannot be used is let go of."""
        self._sockets: list[socket.socket] = []
        for one in passed:
            try:
                self._sockets.append(adopt(one, backlog=backlog))
            except ConfigError:  # noqa: PERF203 - one must not cost the others
                with contextlib.suppress(OSError):
                    os.close(one.fd)

    def take(self, family: int, address: Any) -> socket.socket | None:
        """Return the listener of an address, None where there is none; port 0 is any port."""
        for sock in self._sockets:
            if sock.family == family and _is_name(sock.getsockname(), address):
                self._sockets.remove(sock)
                return sock
        return None

    def take_file(self, path: str) -> socket.socket | None:
        """Return the listener of a UNIX socket whose file is still there."""
        if not os.path.exists(path) or (sock := self.take(socket.AF_UNIX, path)) is None:
            return None
        listener = UnixListener.inherited(sock, os.path.abspath(path))
        listener.claim()
        return listener

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


def _is_name(name: Any, address: Any) -> bool:
    if isinstance(name, tuple):
        return bool(name[0] == address[0] and address[1] in (0, name[1]))
    return bool(name == address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How the sockets of one bind are opened."""

    backlog: int
    mode: int  # of a UNIX socket's file
    dual_stack: bool = False  # IPv4 on an IPv6 socket, too
    lanes: int = 0  # sockets for each address of TCP; 0: one, and nobody else may have another
    keep: Keep = field(default_factory=Keep)


def bind_all(
    config: Config,
    environ: MutableMapping[str, str],
    *,
    explicit: bool = False,
    inheritable: bool = False,
    lanes: int = 1,
    keep: Keep | None = None,
    passed: Sequence[Inherited] | None = None,
    log: Log | None = None,
) -> list[socket.socket]:
    """Return sockets that listen where the configuration says; the caller owns them.

    Without a bind, uds or fd those that systemd has opened are taken, unless `explicit`: host or
    port were named by the user. Other processes may share an address with `reuse_port` only; then
    there are `lanes` sockets, one after the other, for each address of TCP.
    Sockets of `keep` that listen on one of them already are taken. `passed` are systemd's, where
    the caller has looked itself.
    Call `remove_files` before the sockets are closed.

    Raises:
        ConfigError: one cannot be listened on; the message is one line. None stays open.
    """
    binds: Sequence[Bind] = binds_of(config)
    if not (explicit or config.bind or config.uds is not None or config.fd is not None):
        binds = (activated(environ, log) if passed is None else passed) or binds
    keep = keep or Keep()
    opened: list[socket.socket] = []
    try:
        for bind in binds:
            terms = Terms(
                backlog=config.backlog,
                mode=config.uds_mode,
                dual_stack=isinstance(bind, TCP) and _is_dual_stack(bind, binds),
                lanes=lanes if config.reuse_port else 0,
                keep=keep,
            )
            opened += _open(bind, terms)
    except BaseException:
        remove_files(opened)
        for sock in opened:
            sock.close()
        raise
    for sock in opened:
        sock.set_inheritable(inheritable)
    return opened


def open_bind(bind: TCP | Unix, *, mode: int, backlog: int) -> list[socket.socket]:
    """Return sockets that listen on one address, as `bind_all` does; `mode` is for a file.

    Raises:
        ConfigError: it cannot be listened on. None stays open.
    """
    dual_stack = isinstance(bind, TCP) and _is_dual_stack(bind, ())
    return _open(bind, Terms(backlog=backlog, mode=mode, dual_stack=dual_stack))


def remove_files(sockets: Iterable[socket.socket]) -> None:
    """Remove the files of UNIX sockets that this process has made, where they are still its own.

    Call it while the sockets are open: afterwards others may have taken the path.
    """
    for sock in sockets:
        if isinstance(sock, UnixListener):
            sock.unlink()


def describe(sock: socket.socket, *, tls: bool) -> str:
    """Return what clients connect to: `http://127.0.0.1:8000`, `unix:/run/app.sock`."""
    name: Any = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{'@' + os.fsdecode(name[1:]) if isinstance(name, bytes) else name}"
    return f"{'https' if tls else 'http'}://{TCP(*name[:2])}"


def _open(bind: Bind, terms: Terms) -> list[socket.socket]:
    if isinstance(bind, Inherited):
        return [adopt(bind, backlog=terms.backlog)]
    try:
        if isinstance(bind, TCP):
            return _open_tcp(bind, terms)
        return [_open_unix(bind, terms)]
    except OSError as exc:
        raise ConfigError(f"cannot listen on {bind}: {_reason(exc, bind)}") from None


# -- UNIX


def _open_unix(bind: Unix, terms: Terms) -> socket.socket:
    if not bind.abstract:
        if (kept := terms.keep.take_file(bind.path)) is not None:
            return kept
        listener = UnixListener()
        try:
            listener.open(bind.path, mode=terms.mode, backlog=terms.backlog)
        except BaseException:
            listener.unlink()
            listener.close()
            raise
        return listener
    if sys.platform != "linux":
        raise ConfigError(f"cannot listen on {bind}: names without a file are Linux's only")
    name = b"\0" + os.fsencode(bind.path[1:])
    if len(name) > LONGEST_PATH + 1:  # no NUL at its end
        raise ConfigError(f"cannot listen on {bind}: the name has more than {LONGEST_PATH} bytes")
    return terms.keep.take(socket.AF_UNIX, name) or _listen(
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), name, terms.backlog
    )


# -- TCP


def _is_dual_stack(bind: TCP, beside: Sequence[Bind]) -> bool:
    """Return whether `[::]` has to serve IPv4 too: where nothing else does on that port."""
    return bind.host == EVERY_IPV6 and not any(
        other.port == bind.port and ":" not in other.host
        for other in beside
        if isinstance(other, TCP)
    )


def _open_tcp(bind: TCP, terms: Terms) -> list[socket.socket]:
    """Listen on each address of a name; with port 0 one port that is free at all of them."""
    endpoints = _resolve(bind)
    for _ in range(PORT_TRIES):
        try:
            return _open_endpoints(endpoints, terms)
        except OSError as exc:  # noqa: PERF203 - the port itself is what is tried
            if bind.port or len(endpoints) == 1 or exc.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _resolve(bind: TCP) -> list[Endpoint]:
    try:
        # As bytes: for text Python loads the tables of IDNA, which takes 2 ms of a start.
        host = bind.host.encode() if bind.host.isascii() else bind.host
        found = socket.getaddrinfo(
            host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no host name"
        raise ConfigError(
            f"cannot listen on {bind}: the name {bind.host!r} is not known ({reason}); expected "
            f"an address or a name of this machine, like 127.0.0.1, localhost or {EVERY_IPV4}"
        ) from None
    return list(dict.fromkeys(Endpoint(family, address) for family, _, _, _, address in found))


def _open_endpoints(endpoints: Sequence[Endpoint], terms: Terms) -> list[socket.socket]:
    opened: list[socket.socket] = []
    lacking: OSError | None = None
    with contextlib.ExitStack() as undo:
        for family, (host, port, *scope) in _repeated(endpoints, terms.lanes or 1):
            if opened and not port:
                port = opened[0].getsockname()[1]
            try:
                sock = _open_endpoint(Endpoint(family, (host, port, *scope)), terms)
            except OSError as exc:
                if exc.errno not in LACKING:
                    raise
                lacking = exc
            else:
                opened.append(undo.enter_context(sock))
        if lacking is not None and not opened:
            raise lacking
        undo.pop_all()
    return opened


def _repeated(endpoints: Sequence[Endpoint], count: int) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints for _ in range(count)]


def _open_endpoint(endpoint: Endpoint, terms: Terms) -> socket.socket:
    if (kept := terms.keep.take(*endpoint)) is not None:
        return kept
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    # Connections of a server that has just ended linger, and are no reason to refuse.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if terms.lanes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if endpoint.family == socket.AF_INET6:
        # Said, not left to /proc/sys/net/ipv6/bindv6only.
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not terms.dual_stack)
    return _listen(sock, endpoint.address, terms.backlog)


def _listen(sock: socket.socket, address: Any, backlog: int) -> socket.socket:
    try:
        sock.bind(address)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


# -- what went wrong


def _reason(exc: OSError, bind: TCP | Unix) -> str:
    """Return what to tell a person: why it failed and what can be done."""
    about = _UNIX_REASONS if isinstance(bind, Unix) else _TCP_REASONS
    text = about.get(exc.errno or 0, f"{exc.strerror or exc}")
    port = bind.port if isinstance(bind, TCP) else 0
    return text.format(port=port)


_TCP_REASONS: Final = {
    errno.EADDRINUSE: "the port is in use; stop the process that listens there "
    "(`ss -ltnp 'sport = {port}'` shows which) or take another port",
    errno.EACCES: "permission denied; ports below 1024 are for root (or CAP_NET_BIND_SERVICE): "
    "take one above, like 8000",
    errno.EADDRNOTAVAIL: "this machine has no such address; 127.0.0.1 is the machine itself, "
    "0.0.0.0 stands for all its addresses",
    errno.EAFNOSUPPORT: "this machine has no such family of addresses (IPv6 switched off?)",
}
_UNIX_REASONS: Final = {
    errno.EADDRINUSE: "another process listens there; stop it or take another path",
    errno.EACCES: "permission denied; the folder has to be writable for the user of the server",
    errno.EPERM: "operation not permitted; the folder has to be writable for the user of the "
    "server, which also has to own a leftover to remove it",
    errno.ENOENT: "the folder does not exist; make it, or let systemd (RuntimeDirectory=)",
    errno.ENOTDIR: "a part of the path is no folder",
    errno.EROFS: "the file system is read-only",
}
