"""How many workers fit this machine, or container: `--workers auto`. Pure.

The least of three: the processors that this process may run on, those that its cgroup's quota pays
for, and how often a worker fits into the memory that its cgroup allows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

MIB: Final = 1024**2

# The share of a memory limit that workers may fill together. The rest is for a replacement beside
# those that it relieves, and for the peaks of single requests.
FILLED: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What there is. None: no limit, or none that can be known."""

    processors: int  # that this process may run on
    quota: float | None = None  # processors that the cgroup pays for
    memory: int | None = None  # bytes that the cgroup allows, without what others in it use


class Choice(NamedTuple):
    """A number of workers, and why not one more."""

    workers: int
    reason: str


def choose(resources: Resources, worker: int | None = None) -> Choice:
    """Return how many workers to keep, at least one.

    `worker` is what one has been measured to use, in bytes; None: not measured yet, so memory is
    no reason.
    """
    cpus = resources.processors
    choices = [Choice(cpus, f"{_count(cpus, 'processor')} to run on")]
    if resources.quota is not None:
        # A quota of 1.5 pays for one busy worker and a half: two would be throttled, but one would
        # leave a third of it unused.
        paid = max(1, math.ceil(resources.quota))
        noun = "processor" if resources.quota == 1 else "processors"
        choices.append(Choice(paid, f"the cgroup's quota is {resources.quota:g} {noun}"))
    if resources.memory is not None and worker:
        fitting = max(1, int(resources.memory * FILLED / worker))
        reason = (
            f"{resources.memory // MIB} MiB of memory for workers of {math.ceil(worker / MIB)} MiB"
        )
        choices.append(Choice(fitting, reason))
    return min(choices, key=lambda choice: choice.workers)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
