"""When and how a worker goes: why, how long that may take, and whether it accepts meanwhile.

Only decisions: no clock, no signal, no loop. Instants are in seconds of the monotonic clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Why(enum.Enum):
    """What makes a worker go."""

    STOP = "SIGTERM"  # the server stops, or others go on: the signal does not tell
    QUIT = "SIGQUIT or SIGINT"
    LIMIT = "its limit of requests"
    RECYCLE = "alive = False"  # a hook said so, or the application has ended
    RELOAD = "changed code"
    ORPHAN = "whoever would replace it is gone"


# The last second, or fifth, of the graceful timeout is for what comes after the drain.
AFTER_DRAIN: Final = 1.0
AFTER_DRAIN_SHARE: Final = 0.2

QUIT_TIMEOUT: Final = 0.5  # for the calls of the application to take notice of being cancelled
QUIT_SHUTDOWN: Final = 1.0  # for lifespan shutdown
QUIT_WHOLE: Final = 1.9  # whoever sent SIGQUIT waits two seconds

RELOAD_TIMEOUT: Final = 1.0  # requests in flight when the code has changed

# Idle connections keep their keep-alive time, but no longer than this; clients of a server that
# stops have nowhere to go, those of one that reloads come back.
IDLE_TIMEOUT: Final = 5.0
IDLE_TIMEOUT_AT_STOP: Final = 2.0


@dataclass(frozen=True, slots=True)
class Budget:
    """The instants by which the parts of leaving have to be over."""

    drain: float
    shutdown: float
    interrupt: float  # the event loop does not turn any more: break into what it is doing
    end: float  # what then still runs are threads: leave without them

    @classmethod
    def graceful(cls, at: float, timeout: float) -> Budget:
        """Return the budget of a worker that was told at `at` to go within `timeout` seconds.

        Whoever told it may kill it after that time, so all ends a little earlier. Without any
        time it has to quit.
        """
        if timeout <= 0:
            return cls.quick(at)
        margin = min(0.5, 0.1 * timeout)
        return cls(
            drain=at + timeout - min(AFTER_DRAIN, AFTER_DRAIN_SHARE * timeout),
            shutdown=at + timeout - margin,
            interrupt=at + timeout - 0.85 * margin,
            end=at + timeout - 0.6 * margin,
        )

    @classmethod
    def quick(cls, at: float) -> Budget:
        """Return the budget of a worker that was told at `at` to quit."""
        return cls(
            drain=at + QUIT_TIMEOUT,
            shutdown=at + QUIT_TIMEOUT + QUIT_SHUTDOWN,
            interrupt=at + QUIT_WHOLE - 0.2,
            end=at + QUIT_WHOLE,
        )


class Siblings(Protocol):
    """What a worker knows of those that accept from the same sockets."""

    def ready(self) -> int:
        """Return how many accept connections now."""

    def coming(self) -> int:
        """Return how many younger ones are booting."""


class Shedding:
    """Decides whether a worker that goes still accepts connections.

    On a shared listener it stops when somebody else accepts there, or nobody is to come. A queue
    of its own (SO_REUSEPORT) would be lost with it: it accepts until it has nothing else to do.
    """

    def __init__(
        self,
        why: Why,
        siblings: Siblings,
        connections: Callable[[], set[Any]],
        *,
        own_queue: bool,
    ) -> None:
        self._why = why
        self._siblings = siblings
        self._connections = connections
        self._own_queue = own_queue
        self._open = set(connections())

    @property
    def alone(self) -> bool:
        """Whether nobody accepts in this worker's place, now or soon: the server stops."""
        if self._why is Why.ORPHAN:
            return True  # the others are orphans, too, whether they know it yet or not
        return self._why is Why.STOP and not self._siblings.ready() and not self._siblings.coming()

    @property
    def idle_timeout(self) -> float:
        return IDLE_TIMEOUT_AT_STOP if self.alone else IDLE_TIMEOUT

    def keep_accepting(self) -> bool:
        if self._why in (Why.QUIT, Why.RELOAD):
            return False
        if self._own_queue:
            return bool(self._siblings.coming()) or self._old_connections()
        if self._siblings.ready():
            return False
        if self._siblings.coming():
            return True
        # Its replacement is forked when it has gone: until the work there was is done, it is the
        # only one that answers.
        return self._why in (Why.LIMIT, Why.RECYCLE) and self._old_connections()

    def hold_websockets(self) -> bool:
        """Return whether WebSockets go on for now: who takes their clients is still to come."""
        if self._why in (Why.QUIT, Why.RELOAD):
            return False
        if self._own_queue:
            return bool(self._siblings.coming())
        return not self._siblings.ready() and bool(self._siblings.coming())

    def _old_connections(self) -> bool:
        """Return whether connections that were open when the worker began to go still are."""
        self._open &= self._connections()
        return bool(self._open)
