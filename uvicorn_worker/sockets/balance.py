"""Which of the workers that share a listener leaves the next connection to the others.

The kernel wakes them all, or the one that went to sleep last, and knows nothing of their work. A
worker that has more to do than its share pauses for a moment, and whoever has less is faster.

**Nobody waits for long.** A pause is so short that nobody minds. Where two were in vain, as no
other worker has accepted anything meanwhile, the connection is taken by whoever paused, and those
it had counted on do not count for a while: they compute, are stopped, or are full.

**Connections that come and go need no care.** How many of them a worker has at one moment is
chance, and pauses would only cost time. So the more of them have just come and gone, the more above
its share a worker has to be.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Some times what a loop that waits needs to wake up and accept; both loops' timers count in
# milliseconds.
PAUSE: Final = 0.002  # seconds
PATIENCE: Final = 2  # pauses in vain; a processor that others use, too, wakes nobody at once
# Who others are is looked up so often: it takes a system call for each of them.
LOOK: Final = 0.25  # seconds
# So long those that were waited for in vain do not count, unless they accept.
DISTRUST: Final = 0.1  # seconds

# Seconds in which those are counted that come and go: some ten times a connection's life that is
# opened for one request.
CHURN: Final = 0.05

# What a worker may have above the mean. Where connections stay, a half and a 64th part: of four
# workers with 50 each the busiest has 52 then, and the least busy not less than 44. As much more as
# come and go in that time, but never beyond 8 and a half of the mean.
LEAST: Final = 0.5, 1 / 64
MOST: Final = 8.0, 1 / 2


class Board(Protocol):
    """What is asked of the scoreboard; siblings are known by numbers."""

    def accepting(self) -> Sequence[int]:
        """Return the other workers that accept on the same listeners."""

    def load(self, sibling: int) -> tuple[int, int]:
        """Return what a sibling has to do, and how many connections it has ever accepted."""

    def show(self, load: int, accepted: int) -> None:
        """Say the same of this worker."""


class Balance:
    """One worker's: tells what it does, and asks when to pause.

    A load is the number of open connections and of calls of the application that run: a busy
    connection counts twice.
    """

    def __init__(self, board: Board, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._load = self._accepted = 0
        self._siblings: Sequence[int] = ()
        self._looked = -LOOK
        self._ended = self._came = 0  # since the last look
        self._churn = 0.0  # how many come and go in `CHURN` seconds
        # What others had accepted when this worker began to pause, of those that have less to do.
        self._left_to: dict[int, int] = {}
        self._vain = 0  # pauses since any of them has accepted
        # Those that were waited for in vain: what they had accepted, and until when it counts.
        self._distrusted: dict[int, tuple[int, float]] = {}

    def accepted(self, load: int) -> None:
        """Note that this worker has taken a connection; `load` is what it has to do now."""
        self._accepted += 1
        self._came += 1
        self._load = load
        self._board.show(load, self._accepted)

    def changed(self, load: int) -> None:
        """Note what this worker has to do now."""
        if load != self._load:
            self._ended += max(0, self._load - load)
            self._load = load
            self._board.show(load, self._accepted)

    def pause(self, load: int) -> float:
        """Return for how many seconds a connection is to be left to others; 0: take it now."""
        now = self._clock()
        if now - self._looked >= LOOK:
            self._look(now)
        if not self._siblings:
            return 0.0
        loads = {one: self._board.load(one) for one in self._siblings}
        self._learn(loads, now)
        trusted = [
            one
            for one, (_, accepted) in loads.items()
            if not self._is_distrusted(one, accepted, now)
        ]
        if not is_above_share(load, [loads[one][0] for one in trusted], self._churn):
            return 0.0
        self._left_to = {one: loads[one][1] for one in trusted if loads[one][0] < load}
        return PAUSE

    def _look(self, now: float) -> None:
        self._siblings = self._board.accepting()
        # Not those that only end: who has lost many is to get as many again.
        self._churn = min(self._ended, self._came) * CHURN / (now - self._looked)
        self._looked, self._ended, self._came = now, 0, 0

    def _learn(self, loads: dict[int, tuple[int, int]], now: float) -> None:
        """Distrust those to whom connections were left, where none of them has taken any."""
        left_to, self._left_to = self._left_to, {}
        in_vain = left_to and all(
            one in loads and loads[one][1] == accepted for one, accepted in left_to.items()
        )
        self._vain = self._vain + 1 if in_vain else 0
        if self._vain >= PATIENCE:
            self._vain = 0
            for one, accepted in left_to.items():
                self._distrusted[one] = accepted, now + DISTRUST

    def _is_distrusted(self, sibling: int, accepted: int, now: float) -> bool:
        if sibling not in self._distrusted:
            return False
        then, until = self._distrusted[sibling]
        if accepted == then and now < until:
            return True
        del self._distrusted[sibling]
        return False


def is_above_share(load: int, others: Sequence[int], churn: float = 0.0) -> bool:
    """Return whether a worker has more to do than its part of what all of them have.

    `churn` is how many connections come and go in `CHURN` seconds.
    """
    if not others:
        return False
    mean = (load + sum(others)) / (1 + len(others))
    (least, part), (most, half) = LEAST, MOST
    return load > mean + min(least + part * mean + churn, most + half * mean)
