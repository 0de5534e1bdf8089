"""The new supervisor that an upgrade starts: at most one, with a deadline. Pure."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.decisions.limits import NEVER
from uvicorn_supervisor.decisions.messages import EndUpgrade, StartUpgrade

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.messages import Action

# From being told to end until it is killed: it lets its workers go first.
ENDING: Final = 5.0


class Successor:
    """What is known of the new supervisor. Methods return what is to be done."""

    def __init__(self) -> None:
        self.wanted = False
        self.taken_over = False
        self.attempts = 0
        self.failed = 0  # the latest attempt that has failed, counted from 1
        self.failure = ""  # why
        self.deadline = NEVER  # to be ready; then to have ended
        self._pid = 0
        self._told = False  # to end
        self._late = False

    def start(self, deadline: float) -> list[Action]:
        self.wanted, self.deadline = True, deadline
        self.attempts += 1
        return [StartUpgrade()]

    def started(self, pid: int, now: float) -> list[Action]:
        """Note its process; one that is not wanted any more is ended."""
        self._pid = pid
        return [] if self.wanted else self.end(now)

    def end(self, now: float) -> list[Action]:
        """Tell it to end; it is over when its process was reaped."""
        self.wanted = False
        if not self._pid or self._told:
            return []
        self._told, self.deadline = True, now + ENDING
        return [EndUpgrade(self._pid, signal.SIGTERM)]

    def tick(self, now: float) -> list[Action]:
        """End it when it is not ready in time; kill it when it does not end."""
        if now < self.deadline:
            return []
        if not self._told:
            self.deadline, self._late = NEVER, True
            return self.end(now)
        self.deadline = NEVER
        return [EndUpgrade(self._pid, signal.SIGKILL)]

    @property
    def under_way(self) -> bool:
        """Whether there is one, or is about to be; also one that was told to end."""
        return self.wanted or bool(self._pid)

    def take_over(self) -> None:
        """Note that it serves."""
        self.taken_over = True
        self._forget()

    def fail(self, reason: str) -> None:
        """Note that it could not be started, or that its process is gone."""
        late = "the new supervisor was not ready in time; " if self._late else ""
        self.failed, self.failure = self.attempts, late + reason
        self._forget()

    def _forget(self) -> None:
        self.wanted, self.deadline, self._pid = False, NEVER, 0
        self._told = self._late = False
