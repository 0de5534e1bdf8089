"""Meters of workers, without workers: what they are told, and by which clock."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from uvicorn_worker.metrics.meter import Meter
from uvicorn_worker.scoreboard.phases import READY

if TYPE_CHECKING:
    from uvicorn_worker.http1.channel import Answered
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.slots import Slot

OURS = os.getpid()
INTERVAL = 0.125


def worker(board: Scoreboard, generation: int = 1) -> Slot:
    slot = board.reserve(generation, time.monotonic())
    assert slot is not None
    slot.claim(OURS, time.monotonic())
    slot.set_phase(READY)
    return slot


def make_meter(room: memoryview, **options: Any) -> Meter:
    """Return a meter for which it is always 0 o'clock."""
    return Meter(room, interval=INTERVAL, clock=lambda: 0.0, **options)


def answer(meter: Meter, method: str, status: int, seconds: float, *, sent: int = 0) -> None:
    """Let a request be answered that has taken so long; the meter is `make_meter`'s."""
    request = SimpleNamespace(method=method)
    meter.answered(
        cast(
            "Answered",
            SimpleNamespace(request=request, status=status, started=-seconds, sent=sent),
        )
    )


def show(meter: Meter, now: float, **values: int) -> None:
    meter.show(now, **{"in_flight": 0, "http": 0, "websockets": 0, "late": 0, **values})
