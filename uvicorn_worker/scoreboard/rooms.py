"""Rooms in shared memory for what a master's workers count.

A room outlives its worker: whoever gets it next goes on where the one before stopped. So the sum
over all rooms never falls, whoever dies when, and nobody has to save anything for the dead.

The memory may have a descriptor, for the program that takes a master's place. It reads the rooms
of before beside its own (`past`), while the workers of before still count there.
"""

from __future__ import annotations

import mmap
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes of a room; pages that nobody writes to take no memory.
ROOM: Final = 8192

# Indexes of rooms that are nobody's slot.
MASTER: Final = -1
PAST: Final = -2  # what masters before this one have counted; nobody writes there any more

NO_DESCRIPTOR: Final = -1

# In front of the rooms, in fields of eight bytes: what the writer calls its layout; the master's
# process; how many slots have been used.
_MARK, _OWNER, _USED = range(3)


class Rooms:
    """The rooms of one master's workers, by the index of their slots. Made before the first fork.

    Iteration yields all that anybody has had, as bytes: the master's included, and those of `past`.
    """

    def __init__(self, slots: int, *, fd: int = NO_DESCRIPTOR, mark: int = 0) -> None:
        """`fd` is that of the memory, owned from now on; there is none: only forks share it."""
        self.fd = fd
        self.past: list[Rooms] = []
        self._map = mmap.mmap(fd, mmap.PAGESIZE + ROOM * (slots - PAST))
        self._header = memoryview(self._map).cast("q")
        if fd == NO_DESCRIPTOR or not self.owner:
            self._header[_MARK], self._header[_OWNER] = mark, os.getpid()

    @classmethod
    def passable(cls, slots: int, mark: int) -> Rooms:
        """Return rooms that another program can read, if it has this mark; on Linux only."""
        if sys.platform != "linux":
            return cls(slots)
        fd = os.memfd_create("uvicorn-rooms")
        os.ftruncate(fd, mmap.PAGESIZE + ROOM * (slots - PAST))
        return cls(slots, fd=fd, mark=mark)

    @classmethod
    def received(cls, fd: int, mark: int) -> Rooms | None:
        """Return the rooms that another program has passed; None: they are not to be understood.

        Raises:
            OSError: there is no such memory.
        """
        slots = (os.fstat(fd).st_size - mmap.PAGESIZE) // ROOM + PAST
        if slots <= 0:
            return None
        os.set_inheritable(fd, False)
        rooms = cls(slots, fd=fd)
        return rooms if rooms._header[_MARK] == mark else None

    @property
    def owner(self) -> int:
        """The process id of the master."""
        return self._header[_OWNER]

    def open(self, index: int) -> None:
        """Note that a worker gets this room; called in the master only."""
        self._header[_USED] = max(self._header[_USED], index + 1)

    def __getitem__(self, index: int) -> memoryview:
        start = mmap.PAGESIZE + ROOM * (index - PAST)
        return memoryview(self._map)[start : start + ROOM]

    def __iter__(self) -> Iterator[memoryview]:
        for index in range(PAST, self._header[_USED]):
            yield self[index]
        for rooms in self.past:
            yield from rooms

    def __del__(self) -> None:
        if self.fd != NO_DESCRIPTOR:
            os.close(self.fd)
