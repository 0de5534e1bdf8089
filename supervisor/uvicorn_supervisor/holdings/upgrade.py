"""Starts the program as it is installed now, beside the supervisor that runs.

The new one is told what it takes over (`handover`), and started as this one was: the same words,
folder and variables. A child of this process like the workers, it is reaped with them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.holdings.handover import NO_LINE, NOTHING_WISHED, offer

if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Mapping, Sequence

    from uvicorn_supervisor.holdings.handover import Wishes

# The first process of a container, or of a machine: all others end with it.
FIRST_PROCESS: Final = 1


class CannotUpgrade(Exception):
    """There can be no new supervisor; the text says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """How this program was started."""

    words: tuple[str, ...]  # the interpreter's own among them
    folder: str

    @classmethod
    def current(cls) -> Program:
        """Return how; call it at the start, before anything changes the folder."""
        return cls((sys.executable, *sys.orig_argv[1:]), _folder(os.environ.get("PWD", "")))


class Successor:
    """The process of a new supervisor, at most one."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, 0 where there is none."""
        return 0 if self._process is None else self._process.pid

    def start(
        self,
        sockets: Sequence[socket.socket],
        mailbox: int,
        counters: Mapping[tuple[str, str], Sequence[socket.socket]] | None = None,
        line: int = NO_LINE,
        wishes: Wishes = NOTHING_WISHED,
        rooms: Sequence[int] = (),
    ) -> int:
        """Start it and return its pid; `mailbox` is the writing end of this supervisor's.

        What else it gets is as in `handover.offer`.

        Raises:
            CannotUpgrade: it cannot be started.
        """
        if os.getpid() == FIRST_PROCESS:
            raise CannotUpgrade(
                "this is process 1, and everything ends with it; start a new container instead"
            )
        handover = offer(sockets, mailbox, counters, line, wishes, rooms)
        try:
            self._process = subprocess.Popen(
                self._program.words,
                cwd=self._program.folder,
                env={**os.environ, **handover.announce()},
                pass_fds=handover.descriptors,
            )
        except OSError as exc:
            raise CannotUpgrade(f"{self._program.words[0]}: {exc.strerror or exc}") from None
        return self._process.pid

    def reaped(self, pid: int) -> bool:
        """Return whether a process that was reaped has been the new supervisor."""
        if self._process is None or pid != self._process.pid:
            return False
        self._process.returncode = 0  # or it would complain that nobody has waited for it
        self._process = None
        return True

    def end(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to it, if it has not been reaped."""
        if self._process is not None and pid == self._process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def leave(self) -> None:
        """Let it live on without this process."""
        if self._process is not None:
            self._process.returncode = 0
            self._process = None


def _folder(shell: str) -> str:
    """Return the folder of this process, by the name that the shell has for it.

    That may be a link, which leads to the new release by now.
    """
    here = os.getcwd()
    with contextlib.suppress(OSError):
        if os.path.isabs(shell) and os.path.samefile(shell, here):
            return shell
    return here
