"""Requests per second, from two looks at a supervisor's totals. Pure.

A look is what `status` returns. A worker is the same in both when its number is.
"""

from __future__ import annotations

from typing import Any

Look = dict[str, Any]


def per_worker(before: Look | None, after: Look) -> dict[int, float]:
    """Return requests per second by the workers' numbers; new ones have served since they came."""
    if before is None:
        return {}
    seconds = after["time"] - before["time"]
    if seconds <= 0:
        return {}
    known = {one["number"]: one["requests"] for one in before["workers"]}
    return {
        one["number"]: max(0, one["requests"] - known.get(one["number"], 0)) / seconds
        for one in after["workers"]
    }


def totals(look: Look) -> dict[str, Any]:
    """Return what all workers have together: requests in flight, connections, memory."""
    workers = look["workers"]
    known = [one["memory"] for one in workers if one["memory"] is not None]
    return {
        "in_flight": sum(one["in_flight"] for one in workers),
        "connections": sum(one["connections"] for one in workers),
        "memory": sum(known) if known else None,
    }
