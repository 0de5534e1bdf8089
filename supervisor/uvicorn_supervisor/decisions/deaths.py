"""What is said of a worker that has died: how, and what it was doing. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uvicorn_supervisor.observation.cgroups import Counts

MIB: Final = 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What is known of a worker's end."""

    code: int  # the exit code; -N: ended by signal N
    memory: int | None = None  # the latest sample, bytes
    memory_age: float = 0.0  # seconds since that sample
    oom: bool | None = None  # the kernel has killed for lack of memory; None: it does not tell
    in_flight: int = 0  # requests, at its last heartbeat
    answered: int = 0  # requests, up to then
    beat_age: float = 0.0  # seconds since then
    lived: float | None = None  # seconds since it was ready; None: it never was


def describe(death: Death) -> str:
    """Return one line for the log."""
    parts = [_how(death)]
    if death.lived is None:
        parts.append("it was not ready yet")
    else:
        parts.append(f"{death.lived:.1f} s after it was ready")
        parts.append(
            f"{death.answered} requests answered and {death.in_flight} in flight at its last "
            f"heartbeat, {death.beat_age:.1f} s before"
        )
    if death.memory is not None:
        mib = round(death.memory / MIB)
        parts.append(f"memory {mib} MiB, {death.memory_age:.0f} s before")
    return "; ".join(parts)


def killed_for_memory(before: Counts, after: Counts) -> bool | None:
    """Return whether the kernel has killed processes of the cgroup between two readings.

    None: it does not count them.
    """
    if before.oom_kills is None or after.oom_kills is None:
        return None
    return after.oom_kills > before.oom_kills


def _how(death: Death) -> str:
    if death.code >= 0:
        return f"exit code {death.code}"
    number = -death.code
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if number != signal.SIGKILL:
        return f"killed by {name}"
    if death.oom:
        return f"killed by {name}: the kernel was out of memory for this cgroup (oom_kill)"
    if death.oom is None:
        return f"killed by {name}, not by this supervisor; by the kernel, out of memory?"
    return f"killed by {name}, neither by this supervisor nor for lack of memory of its cgroup"
