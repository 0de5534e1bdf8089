"""Slots of a scoreboard as workers reserve and claim them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.phases import Phase
    from uvicorn_worker.scoreboard.slots import Slot

OURS = os.getpid()


def reserve(board: Scoreboard, generation: int = 1, now: float = 100.0) -> Slot:
    slot = board.reserve(generation, now)
    assert slot is not None
    return slot


def claimed(
    board: Scoreboard, phase: Phase, *, generation: int = 1, pid: int = OURS, beat: float = 0.0
) -> Slot:
    slot = reserve(board, generation)
    slot.claim(pid, 100.0)
    slot.set_phase(phase)
    if beat:
        slot.beat(beat, in_flight=0, connections=0, total=0)
    return slot
