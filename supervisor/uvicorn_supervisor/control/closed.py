"""The reception of a supervisor that nobody can ask: there is none of the options for it.

What answers questions takes a good part of the start to load, and most have no use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.limits import NEVER

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence

    from uvicorn_supervisor.workers.line import Word


class Closed:
    """Does nothing; names as of `reception.Reception`."""

    readers: Sequence[socket.socket] = ()
    writers: Sequence[socket.socket] = ()
    descriptors: Sequence[int] = ()
    deadline = NEVER

    def open(self, counters: Mapping[str, Sequence[socket.socket]]) -> None:
        """There are none."""

    def turn(self) -> None:
        """Nobody asks."""

    def settle(self) -> None:
        """Nobody waits."""

    def heard(self, word: Word) -> None:
        """Nobody has asked for it."""

    def leave(self) -> None:
        """Nobody was accepted."""

    def close(self) -> None:
        """Nothing is open."""
