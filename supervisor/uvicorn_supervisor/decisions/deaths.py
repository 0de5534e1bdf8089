"""What is said of a worker that has died: how, and what it was doing. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from uvicorn_supervisor.observation.cgroups import Counts

# What a child exits with when its code raises what nobody has caught.
EXIT_CRASHED: Final = 70

MIB: Final = 1024**2

# What C code ends with when it fails; `faulthandler` writes the stacks then.
CRASHES: Final = (
    signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
)  # fmt: skip


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
    parts = [how(death)]
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


def describe_exit(code: int) -> str:
    """Return an exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}"


def how(death: Death) -> str:
    """Return how a worker has ended that nobody told to, and what may be behind it."""
    text = describe_exit(death.code)
    if death.code == EXIT_CRASHED:
        return f"{text}; see the traceback above"
    if death.code >= 0:
        # A worker of ours says why it cannot boot, and SystemExit is a failure like any other.
        calls = "the application, or what it imports, calls os._exit or exec"
        return text if death.lived is not None else f"{text} without a word: {calls}"
    if -death.code in CRASHES:
        return f"{text}: C code has crashed (an extension module?), see the stack above"
    if -death.code != signal.SIGKILL:
        return text
    if death.oom:
        return f"{text}: the kernel was out of memory for this cgroup (oom_kill)"
    if death.oom is None:
        return f"{text}, not by this supervisor; by the kernel, out of memory?"
    return f"{text}, neither by this supervisor nor for lack of memory of its cgroup"
