"""The memory that a master and its workers share, and how a slot in it is read.

**Torn reads.** Every field has eight bytes of its own, aligned, and is stored at once: a reader
sees the old value or the new one, never half of each. Two fields may be of different moments. For
a worker's own numbers that is harmless: they are up to a second old anyway, and questions are
asked again at the next beat. A slot that changes hands is different: a new pid must not be taken
for its predecessor's phase. There, the phase is FREE from before the first change to after the
last, every reservation has a number of its own, and a reader that sees number, phase or pid change
while it reads, reads again.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from uvicorn_worker.scoreboard import fields
from uvicorn_worker.scoreboard.phases import FREE, Phase

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.rooms import Rooms

# A slot changes hands in microseconds and then stays with a worker for seconds. One that is never
# seen at rest is in nobody's hands: shown as free.
READ_AGAIN: Final = 8


@dataclass(frozen=True, slots=True)
class SlotView:
    """What stood in a slot at one moment. Fields as `Slot.beat` and `Slot.claim` set them."""

    index: int
    pid: int  # 0: reserved, not claimed yet
    generation: int
    phase: Phase
    in_flight: int
    connections: int
    total: int
    reserved_at: float
    booted_at: float  # 0.0: not claimed yet
    heartbeat: float  # 0.0: has not beaten yet


class Memory:
    """The fields (`ints` and `floats` are the same bytes), and the workers' rooms."""

    __slots__ = ("floats", "ints", "rooms")

    def __init__(self, slots: int, rooms: Rooms) -> None:
        # Anonymous and shared: inherited over fork, gone with the last process. Pages that
        # nobody writes to take no memory.
        shared = mmap.mmap(-1, 8 * fields.base(slots))
        self.ints = memoryview(shared).cast("q")
        self.floats = memoryview(shared).cast("d")
        self.rooms = rooms

    def view(self, index: int) -> SlotView:
        """Return what stands in a slot."""
        ints, floats, base = self.ints, self.floats, fields.base(index)
        identity = slice(base + fields.SERIAL, base + fields.PID + 1)
        for _ in range(READ_AGAIN):
            before = ints[identity].tolist()
            view = SlotView(
                index=index,
                pid=before[fields.PID],
                generation=ints[base + fields.GENERATION],
                phase=Phase(before[fields.PHASE]),
                in_flight=ints[base + fields.IN_FLIGHT],
                connections=ints[base + fields.CONNECTIONS],
                total=ints[base + fields.TOTAL],
                reserved_at=floats[base + fields.RESERVED_AT],
                booted_at=floats[base + fields.BOOTED_AT],
                heartbeat=floats[base + fields.HEARTBEAT],
            )
            if ints[identity].tolist() == before:
                return view
        return replace(view, phase=FREE)
