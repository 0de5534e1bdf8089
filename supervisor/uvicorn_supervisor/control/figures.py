"""Figures as people read them. Pure."""

from __future__ import annotations

from typing import Final

ABSENT: Final = "-"


def age(seconds: float | None) -> str:
    """Return a duration in at most two units: `42s`, `3m05s`, `2h10m`, `9d04h`."""
    if seconds is None:
        return ABSENT
    whole = int(seconds)
    for unit, name, smaller, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= unit:
            return f"{whole // unit}{name}{whole % unit // smaller:02d}{below}"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def size(amount: int | None) -> str:
    """Return bytes in MiB or GiB."""
    if amount is None:
        return ABSENT
    mib = amount / 1024**2
    return f"{mib:.0f}M" if mib < 1024 else f"{mib / 1024:.1f}G"


def duration(seconds: float | None) -> str:
    """Return a short duration in milliseconds, a long one in seconds."""
    if seconds is None:
        return ABSENT
    return f"{seconds * 1000:.1f}ms" if seconds < 1 else f"{seconds:.1f}s"
