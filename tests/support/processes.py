"""Finding and ending the processes of one test, also those that have changed their parent.

A test's server works in a folder of its own. That folder, inherited by every fork, tells its
processes apart from all others: parents change (orphans), sessions change (daemons), and
`setproctitle` overwrites the environment that /proc shows.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import psutil

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)
"""What psutil raises when a process ends under its hands; a zombie has ended for our purposes."""

NOBODY = 2**22 + 17
"""A process id that Linux never gives (its largest is 2**22)."""


def alive(pid: int) -> bool:
    """Return whether the process exists and has not ended (a zombie has)."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def children(pid: int) -> set[int]:
    """Return the direct children of a process that have not ended; empty if it is gone."""
    try:
        found = psutil.Process(pid).children()
    except GONE:
        return set()
    return {child.pid for child in found if alive(child.pid)}


def title(pid: int) -> str:
    """Return what `ps` shows for the process, empty if it is gone."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except GONE:
        return ""


def open_files(pid: int) -> int:
    """Return how many descriptors the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def working_in(folder: Path) -> set[int]:
    """Return the processes whose working directory is `folder`."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(*GONE, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.add(process.pid)
    return found


def kill_all_in(folder: Path) -> set[int]:
    """Kill every process that works in `folder`, wait for their end and return who they were."""
    killed = set()
    while left := working_in(folder):  # again: one of them may just have forked
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda pids=left: not any(alive(pid) for pid in pids))  # type: ignore[misc]  # the default binds this turn's processes
        killed |= left
    return killed
