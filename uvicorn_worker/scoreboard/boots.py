"""Boots that failed, for all workers of a master: how long to wait before the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn_worker.scoreboard import fields

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.memory import Memory

# The pause before a worker that could not boot exits, and the master forks the next one.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
# So long after the last failure, the next one is a new story.
FORGIVEN: Final = 4 * LONGEST_PAUSE


class Boots:
    """What is known of them; written by the workers."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @property
    def ever_ready(self) -> bool:
        """Whether any worker of this master has ever been ready."""
        return bool(self._memory.ints[fields.EVER_READY])

    def failed(self, now: float) -> float:
        """Count a worker that could not boot; return the seconds it has to wait before it exits.

        1 s at first, then twice as long each time up to 30 s. Workers that fail while another
        waits fail for the same reason: they wait as long, and count once.
        """
        ints, floats = self._memory.ints, self._memory.floats
        failures, last = ints[fields.FAILURES], floats[fields.LAST_FAILURE]
        if failures and now - last < _pause(failures):
            return _pause(failures)
        if now - last > FORGIVEN:
            failures = 0
        # Two processes may come here at once: they write the same.
        ints[fields.FAILURES] = failures + 1
        floats[fields.LAST_FAILURE] = now
        return _pause(failures + 1)

    @property
    def last_failed(self) -> bool:
        """Whether no worker has become ready since one could not boot."""
        return self._memory.ints[fields.FAILURES] > 0

    def succeeded(self) -> None:
        """Forget failures and remember that workers can be ready."""
        self._memory.ints[fields.EVER_READY] = 1
        self._memory.ints[fields.FAILURES] = 0


def _pause(failures: int) -> float:
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
