"""Sockets that somebody else opened: `--fd`, `fd://N` and systemd's socket activation."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import TYPE_CHECKING, Final

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.sockets.binds import Inherited

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from uvicorn_worker.state import Log

# sd_listen_fds(3): descriptors begin with 3, names are separated by colons.
FIRST_FD: Final = 3
VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

# macOS lets nobody ask; listening twice does no harm there.
ACCEPTING: Final = getattr(socket, "SO_ACCEPTCONN", None)


def adopt(bind: Inherited, *, backlog: int) -> socket.socket:
    """Return an inherited descriptor as a listening socket, which owns it.

    One that listens already keeps the queue it has.

    Raises:
        ConfigError: it is not open, no stream socket, a connection, or bound to no address.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(bind.fd).st_mode):
            raise _unfit(bind, "it is not a socket")
        sock = socket.socket(fileno=bind.fd)
    except OSError as exc:
        raise _unfit(bind, "it is not open" if exc.errno == errno.EBADF else str(exc)) from None
    try:
        _listen(sock, bind, backlog)
    except BaseException:
        sock.detach()  # not ours: the descriptor stays as it was
        raise
    return sock


def _listen(sock: socket.socket, bind: Inherited, backlog: int) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        raise _unfit(bind, f"it is a socket of family {sock.family}, not TCP or UNIX")
    if sock.type != socket.SOCK_STREAM:
        raise _unfit(bind, "it is no stream socket; systemd's ListenStream= makes those")
    if ACCEPTING is not None and sock.getsockopt(socket.SOL_SOCKET, ACCEPTING):
        return
    if _connected(sock):
        raise _unfit(bind, "it is a connection; systemd passes the listener with Accept=no")
    name = sock.getsockname()
    if name in ("", b"") or (isinstance(name, tuple) and name[1] == 0):
        raise _unfit(bind, "it is bound to no address")
    try:
        sock.listen(backlog)
    except OSError as exc:
        raise _unfit(bind, str(exc)) from None


def _connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def _unfit(bind: Inherited, reason: str) -> ConfigError:
    return ConfigError(
        f"cannot listen on {bind}: {reason}; expected the descriptor of a listening socket that "
        "whoever starts the server has opened"
    )


def activated(environ: MutableMapping[str, str], log: Log | None = None) -> list[Inherited]:
    """Return the sockets that systemd has opened for this process, empty if it did not.

    Their variables are removed, so that no other process takes them for its own.

    Raises:
        ConfigError: the variables cannot be read.
    """
    if "LISTEN_FDS" not in environ or "LISTEN_PID" not in environ:
        return []
    pid, count = (_number(environ, name) for name in ("LISTEN_PID", "LISTEN_FDS"))
    if pid != os.getpid():
        if log is not None:
            log.warning(
                "LISTEN_FDS is ignored: LISTEN_PID=%d is for another process than this one (%d); "
                "start the server with exec",
                pid,
                os.getpid(),
            )
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    for name in VARIABLES:
        environ.pop(name, None)
    return [Inherited(FIRST_FD + index, names[index]) for index in range(count)]


def _number(environ: MutableMapping[str, str], name: str) -> int:
    text = environ[name].strip()
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{name}={text!r}: expected a number, as systemd sets it")
    return int(text)
