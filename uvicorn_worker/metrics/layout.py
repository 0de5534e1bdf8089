"""Where each figure stands in a worker's room on the scoreboard. Pure.

A room is a row of fields of eight bytes: whole numbers, or floats for seconds. Answered requests
are counted in cells: one for each method, class of status and bucket of the duration, so that one
store tells all three.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

# Peers choose methods, so most of them share a name.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")

# aborted: the client left, or the connection was cut, before the response was complete.
STATUSES: Final = ("2xx", "3xx", "4xx", "5xx", "other", "aborted")

# Upper bounds of buckets, in seconds; beyond the last there is one more.
DURATIONS: Final = (
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
LAGS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Why workers are replaced, as far as anybody can tell.
REASONS: Final = (
    "requests",  # their limits
    "age",
    "memory",
    "reload",
    "told",  # uvicorn-supervisorctl recycle
    "died",  # without a word
    "boot",  # could not boot
    "hung",  # the event loop did not turn, or a time was over
    "exit",  # of their own accord
)

# A row of cells: what was not timed, then the buckets.
ROW: Final = 1 + len(DURATIONS) + 1
UNTIMED: Final = 0
CELLS: Final = ROW * len(STATUSES) * len(METHODS)

LAG: Final = CELLS  # buckets
QUEUE: Final = LAG + len(LAGS) + 1  # buckets
# Counters.
RECEIVED: Final = QUEUE + len(DURATIONS) + 1
SENT, LATE, WEBSOCKETS, RESTARTS = range(RECEIVED + 1, RECEIVED + 5)
# Seconds that add up.
DURATION_SUM: Final = RESTARTS + len(REASONS)
LAG_SUM, QUEUE_SUM, BUSY, COLLECTING = range(DURATION_SUM + 1, DURATION_SUM + 5)
# What is so now, of the worker that has the room; all above outlives it.
NOW: Final = COLLECTING + 1
IN_FLIGHT, HTTP, OPEN_WEBSOCKETS, LIMIT, LAG_MAX, LAG_MAX_BEFORE, BUSY_SHARE = range(NOW, NOW + 7)
PAUSE_MAX, PAUSE_MAX_BEFORE = range(NOW + 7, NOW + 9)
END: Final = NOW + 9

INTS: Final = tuple(range(DURATION_SUM))
"""Fields with whole numbers that add up over workers."""

FLOATS: Final = (DURATION_SUM, LAG_SUM, QUEUE_SUM, BUSY, COLLECTING)
"""Fields with seconds that do."""


def row(method: str, status: str) -> int:
    """Return the first field of the cells of a method and a class of status."""
    name = method if method in METHODS else "other"
    return ROW * (len(STATUSES) * METHODS.index(name) + STATUSES.index(status))


def status_class(status: int) -> str:
    """Return the class that a status counts in."""
    name = f"{status // 100}xx"
    return name if name in STATUSES else "other"


def bucket(bounds: tuple[float, ...], seconds: float) -> int:
    """Return the index of the bucket of a time: the first whose bound it does not exceed."""
    return bisect_left(bounds, seconds)
