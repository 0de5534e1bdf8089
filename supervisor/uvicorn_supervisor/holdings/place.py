"""What a supervisor holds and passes on: listening sockets, pid file, its name at systemd.

It comes from the configuration, or from a predecessor that is being upgraded.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.control.counters import BACKLOG, addresses, open_counters
from uvicorn_supervisor.holdings import handover
from uvicorn_supervisor.holdings.handover import NOTHING_WISHED
from uvicorn_supervisor.holdings.pidfile import PidFile
from uvicorn_supervisor.holdings.upgrade import Program, Successor
from uvicorn_supervisor.systemd import stored
from uvicorn_supervisor.systemd.sdnotify import STOPPING, main_process, notify
from uvicorn_worker.errors import WorkerError
from uvicorn_worker.sockets.binds import Inherited, binds_of
from uvicorn_worker.sockets.inherited import activated
from uvicorn_worker.sockets.opening import Keep, bind_all, describe, remove_files

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_supervisor.holdings.handover import Wishes

log: Final = logging.getLogger("uvicorn.supervisor")


class Place:
    """One supervisor's; close it at the end.

    Attributes: `wishes` and `rooms` are those of a predecessor (`handover.Handover`).
    """

    def __init__(self, config: SupervisorConfig) -> None:
        """Take the place over from a predecessor, or make it.

        Raises:
            ConfigError: an address is taken, or a file cannot be written.
        """
        self._predecessor = handover.receive(os.environ)
        self.wishes = self._predecessor.wishes if self._predecessor else NOTHING_WISHED
        self.rooms = self._predecessor.rooms if self._predecessor else ()
        try:
            self._make(config)
        except WorkerError as exc:
            self.explain(str(exc))
            raise

    def _make(self, config: SupervisorConfig) -> None:
        self._waiting = self._predecessor is not None  # for the end of the predecessor
        self._parent = os.getppid()
        self._passed_on = False
        self._dropped: list[socket.socket] = []  # of a predecessor, asked no more
        self._tls = config.is_ssl
        self.successor = Successor(Program.current())
        with contextlib.ExitStack() as undo:
            self.sockets = self._listen(config)
            undo.callback(self.leave)
            if self._predecessor is None:
                stored.store(self.sockets, but=self._passed)
            self._addresses = addresses(config)
            self.counters = self._open_counters()
            undo.callback(self._close_counters)
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
        kept, passed = stored.separate(activated(os.environ, log))
        others = (*passed, *binds_of(config))
        self._passed = {one.fd for one in others if isinstance(one, Inherited)}
        keep = Keep(kept, backlog=config.backlog)
        try:
            return bind_all(
                config, os.environ, explicit=named, lanes=config.count, keep=keep, passed=passed
            )
        finally:
            keep.close()
            stored.forget(kept)  # whatever is still wanted is stored anew

    def _open_counters(self) -> dict[str, list[socket.socket]]:
        if self._predecessor is None:
            return open_counters(self._addresses, {})
        passed = handover.adopt_counters(self._predecessor, backlog=BACKLOG)
        kept = {(name, str(address)) for name, address in self._addresses.items()}
        self._dropped = [sock for where in passed.keys() - kept for sock in passed[where]]
        return open_counters(self._addresses, passed)

    def __str__(self) -> str:
        names = (describe(sock, tls=self._tls) for sock in self.sockets)
        return ", ".join(dict.fromkeys(names))  # with `reuse_port` there are several of a name

    def serving(self) -> None:
        """Say that all workers serve, to a predecessor, which goes then."""
        if self._predecessor is not None:
            self._predecessor.done([*self.sockets, *self._counter_sockets(), *self._dropped])
            self._predecessor = None
            _close(self._dropped)  # and their files, which are this supervisor's by now

    def explain(self, why: str) -> None:
        """Tell a predecessor that goes on why this supervisor cannot serve."""
        if self._predecessor is not None:
            self._predecessor.explain(why)

    def look(self) -> None:
        """Take the pid file's name as soon as the predecessor has ended."""
        # This process is its child: the parent changes when it has ended.
        if self._waiting and os.getppid() != self._parent:
            self._waiting = False
            if self._pidfile is not None:
                self._pidfile.take_name()

    @property
    def succeeding(self) -> bool:
        """Whether a predecessor serves until this supervisor does."""
        return self._predecessor is not None

    @property
    def predecessor(self) -> int:
        """The process that serves until this supervisor does; 0: there is none."""
        return 0 if self._predecessor is None else self._predecessor.pid

    @property
    def speaks(self) -> bool:
        """Whether it is for this supervisor to tell systemd how the service is."""
        return self._predecessor is None and not self._passed_on

    # -- to a successor

    def succeed(self, mailbox: int, line: int, wishes: Wishes, rooms: Sequence[int]) -> int:
        """Start a successor, which has to write to `mailbox` when it serves; return its pid.

        On `line` it says why it cannot; `wishes` are to be its own, and what was
        counted in `rooms`.

        Raises:
            CannotUpgrade: it cannot be started.
        """
        counters = {(name, str(self._addresses[name])): own for name, own in self.counters.items()}
        return self.successor.start(self.sockets, mailbox, counters, line, wishes, rooms)

    def reaped(self, pid: int) -> bool:
        """Return whether a process that has ended was a successor that had not taken over."""
        if not self.successor.reaped(pid):
            return False
        if self._pidfile is not None:
            self._pidfile.clear_after(pid)
        return True

    def passed_on(self) -> None:
        """Note that the successor serves: what was here is its own."""
        self._passed_on = True
        handover.give_up([*self.sockets, *self._counter_sockets()])
        # Not from the successor: unless told otherwise (NotifyAccess=), systemd believes only the
        # process that it takes for the main one.
        notify(os.environ, main_process(self.successor.pid))
        self.successor.leave()

    # -- the end

    def stopping(self, *, accepting: bool) -> None:
        """Say that nobody will serve here; close the sockets.

        Where the workers are `accepting` for a while, files of UNIX sockets stay until `close`.
        """
        if self.speaks:
            notify(os.environ, STOPPING)
            stored.forget(self.sockets)
        if accepting:
            for sock in self.sockets:
                sock.close()
        else:
            self.leave()

    def leave(self) -> None:
        """Close the sockets, and remove their files; workers have copies of the former."""
        _close(self.sockets)
        self.sockets.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        self.leave()
        self._close_counters()
        # A successor puts its own in the place of this one: there is a file at any time.
        if self._pidfile is not None and not self._passed_on:
            self._pidfile.remove()

    def _counter_sockets(self) -> list[socket.socket]:
        return [sock for sockets in self.counters.values() for sock in sockets]

    def _close_counters(self) -> None:
        _close(self._counter_sockets())
        self.counters.clear()


def _close(sockets: list[socket.socket]) -> None:
    remove_files(sockets)
    for sock in sockets:
        sock.close()
