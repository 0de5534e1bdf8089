"""Which release serves, and the one that is to take over. Pure.

A release is prepared (the configuration read; with `--preload` the application loaded), then tried
with one worker, the canary; then it takes over or is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from uvicorn_supervisor.decisions.messages import Discard, Prepare

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.messages import Action, Prepared


@dataclass(frozen=True, slots=True)
class Candidate:
    """A release that is to take over."""

    release: int
    deadline: float  # for being prepared
    prepared: Prepared | None = None
    canary: int = 0  # number of its first worker, once that was asked for


class Releases:
    """The release that serves, at most one candidate, and the wish for another one.

    Methods return what is to be done.
    """

    def __init__(self) -> None:
        self.serving = 0  # 0: none yet
        self.candidate: Candidate | None = None
        self.latest = 0  # the one that was prepared last
        self._again = False  # a reload came while the candidate was being prepared

    @property
    def preparing(self) -> bool:
        return self.candidate is not None and self.candidate.prepared is None

    @property
    def canary(self) -> int:
        """Number of the worker that tries the candidate; 0: there is none."""
        return 0 if self.candidate is None else self.candidate.canary

    def reload(self, deadline: float) -> list[Action]:
        """Make a new candidate, which has to be prepared by the deadline.

        A candidate that was prepared may be older than the change that is to be seen: dropped.
        One that is being prepared is too, but only when that is over.
        """
        if self.preparing:
            self._again = True
            return []
        return [*self.drop(), *self._prepare(deadline)]

    def prepared(self, event: Prepared, deadline: float) -> list[Action]:
        """Note that a release can be forked from."""
        if self.candidate is None or self.candidate.release != event.release:
            return [Discard(event.release)]
        if self._again:
            return [*self.drop(), *self._prepare(deadline)]
        self.candidate = replace(self.candidate, prepared=event)
        return []

    def is_preparing(self, release: int) -> bool:
        """Return whether this release is awaited."""
        return self.candidate is not None and self.preparing and self.candidate.release == release

    def retry(self, deadline: float) -> list[Action] | None:
        """Prepare anew if that was asked for while the candidate failed; else return None."""
        if not self._again:
            return None
        return [*self.drop(), *self._prepare(deadline)]

    def try_with(self, number: int) -> None:
        """Note the candidate's canary."""
        assert self.candidate is not None
        self.candidate = replace(self.candidate, canary=number)

    def take_over(self) -> list[Action]:
        """Let the candidate serve."""
        assert self.candidate is not None
        old, self.serving, self.candidate = self.serving, self.candidate.release, None
        return [Discard(old)] if old else []

    def drop(self) -> list[Action]:
        """Forget the candidate, if there is one."""
        candidate, self.candidate, self._again = self.candidate, None, False
        return [] if candidate is None else [Discard(candidate.release)]

    def _prepare(self, deadline: float) -> list[Action]:
        self.latest += 1
        self._again = False
        self.candidate = Candidate(self.latest, deadline)
        return [Prepare(self.latest)]
