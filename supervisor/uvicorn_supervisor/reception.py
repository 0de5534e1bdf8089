"""Which questions a supervisor answers where: the desk's counters and their routes.

The routes of a counter are made by a function of the `Scene`, which is what they may look at. A
route of the control socket gives orders as everybody does: it lets the pool `take` an event.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.counters import CONTROL, METRICS, WEB
from uvicorn_supervisor.credentials import refused
from uvicorn_supervisor.desk import Counter, Desk

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from uvicorn_supervisor.desk import Routes
    from uvicorn_supervisor.messages import Event
    from uvicorn_supervisor.pool import Pool
    from uvicorn_worker.scoreboard import Scoreboard

log: Final = logging.getLogger("uvicorn.supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is there to answer from. Only `take` changes anything."""

    pool: Pool
    board: Scoreboard
    now: Callable[[], float]  # monotonic seconds
    take: Callable[[Event], None]


def _no_routes(scene: Scene) -> Routes:
    return {}


# By the option that opens the counter.
ROUTES: Final[Mapping[str, Callable[[Scene], Routes]]] = {
    CONTROL: _no_routes,
    METRICS: _no_routes,
    WEB: _no_routes,
}


class Reception:
    """The desk, with all that is answered there; the loop waits for it as for its mailbox."""

    def __init__(self, scene: Scene) -> None:
        self.desk = Desk(scene.now)
        self._scene = scene

    def open(self, counters: Mapping[str, Sequence[socket.socket]]) -> None:
        """Answer on these sockets, by the option's name; they stay whose they are."""
        for name, sockets in counters.items():
            admit = _admit if name == CONTROL else None
            self.desk.open(Counter(sockets, ROUTES[name](self._scene), admit))

    def turn(self) -> None:
        """Answer what can be answered without waiting."""
        self.desk.turn()

    def leave(self) -> None:
        """Accept nobody any more: somebody else does on the same sockets."""
        self.desk.leave()

    def close(self) -> None:
        self.desk.close()


def _admit(sock: socket.socket) -> str | None:
    why = refused(sock)
    if why is not None:
        log.warning("Control: %s", why)
    return why
