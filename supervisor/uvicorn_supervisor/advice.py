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
_FIGURES: Final = "figures are for Prometheus: --metrics"
_OUTPUT: Final = "what the application prints goes where the supervisor's output goes"
_WORKER: Final = "there is one kind of worker; its event loop and parser are --loop and --http"

_LOGS: Final = "it is a matter of logging's own handlers: --log-config"

_GUNICORNS: Final = {
    ("-u", "--user", "-g", "--group", "-m", "--umask", "-D", "--daemon", "--initgroups"): _STARTER,
    ("-c",): _HOOKS,
    ("-k", "--worker-class"): _WORKER,
    ("-t",): "it is --timeout",
    ("-p",): "it is --pid",
    ("-n", "--name"): "processes are named after APP",
    ("--threads",): "workers are processes: --workers",
    ("--worker-connections",): "it is --limit-connections, of each worker",
    ("--chdir", "--pythonpath"): "the folder to import from is --app-dir",
    ("--paste", "--paster", "--paste-global"): "APP is named as MODULE:ATTRIBUTE",
    ("--worker-tmp-dir",): "nothing to set: heartbeats are in memory",
    ("--statsd-host", "--statsd-prefix", "--dogstatsd-tags", "--enable-backlog-metric"): _FIGURES,
    ("-e", "--env"): "variables for the environment are in --env-file",
    ("--check-config", "--print-config"): "one process is checked by `uvicorn-worker check APP`",
    ("--log-file",): "it is --error-logfile",
    ("--logger-class", "--log-config-json", "--log-syslog", "--log-syslog-to"): _LOGS,
    ("--log-syslog-prefix", "--log-syslog-facility"): _LOGS,
    ("-R", "--enable-stdio-inheritance", "--capture-output"): _OUTPUT,
    ("--reload-engine",): "watchfiles is taken where it is installed",
    ("--reload-extra-file",): "it is --reload-include",
    ("--proxy-allow-from",): "it is --proxy-allow-ips",
    ("--keyfile",): "it is --ssl-keyfile",
    ("--certfile",): "it is --ssl-certfile",
    ("--ca-certs",): "it is --ssl-ca-certs",
    ("--cert-reqs",): "it is --ssl-cert-reqs",
    ("--ciphers",): "it is --ssl-ciphers",
    ("--asgi-loop",): "it is --loop",
    ("--asgi-lifespan",): "it is --lifespan",
    ("--http-parser",): "it is --http",
    ("--http-protocols",): "HTTP/1.1 is spoken; a proxy in front may speak HTTP/2",
    ("--websocket-max-message-size",): "it is --ws-max-size",
    ("--control-socket",): "it is --control",
    ("--no-control-socket",): "there is none without --control",
}

ELSEWHERE: Final[Mapping[str, str]] = {
    flag: f"{flag}: not an option here; {what}"
    for flags, what in _GUNICORNS.items()
    for flag in flags
}
"""Options of Gunicorn's that are called otherwise here, or are somebody else's."""
