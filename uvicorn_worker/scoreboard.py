"""What the workers of one master know of one another: a small memory map that they share.

The master makes the map before its first fork and reserves a slot for each worker it is about to
fork; from then on the worker alone writes there. So there are no locks, files or messages, and a
worker that dies at any point leaves nothing behind that others wait for.

**Torn reads.** Every field has eight bytes of its own, aligned, and is stored at once: a reader
sees the old value or the new one, never half of each. Two fields may be of different moments. For
a worker's own numbers that is harmless: they are up to a second old anyway, and questions are
asked again at the next beat. A slot that changes hands is different: a new pid must not be taken
for its predecessor's phase. There, the phase is FREE from before the first change to after the
last, every reservation has a number of its own, and a reader that sees number, phase or pid change
while it reads, reads again.

Beside its slot each worker has a room for what others may want to read: see `rooms`.

Times are in seconds of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import enum
import mmap
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from uvicorn_worker.lease import Lease, is_alive
from uvicorn_worker.rooms import ROOM, Rooms

if TYPE_CHECKING:
    from collections.abc import Iterator


class Phase(enum.IntEnum):
    """Where a worker is in its life."""

    FREE = 0  # nobody's slot: what a new map is filled with
    BOOTING = 1  # reserved by the master, or claimed and not serving yet
    READY = 2
    DRAINING = 3  # told to go, or goes of its own accord
    EXITED = 4  # at its end: the slot may be given to another worker
    FAILED = 5  # at its end, although it was neither ready nor told to go
    KEPT = 6  # was told to go and serves on: those who were to take over could not boot


FREE, BOOTING, READY, DRAINING, EXITED, FAILED, KEPT = Phase

# A worker beats once a second: five missed beats are a worker that accepts nobody just now.
FRESH: Final = 5.0
# From the reservation to the claim lie a fork and some lines of Python.
RESERVED: Final = 10.0

# The pause before a worker that could not boot exits, and the master forks the next one.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
# So long after the last failure, the next one is a new story.
FORGIVEN: Final = 4 * LONGEST_PAUSE

# Layout, in fields of eight bytes. Two cache lines for a slot: neighbours do not slow each other.
_WIDTH: Final = 16
_EVER_READY, _FAILURES, _LAST_FAILURE, _USED, _RESERVATIONS = range(5)
_DEATHS, _FAILED_BOOTS, _HEIR = range(6, 9)
_SERIAL, _PHASE, _PID, _GENERATION, _IN_FLIGHT, _CONNECTIONS, _TOTAL = range(7)
_RESERVED_AT, _BOOTED_AT, _HEARTBEAT = range(7, 10)
_LOAD, _ACCEPTED = range(10, 12)

_SEAT: Final = 13
_EXPLAINED: Final = 14  # when the worker has said why its loop does not turn
_BURIED: Final = 12  # the serial of the owner whose death was counted

SLOTS: Final = 1024  # more than anybody has workers

# A slot changes hands in microseconds and then stays with a worker for seconds. One that is never
# seen at rest is in nobody's hands: shown as free.
_READ_AGAIN: Final = 8


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


class Slot:
    """One worker's place on the scoreboard.

    The master gets it from `Scoreboard.reserve`; its child inherits it and claims it. Only that
    child writes from then on. When the slot has been given to another worker meanwhile, what a
    late predecessor writes is dropped.
    """

    __slots__ = ("_base", "_board", "_pid", "_serial", "generation", "index")

    def __init__(self, board: Scoreboard, index: int, generation: int, serial: int) -> None:
        self.index = index
        self.generation = generation
        self._board = board
        self._base = _WIDTH * (1 + index)
        self._serial = serial
        self._pid = 0  # of this process, once it has claimed the slot

    def __repr__(self) -> str:
        return f"<Slot {self.snapshot()}>"

    def claim(self, pid: int, now: float) -> None:
        """Say that this process is the worker for which the slot was reserved."""
        self._pid = pid
        if self._is_ours():
            self._board._floats[self._base + _BOOTED_AT] = now
            self._board._ints[self._base + _PID] = pid

    def beat(self, now: float, *, in_flight: int, connections: int, total: int) -> None:
        """Say that the worker's event loop turned at `now`, and what it has to do.

        `in_flight` requests are being answered, `connections` are open, and `total` requests
        have been answered since the worker started.
        """
        if self._is_ours():
            ints, base = self._board._ints, self._base
            ints[base + _IN_FLIGHT] = in_flight
            ints[base + _CONNECTIONS] = connections
            ints[base + _TOTAL] = total
            self._board._floats[base + _HEARTBEAT] = now

    def show_load(self, load: int, accepted: int) -> None:
        """Say what the worker has to do now, and how many connections it has ever accepted.

        Unlike a beat this is to be true at any moment: siblings go by it when one more waits.
        """
        if self._is_ours():
            ints, base = self._board._ints, self._base
            ints[base + _LOAD] = load
            ints[base + _ACCEPTED] = accepted

    def show_seat(self, seat: int) -> None:
        """Say which seat the worker has; its successor has the same one."""
        if self._is_ours():
            self._board._ints[self._base + _SEAT] = seat

    def explain(self, now: float) -> None:
        """Say that the worker has logged why its loop does not turn; from any thread."""
        if self._is_ours():
            self._board._floats[self._base + _EXPLAINED] = now

    def explained(self, since: float) -> bool:
        """Return whether the worker has done so since that instant."""
        return self._board._floats[self._base + _EXPLAINED] > since

    def set_phase(self, phase: Phase) -> None:
        """Say where the worker is in its life; READY after a boot is `Scoreboard.boot_succeeded`.

        A worker that starts to drain says so *before* it asks about its siblings: of two that
        drain at the same moment, one at least then sees that the other is no longer ready.
        """
        if self._is_ours():
            ints, field = self._board._ints, self._base + _PHASE
            booted = phase is READY and ints[field] == BOOTING
            ints[field] = phase
            if booted:
                self._board.boot_succeeded()

    def exit(self) -> None:
        """Say that the worker's process ends, and whether that was to be expected.

        The slot is not free at once: siblings want to know what became of a worker they waited
        for, also when it has gone.
        """
        if self._is_ours():
            ints, phase = self._board._ints, self._base + _PHASE
            ints[phase] = FAILED if ints[phase] == BOOTING else EXITED

    @property
    def ticket(self) -> tuple[int, int, int]:
        """What `Scoreboard.slot` wants to find this place in another process of the family."""
        return self.index, self.generation, self._serial

    def room(self) -> memoryview:
        """Return the worker's room, in bytes; call it in the worker, once the slot is claimed.

        Who has lost the slot meanwhile gets a room that nobody reads.
        """
        return self._board.rooms[self.index] if self._is_ours() else memoryview(bytearray(ROOM))

    def snapshot(self) -> SlotView:
        """Return what stands in the slot now."""
        return self._board._view(self.index)

    def release(self) -> None:
        """Give the slot back: the worker never came to be, or was reaped by the master."""
        if self._board._ints[self._base + _SERIAL] == self._serial:
            self._board._ints[self._base + _PHASE] = FREE

    def _is_ours(self) -> bool:
        return self._pid != 0 and self._board._ints[self._base + _SERIAL] == self._serial


class Scoreboard:
    """The slots of the workers of one master. Make it in the master, before the first fork.

    Args:
        slots: how many workers can be known at the same time: those that serve, boot and drain.
        rooms: as many; by default new ones.
    """

    def __init__(self, slots: int = SLOTS, rooms: Rooms | None = None) -> None:
        # Anonymous and shared: inherited over fork, gone with the last process. Pages that
        # nobody writes to take no memory.
        self.rooms = rooms or Rooms(slots)
        self._map = mmap.mmap(-1, 8 * _WIDTH * (1 + slots))
        self._ints = memoryview(self._map).cast("q")
        self._floats = memoryview(self._map).cast("d")
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
        ints, floats, base = self._ints, self._floats, _WIDTH * (1 + index)
        serial = ints[_RESERVATIONS] + 1
        ints[base + _PHASE] = FREE  # first: see "Torn reads"
        ints[base + _SERIAL] = ints[_RESERVATIONS] = serial
        ints[base + _PID] = 0
        ints[base + _GENERATION] = generation
        ints[base + _IN_FLIGHT] = ints[base + _CONNECTIONS] = ints[base + _TOTAL] = 0
        ints[base + _LOAD] = ints[base + _ACCEPTED] = ints[base + _SEAT] = 0
        floats[base + _RESERVED_AT] = now
        floats[base + _BOOTED_AT] = floats[base + _HEARTBEAT] = floats[base + _EXPLAINED] = 0.0
        ints[_USED] = max(ints[_USED], index + 1)
        self.rooms.open(index)
        ints[base + _PHASE] = BOOTING
        return Slot(self, index, generation, serial)

    def slot(self, ticket: tuple[int, int, int]) -> Slot:
        """Return the slot with this ticket, to be claimed by a process that did not inherit it."""
        index, generation, serial = ticket
        return Slot(self, index, generation, serial)

    def views(self) -> list[SlotView]:
        """Return what stands in every slot that is not free."""
        views = (self._view(index) for index in range(self._ints[_USED]))
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
        return self._ints[_WIDTH * (1 + index) + _SEAT]

    def load(self, index: int) -> tuple[int, int]:
        """Return what the worker in a slot has said last by `Slot.show_load`."""
        ints, base = self._ints, _WIDTH * (1 + index)
        return ints[base + _LOAD], ints[base + _ACCEPTED]

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
        return self._ints[_DEATHS]

    @property
    def failed_boots(self) -> int:
        """As `deaths`, of those that had never been ready."""
        return self._ints[_FAILED_BOOTS]

    def _count_dead(self) -> None:
        """Count workers whose processes have gone; called in the master only, so nobody is twice.

        Their slots stay as they are: siblings may want to know what became of them.
        """
        ints = self._ints
        for index in range(ints[_USED]):
            base = _WIDTH * (1 + index)
            phase, pid, serial = ints[base + _PHASE], ints[base + _PID], ints[base + _SERIAL]
            if phase in (FREE, EXITED) or not pid or ints[base + _BURIED] == serial:
                continue
            if not is_alive(pid):
                ints[base + _BURIED] = serial
                ints[_FAILED_BOOTS if phase in (BOOTING, FAILED) else _DEATHS] += 1

    # -- the next master

    @property
    def heir(self) -> int:
        """The process that is to take this master's place, while it lives; 0: there is none."""
        pid = self._ints[_HEIR]
        return pid if is_alive(pid) else 0

    @heir.setter
    def heir(self, pid: int) -> None:
        self._ints[_HEIR] = pid

    # -- boots

    @property
    def ever_ready(self) -> bool:
        """Whether any worker of this master has ever been ready."""
        return bool(self._ints[_EVER_READY])

    def boot_failed(self, now: float) -> float:
        """Count a worker that could not boot; return the seconds it has to wait before it exits.

        1 s at first, then twice as long each time up to 30 s. Workers that fail while another
        waits fail for the same reason: they wait as long, and count once.
        """
        ints, floats = self._ints, self._floats
        failures, last = ints[_FAILURES], floats[_LAST_FAILURE]
        if failures and now - last < _pause(failures):
            return _pause(failures)
        if now - last > FORGIVEN:
            failures = 0
        # Two processes may come here at once: they write the same.
        ints[_FAILURES] = failures + 1
        floats[_LAST_FAILURE] = now
        return _pause(failures + 1)

    @property
    def last_boot_failed(self) -> bool:
        """Whether no worker has become ready since one could not boot."""
        return self._ints[_FAILURES] > 0

    def boot_succeeded(self) -> None:
        """Forget failures and remember that workers can be ready."""
        self._ints[_EVER_READY] = 1
        self._ints[_FAILURES] = 0

    # -- inside

    def _view(self, index: int) -> SlotView:
        ints, floats, base = self._ints, self._floats, _WIDTH * (1 + index)
        identity = slice(base + _SERIAL, base + _PID + 1)
        for _ in range(_READ_AGAIN):
            before = ints[identity].tolist()
            view = SlotView(
                index=index,
                pid=before[_PID],
                generation=ints[base + _GENERATION],
                phase=Phase(before[_PHASE]),
                in_flight=ints[base + _IN_FLIGHT],
                connections=ints[base + _CONNECTIONS],
                total=ints[base + _TOTAL],
                reserved_at=floats[base + _RESERVED_AT],
                booted_at=floats[base + _BOOTED_AT],
                heartbeat=floats[base + _HEARTBEAT],
            )
            if ints[identity].tolist() == before:
                return view
        return replace(view, phase=FREE)

    def _in_phases(self, phases: tuple[Phase, ...], except_slot: Slot) -> Iterator[SlotView]:
        ints = self._ints
        for index in range(ints[_USED]):
            if index != except_slot.index and ints[_WIDTH * (1 + index) + _PHASE] in phases:
                view = self._view(index)
                if view.phase in phases:
                    yield view

    def _find_free(self, now: float) -> int | None:
        """Return the first slot that nobody has, else the oldest reservation without a worker."""
        ints, floats, used = self._ints, self._floats, self._ints[_USED]
        unclaimed = []
        for index in range(used):
            base = _WIDTH * (1 + index)
            if ints[base + _PHASE] in (FREE, EXITED):
                return index
            pid = ints[base + _PID]
            if pid == 0:
                unclaimed.append((floats[base + _RESERVED_AT], index))
            elif not is_alive(pid):
                return index
        if used < self._slots:
            return used
        if unclaimed:
            reserved_at, index = min(unclaimed)
            if now - reserved_at > RESERVED:
                return index
        return None


class Neighbours:
    """What one worker sees of the others that accept with it, and shows them of itself."""

    def __init__(self, board: Scoreboard, slot: Slot) -> None:
        self._board = board
        self._slot = slot
        self.load = board.load
        self.show = slot.show_load

    def accepting(self) -> list[int]:
        return self._board.accepting(self._slot)

    def seats(self) -> set[int]:
        """Return the seats of those that accept."""
        return {self._board.seat(index) for index in self.accepting()}


def _pause(failures: int) -> float:
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 30))
