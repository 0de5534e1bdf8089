"""What a supervisor is told: everything that one server process is, and what concerns several.

The fields are the options of the command `uvicorn-supervisor`, of its environment and its files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from uvicorn_supervisor.decisions.limits import MOST_WORKERS, NEVER, Limits
from uvicorn_supervisor.logs.targets import HANDLERS, redirected
from uvicorn_worker.config import LOGGING, LOGGING_CONFIG, PROCESSES, Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import setting
from uvicorn_worker.options.values import (
    INTEGER,
    LIST,
    PATH,
    SECONDS,
    SIZE,
    SWITCH,
    TEXT,
    Kind,
    at_least,
    between,
    optional,
)
from uvicorn_worker.serverconfig import LIMITS, TIMES

if TYPE_CHECKING:
    from collections.abc import Sequence

# Topics of `--help`.
RELOADING: Final = "Reloading"
SEEING: Final = "Watching and steering"

# What a supervisor makes at its start, and keeps.
FIXED: Final = (
    "host", "port", "reuse_port", "uds", "uds_mode", "fd", "bind", "backlog", "pid", "hooks",
    "reload", "reload_dirs", "reload_includes", "reload_excludes", "reload_delay",
    "worker_memory_interval",
    "control", "metrics", "web",
)  # fmt: skip

# Whoever edits code does not wait for requests that the old code still answers: they are cut after
# a second (RELOAD_TIMEOUT of the worker), the other one is for the lifespan shutdown.
RELOADING_GRACE: Final = 2.0

# As long as Gunicorn and Kubernetes give.
GRACEFUL: Final = 30.0

AUTO: Final = "auto"  # the number of workers that fit


def _no_address(value: object) -> str | None:
    """Complain of `127.0.0.1:8001`, of which a file would be made that nobody looks for."""
    if isinstance(value, str) and re.fullmatch(r"[^/]*:\d+", value):
        return "expected the path of a UNIX socket, not HOST:PORT (--web shows a page there)"
    return None


def _parse_workers(text: str) -> object:
    if text.lower() == AUTO:
        return AUTO
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number or auto") from None


def workers_to_keep(value: object) -> str | None:
    return None if value == AUTO else between(1, MOST_WORKERS)(value)


WORKERS: Final = optional(
    Kind(
        expected="a whole number or auto",
        metavar="N",
        parse=_parse_workers,
        accepts=lambda value: value == AUTO or INTEGER.accepts(value),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorConfig(Config):
    """Settings of a supervisor and of the workers that it keeps.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
    """

    workers: Any = setting(
        None,
        f"workers to keep ready, up to {MOST_WORKERS}, or `auto`: as many as fit; default: 1",
        workers_to_keep,
        kind=WORKERS,
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
    control: str | None = setting(
        None,
        "UNIX socket for uvicorn-supervisorctl; for this user and root only",
        _no_address,
        kind=optional(PATH),
        group=SEEING,
    )
    metrics: str | None = setting(
        None,
        "HOST:PORT or unix:PATH for /metrics, /livez and /readyz",
        kind=optional(TEXT),
        group=SEEING,
    )
    web: str | None = setting(
        None,
        "HOST:PORT for a page that shows what the workers do",
        kind=optional(TEXT),
        group=SEEING,
    )
    hooks: str | None = setting(
        None,
        "Python file of functions to call, such as when_ready",
        kind=optional(PATH),
        group=PROCESSES,
    )
    error_logfile: str | None = setting(
        None,
        "file for all but access lines; -: standard output",
        kind=optional(PATH),
        group=LOGGING,
    )
    access_logfile: str | None = setting(
        None, "file for access lines; -: standard output", kind=optional(PATH), group=LOGGING
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
        Config.__post_init__(self)
        if self.reload and not isinstance(self.app, str):
            raise ConfigError("reload=True: expected the application as 'MODULE:ATTRIBUTE'")
        if self.reuse_port and self.workers == AUTO:
            raise ConfigError("reuse_port and workers=auto: expected a number of workers")
        if self.reload and self.preload:
            raise ConfigError("reload and preload: one of them, not both")
        self._redirect_logs()

    def _redirect_logs(self) -> None:
        files = {name: getattr(self, name) for name in HANDLERS}
        given = [name for name, path in files.items() if path is not None]
        if not given:
            return
        target = redirected(LOGGING_CONFIG, files)
        if self.log_config not in (LOGGING_CONFIG, target):
            raise ConfigError(f"{given[0]} and log_config: one of them says where the log goes")
        object.__setattr__(self, "log_config", target)

    @property
    def counts(self) -> bool:
        """Whether somebody may ask what the workers do."""
        return any(where is not None for where in (self.control, self.metrics, self.web))

    @property
    def count(self) -> int:
        """Workers to keep ready; with `auto` one, which is measured."""
        return 1 if self.workers == AUTO else self.workers or 1

    def fixed(self, first: SupervisorConfig) -> list[str]:
        """Return the names of options that differ from `first`, and take a start or an upgrade."""
        return [name for name in FIXED if getattr(self, name) != getattr(first, name)]

    @property
    def grace(self) -> float | None:
        """Seconds from being told to go until a worker's end; None: no limit."""
        graceful = self.timeout_graceful_shutdown
        if not self.reload:
            return graceful
        return RELOADING_GRACE if graceful is None else min(graceful, RELOADING_GRACE)

    def limits(self) -> Limits:
        return Limits(
            boot=self.timeout_boot,
            healthcheck=self.timeout_worker_healthcheck,
            graceful=NEVER if self.grace is None else self.grace,
            drain_delay=self.drain_delay,
            requests=self.limit_max_requests,
            requests_jitter=self.limit_max_requests_jitter,
            age=self.limit_worker_age,
            age_jitter=self.limit_worker_age_jitter,
            memory=self.limit_worker_memory,
            max_replacing=self.max_replacing,
        )
