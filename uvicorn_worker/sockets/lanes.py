"""Listeners of one address, a queue for each worker: `--reuse-port` under a supervisor.

The kernel spreads connections over all sockets that listen there, and resets what waits in the
queue of one that closes. So none ever closes before the server ends: the supervisor opens a socket
for each seat, every worker has them all, and accepts from its own. From a queue at which nobody
sits (its worker has died, or there are fewer workers now) the others accept until somebody does.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Sequence

# Sockets that are bound to no name are nobody's lanes.
NAMELESS: Final = ("", b"")


class Lanes:
    """Which listeners one worker watches.

    Args:
        sockets: all of them; those of one address are its lanes, in order.
        seat: the worker's, from 1 on. There may be more seats than lanes: they share them.
        taken: returns the seats of the other workers that accept now.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        seat: int,
        taken: Callable[[], Collection[int]],
    ) -> None:
        self._numbered = number_lanes(sockets)
        self._seat = seat
        self._taken = taken

    def watched(self) -> list[socket.socket]:
        """Return the listeners to accept from now."""
        seats = {self._seat, *self._taken()}
        return [
            sock
            for sock, lane, count in self._numbered
            if lane in ((self._seat - 1) % count, *free_lanes(count, seats))
        ]


def number_lanes(sockets: Sequence[socket.socket]) -> list[tuple[socket.socket, int, int]]:
    """Return each socket with its lane, from 0 on, and how many lanes its address has."""
    names: list[Any] = [(sock.family, _name(sock)) for sock in sockets]
    counts, met = Counter(names), Counter[Any]()
    numbered = []
    for sock, name in zip(sockets, names, strict=True):
        numbered.append((sock, met[name], counts[name]))
        met[name] += 1
    return numbered


def free_lanes(count: int, seats: Collection[int]) -> set[int]:
    """Return the lanes, of `count`, that belong to none of these seats."""
    return set(range(count)) - {(seat - 1) % count for seat in seats}


def _name(sock: socket.socket) -> object:
    name = sock.getsockname()
    return id(sock) if name in NAMELESS else name
