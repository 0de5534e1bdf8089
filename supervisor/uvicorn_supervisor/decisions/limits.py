"""How long things may take, when a worker is due for replacement, how long to pause after failures.

Pure. Durations are in seconds, instants in seconds of the monotonic clock, sizes in bytes; a
*chance* is a random number of the interval [0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NEVER: Final = float("inf")

QUICK: Final = 2.0  # for a worker that was told to go now; what Gunicorn gives one, too
ABORTING: Final = 1.0  # for the report of a worker that is stuck
SPEAKING: Final = 0.3  # for that of one that is not ready in time, before it is aborted

# Far more than anybody has processors for; each of them takes the supervisor time every second, and
# with those that boot and drain they have to fit on the scoreboard.
MOST_WORKERS: Final = 256

# One sample may be the peak of one large request; three in a row are what the worker holds.
MEMORY_SAMPLES: Final = 3

# The pause before another attempt: none after the first failure, then half a second, doubled each
# time. The jitter keeps the supervisors of many machines from trying in step.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
PAUSE_JITTER: Final = 0.25  # the share that is added at most

# A worker that has served for so long has shown that it can: its death is a new story.
STABLE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What workers are allowed; 0 stands for no limit where nothing else is said."""

    boot: float = 60.0  # from the fork until it is ready
    healthcheck: float = 30.0  # between two turns of its event loop
    graceful: float = 30.0  # from being told to go until its end; 0: it is told to go now
    drain_delay: float = 0.0  # added to `graceful` when the whole server stops
    requests: int = 0
    requests_jitter: int = 0
    age: float = 0.0
    age_jitter: float = 0.0
    memory: int = 0
    max_replacing: int = 1  # workers replaced at once

    def boot_deadline(self, now: float) -> float:
        return now + self.boot if self.boot else NEVER


@dataclass(frozen=True, slots=True)
class Lifetime:
    """The limits of one worker, drawn when it was forked."""

    requests: int = 0  # 0: any number
    expires: float = NEVER
    memory: int = 0  # 0: any amount

    def spent(self, now: float, requests: int, heavy: int, memory: int | None) -> str:
        """Return why a worker is to be replaced, empty where it is not.

        It has answered `requests`, and used more memory than it may in the last `heavy` samples;
        `memory` is the latest one.
        """
        if self.requests and requests >= self.requests:
            return f"requests {requests}/{self.requests}"
        if heavy >= MEMORY_SAMPLES:
            return f"memory {_mib(memory or 0)}/{_mib(self.memory)} MiB"
        if now >= self.expires:
            return "age"
        return ""


def draw_lifetime(limits: Limits, now: float, chance: float) -> Lifetime:
    """Return the limits of a worker that is forked now."""
    requests = request_limit(limits, chance)
    expires = now + limits.age + chance * limits.age_jitter if limits.age else NEVER
    return Lifetime(requests, expires, limits.memory)


def request_limit(limits: Limits, chance: float) -> int:
    """Return after how many requests a worker is due; 0: never.

    The worker itself asks as well, to report the moment it gets there.
    """
    if not limits.requests:
        return 0
    return limits.requests + int(chance * (limits.requests_jitter + 1))


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often something has failed in a row, and when to try again."""

    failures: int = 0
    until: float = 0.0

    def failed(self, now: float, chance: float) -> Backoff:
        """Return this after one more failure."""
        failures = self.failures + 1
        return Backoff(failures, now + pause(failures, chance))


def pause(failures: int, chance: float) -> float:
    """Return how long to wait after so many failures in a row."""
    if failures <= 1:
        return 0.0
    plain = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 2, 10))
    return plain * (1 + PAUSE_JITTER * chance)


def _mib(size: int) -> int:
    return round(size / 1024**2)
