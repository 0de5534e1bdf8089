"""What happens to a supervisor, and what it wants done: events and actions.

Events go into `Pool.step`, actions come out of it; nobody else decides anything. Both are plain
facts. A worker is known by its *number*: unique in the life of a supervisor and growing, so a
higher one was started later (the scoreboard's `generation`). A *release* is the configuration and
the code as they were read at one moment: 1 at the start, one more at every reload. A *slot* is a
worker's seat, from 1: a worker and the one that is to replace it have the same.

A *chance* is a random number of the interval [0, 1): drawn outside, so that decisions are pure.
Sizes are in bytes, instants in seconds of the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import signal

    from uvicorn_supervisor.decisions.limits import Limits

Level = Literal["error", "warning", "info"]

# -- events: what a worker did, or what became of it


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker has a process; answers `Spawn`. The child itself has not run yet."""

    number: int
    pid: int
    chance: float = 0.0  # for the jitter of its limits


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """There is no process for the worker; answers `Spawn` as well."""

    number: int
    reason: str
    chance: float = 0.0  # for the jitter of the pause before the next attempt


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker accepts connections."""

    number: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """The worker goes, though nobody here has told it: a signal of somebody else's, mostly."""

    number: int


@dataclass(frozen=True, slots=True)
class Observed:
    """How a worker does; once a second or so."""

    number: int
    heartbeat: float  # when its event loop turned last; 0.0: not yet
    requests: int = 0  # answered since it started
    memory: int | None = None  # None: not measured this time
    headroom: bool = True  # whether there is memory for one more worker like it


@dataclass(frozen=True, slots=True)
class Examined:
    """Whether a worker whose loop does not turn is kept from running; answers `Examine`.

    Such a one is not to blame: others use up the processor, or the quota of its cgroup.
    """

    number: int
    starved: bool


@dataclass(frozen=True, slots=True)
class Exited:
    """The worker's process has been reaped: its pid is nobody's now."""

    number: int
    code: int  # the exit code; -N: ended by signal N
    chance: float = 0.0  # for the jitter of the pause before its successor
    words: str = ""  # why, as it has said itself


# -- events: orders


@dataclass(frozen=True, slots=True)
class Stop:
    """End: let requests end in the time that they have."""


@dataclass(frozen=True, slots=True)
class Quit:
    """End within seconds; given again: at once."""


@dataclass(frozen=True, slots=True)
class Reload:
    """Read configuration and code anew, and replace all workers."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release can be forked from; answers `Prepare`."""

    release: int
    count: int  # workers to keep ready
    limits: Limits


@dataclass(frozen=True, slots=True)
class PrepareFailed:
    """A release cannot be had; answers `Prepare`."""

    release: int
    reason: str
    code: int  # exit code of the supervisor, where this is its first release


@dataclass(frozen=True, slots=True)
class More:
    """One worker more."""


@dataclass(frozen=True, slots=True)
class Fewer:
    """One worker fewer, but never none."""


@dataclass(frozen=True, slots=True)
class Resize:
    """So many workers fit: `--workers auto`."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Recycle:
    """Replace a worker that serves: its successor first."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Notify:
    """A worker, or all of them, are to look at something: at the bulletin, mostly."""

    signal: signal.Signals
    number: int = 0  # 0: all


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Let all workers go, and wait for a reload or one worker more."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the log files again, everywhere."""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Start a new supervisor of the program as it is installed now."""


@dataclass(frozen=True, slots=True)
class Upgrading:
    """The new supervisor has a process; answers `StartUpgrade`."""

    pid: int


@dataclass(frozen=True, slots=True)
class UpgradeReady:
    """The new supervisor's workers serve."""


@dataclass(frozen=True, slots=True)
class UpgradeFailed:
    """The new supervisor could not be started, or has ended (and was reaped)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; nothing else."""


Event = (
    Forked | ForkFailed | Ready | Leaving | Observed | Examined | Exited
    | Stop | Quit | Reload | Prepared | PrepareFailed | More | Fewer | Resize | Recycle | Notify
    | Withdraw | Reopen
    | Upgrade | Upgrading | UpgradeReady | UpgradeFailed | Tick
)  # fmt: skip

# -- actions


@dataclass(frozen=True, slots=True)
class Prepare:
    """Read the configuration, make a release of it: `Prepared` or `PrepareFailed` follows."""

    release: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing will be forked from this release any more."""

    release: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker: `Forked` or `ForkFailed` follows."""

    number: int
    slot: int
    release: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a signal to a worker.

    SIGTERM: go when the work is done. SIGQUIT: go now. SIGABRT: say where you are, and end.
    SIGKILL. SIGUSR1: open the log files again. SIGURG: read the bulletin, and say where you are
    if you are not ready in time.
    """

    number: int
    pid: int
    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class Examine:
    """Find out why a worker's loop does not turn, and log it: `Examined` follows."""

    number: int
    pid: int
    silent: float  # seconds


@dataclass(frozen=True, slots=True)
class StartUpgrade:
    """Start the new supervisor: `Upgrading` or `UpgradeFailed` follows."""


@dataclass(frozen=True, slots=True)
class EndUpgrade:
    """Send a signal to the new supervisor: `UpgradeFailed` follows when it was reaped."""

    pid: int
    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """Close the supervisor's own copies of the listening sockets: it ends."""


@dataclass(frozen=True, slots=True)
class Say:
    """Log a line; what becomes of single workers is logged without being asked for."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Exit:
    """Leave with this exit code; no worker is left."""

    code: int


Action = (
    Prepare | Discard | Spawn | Tell | Examine | StartUpgrade | EndUpgrade
    | CloseListeners | Say | Exit
)  # fmt: skip
