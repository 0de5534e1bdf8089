"""What one worker counts, into its room on the scoreboard.

It is the only one that writes there, so no lock is needed. Answers are counted before their last
bytes go out: whatever ends the process then, no client has more of them. All else is shown as often
as the server looks after its connections, or once a second.
"""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_worker.http1.request import METHODS
from uvicorn_worker.metrics import layout
from uvicorn_worker.metrics.layout import DURATIONS, LAGS, UNTIMED, bucket
from uvicorn_worker.metrics.queueing import waited

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn_worker.http1.channel import Answered

# The greatest lag is that of the last one or two of these, in seconds: no scrape misses it.
WINDOW: Final = 30.0

SHORT: Final = DURATIONS[0]

MAX_STATUS: Final = 999  # that an application may say


class Talking(Protocol):
    """A WebSocket."""

    sent: int
    """Bytes of its messages so far."""


class Meter:
    """Counts for one worker; `looked` and `show` are called by the server.

    Attributes: `answered` (call it with each request, before the last bytes of its answer go out);
    `cells` (the room, as whole numbers); `sent` and `received` (bytes that have added up beside
    those of answers; shown later); `talking` (the open WebSockets, whose share is not in `sent`
    yet).
    """

    __slots__ = ("_busy_at", "_floats", "_interval", "_lag_max_since", "_late", "_looked_at",
                 "_shown_at", "_sums", "answered", "cells", "received", "sent", "talking",
                 "websockets")  # fmt: skip

    def __init__(
        self,
        room: memoryview,
        *,
        interval: float,
        limit: int = 0,
        now: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`room` is the worker's own, and goes on where its predecessor stopped.

        `looked` will be called every `interval` seconds; `limit` is that on concurrent requests;
        `clock` is what requests have their `started` from.
        """
        now = time.monotonic() if now is None else now
        self.cells = room.cast("q")
        self._floats = room.cast("d")
        for field in range(layout.NOW, layout.END):
            self.cells[field] = 0  # the same bytes as 0.0
        self.cells[layout.LIMIT] = limit
        self.answered, self._sums = _answers(self.cells, self._floats[layout.DURATION_SUM], clock)
        self.sent = self.cells[layout.SENT]
        self.received = self.cells[layout.RECEIVED]
        self.websockets = self.cells[layout.WEBSOCKETS]
        self.talking: set[Talking] = set()
        self._interval = interval
        self._looked_at = self._shown_at = self._lag_max_since = now
        self._late = 0.0  # seconds, since it was shown last
        self._busy_at = time.thread_time()

    # -- requests

    def untimed(self, method: str, status: int) -> None:
        """Count what did not end as it should; status 0: its response was not complete."""
        name = layout.status_class(status) if status else "aborted"
        self.cells[layout.row(method, name) + UNTIMED] += 1

    def queued(self, field: bytes) -> None:
        """Count the time that a request has waited, where `X-Request-Start` tells."""
        seconds = waited(field, time.time())
        if seconds is not None:
            self.cells[layout.QUEUE + bucket(DURATIONS, seconds)] += 1
            self._floats[layout.QUEUE_SUM] += seconds

    # -- the event loop

    def looked(self, now: float) -> None:
        """Note that the loop has come to what is due every `interval` seconds; monotonic `now`."""
        lag = max(0.0, now - self._looked_at - self._interval)
        self._looked_at = now
        self._late += lag
        self.cells[layout.LAG + bucket(LAGS, lag)] += 1
        self._floats[layout.LAG_SUM] += lag
        if now - self._lag_max_since >= WINDOW:
            self._lag_max_since = now
            self._floats[layout.LAG_MAX_BEFORE] = self._floats[layout.LAG_MAX]
            self._floats[layout.LAG_MAX] = 0.0
        if lag > self._floats[layout.LAG_MAX]:
            self._floats[layout.LAG_MAX] = lag

    def show(self, now: float, *, in_flight: int, http: int, websockets: int, late: int) -> None:
        """Show what has added up, and what is so now.

        `http` and `websockets` connections are open, `in_flight` requests of the former are being
        answered; `late` requests have met the end of their connections since the last call.
        """
        cells, floats = self.cells, self._floats
        cells[layout.RECEIVED] = self.received
        seconds, sent = self._sums()
        cells[layout.SENT] = sent + self.sent + sum(one.sent for one in self.talking)
        cells[layout.WEBSOCKETS] = self.websockets
        cells[layout.LATE] += late
        floats[layout.DURATION_SUM] = seconds
        cells[layout.IN_FLIGHT] = in_flight
        cells[layout.HTTP] = http
        cells[layout.OPEN_WEBSOCKETS] = websockets
        self._show_busy(now)

    def _show_busy(self, now: float) -> None:
        """Show how busy the loop's thread was: on the processor, or kept by something else."""
        busy_at, elapsed = time.thread_time(), now - self._shown_at
        busy = busy_at - self._busy_at
        self._floats[layout.BUSY] += max(busy, min(self._late, elapsed))
        if elapsed > 0:
            self._floats[layout.BUSY_SHARE] = min(1.0, max(busy, self._late) / elapsed)
        self._busy_at, self._shown_at, self._late = busy_at, now, 0.0

    # -- ends

    def leaving(self, reason: str) -> None:
        """Count that the worker goes, and another one is to come in its place."""
        self.cells[layout.RESTARTS + layout.REASONS.index(reason)] += 1


def _answers(
    cells: memoryview, seconds: float, clock: Callable[[], float]
) -> tuple[Callable[[Answered], None], Callable[[], tuple[float, int]]]:
    """Return what counts an answer, and what tells the sums of the durations and of the bytes.

    The first is called for every request, so it is one function, whose variables Python finds
    faster than attributes. `seconds` is the sum to begin with.
    """
    rows = _rows()
    # What comes next in each cell: a look at shared memory would cost more than all the rest.
    steps = [itertools.count(cells[cell] + 1) for cell in range(layout.CELLS)]
    sent = 0

    def answered(cycle: Answered) -> None:
        nonlocal seconds, sent
        elapsed = clock() - cycle.started
        seconds += elapsed
        sent += cycle.sent
        cell = rows[cycle.request.method][cycle.status]
        if elapsed > SHORT:
            cell += bucket(DURATIONS, elapsed)
        cells[cell] = next(steps[cell])

    def sums() -> tuple[float, int]:
        return seconds, sent

    return answered, sums


def _rows() -> dict[str, tuple[int, ...]]:
    """Return by method and status where the buckets begin."""
    classes = [layout.status_class(status) for status in range(MAX_STATUS + 1)]
    shared = {
        method: tuple(layout.row(method, name) + UNTIMED + 1 for name in classes)
        for method in layout.METHODS
    }
    return {method: shared.get(method, shared["other"]) for method in METHODS.values()}
