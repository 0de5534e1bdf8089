"""What a worker says of itself, in its place on the scoreboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_worker.scoreboard import fields
from uvicorn_worker.scoreboard.boots import Boots
from uvicorn_worker.scoreboard.phases import BOOTING, EXITED, FAILED, FREE, READY, Phase
from uvicorn_worker.scoreboard.rooms import ROOM

if TYPE_CHECKING:
    from uvicorn_worker.scoreboard.memory import Memory, SlotView


class Slot:
    """One worker's place on the scoreboard.

    The master gets it from `Scoreboard.reserve`; its child inherits it and claims it. Only that
    child writes from then on. When the slot has been given to another worker meanwhile, what a
    late predecessor writes is dropped.
    """

    __slots__ = ("_base", "_memory", "_pid", "_serial", "generation", "index")

    def __init__(self, memory: Memory, index: int, generation: int, serial: int) -> None:
        self.index = index
        self.generation = generation
        self._memory = memory
        self._base = fields.base(index)
        self._serial = serial
        self._pid = 0  # of this process, once it has claimed the slot

    def __repr__(self) -> str:
        return f"<Slot {self.snapshot()}>"

    def claim(self, pid: int, now: float) -> None:
        """Say that this process is the worker for which the slot was reserved."""
        self._pid = pid
        if self._is_ours():
            self._memory.floats[self._base + fields.BOOTED_AT] = now
            self._memory.ints[self._base + fields.PID] = pid

    def beat(self, now: float, *, in_flight: int, connections: int, total: int) -> None:
        """Say that the worker's event loop turned at `now`, and what it has to do.

        `in_flight` requests are being answered, `connections` are open, and `total` requests
        have been answered since the worker started.
        """
        if self._is_ours():
            ints, base = self._memory.ints, self._base
            ints[base + fields.IN_FLIGHT] = in_flight
            ints[base + fields.CONNECTIONS] = connections
            ints[base + fields.TOTAL] = total
            self._memory.floats[base + fields.HEARTBEAT] = now

    def show_load(self, load: int, accepted: int) -> None:
        """Say what the worker has to do now, and how many connections it has ever accepted.

        Unlike a beat this is to be true at any moment: siblings go by it when one more waits.
        """
        if self._is_ours():
            ints, base = self._memory.ints, self._base
            ints[base + fields.LOAD] = load
            ints[base + fields.ACCEPTED] = accepted

    def show_seat(self, seat: int) -> None:
        """Say which seat the worker has; its successor has the same one."""
        if self._is_ours():
            self._memory.ints[self._base + fields.SEAT] = seat

    def explain(self, now: float) -> None:
        """Say that the worker has logged why its loop does not turn; from any thread."""
        if self._is_ours():
            self._memory.floats[self._base + fields.EXPLAINED] = now

    def explained(self, since: float) -> bool:
        """Return whether the worker has done so since that instant."""
        return self._memory.floats[self._base + fields.EXPLAINED] > since

    def set_phase(self, phase: Phase) -> None:
        """Say where the worker is in its life; READY after a boot is `Boots.succeeded`.

        A worker that starts to drain says so *before* it asks about its siblings: of two that
        drain at the same moment, one at least then sees that the other is no longer ready.
        """
        if self._is_ours():
            ints, field = self._memory.ints, self._base + fields.PHASE
            booted = phase is READY and ints[field] == BOOTING
            ints[field] = phase
            if booted:
                Boots(self._memory).succeeded()

    def exit(self) -> None:
        """Say that the worker's process ends, and whether that was to be expected.

        The slot is not free at once: siblings want to know what became of a worker they waited
        for, also when it has gone.
        """
        if self._is_ours():
            ints, phase = self._memory.ints, self._base + fields.PHASE
            ints[phase] = FAILED if ints[phase] == BOOTING else EXITED

    @property
    def ticket(self) -> tuple[int, int, int]:
        """What `Scoreboard.slot` wants to find this place in another process of the family."""
        return self.index, self.generation, self._serial

    def room(self) -> memoryview:
        """Return the worker's room, in bytes; call it in the worker, once the slot is claimed.

        Who has lost the slot meanwhile gets a room that nobody reads.
        """
        return self._memory.rooms[self.index] if self._is_ours() else memoryview(bytearray(ROOM))

    def snapshot(self) -> SlotView:
        """Return what stands in the slot now."""
        return self._memory.view(self.index)

    def release(self) -> None:
        """Give the slot back: the worker never came to be, or was reaped by the master."""
        if self._memory.ints[self._base + fields.SERIAL] == self._serial:
            self._memory.ints[self._base + fields.PHASE] = FREE

    def _is_ours(self) -> bool:
        return self._pid != 0 and self._memory.ints[self._base + fields.SERIAL] == self._serial
