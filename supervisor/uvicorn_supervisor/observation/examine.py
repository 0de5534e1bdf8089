"""Why a worker's event loop does not turn, told from two looks at its process.

The loop runs in the main thread, so that thread's state and processor time say most: it is stopped,
waits for a disk, computes, is kept from running by others, or waits in some call. `judge` is pure;
`look` reads proc(5), and returns None where there is none (macOS) or the process is gone.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

PROC: Final = Path("/proc")

# A share of the time between two looks from which on something is the reason, and nothing else.
MOST: Final = 0.5

# Who waits for the GIL looks every 5 ms whether it is free (sys.getswitchinterval): 200 times a
# second. Who is blocked in a call does not wake up at all.
GIL_WAKEUPS: Final = 20.0

# Of a processor, for the threads that hold it; on a busy machine they do not get a whole one.
GIL_HOLDERS: Final = 0.2

NANOSECOND: Final = 1e-9

STOPPED: Final = "T"
TRACED: Final = "t"
UNINTERRUPTIBLE: Final = "D"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A process at one moment. Times in seconds; those but `at` grow. None: not known."""

    at: float  # monotonic
    state: str  # of the main thread: one letter, as in proc_pid_stat(5)
    main: float | None  # processor time of the main thread
    total: float  # and of all threads
    queued: float | None = None  # the main thread could run, but had no processor
    wakeups: int | None = None  # how often the main thread had waited for something
    throttled: float | None = None  # the cgroup had used up its quota of processor time


class Finding(NamedTuple):
    """Why a loop does not turn."""

    text: str  # behind "its event loop does not turn: "
    starved: bool  # kept from running by others, so that it is not to blame


class _Shares(NamedTuple):
    """What became of the time between two looks, as shares of it; None: not known."""

    main: float  # that the main thread ran
    others: float  # that other threads ran; more than 1 on several processors
    queued: float | None
    throttled: float | None
    wakeups: float | None  # a second


def judge(before: Look | None, after: Look) -> Finding:
    """Return why the loop has not turned; `before` is from when it did, None: not known."""
    if after.state == STOPPED:
        return Finding("it is stopped (SIGSTOP)", starved=False)
    if after.state == TRACED:
        return Finding("it is held by a debugger or tracer", starved=True)
    if after.state == UNINTERRUPTIBLE:
        text = "it waits for a disk or a network file system, and cannot be interrupted (state D)"
        return Finding(text, starved=False)
    if before is None or after.at <= before.at:
        return Finding("it is blocked", starved=False)
    return _weigh(_shares(before, after))


def _weigh(shares: _Shares) -> Finding:
    if shares.main >= MOST:
        return Finding(f"it computes, using {shares.main:.0%} of a processor", starved=False)
    if shares.throttled is not None and shares.throttled >= MOST:
        text = (
            f"it is starved: the quota of processor time of its cgroup was used up for "
            f"{shares.throttled:.0%} of the time"
        )
        return Finding(text, starved=True)
    if shares.queued is not None and shares.queued >= MOST:
        text = (
            f"it is starved: it could have run, but waited for a processor for "
            f"{shares.queued:.0%} of the time"
        )
        return Finding(text, starved=True)
    if shares.others >= GIL_HOLDERS and (shares.wakeups or 0.0) >= GIL_WAKEUPS:
        text = (
            f"it waits for the GIL: other threads of it use {shares.others:.0%} of a processor, "
            f"the event loop's thread {shares.main:.0%}"
        )
        return Finding(text, starved=True)
    text = f"it is blocked in a call that waits, having used {shares.main:.0%} of a processor"
    return Finding(text, starved=False)


def _shares(before: Look, after: Look) -> _Shares:
    seconds = after.at - before.at
    total = (after.total - before.total) / seconds
    main = _growth(before.main, after.main)
    main = total if main is None else main / seconds
    queued = _growth(before.queued, after.queued)
    throttled = _growth(before.throttled, after.throttled)
    wakeups = _growth(before.wakeups, after.wakeups)
    return _Shares(
        main=main,
        others=max(0.0, total - main),
        queued=None if queued is None else queued / seconds,
        throttled=None if throttled is None else throttled / seconds,
        wakeups=None if wakeups is None else wakeups / seconds,
    )


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


# -- reading


def look(pid: int, *, throttled: float | None = None, proc: Path = PROC) -> Look | None:
    """Return what a process is like now; `throttled` is its cgroup's, see `cgroups.Counts`."""
    folder = proc / str(pid)
    try:
        at = time.monotonic()
        _, total = parse_stat((folder / "stat").read_text("ascii", errors="replace"))
        main = folder / "task" / str(pid)
        state, own = parse_stat((main / "stat").read_text("ascii", errors="replace"))
        status = (main / "status").read_text("ascii", errors="replace")
    except (OSError, ValueError):  # gone, or no such files here
        return None
    return Look(
        at=at,
        state=state,
        main=own,
        total=total,
        queued=_queued(main / "schedstat"),
        wakeups=parse_wakeups(status),
        throttled=throttled,
    )


def parse_stat(text: str) -> tuple[str, float]:
    """Return state and processor time (seconds) of proc_pid_stat(5).

    Raises:
        ValueError: it is not such a text.
    """
    fields = text[text.rindex(")") + 1 :].split()  # the name before may hold anything
    if len(fields) < 13:
        raise ValueError("expected the fields of /proc/PID/stat")
    ticks = int(fields[11]) + int(fields[12])
    return fields[0], ticks / os.sysconf("SC_CLK_TCK")


def parse_wakeups(text: str) -> int | None:
    """Return how often a thread has waited, of proc_pid_status(5)."""
    for line in text.splitlines():
        name, _, number = line.partition(":")
        if name == "voluntary_ctxt_switches" and number.strip().isdigit():
            return int(number)
    return None


def _queued(file: Path) -> float | None:
    """Return the time on the run queue; None: the kernel does not count it."""
    try:
        return int(file.read_text("ascii").split()[1]) * NANOSECOND
    except (OSError, ValueError, IndexError):
        return None
