"""Everything that the supervisor does to the world, behind one Protocol.

The only module that imports psutil and setproctitle. Errors of the kind "that process is gone" are
no errors here: processes end when they like.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import random
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import psutil
import setproctitle

from uvicorn_supervisor.decisions.autoworkers import Resources
from uvicorn_supervisor.decisions.deaths import EXIT_CRASHED
from uvicorn_supervisor.observation.cgroups import Cgroup
from uvicorn_supervisor.observation.examine import look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uvicorn_supervisor.observation.cgroups import Counts
    from uvicorn_supervisor.observation.examine import Look

# What may be asked in vain: a process that has gone, or /proc while there are no descriptors left.
UNKNOWN: Final = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied, OSError)

LINUX: Final = sys.platform == "linux"

# prctl(2)
PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36


class Died(NamedTuple):
    """A process that was reaped."""

    pid: int
    code: int  # the exit code; -N: ended by signal N


class System(Protocol):
    """What the loop needs of an operating system. Times are monotonic seconds, sizes bytes."""

    def now(self) -> float: ...

    def chance(self) -> float:
        """Return a random number of [0, 1)."""

    def fork(self, child: Callable[[], int]) -> int:
        """Return the pid of a process that runs `child` and exits with what it returns.

        All signals are blocked when `child` begins.

        Raises:
            OSError: there can be no more processes.
        """

    def kill(self, pid: int, number: int) -> None: ...

    def reap(self) -> list[Died]:
        """Return the children that have ended since the last call."""

    def memory(self, pid: int) -> int | None:
        """Return what a process alone uses (USS), None where that cannot be told."""

    def free_memory(self) -> int | None:
        """Return what may still be used: under the cgroup's limit, or in the machine."""

    def resources(self) -> Resources:
        """Return what there is for workers; the memory as `free_memory`, under a cgroup's limit."""

    def look(self, pid: int) -> Look | None:
        """Return what a process is like now, None where that cannot be told."""

    def counts(self) -> Counts:
        """Return what has happened to the cgroup, such as kills for lack of memory."""

    def set_title(self, title: str) -> None: ...


class Posix:
    """The real one."""

    now = staticmethod(time.monotonic)
    chance = staticmethod(random.random)
    set_title = staticmethod(setproctitle.setproctitle)

    def __init__(self) -> None:
        self._cgroup = Cgroup.of()

    def fork(self, child: Callable[[], int]) -> int:
        # A signal that came between the fork and the child's first steps would be taken for one
        # of the supervisor's, or be lost.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                run_forked(child)
            return pid
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def kill(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def reap(self) -> list[Died]:
        return list(_reaped())

    def memory(self, pid: int) -> int | None:
        try:
            used: int = psutil.Process(pid).memory_full_info().uss
        except UNKNOWN:
            return None
        return used

    def free_memory(self) -> int | None:
        try:
            available: int = psutil.virtual_memory().available
        except UNKNOWN:
            return None
        memory = self._cgroup.memory()
        return available if memory is None else min(available, memory.free)

    def resources(self) -> Resources:
        memory = self._cgroup.memory()
        return Resources(
            processors=len(psutil.Process().cpu_affinity()) if LINUX else psutil.cpu_count() or 1,
            quota=self._cgroup.cpus(),
            memory=None if memory is None else memory.free,
        )

    def look(self, pid: int) -> Look | None:
        return look(pid, throttled=self._cgroup.counts().throttled)

    def counts(self) -> Counts:
        return self._cgroup.counts()


def run_forked(child: Callable[[], int]) -> None:
    """Run a forked process's code, end as an interpreter does, and never return.

    Not by an exception: everything that the supervisor does at its own end is on the stack.
    """
    code = EXIT_CRASHED
    try:
        code = child()
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else EXIT_CRASHED
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons, as multiprocessing does
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _reaped() -> Iterator[Died]:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield Died(pid, os.waitstatus_to_exitcode(status))


def die_with_parent(number: int) -> None:
    """Let this process get a signal when its parent ends; Linux only, elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends; Linux only."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_title(title: str) -> None:
    """Name this process in lists of processes."""
    setproctitle.setproctitle(title)
