"""What a worker gets from its supervisor, over the fork."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uvicorn_supervisor.views import WorkerView

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_supervisor.hooks import Hooks
    from uvicorn_supervisor.views import SupervisorView
    from uvicorn_supervisor.workers.bulletin import Bulletin
    from uvicorn_supervisor.workers.line import Line
    from uvicorn_supervisor.workers.once import Once
    from uvicorn_worker.asgi import Application
    from uvicorn_worker.logs.levels import Levels
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.slots import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What all workers of a release have in common, and what is one worker's own."""

    config: SupervisorConfig
    sockets: Sequence[socket.socket]
    board: Scoreboard
    parent: int  # the supervisor's process
    mailbox: int  # descriptor of the supervisor's mailbox
    life: int  # descriptor that is at its end when the supervisor is gone
    closing: Sequence[int]  # descriptors that are the supervisor's alone
    hooks: Hooks
    supervisor: SupervisorView
    release: int
    bulletin: Bulletin
    line: Line  # to say things in words
    complaint: Once  # why no worker can boot, as long as none ever could
    levels: Levels
    # What is one worker's own.
    slot: Slot | None = None
    seat: int = 0
    requests: int = 0  # after which the worker is due; 0: never
    app: Application | None = None  # where it was loaded before the fork

    def to(
        self,
        slot: Slot,
        seat: int,
        requests: int,
        *,
        app: Application | None = None,
        closed: bool = False,
    ) -> Assignment:
        """Return this for one worker; `closed`: what was to be closed has been."""
        closing = () if closed else self.closing
        return replace(self, slot=slot, seat=seat, requests=requests, app=app, closing=closing)

    def view(self, pid: int) -> WorkerView:
        """Return what hooks are given of the worker."""
        number = 0 if self.slot is None else self.slot.generation
        return WorkerView(number, self.seat, self.release, pid)
