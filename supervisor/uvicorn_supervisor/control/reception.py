"""Which questions a supervisor answers where: the desk's counters and their routes.

The routes of a counter are made by a function of the `Scene`, which is what they may look at.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.control import monitoring
from uvicorn_supervisor.control.commands import Control
from uvicorn_supervisor.control.counters import CONTROL, METRICS, WEB, is_loopback
from uvicorn_supervisor.control.credentials import refused
from uvicorn_supervisor.control.desk import Counter, Desk
from uvicorn_supervisor.control.webpage import web_routes
from uvicorn_worker.sockets.binds import TCP

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from uvicorn_supervisor.control.desk import Routes
    from uvicorn_supervisor.control.scene import Scene
    from uvicorn_supervisor.workers.line import Word

log: Final = logging.getLogger("uvicorn.supervisor")


# By the option that opens the counter; there is more to the other two.
ROUTES: Final[Mapping[str, Callable[[Scene], Routes]]] = {
    METRICS: monitoring.routes,
}


class Reception:
    """The desk, with all that is answered there; the loop waits for it as for its mailbox."""

    def __init__(self, scene: Scene) -> None:
        self.desk = Desk(scene.now)
        self._scene = scene
        self._control = Control(scene)

    @property
    def deadline(self) -> float:
        """When there is something to do, whatever happens; infinity: never."""
        return min(self.desk.deadline, self._control.deadline)

    @property
    def readers(self) -> list[socket.socket]:
        return self.desk.readers

    @property
    def writers(self) -> list[socket.socket]:
        return self.desk.writers

    @property
    def descriptors(self) -> list[int]:
        return self.desk.descriptors

    def open(self, counters: Mapping[str, Sequence[socket.socket]]) -> None:
        """Answer on these sockets, by the option's name; they stay whose they are."""
        for name, sockets in counters.items():
            if name == CONTROL:
                self.desk.open(Counter(sockets, self._control.routes(), _admit))
            elif name == WEB:
                self._open_web(sockets)
            else:
                self.desk.open(Counter(sockets, ROUTES[name](self._scene)))

    def _open_web(self, sockets: Sequence[socket.socket]) -> None:
        addresses = [TCP(*sock.getsockname()[:2]) for sock in sockets]
        where = ", ".join(f"http://{one}" for one in addresses)
        local = all(map(is_loopback, addresses))
        log.info("Figures are shown on %s", where)
        if not local:
            log.warning("Whoever reaches %s sees what the workers do, and is not asked who", where)
        self.desk.open(Counter(sockets, web_routes(self._scene, local=local)))

    def turn(self) -> None:
        """Hear what is asked, as far as that goes without waiting."""
        self.desk.turn()

    def settle(self) -> None:
        """Answer those whose answer has become known."""
        self._control.settle()

    def heard(self, word: Word) -> None:
        """Take note of a worker's report."""
        self._control.heard(word)

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
