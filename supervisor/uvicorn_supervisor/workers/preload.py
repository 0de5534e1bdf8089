"""`--preload`: a process that loads the application once, and forks workers that have it already.

The supervisor itself never imports the application, so a reload is a new loader process, and what
the old code has left behind goes with the old one. Workers are the supervisor's children all the
same: the loader forks twice, and the orphan goes to the nearest process that adopts (Linux only).

    supervisor  -- ask(plan) -->  loader  -- fork, fork -->  worker
                <-- forked(pid) --

Both ends talk in datagrams of JSON. The loader ends when it is killed: it holds nothing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from uvicorn_supervisor.decisions.deaths import Death, how
from uvicorn_supervisor.decisions.messages import Forked, ForkFailed, PrepareFailed
from uvicorn_supervisor.mailbox import HANDLED
from uvicorn_supervisor.system import adopt_orphans, run_forked, set_title
from uvicorn_supervisor.workers.application import load, say_why
from uvicorn_supervisor.workers.child import work
from uvicorn_worker.diagnostics.reports import Reports
from uvicorn_worker.errors import EXIT_BOOT_ERROR, ConfigError, WorkerError, exit_code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_supervisor.decisions.messages import Event
    from uvicorn_supervisor.system import System
    from uvicorn_supervisor.workers.assignment import Assignment

LONGEST: Final = 65536  # bytes of a datagram
ADOPTION: Final = 1.0  # seconds for the kernel to give an orphan to the supervisor
ADOPTION_LOOK: Final = 0.001


# -- in the supervisor


class Loader:
    """The supervisor's end: one release's loader process."""

    def __init__(self, common: Assignment, system: System) -> None:
        """Fork the process, which begins to load at once.

        Raises:
            ConfigError: this platform cannot do it.
            OSError: there can be no more processes.
        """
        if sys.platform != "linux":
            raise ConfigError("preload=True: works on Linux only")
        adopt_orphans()
        self._system = system
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asked: dict[int, float] = {}  # chance by number, of workers not forked yet
        self.served = False  # has loaded the application
        self._loaded = False
        self._failure: dict[str, Any] = {}
        with theirs:
            self.pid = system.fork(lambda: _serve(common, theirs, self._socket))
        self._socket.setblocking(False)

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, plan: Assignment, chance: float) -> None:
        """Ask for a worker; raises OSError where the process is gone."""
        assert plan.slot is not None
        order = {"ticket": plan.slot.ticket, "seat": plan.seat, "requests": plan.requests}
        self._socket.send(json.dumps(order).encode())
        self._asked[plan.slot.generation] = chance

    def read(self) -> Iterator[Event]:
        """Yield which workers were forked or could not be; never waits."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while data := self._socket.recv(LONGEST):
                message = json.loads(data)
                number = message.get("number")
                if "pid" in message:
                    yield Forked(number, message["pid"], self._asked.pop(number))
                elif "refused" in message:
                    yield ForkFailed(number, message["refused"], self._asked.pop(number))
                elif "failed" in message:
                    self._failure = message
                else:
                    self._loaded = self.served = True

    def just_loaded(self) -> bool:
        """Return whether the application has been loaded; true once."""
        loaded, self._loaded = self._loaded, False
        return loaded

    def ended(self, release: int, code: int) -> Iterator[Event]:
        """Yield what follows from the end of the process, which was reaped with this exit code."""
        self._socket.close()
        ended = "the process that loads the application has ended"
        for number, chance in self._asked.items():
            yield ForkFailed(number, ended, chance)
        reason = self._failure.get("failed", f"{ended}: {how(Death(code=code))}")
        yield PrepareFailed(release, reason, self._failure.get("code", EXIT_BOOT_ERROR))

    def close(self) -> None:
        """End the process; its workers go on. It is reaped like any other."""
        self._socket.close()
        self._system.kill(self.pid, signal.SIGKILL)


# -- in the loader


def _serve(common: Assignment, sock: socket.socket, supervisors: socket.socket) -> int:
    """Load the application, then fork whoever is asked for, until the supervisor is gone."""
    supervisors.close()
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        # What comes to the whole group is the supervisor's to answer.
        signal.signal(number, signal.SIG_DFL if number == signal.SIGCHLD else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    set_title("uvicorn-supervisor: loader")
    for descriptor in common.closing:
        os.close(descriptor)
    Reports(logging.getLogger("uvicorn.error")).follow_log()  # C code may crash here as well
    try:
        app = load(common.config)
    except WorkerError as exc:
        say_why(exc)
        _send(sock, failed=str(exc), code=exit_code(exc))
        return exit_code(exc)
    # What there is now is never collected, so looking for garbage does not copy its pages.
    gc.collect()
    gc.freeze()
    _send(sock, loaded=True)
    while data := sock.recv(LONGEST):
        order = json.loads(data)
        slot = common.board.slot(tuple(order["ticket"]))
        plan = common.to(slot, order["seat"], order["requests"], app=app, closed=True)
        _fork_twice(plan, sock)
    return 0


def _fork_twice(plan: Assignment, sock: socket.socket) -> None:
    """Fork a worker that is nobody's child; tell its process id."""
    assert plan.slot is not None
    number = plan.slot.generation
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        between = os.fork()
        if between == 0:
            _fork_and_leave(plan, sock, number)
        os.waitpid(between, 0)
    except OSError as exc:
        _send(sock, number=number, refused=exc.strerror)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _fork_and_leave(plan: Assignment, sock: socket.socket, number: int) -> None:
    """Be the process in between; never returns."""
    try:
        pid = os.fork()
        if pid == 0:
            run_forked(lambda: _begin(plan, sock))
        _send(sock, number=number, pid=pid)
    except OSError as exc:
        _send(sock, number=number, refused=exc.strerror)
    finally:
        os._exit(0)


def _begin(plan: Assignment, sock: socket.socket) -> int:
    """Be the worker, as soon as the supervisor is its parent."""
    sock.close()
    end = time.monotonic() + ADOPTION
    while os.getppid() != plan.parent and time.monotonic() < end:
        time.sleep(ADOPTION_LOOK)
    return work(plan)


def _send(sock: socket.socket, **message: object) -> None:
    with contextlib.suppress(OSError):  # the supervisor has gone
        sock.send(json.dumps(message).encode())
