"""Where each figure stands in the memory: a row of fields of eight bytes, whole numbers or floats.

First what concerns all workers, then a row for each slot, from its `base` on.
"""

from __future__ import annotations

from typing import Final

# Two cache lines for a slot: neighbours do not slow each other.
WIDTH: Final = 16

# Of all.
EVER_READY, FAILURES, LAST_FAILURE, USED, RESERVATIONS = range(5)
DEATHS, FAILED_BOOTS, HEIR = range(6, 9)

# Of a slot.
SERIAL, PHASE, PID, GENERATION, IN_FLIGHT, CONNECTIONS, TOTAL = range(7)
RESERVED_AT, BOOTED_AT, HEARTBEAT = range(7, 10)
LOAD, ACCEPTED = range(10, 12)
BURIED: Final = 12  # the serial of the owner whose death was counted
SEAT: Final = 13
EXPLAINED: Final = 14  # when the worker has said why its loop does not turn


def base(index: int) -> int:
    """Return where the row of the slot with this index begins."""
    return WIDTH * (1 + index)
