"""What the workers of one master know of one another: a small memory map that they share.

The master makes the map before its first fork and reserves a slot for each worker it is about to
fork; from then on the worker alone writes there. So there are no locks, files or messages, and a
worker that dies at any point leaves nothing behind that others wait for.

Beside its slot each worker has a room for what others may want to read: see `rooms`.

Times are in seconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from uvicorn_worker.lease import Lease, is_alive
from uvicorn_worker.scoreboard import fields
from uvicorn_worker.scoreboard.boots import Boots
from uvicorn_worker.scoreboard.memory import Memory
from uvicorn_worker.scoreboard.phases import BOOTING, DRAINING, EXITED, FAILED, FREE, KEPT, READY
from uvicorn_worker.scoreboard.rooms import Rooms
from uvicorn_worker.scoreboard.slots import Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from uvicorn_worker.scoreboard.memory import SlotView
    from uvicorn_worker.scoreboard.phases import Phase

# A worker beats once a second: five missed beats are a worker that accepts nobody just now.
FRESH: Final = 5.0
# From the reservation to the claim lie a fork and some lines of Python.
RESERVED: Final = 10.0

SLOTS: Final = 1024  # more than anybody has workers

# What a worker has said does not outlive it.
CLEARED: Final = (
    fields.PID, fields.IN_FLIGHT, fields.CONNECTIONS, fields.TOTAL, fields.LOAD, fields.ACCEPTED,
    fields.SEAT, fields.BOOTED_AT, fields.HEARTBEAT, fields.EXPLAINED,
)  # fmt: skip


class Scoreboard:
    """The slots of the workers of one master. Make it in the master, before the first fork.

    Args:
        slots: how many workers can be known at the same time: those that serve, boot and drain.
        rooms: as many; by default new ones.
    """

    def __init__(self, slots: int = SLOTS, rooms: Rooms | None = None) -> None:
        self.rooms = rooms or Rooms(slots)
        self._memory = memory = Memory(slots, self.rooms)
        self._ints, self._floats = memory.ints, memory.floats
        self.boots = Boots(memory)
        self._slots = slots
        self.lease = Lease()

    # -- slots

    def reserve(self, generation: int, now: float) -> Slot | None:
        """Return a slot for a worker that is about to be forked; None when all are taken.

        Called in the master only. Slots of workers that are gone are used again. `generation`
        grows: a worker with a higher one was started later.
        """
        self._count_dead()
        index = self._find_free(now)
        if index is None:
            return None
        ints, floats, base = self._ints, self._floats, fields.base(index)
        serial = ints[fields.RESERVATIONS] + 1
        ints[base + fields.PHASE] = FREE  # first: see "Torn reads" in `memory`
        ints[base + fields.SERIAL] = ints[fields.RESERVATIONS] = serial
        ints[base + fields.GENERATION] = generation
        floats[base + fields.RESERVED_AT] = now
        for field in CLEARED:
            ints[base + field] = 0  # the same bytes as 0.0
        ints[fields.USED] = max(ints[fields.USED], index + 1)
        self.rooms.open(index)
        ints[base + fields.PHASE] = BOOTING
        return Slot(self._memory, index, generation, serial)

    def slot(self, ticket: tuple[int, int, int]) -> Slot:
        """Return the slot with this ticket, to be claimed by a process that did not inherit it."""
        index, generation, serial = ticket
        return Slot(self._memory, index, generation, serial)

    def views(self) -> list[SlotView]:
        """Return what stands in every slot that is not free."""
        views = (self._memory.view(index) for index in range(self._ints[fields.USED]))
        return [view for view in views if view.phase is not FREE]

    def find(self, generation: int) -> SlotView | None:
        """Return the slot of a worker, also of one that has ended, until somebody else has it."""
        return next((view for view in self.views() if view.generation == generation), None)

    def ready(self, now: float) -> int:
        """Return how many workers accept connections, as `ready_siblings` does for the others."""
        return sum(
            view.phase in (READY, KEPT)
            and (view.heartbeat == 0.0 or now - view.heartbeat <= FRESH)
            and is_alive(view.pid)
            for view in self.views()
        )

    def siblings(
        self, except_slot: Slot, *phases: Phase, now: float | None = None
    ) -> list[SlotView]:
        """Return the other workers in these phases that exist, or are about to.

        They have a process (a zombie still counts), or were reserved in the last `RESERVED`
        seconds.
        """
        now = time.monotonic() if now is None else now
        return [
            view
            for view in self._in_phases(phases, except_slot)
            if (is_alive(view.pid) if view.pid else now - view.reserved_at <= RESERVED)
        ]

    def ready_siblings(self, except_slot: Slot, now: float | None = None) -> int:
        """Return how many other workers accept connections now.

        Such a worker is ready and alive, and has beaten in the last `FRESH` seconds unless it
        has not beaten at all.
        """
        return len(self.accepting(except_slot, now))

    def accepting(self, except_slot: Slot, now: float | None = None) -> list[int]:
        """Return who those of `ready_siblings` are: the numbers of their slots."""
        now = time.monotonic() if now is None else now
        return [
            view.index
            for view in self.siblings(except_slot, READY, KEPT, now=now)
            if view.heartbeat == 0.0 or now - view.heartbeat <= FRESH
        ]

    def seat(self, index: int) -> int:
        """Return the seat of the worker in a slot, 0 where it has said none."""
        return self._ints[fields.base(index) + fields.SEAT]

    def load(self, index: int) -> tuple[int, int]:
        """Return what the worker in a slot has said last by `Slot.show_load`."""
        ints, base = self._ints, fields.base(index)
        return ints[base + fields.LOAD], ints[base + fields.ACCEPTED]

    def has_company(self, except_slot: Slot, now: float | None = None) -> bool:
        """Return whether there are other workers, or were until a moment ago.

        Whoever has beaten in the last `FRESH` seconds and is gone may be about to be replaced:
        between the end of a worker and the reservation for the next one nobody knows of either.
        """
        now = time.monotonic() if now is None else now
        gone = self._in_phases((EXITED,), except_slot)
        return bool(
            any(now - view.heartbeat <= FRESH for view in gone)
            or self.siblings(except_slot, BOOTING, READY, DRAINING, KEPT, now=now)
        )

    def successors(
        self, except_slot: Slot, *phases: Phase, now: float | None = None
    ) -> list[SlotView]:
        """Return those of `siblings` that are of a later generation."""
        views = self.siblings(except_slot, *phases, now=now)
        return [view for view in views if view.generation > except_slot.generation]

    # -- ends

    @property
    def deaths(self) -> int:
        """How many workers have ended without a word that they would, as far as `reserve` saw.

        Slots that were released are not looked at: whoever reaps workers knows more.
        """
        return self._ints[fields.DEATHS]

    @property
    def failed_boots(self) -> int:
        """As `deaths`, of those that had never been ready."""
        return self._ints[fields.FAILED_BOOTS]

    def _count_dead(self) -> None:
        """Count workers whose processes have gone; called in the master only, so nobody is twice.

        Their slots stay as they are: siblings may want to know what became of them.
        """
        ints = self._ints
        for index in range(ints[fields.USED]):
            base = fields.base(index)
            phase, pid, serial = (
                ints[base + fields.PHASE],
                ints[base + fields.PID],
                ints[base + fields.SERIAL],
            )
            if phase in (FREE, EXITED) or not pid or ints[base + fields.BURIED] == serial:
                continue
            if not is_alive(pid):
                ints[base + fields.BURIED] = serial
                ints[fields.FAILED_BOOTS if phase in (BOOTING, FAILED) else fields.DEATHS] += 1

    # -- the next master

    @property
    def heir(self) -> int:
        """The process that is to take this master's place, while it lives; 0: there is none."""
        pid = self._ints[fields.HEIR]
        return pid if is_alive(pid) else 0

    @heir.setter
    def heir(self, pid: int) -> None:
        self._ints[fields.HEIR] = pid

    # -- inside

    def _in_phases(self, phases: tuple[Phase, ...], except_slot: Slot) -> Iterator[SlotView]:
        ints = self._ints
        for index in range(ints[fields.USED]):
            if index != except_slot.index and ints[fields.base(index) + fields.PHASE] in phases:
                view = self._memory.view(index)
                if view.phase in phases:
                    yield view

    def _find_free(self, now: float) -> int | None:
        """Return the first slot that nobody has, else the oldest reservation without a worker."""
        ints, floats, used = self._ints, self._floats, self._ints[fields.USED]
        unclaimed = []
        for index in range(used):
            base = fields.base(index)
            if ints[base + fields.PHASE] in (FREE, EXITED):
                return index
            pid = ints[base + fields.PID]
            if pid == 0:
                unclaimed.append((floats[base + fields.RESERVED_AT], index))
            elif not is_alive(pid):
                return index
        if used < self._slots:
            return used
        if unclaimed:
            reserved_at, index = min(unclaimed)
            if now - reserved_at > RESERVED:
                return index
        return None
