"""What all workers of one master have counted, and what they do now; read from the scoreboard.

Any process that has the board may read, at any time. What adds up never falls from one reading to
the next: rooms outlive their workers, and each field of them only grows.
"""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn_worker.lease import is_alive
from uvicorn_worker.metrics import layout
from uvicorn_worker.metrics.layout import DURATIONS, LAGS, METHODS, REASONS, ROW, STATUSES
from uvicorn_worker.scoreboard.phases import KEPT, READY, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from uvicorn_worker.scoreboard.board import Scoreboard
    from uvicorn_worker.scoreboard.memory import SlotView

PAGE: Final = resource.getpagesize()

# A worker shows what it does once a second. One that has been silent for longer is busy.
SILENT: Final = 3.0

STATES: Final[Mapping[Phase, str]] = {
    Phase.BOOTING: "booting",
    Phase.READY: "ready",
    Phase.KEPT: "ready",
    Phase.DRAINING: "draining",
}


@dataclass(frozen=True, slots=True)
class Histogram:
    """Times in seconds: how many are in each bucket, the last one without a bound; their sum."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFigures:
    """What one living worker does. Times in seconds, sizes in bytes."""

    slot: int
    pid: int
    state: str
    in_flight: int
    http: int  # open connections
    websockets: int
    lag_max: float  # of the last half minute or minute
    pause_max: float  # the longest garbage collection of that time
    busy: float  # share of the loop's time in the last second, 0 to 1
    saturation: float  # the same, or the share of `limit_concurrency` that is used, if greater
    age: float
    memory: int | None  # resident; None: this system does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Everything that there is to know.

    Counters are sums over all workers that ever were, those of masters before this one as well.
    """

    requests: Mapping[tuple[str, str], int]  # by method and class of status
    durations: Histogram
    lags: Histogram
    waits: Histogram  # between the proxy and here
    received: int  # bytes of requests' content, and of WebSockets' messages
    sent: int  # bytes of responses' content, and of WebSockets' messages
    late: int  # requests that met the end of their connection
    websockets: int  # handshakes
    busy: float  # seconds of the loops' time
    collecting: float  # seconds of garbage collections
    restarts: Mapping[str, int]  # by reason
    workers: Sequence[WorkerFigures]

    @property
    def saturation(self) -> float:
        """How much of what the ready workers can do they do, 0 to 1; without any 1."""
        ready = [one.saturation for one in self.workers if one.state == "ready"]
        return sum(ready) / len(ready) if ready else 1.0


def read(board: Scoreboard, now: float) -> Figures:
    """Return what stands on the board; `now` in monotonic seconds."""
    rooms = list(board.rooms)
    ints = [sum(column) for column in zip(*map(_ints, rooms), strict=True)]
    floats = [room.cast("d") for room in rooms]
    # Rounded once: the sum of numbers of which one grows never falls then, not by its last bit.
    totals = {field: math.fsum(one[field] for one in floats) for field in layout.FLOATS}
    restarts = dict(zip(REASONS, ints[layout.RESTARTS :], strict=False))
    restarts["died"] += board.deaths
    restarts["boot"] += board.failed_boots
    return Figures(
        requests=_requests(ints),
        durations=Histogram(DURATIONS, _durations(ints), totals[layout.DURATION_SUM]),
        lags=Histogram(LAGS, ints[layout.LAG : layout.QUEUE], totals[layout.LAG_SUM]),
        waits=Histogram(DURATIONS, ints[layout.QUEUE : layout.RECEIVED], totals[layout.QUEUE_SUM]),
        received=ints[layout.RECEIVED],
        sent=ints[layout.SENT],
        late=ints[layout.LATE],
        websockets=ints[layout.WEBSOCKETS],
        busy=totals[layout.BUSY],
        collecting=totals[layout.COLLECTING],
        restarts=restarts,
        workers=[
            _worker(board, view, now)
            for view in board.views()
            if view.phase in STATES and view.pid and is_alive(view.pid)
        ],
    )


def _ints(room: memoryview) -> list[int]:
    return room.cast("q")[: len(layout.INTS)].tolist()


def _requests(ints: Sequence[int]) -> dict[tuple[str, str], int]:
    found = {}
    for method in METHODS:
        for status in STATUSES:
            start = layout.row(method, status)
            if count := sum(ints[start : start + ROW]):
                found[method, status] = count
    return found


def _durations(ints: Sequence[int]) -> list[int]:
    return [sum(ints[start : layout.CELLS : ROW]) for start in range(1, ROW)]


def _worker(board: Scoreboard, view: SlotView, now: float) -> WorkerFigures:
    room = board.rooms[view.index]
    ints, floats = room.cast("q"), room.cast("d")
    in_flight, limit = ints[layout.IN_FLIGHT], ints[layout.LIMIT]
    silent = view.phase in (READY, KEPT) and view.heartbeat and now - view.heartbeat > SILENT
    busy = 1.0 if silent else floats[layout.BUSY_SHARE]
    return WorkerFigures(
        slot=view.index,
        pid=view.pid,
        state=STATES[view.phase],
        in_flight=in_flight,
        http=ints[layout.HTTP],
        websockets=ints[layout.OPEN_WEBSOCKETS],
        lag_max=lag_of(board, view.index),
        pause_max=max(floats[layout.PAUSE_MAX], floats[layout.PAUSE_MAX_BEFORE]),
        busy=busy,
        saturation=max(busy, min(1.0, in_flight / limit)) if limit else busy,
        age=max(0.0, now - view.booted_at),
        memory=resident(view.pid),
    )


def lag_of(board: Scoreboard, slot: int) -> float:
    """Return the latest that a worker's loop was in the last half minute, or minute; seconds."""
    floats = board.rooms[slot].cast("d")
    return max(floats[layout.LAG_MAX], floats[layout.LAG_MAX_BEFORE])


def resident(pid: int) -> int | None:
    """Return a process's resident memory in bytes; None where that cannot be told (no Linux)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return None
