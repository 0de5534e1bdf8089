"""What a supervisor is told: everything that one server process is, and what concerns several.

The fields are the options of the command `uvicorn-supervisor`, of its environment and its files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.limits import NEVER, Limits
from uvicorn_worker.config import PROCESSES, Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options import options_of, setting
from uvicorn_worker.serverconfig import LIMITS, TIMES
from uvicorn_worker.values import INTEGER, LIST, PATH, SECONDS, SIZE, SWITCH, at_least, optional

if TYPE_CHECKING:
    from collections.abc import Sequence

RELOADING: Final = "Reloading"  # a topic of `--help`

# Whoever edits code does not wait for requests that the old code still answers.
RELOADING_GRACE: Final = 1.0

# As long as Gunicorn and Kubernetes give.
GRACEFUL: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorConfig(Config):
    """Settings of a supervisor and of the workers that it keeps.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    workers: int | None = setting(
        None,
        "workers to keep ready; default: 1",
        at_least(1),
        kind=optional(INTEGER),
        group=PROCESSES,
        flags=("-w",),
        also="WEB_CONCURRENCY",
    )
    reload: bool = setting(
        False, "replace the worker when code changes", kind=SWITCH, group=RELOADING
    )
    reload_dirs: Sequence[str] = setting(
        (),
        "folder to watch, by default the current one; may be repeated",
        kind=LIST,
        group=RELOADING,
        flag="--reload-dir",
    )
    reload_includes: Sequence[str] = setting(
        (),
        "pattern of files to watch beside *.py; may be repeated",
        kind=LIST,
        group=RELOADING,
        flag="--reload-include",
    )
    reload_excludes: Sequence[str] = setting(
        (),
        "pattern of files not to watch beside hidden ones; may be repeated",
        kind=LIST,
        group=RELOADING,
        flag="--reload-exclude",
    )
    reload_delay: float = setting(
        0.25, "seconds between two looks for changes", at_least(0.01), group=RELOADING
    )
    pid: str | None = setting(
        None, "file to write the process id to", kind=optional(PATH), group=PROCESSES
    )
    preload: bool = setting(
        False,
        "load the application once per release, then fork; Linux only",
        kind=SWITCH,
        group=PROCESSES,
    )
    max_replacing: int = setting(1, "workers to replace at once", at_least(1), group=PROCESSES)

    timeout_graceful_shutdown: float | None = setting(
        GRACEFUL,
        "seconds for a worker to end what it does; none: no limit",
        at_least(0),
        kind=optional(SECONDS),
        group=TIMES,
        flags=("--graceful-timeout",),
    )
    timeout_boot: float = setting(
        60.0, "seconds from the fork until a worker is ready; 0: no limit", at_least(0), group=TIMES
    )
    timeout_worker_healthcheck: float = setting(
        30.0,
        "seconds that a worker's event loop may be blocked; 0: for ever",
        at_least(0),
        group=TIMES,
        flags=("--timeout",),
    )
    drain_delay: float = setting(
        0.0,
        "seconds to go on accepting when the server stops, for load balancers to notice",
        at_least(0),
        group=TIMES,
    )

    limit_worker_age: float = setting(
        0.0, "seconds after which a worker is replaced; 0: never", at_least(0), group=LIMITS
    )
    limit_worker_age_jitter: float = setting(
        0.0, "up to so many seconds are added to limit_worker_age", at_least(0), group=LIMITS
    )
    limit_worker_memory: int = setting(
        0,
        "bytes of memory of its own above which a worker is replaced; 0: no limit",
        at_least(0),
        kind=SIZE,
        group=LIMITS,
    )
    worker_memory_interval: float = setting(
        10.0, "seconds between two looks at the workers' memory", at_least(0.1), group=LIMITS
    )

    def __post_init__(self) -> None:
        for option in options_of(SupervisorConfig).values():
            value = getattr(self, option.name)
            settled = option.settle(value)
            if settled is not value:
                object.__setattr__(self, option.name, settled)
        Config.__post_init__(self)
        if self.reload and not isinstance(self.app, str):
            raise ConfigError("reload=True: expected the application as 'MODULE:ATTRIBUTE'")
        if self.reload and self.preload:
            raise ConfigError("reload and preload: one of them, not both")

    @property
    def count(self) -> int:
        """Workers to keep ready."""
        return self.workers or 1

    def limits(self) -> Limits:
        graceful = self.timeout_graceful_shutdown
        if self.reload:
            graceful = RELOADING_GRACE if graceful is None else min(graceful, RELOADING_GRACE)
        return Limits(
            boot=self.timeout_boot,
            healthcheck=self.timeout_worker_healthcheck,
            graceful=NEVER if graceful is None else graceful,
            drain_delay=self.drain_delay,
            requests=self.limit_max_requests,
            requests_jitter=self.limit_max_requests_jitter,
            age=self.limit_worker_age,
            age_jitter=self.limit_worker_age_jitter,
            memory=self.limit_worker_memory,
            max_replacing=self.max_replacing,
        )
