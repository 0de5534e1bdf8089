"""Whether an order was carried out, seen from the pool: yes, no, or not known yet. Pure.

A goal is made before the order is given, and asked for its verdict after each event. It remembers
as little as it can: what became of the order is a matter of the pool's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn_supervisor.decisions.lifecycle import READY

if TYPE_CHECKING:
    from uvicorn_supervisor.decisions.pool import Pool

# Workers of new code that serves somewhere: so many failed boots in a row are not by chance.
MOST_FAILURES: Final = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """How an order has ended."""

    good: bool
    text: str


STOPPED: Final = Verdict(False, "the supervisor stops")


class Goal(Protocol):
    """What somebody waits for."""

    def verdict(self, pool: Pool) -> Verdict | None:
        """Return how it has ended, None: it has not."""


@dataclass(frozen=True, slots=True)
class Serves:
    """A release, or a later one, serves everywhere; `alone`: and nobody before it is left."""

    release: int
    alone: bool = False

    @classmethod
    def after_reload(cls, pool: Pool, *, alone: bool = False) -> Serves:
        """Return what a reload given now is to bring."""
        return cls(pool.releases.latest + 1, alone)

    def verdict(self, pool: Pool) -> Verdict | None:
        releases, staff = pool.releases, pool.staff
        if pool.ending:
            return STOPPED
        if releases.serving < self.release:
            if releases.candidate is None:
                return Verdict(False, pool.refusal or "the reload was called off")
            return None
        if staff.boots.failures >= MOST_FAILURES:
            return Verdict(
                False, f"the new code serves, but not everywhere: {staff.failure}; tried again"
            )
        seats = staff.seats()
        everywhere = len(seats) == pool.count and all(
            one.state is READY and one.release >= self.release
            for seat in seats.values()
            for one in seat
        )
        left = any(one.release < self.release for one in pool.workers.values())
        if not everywhere or (self.alone and left):
            return None
        workers = "worker" if pool.count == 1 else "workers"
        return Verdict(True, f"release {releases.serving} serves with {pool.count} {workers}")


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A new supervisor has taken over; `attempt` counts from 1."""

    attempt: int

    @classmethod
    def after_upgrade(cls, pool: Pool) -> Upgraded:
        """Return what an upgrade ordered now is to bring: that of one under way, if there is."""
        successor = pool.successor
        return cls(successor.attempts + (not successor.under_way))

    def verdict(self, pool: Pool) -> Verdict | None:
        successor = pool.successor
        if successor.taken_over:
            return Verdict(True, "a new supervisor has taken over")
        if pool.ending:
            return STOPPED
        if successor.failed >= self.attempt:
            return Verdict(False, successor.failure)
        return None


@dataclass(frozen=True, slots=True)
class Replaced:
    """A worker goes, and another one serves in its place."""

    number: int

    def verdict(self, pool: Pool) -> Verdict | None:
        if pool.ending:
            return STOPPED
        worker = pool.workers.get(self.number)
        if worker is None or not worker.live:
            return Verdict(True, "it has been replaced")
        if pool.staff.boots.failures:
            why = f"the new worker could not boot: {pool.staff.failure}"
            return Verdict(False, f"{why}; the old one serves on, and it is tried again")
        return None


@dataclass(frozen=True, slots=True)
class Ended:
    """No worker is left."""

    def verdict(self, pool: Pool) -> Verdict | None:
        return Verdict(True, "stopped") if pool.exited else None
