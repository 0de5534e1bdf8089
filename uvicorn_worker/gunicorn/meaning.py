"""What a SIGTERM meant: Gunicorn sends it to stop, at a reload, and to have one worker fewer.

Only decisions: no clock, no signal, no loop. Instants are in seconds of the monotonic clock.
"""

from __future__ import annotations

import enum
from typing import Protocol


class Siblings(Protocol):
    """What a worker knows of the others of its master."""

    def relieved(self, since: float) -> bool:
        """Return whether one that was never told to go has turned its loop since that instant."""

    def expected(self, youngest: int) -> bool:
        """Return whether a younger one, up to that generation, may still relieve this worker."""

    def dismissed(self, generation: int) -> bool:
        """Return whether that one was told to go, or went when it had served."""


class Meaning(enum.Enum):
    """What a SIGTERM meant that came while another worker was booting."""

    UNKNOWN = "not to be told yet"
    RELIEVED = "somebody else serves: a reload, or one worker fewer"
    STOP = "the server stops"
    FAILED = "nobody else serves or is going to: a reload that has failed"


def interpret(siblings: Siblings, since: float, successor: int) -> Meaning:
    """Return what SIGTERM meant that came at `since`, and last while `successor` was booting.

    `successor` is a generation, the youngest that was booting; 0: none was.
    Gunicorn takes the oldest workers away. Where it tells the youngest to go as well, it stops; a
    youngest one that has gone without being told could not boot.
    """
    if not successor or siblings.dismissed(successor):
        return Meaning.STOP
    if siblings.relieved(since):
        return Meaning.RELIEVED
    if siblings.expected(successor):
        return Meaning.UNKNOWN
    return Meaning.FAILED
