"""What to say of options that a supervisor has not, or that have no effect: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn_worker.options.advice import Void

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_STARTER: Final = "whoever starts it decides that: systemd, Docker, the shell"
_HOOKS: Final = "settings are in --config FILE.toml, hooks in --hooks FILE.py"
_WORKER: Final = "there is one kind of worker; its event loop and parser are --loop and --http"

_GUNICORNS: Final = {
    ("-u", "--user", "-g", "--group", "-m", "--umask", "-D", "--daemon"): _STARTER,
    ("-c",): _HOOKS,
    ("-k", "--worker-class"): _WORKER,
    ("--threads",): "workers are processes: --workers",
    ("--chdir",): "the folder to import from is --app-dir",
    ("--worker-tmp-dir",): "nothing to set: heartbeats are in memory",
    ("--statsd-host", "--statsd-prefix"): "figures are for Prometheus: --metrics",
    ("-e", "--env"): "variables for the environment are in --env-file",
    ("--check-config",): "as one process it is checked by `uvicorn-worker check APP`",
}

ELSEWHERE: Final[Mapping[str, str]] = {
    flag: f"{flag}: not an option here; {what}"
    for flags, what in _GUNICORNS.items()
    for flag in flags
}
"""Options of Gunicorn's that are called otherwise here, or are somebody else's."""
