"""What hooks are given: a supervisor, and a worker, as far as they are anybody's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging

    from uvicorn_supervisor.config import SupervisorConfig


@dataclass(frozen=True, slots=True)
class SupervisorView:
    """The supervisor; the configuration is the one that it was started with."""

    pid: int
    config: SupervisorConfig
    log: logging.Logger
    predecessor: int = 0  # the supervisor that this one takes over from, in an upgrade; 0: none


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker."""

    number: int  # grows: a higher one was started later
    slot: int  # its seat, as in lists of processes; a successor has its predecessor's
    release: int  # one more at each reload
    pid: int  # 0: not forked yet
