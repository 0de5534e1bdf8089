"""Finds code that keeps the event loop from turning: `--warn-blocking`.

A thread looks every now and then whether the loop has turned, and logs the stack that blocks it,
once for each place. Nothing is added to what the loop does for requests.

**No false alarms.** Time does not count in which this process was stopped, or the loop's thread
waited for a processor (Linux tells that). A thread that wakes up late was itself kept from running:
by code that holds Python's lock, which has used processor time then, or by something outside.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio
    from types import CodeType, FrameType

    from uvicorn_worker.state import Log

# Looks, and turns of the loop, in the time that it may stand still: how exact the time is that is
# logged, and how much of it may be missed.
LOOKS: Final = 5
MOST_PLACES: Final = 100  # then people have enough to mend
MOST_FRAMES: Final = 40  # of a stack; recursion may be deep

# Functions that run an event loop: what is above them in a stack is not news.
RUNNERS: Final = frozenset({"_turn_loop", "_turn", "_run_once"})


class Clocks(NamedTuple):
    """What is known of the loop's thread at one moment, all in seconds."""

    now: float
    cpu: float  # that it has used
    delayed: float  # that it has waited for a processor; 0.0 where nobody can say


class Stillness:
    """How long a loop has stood still, less the time in which it could not have turned. Pure.

    Args:
        interval: seconds between two looks, if the thread that looks is not kept from it.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._last: Clocks | None = None
        self.seconds = 0.0

    def look(self, clocks: Clocks, turned: float) -> float:
        """Return the time for which the loop has stood still; it turned last at `turned`."""
        last, self._last = self._last, clocks
        if last is None or turned > last.now:
            self.seconds = 0.0 if last is None else self._blamed(last, clocks, since=turned)
        else:
            self.seconds += self._blamed(last, clocks, since=last.now)
        return self.seconds

    def _blamed(self, last: Clocks, clocks: Clocks, *, since: float) -> float:
        late = clocks.now - last.now - 2 * self._interval
        # Nothing of this process ran then: it was stopped, or others had the processor.
        paused = max(0.0, late - (clocks.cpu - last.cpu)) if late > 0 else 0.0
        excused = max(paused, clocks.delayed - last.delayed)
        return max(0.0, clocks.now - since - excused)


class BlockingWatch(threading.Thread):
    """Watches one loop, whose thread makes it; `start_watching` and `stop` are called there too.

    Args:
        limit: seconds that the loop may stand still.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: float, log: Log) -> None:
        super().__init__(name="uvicorn-blocking", daemon=True)
        self._loop = loop
        self._limit = limit
        self._log = log
        self._interval = limit / LOOKS
        self._watched = threading.get_ident()
        self._clock = _cpu_clock(self._watched)
        self._delay_file = f"/proc/self/task/{threading.get_native_id()}/schedstat"
        self._turned = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._places: set[tuple[CodeType, ...]] = set()

    def start_watching(self) -> None:
        self._turn()
        self.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._turned = time.monotonic()
        self._timer = self._loop.call_later(self._interval, self._turn)

    def run(self) -> None:
        with contextlib.suppress(OSError):  # the loop's thread has ended
            self._watch()

    def _watch(self) -> None:
        stillness, said = Stillness(self._interval), False
        while not self._stopped.wait(self._interval):
            seconds = stillness.look(self._clocks(), self._turned)
            if seconds < self._limit:
                said = False
            elif not said:  # once while it stands still
                said = True
                self._report(seconds, sys._current_frames().get(self._watched))

    def _report(self, seconds: float, frame: FrameType | None) -> None:
        frames = blocking_frames(frame)
        place = tuple(one.f_code for one in frames)
        if place in self._places or len(self._places) > MOST_PLACES:
            return
        self._places.add(place)
        if len(self._places) > MOST_PLACES:
            self._log.warning(
                "The event loop was blocked at %d places: no more are logged", MOST_PLACES
            )
            return
        self._log.warning(
            "The event loop has stood still for %.2f s (said once for each place). "
            "It is here (most recent call last):\n%s",
            seconds,
            "".join(traceback.format_list(_summary(frames))).rstrip(),
        )

    def _clocks(self) -> Clocks:
        cpu = time.clock_gettime(self._clock) if self._clock is not None else 0.0
        return Clocks(time.monotonic(), cpu, _delayed(self._delay_file))


def blocking_frames(frame: FrameType | None) -> list[FrameType]:
    """Return the frames of a stack below what runs the loop, the innermost last."""
    frames: list[FrameType] = []
    while frame is not None and frame.f_code.co_name not in RUNNERS and len(frames) < MOST_FRAMES:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _summary(frames: list[FrameType]) -> traceback.StackSummary:
    return traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)


def _cpu_clock(ident: int) -> int | None:
    """Return the clock of a thread's processor time, None where there is none (macOS)."""
    try:
        return time.pthread_getcpuclockid(ident)
    except (AttributeError, OSError):
        return None


def _delayed(path: str) -> float:
    """Return the seconds that a thread has waited for a processor: the second number, in ns."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(path, "rb") as file:
        return int(file.read().split()[1]) / 1e9
    return 0.0
