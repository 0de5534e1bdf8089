"""One leader among the workers of one master: for what is to be done once, not once per worker.

Leading is a lease: whoever has it renews it once a second on its event loop, and loses it when it
goes, dies, or does not renew it for `LEASE` seconds; then the next worker that asks gets it.

**Never two at once.** Whether a worker leads is looked up in memory that all of them share, each
time that it is asked, by the one monotonic clock of the machine. So a worker that was stopped
(SIGSTOP, a suspended machine) and goes on after its lease has run out does not lead any more, from
its first look on. What nobody can promise: that a worker which has looked is not stopped between
the look and what it does then. For that there is `term`, which grows with each change of the
leader: a store that refuses what comes with an older term than the latest is safe.

All changes are made under a lock of the kernel's, which ends with its process. To be looked up,
no lock is needed: of the two fields that are read, the holder is emptied before the end of the
lease changes, and read after it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from typing import Final

LEASE: Final = 5.0  # seconds; a heartbeat is as old when nobody counts on its worker any more

_HOLDER, _TERM, _PREDECESSOR, _UNTIL = range(4)


class Lease:
    """The lease of one master's workers; make it in the master, before the first fork.

    Times are in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 8 * 4)
        self._ints = memoryview(self._map).cast("q")
        self._floats = memoryview(self._map).cast("d")
        self._file = _nameless_file()

    def __del__(self) -> None:
        os.close(self._file)

    @property
    def term(self) -> int:
        """How many leaders there have been."""
        return self._ints[_TERM]

    def wait_for(self, predecessor: int) -> None:
        """Let nobody lead while this process lives: its workers have a leader of their own."""
        self._ints[_PREDECESSOR] = predecessor

    def is_held(self, pid: int, now: float) -> bool:
        """Return whether this worker leads."""
        until = self._floats[_UNTIL]  # first: see the top of this module
        return self._ints[_HOLDER] == pid and now < until

    def renew(self, pid: int, now: float, seconds: float = LEASE) -> bool:
        """Take the lease if nobody has it, or keep it; return whether this worker leads."""
        ints, floats = self._ints, self._floats
        if ints[_HOLDER] not in (0, pid) and now < floats[_UNTIL] and is_alive(ints[_HOLDER]):
            return False  # as nearly always, without the lock
        if not self._may_lead() or not self._lock():
            return False
        try:
            holder = ints[_HOLDER]
            if holder == pid and now < floats[_UNTIL]:
                floats[_UNTIL] = now + seconds
            elif holder and now < floats[_UNTIL] and is_alive(holder):
                return False
            else:
                ints[_HOLDER] = 0
                ints[_TERM] += 1
                floats[_UNTIL] = now + seconds
                ints[_HOLDER] = pid
            return True
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def release(self, pid: int) -> None:
        """Give the lease up, if this worker has it."""
        if self._ints[_HOLDER] == pid and self._lock():
            try:
                if self._ints[_HOLDER] == pid:
                    self._ints[_HOLDER] = 0
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _may_lead(self) -> bool:
        predecessor = self._ints[_PREDECESSOR]
        if predecessor and not is_alive(predecessor):
            # At once: another process may get the number.
            self._ints[_PREDECESSOR] = predecessor = 0
        return not predecessor

    def _lock(self) -> bool:
        """Return whether the lock was free; whoever has it needs microseconds."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def _nameless_file() -> int:
    """Return the descriptor of an empty file: it is shared by forks, locks of it are not."""
    if sys.platform == "linux":
        return os.memfd_create("uvicorn-lease")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def is_alive(pid: int) -> bool:
    """Return whether there is a process with this id (a zombie still counts)."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's, so it is there
    return True
