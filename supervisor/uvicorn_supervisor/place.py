"""What a supervisor holds and passes on: listening sockets, pid file, its name at systemd.

It comes from the configuration, or from a predecessor that is being upgraded.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from uvicorn_supervisor import handover
from uvicorn_supervisor.pidfile import PidFile
from uvicorn_supervisor.sdnotify import READY, STOPPING, main_process, notify
from uvicorn_supervisor.upgrade import Program, Successor
from uvicorn_worker.sockets.opening import bind_all, describe, remove_files

if TYPE_CHECKING:
    import socket

    from uvicorn_supervisor.config import SupervisorConfig


class Place:
    """One supervisor's; close it at the end."""

    def __init__(self, config: SupervisorConfig) -> None:
        """Take the place over from a predecessor, or make it.

        Raises:
            ConfigError: an address is taken, or a file cannot be written.
        """
        self._predecessor = handover.receive(os.environ)
        self._waiting = self._predecessor is not None  # for the end of the predecessor
        self._parent = os.getppid()
        self._passed_on = False
        self._tls = config.is_ssl
        self.successor = Successor(Program.current())
        with contextlib.ExitStack() as undo:
            self.sockets = self._listen(config)
            undo.callback(self.leave)
            self._pidfile = None
            if config.pid:
                self._pidfile = PidFile(config.pid, successor=self._waiting)
                self._pidfile.write()
            undo.pop_all()

    def _listen(self, config: SupervisorConfig) -> list[socket.socket]:
        if self._predecessor is not None:
            return handover.adopt_all(self._predecessor, backlog=config.backlog)
        # Where somebody has named a host or port, sockets of systemd's are not taken.
        named = (config.host, config.port) != ("127.0.0.1", 8000)
        return bind_all(config, os.environ, explicit=named)

    def __str__(self) -> str:
        return ", ".join(describe(sock, tls=self._tls) for sock in self.sockets)

    def serving(self) -> None:
        """Say that the workers serve: to a predecessor, which goes then, else to systemd."""
        if self._predecessor is None:
            notify(os.environ, READY, main_process())
        else:
            self._predecessor.done(self.sockets)
            self._predecessor = None

    def look(self) -> None:
        """Take the pid file's name as soon as the predecessor has ended."""
        # This process is its child: the parent changes when it has ended.
        if self._waiting and os.getppid() != self._parent:
            self._waiting = False
            if self._pidfile is not None:
                self._pidfile.take_name()

    # -- to a successor

    def passed_on(self) -> None:
        """Note that the successor serves: what was here is its own."""
        self._passed_on = True
        handover.give_up(self.sockets)
        # Not from the successor: unless told otherwise (NotifyAccess=), systemd believes only the
        # process that it takes for the main one.
        notify(os.environ, main_process(self.successor.pid))
        self.successor.leave()

    # -- the end

    def stopping(self) -> None:
        """Say that nobody will serve here; close the sockets."""
        if not self._passed_on:
            notify(os.environ, STOPPING)
        self.leave()

    def leave(self) -> None:
        """Close the sockets; workers have their own copies."""
        remove_files(self.sockets)
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        self.leave()
        # A successor puts its own in the place of this one: there is a file at any time.
        if self._pidfile is not None and not self._passed_on:
            self._pidfile.remove()
