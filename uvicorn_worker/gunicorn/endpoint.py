"""`UVICORN_METRICS` under Gunicorn: the master listens, and any of its workers answers.

The listener is made when the master checks its configuration, so that a port in use ends the
start; it is the same as long as the master lives, whatever it reloads. At an upgrade (SIGUSR2) the
new master gets it, too. From then on the old one's workers leave it alone as long as the new one
lives: of two that answer in turn, with figures of their own, nobody could make any sense.
"""

from __future__ import annotations

import atexit
import json
import os
from typing import TYPE_CHECKING, Any, Final

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.gunicorn import masters
from uvicorn_worker.sockets.binds import TCP, Inherited, Unix, parse_bind
from uvicorn_worker.sockets.inherited import adopt
from uvicorn_worker.sockets.opening import open_bind, remove_files
from uvicorn_worker.sockets.unix import UnixListener

if TYPE_CHECKING:
    import socket
    from collections.abc import MutableMapping

    from uvicorn_worker.scoreboard.board import Scoreboard

OPTION: Final = "UVICORN_METRICS"

# What the old master leaves for the new one: not UVICORN_..., which is for options.
VARIABLE: Final = "_UVICORN_METRICS"

BACKLOG: Final = 64
MODE: Final = 0o666  # figures are as public as the server's own socket is by default

NO_PORT: Final = -1

_endpoints: dict[int, Endpoint] = {}  # by the master's process


class Endpoint:
    """A master's listening sockets for metrics, and the board that they are about."""

    def __init__(self, address: str, environ: MutableMapping[str, str], board: Scoreboard) -> None:
        """Listen at the address; take over what a former master has left.

        Raises:
            ConfigError: the address cannot be read, or not be listened on.
        """
        self.board = board
        self._address = _parse(address)
        self.sockets = _inherited(environ, str(self._address))
        if not self.sockets:
            try:
                self.sockets = open_bind(self._address, mode=MODE, backlog=BACKLOG)
            except ConfigError as exc:
                raise ConfigError(f"{OPTION}: {exc}") from None
        atexit.register(self._leave, os.getpid())

    def pass_on(self, cfg: Any) -> None:
        """See to it that an upgrade passes the sockets on; call it for every new configuration."""
        hook = cfg.pre_exec

        def pre_exec(arbiter: Any) -> None:
            # Called in the process that is about to become the new master.
            self.board.heir = os.getpid()
            for sock in self.sockets:
                sock.set_inheritable(True)
            arbiter.cfg.env_orig[VARIABLE] = self._announce()
            hook(arbiter)

        if not getattr(hook, "passes_on", False):
            pre_exec.passes_on = True  # type: ignore[attr-defined]  # a mark of ours
            cfg.set("pre_exec", pre_exec)

    def _announce(self) -> str:
        passed = [
            [sock.fileno(), sock.path if isinstance(sock, UnixListener) else ""]
            for sock in self.sockets
        ]
        return json.dumps({"pid": os.getppid(), "address": str(self._address), "sockets": passed})

    def _leave(self, pid: int) -> None:
        """Remove the file of a UNIX socket at the end of the master, where no other one serves."""
        # Gunicorn's variable stands until the old master has gone: this is a failed upgrade then.
        old_lives = os.environ.get("GUNICORN_PID") == str(os.getppid())
        if os.getpid() == pid and not (self.board.heir or old_lives):
            remove_files(self.sockets)


def prepare(address: str, environ: MutableMapping[str, str]) -> None:
    """Listen for questions, in the master, unless it does already.

    Raises:
        ConfigError: it cannot, or prometheus_client is missing.
    """
    from uvicorn_worker.metrics.answers import check_installed

    check_installed(OPTION)
    pid = os.getpid()
    if pid not in _endpoints:
        _endpoints.clear()  # a former process's
        _endpoints[pid] = Endpoint(address, environ, masters.scoreboard())
        # Here once, instead of in every worker: 0.1 s, and some MiB that they share.
        import uvicorn_worker.metrics.exposition  # noqa: F401


def of_master(pid: int) -> Endpoint | None:
    """Return the endpoint of the master with this process id, None where it has none."""
    return _endpoints.get(pid)


def _parse(text: str) -> TCP | Unix:
    expected = f"{OPTION}={text!r}: expected HOST:PORT or unix:PATH"
    try:
        address = parse_bind(text, port=NO_PORT)
    except ConfigError:
        raise ConfigError(expected) from None
    if isinstance(address, Inherited) or (isinstance(address, TCP) and address.port == NO_PORT):
        raise ConfigError(expected)
    return address


def _inherited(environ: MutableMapping[str, str], address: str) -> list[socket.socket]:
    """Return what the old master has passed on; nothing where it listened somewhere else."""
    text = environ.pop(VARIABLE, None)
    content = json.loads(text) if text else {}
    if content.get("pid") != os.getppid():  # somebody else's: inherited by a child
        return []
    sockets: list[socket.socket] = []
    for fd, path in content["sockets"]:
        if content["address"] != address:
            os.close(fd)
            continue
        sock = adopt(Inherited(fd), backlog=BACKLOG)
        sock.set_inheritable(False)
        if path:
            listener = UnixListener.inherited(sock, path)
            listener.claim()
            sock = listener
        sockets.append(sock)
    return sockets
