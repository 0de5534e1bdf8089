"""The new supervisor that an upgrade starts: at most one, with a deadline. Pure."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.limits import NEVER
from uvicorn_supervisor.messages import EndUpgrade, StartUpgrade

if TYPE_CHECKING:
    from uvicorn_supervisor.messages import Action

# From being told to end until it is killed: it lets its workers go first.
ENDING: Final = 5.0


class Successor:
    """What is known of the new supervisor. Methods return what is to be done."""

    def __init__(self) -> None:
        self.wanted = False
        self.deadline = NEVER  # to be ready; then to have ended
        self._pid = 0
        self._told = False  # to end

    def start(self, deadline: float) -> list[Action]:
        self.wanted, self.deadline = True, deadline
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
            self.deadline = NEVER
            return self.end(now)
        self.deadline = NEVER
        return [EndUpgrade(self._pid, signal.SIGKILL)]

    def over(self) -> None:
        """Forget it: it has taken over, or its process is gone."""
        self.wanted, self.deadline, self._pid, self._told = False, NEVER, 0, False
