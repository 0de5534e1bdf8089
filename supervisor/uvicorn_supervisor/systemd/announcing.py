"""What systemd is told, and when: readiness, reloads, the watchdog, time to boot and drain. Pure.

`Announcer.step(situation, now)` returns messages: each a list of assignments, one datagram. They
are about what is true now, so nothing is lost where one does not arrive: the next comes in time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from uvicorn_supervisor.decisions.limits import NEVER

READY: Final = "READY=1"
WATCHDOG: Final = "WATCHDOG=1"

# While workers boot or drain: systemd waits so much longer than it would, and hears so often that
# it still takes time. Three words may be lost.
EXTENSION: Final = 20.0  # seconds
EXTEND_EVERY: Final = 5.0

# STATUS at most so often: systemd keeps it for `systemctl status`, and logs it at its debug level.
STATUS_EVERY: Final = 2.0  # seconds

# Of the watchdog's time, as sd_watchdog_enabled(3) advises.
WATCHDOG_PART: Final = 0.5


class Situation(NamedTuple):
    """How things stand."""

    ready: int  # workers that serve
    wanted: int  # workers to keep ready; 0: they were all told to go
    beating: int  # of those that serve, whose event loops turn
    changing: bool  # a release is being tried
    ending: bool
    refusal: str = ""  # why the latest reload was called off
    left: int = 0  # workers that have not ended, whatever they do
    in_flight: int = 0
    connections: int = 0

    def describe(self) -> str:
        if self.ending:
            return f"Stopping: {self.left} workers left, {self.in_flight} requests in flight"
        text = (
            f"{self.ready} of {self.wanted} workers ready, {self.in_flight} requests in flight, "
            f"{self.connections} connections"
        )
        if self.wanted and not self.ready:
            text += "; starting"
        elif self.changing:
            text += "; reloading"
        elif self.refusal and self.wanted:
            text += f"; not reloaded: {self.refusal}"
        return text


class Announcer:
    """Remembers what was said.

    Args:
        watchdog: seconds in which systemd wants to hear that all is well; 0: it does not.
        ready: whether it has been said already, by a predecessor.
    """

    def __init__(self, watchdog: float = 0.0, *, ready: bool = False) -> None:
        self._ready = ready
        self._reloading = False
        self._watchdog = watchdog * WATCHDOG_PART
        self._barked = self._extended = self._told = -NEVER
        self._status = ""

    def reloading(self, now: float) -> list[str]:
        """Return what to say when a reload begins; `now` is of CLOCK_MONOTONIC, as systemd's."""
        if not self._ready:
            return []
        self._reloading = True
        self._extended = now
        return ["RELOADING=1", f"MONOTONIC_USEC={int(now * 1e6)}", "STATUS=Reloading"]

    def step(self, situation: Situation, now: float) -> list[list[str]]:
        """Return what to say now: a list of messages."""
        messages = []
        if words := [*self._turning(situation), *self._status_of(situation, now)]:
            messages.append(words)
        if self._is_slow(situation) and now - self._extended >= EXTEND_EVERY:
            self._extended = now
            messages.append([f"EXTEND_TIMEOUT_USEC={int(EXTENSION * 1e6)}"])
        if self._is_well(situation) and now - self._barked >= self._watchdog:
            self._barked = now
            messages.append([WATCHDOG])
        return messages

    def deadline(self, situation: Situation) -> float:
        """Return when there is something to say although nothing happens."""
        extend = self._extended + EXTEND_EVERY if self._is_slow(situation) else NEVER
        bark = self._barked + self._watchdog if self._is_well(situation) else NEVER
        return min(extend, bark)

    def _turning(self, situation: Situation) -> list[str]:
        """Return READY where it has become true: at the start, and at the end of a reload."""
        if situation.ending:
            return []
        first = not self._ready and situation.ready > 0
        over = self._reloading and not situation.changing
        if not (first or over):
            return []
        self._ready, self._reloading = True, False
        self._told = -NEVER  # the status belongs to it
        return [READY]

    def _status_of(self, situation: Situation, now: float) -> list[str]:
        text = situation.describe()
        if text == self._status or now - self._told < STATUS_EVERY:
            return []
        self._status, self._told = text, now
        return [f"STATUS={text}"]

    def _is_slow(self, situation: Situation) -> bool:
        return not self._ready or self._reloading or situation.ending

    def _is_well(self, situation: Situation) -> bool:
        """Whether the watchdog is to be told so: a worker serves whose loop turns, or none has to.

        Nobody watches a start or a stop.
        """
        if not self._watchdog or not self._ready or situation.ending:
            return False
        return situation.beating > 0 or situation.wanted == 0
