"""Counters that outlive a master: what the one before has counted goes into its successor's sums.

The successor reads the rooms of before as long as somebody counts there, and puts their sums into a
room of its own before it is succeeded itself. A program whose rooms have another layout begins with
zero; Prometheus knows what that means.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final
from zlib import crc32

from uvicorn_worker.lease import is_alive
from uvicorn_worker.metrics import layout
from uvicorn_worker.scoreboard.board import SLOTS
from uvicorn_worker.scoreboard.rooms import NO_DESCRIPTOR, PAST, ROOM, Rooms

if TYPE_CHECKING:
    from collections.abc import Iterable

# Whoever has another one has other fields.
MARK: Final = crc32(
    repr((
        ROOM, layout.END, layout.METHODS, layout.STATUSES, layout.DURATIONS, layout.LAGS,
        layout.REASONS,
    )).encode()
)  # fmt: skip


def make_rooms() -> Rooms:
    """Return rooms for a scoreboard, which can be bequeathed where the system allows it."""
    return Rooms.passable(SLOTS, MARK)


def inherit(rooms: Rooms, descriptors: Iterable[int]) -> None:
    """Let `rooms` go on from what was counted in others, which have been passed to this process."""
    for fd in descriptors:
        try:
            past = Rooms.received(fd, MARK)
        except OSError:  # counters are not worth an upgrade
            continue
        if past is not None:
            rooms.past.append(past)


def bequeath(rooms: Rooms) -> list[int]:
    """Return the descriptors that a successor has to `inherit`; empty: it begins with zero."""
    ended = [one for one in rooms.past if not is_alive(one.owner)]
    rooms.past = [one for one in rooms.past if one not in ended]
    _add(rooms[PAST], [room for one in ended for room in one])
    return [one.fd for one in (rooms, *rooms.past) if one.fd != NO_DESCRIPTOR]


def _add(room: memoryview, others: list[memoryview]) -> None:
    """Add what others have counted to a room."""
    if not others:
        return
    ints, floats = room.cast("q"), room.cast("d")
    for field in layout.INTS:
        ints[field] += sum(one.cast("q")[field] for one in others)
    for field in layout.FLOATS:
        exact = math.fsum((floats[field], *(one.cast("d")[field] for one in others)))
        # Rounded up: no sum of which this is a part falls by its last bit.
        floats[field] = math.nextafter(exact, math.inf) if exact else 0.0
