"""Options of a supervisor that have no effect without another one: pure."""

from __future__ import annotations

from typing import Final

from uvicorn_worker.options.advice import Void

VOIDS: Final = (
    Void(
        ("reload_dirs", "reload_includes", "reload_excludes", "reload_delay"),
        "reload",
        lambda c: not c.reload,
    ),
    Void(("limit_worker_age_jitter",), "limit_worker_age", lambda c: not c.limit_worker_age),
    Void(("worker_memory_interval",), "limit_worker_memory", lambda c: not c.limit_worker_memory),
    Void(("drain_delay",), "a server without reload", lambda c: c.reload),
)
