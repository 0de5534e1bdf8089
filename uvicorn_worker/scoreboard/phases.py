"""Where workers are in their lives."""

from __future__ import annotations

import enum


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
