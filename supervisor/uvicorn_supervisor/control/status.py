"""What a supervisor and its workers do now, as plain data for JSON. Pure.

Totals only: whoever looks twice makes rates of them. Times are in seconds, sizes in bytes; None is
what is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from uvicorn_supervisor.decisions.lifecycle import Worker
    from uvicorn_supervisor.decisions.pool import Pool
    from uvicorn_worker.scoreboard.memory import SlotView


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where figures come from that neither the pool nor the scoreboard has."""

    memory: Callable[[Worker], int | None]
    lag: Callable[[SlotView], float | None]  # how late the loop was at most, lately


def state_of(pool: Pool) -> str:
    """Return in one word what the supervisor is at."""
    if pool.ending:
        return "stopping"
    if pool.successor.under_way:
        return "upgrading"
    if not pool.releases.serving or not pool.staff.ever_ready:
        return "starting"
    if pool.releases.candidate is not None:
        return "reloading"
    if not pool.count:
        return "withdrawn"
    return "serving" if pool.ready >= pool.count else "degraded"


def describe_pool(pool: Pool) -> dict[str, Any]:
    return {
        "state": state_of(pool),
        "release": pool.releases.serving,
        "workers_wanted": pool.count,
        "workers_ready": pool.ready,
    }


def describe_workers(
    pool: Pool, views: Mapping[int, SlotView], now: float, sources: Sources
) -> list[dict[str, Any]]:
    """Return all workers that have a process, by seat, the oldest of each first.

    `views` are by the workers' numbers.
    """
    workers = sorted(pool.workers.values(), key=lambda one: (one.slot, one.number))
    return [
        _describe(one, views.get(one.number), pool.staff.starts.get(one.slot, 1), now, sources)
        for one in workers
        if one.pid
    ]


def _describe(
    worker: Worker, view: SlotView | None, starts: int, now: float, sources: Sources
) -> dict[str, Any]:
    told = worker.due or worker.reason
    seen = {
        "age": None if view is None else now - view.reserved_at,
        "requests": 0 if view is None else view.total,
        "in_flight": 0 if view is None else view.in_flight,
        "connections": 0 if view is None else view.connections,
        "silent": None if view is None or not view.heartbeat else now - view.heartbeat,
        "lag": None if view is None else sources.lag(view),
    }
    return {
        "worker": worker.slot,
        "number": worker.number,
        "pid": worker.pid,
        "release": worker.release,
        "state": worker.state.value,
        "reason": told,
        **seen,
        "memory": sources.memory(worker),
        "restarts": starts - 1,
    }
