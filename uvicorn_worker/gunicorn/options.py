"""Server options that come beside Gunicorn's settings: CONFIG_KWARGS and UVICORN_* variables.

Names are Uvicorn's, so that people's subclasses and environments go on working. A key of
CONFIG_KWARGS that cannot be honoured is refused by name; a variable is only warned about, as
UVICORN_* may be meant for somebody else.
"""

from __future__ import annotations

import collections.abc
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options import sources
from uvicorn_worker.options.declared import PREFIX, Option, did_you_mean, options_of
from uvicorn_worker.options.sources import Given
from uvicorn_worker.options.values import TEXT, optional
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.options.sources import Layer

# Options that the server's configuration does not hold.
BESIDE: Final = ("interface", "factory", "limit_max_requests_jitter", "metrics")

# The supervisor has one of its own, which its master answers for.
METRICS: Final = Option(
    name="metrics",
    default=None,
    help="HOST:PORT or unix:PATH for /metrics, /livez and /readyz",
    kind=optional(TEXT),
    variable=f"{PREFIX}METRICS",
)

_SUPERVISORS: Final = "uvicorn-supervisor, whose option it is"

# Options of the two commands and of Uvicorn's that something else decides here.
INSTEAD: Final[Mapping[str, str]] = {
    "access_log": "Gunicorn's setting accesslog",
    "access_log_format": "Gunicorn's setting access_log_format",
    "access_log_skip": "a filter of the logger gunicorn.access",
    "access_logfile": "Gunicorn's setting accesslog",
    "app": "Gunicorn's argument APP_MODULE",
    "app_dir": "Gunicorn's settings chdir and pythonpath",
    "bind": "Gunicorn's setting bind",
    "callback_notify": "Gunicorn's hooks",
    "control": _SUPERVISORS,
    "drain_delay": _SUPERVISORS,
    "env_file": "Gunicorn's setting raw_env",
    "error_logfile": "Gunicorn's setting errorlog",
    "fd": "Gunicorn's setting bind ('fd://N')",
    "h11_max_incomplete_event_size": "Gunicorn's setting limit_request_field_size",
    "hooks": "Gunicorn's hooks",
    "host": "Gunicorn's setting bind",
    "limit_worker_age": _SUPERVISORS,
    "limit_worker_age_jitter": _SUPERVISORS,
    "limit_worker_memory": _SUPERVISORS,
    "log_config": "Gunicorn's settings logconfig, logconfig_dict and logconfig_json",
    "log_format": "uvicorn_worker.logging.JsonFormatter in Gunicorn's setting logconfig_dict",
    "log_level": "Gunicorn's setting loglevel",
    "max_replacing": _SUPERVISORS,
    "pid": "Gunicorn's setting pidfile",
    "port": "Gunicorn's setting bind",
    "preload": "Gunicorn's setting preload_app",
    "reload": "Gunicorn's setting reload",
    "reload_delay": "Gunicorn's setting reload",
    "reload_dirs": "Gunicorn's setting reload_extra_files",
    "reload_excludes": "Gunicorn's setting reload_extra_files",
    "reload_includes": "Gunicorn's setting reload_extra_files",
    "reset_contextvars": "nothing: every request has a context of its own",
    "reuse_port": "Gunicorn's setting reuse_port",
    "ssl_ca_certs": "Gunicorn's setting ca_certs",
    "ssl_cert_reqs": "Gunicorn's setting cert_reqs",
    "ssl_certfile": "Gunicorn's setting certfile",
    "ssl_ciphers": "Gunicorn's setting ciphers",
    "ssl_keyfile": "Gunicorn's setting keyfile",
    "ssl_keyfile_password": "Gunicorn's hook ssl_context",
    "ssl_version": "Gunicorn's hook ssl_context",
    "timeout_boot": "Gunicorn's setting timeout",
    "timeout_notify": "Gunicorn's setting timeout",
    "timeout_worker_healthcheck": "Gunicorn's setting timeout",
    "uds": "Gunicorn's setting bind ('unix:PATH')",
    "uds_mode": "Gunicorn's setting umask",
    "use_colors": "nothing: Gunicorn's log has no colours",
    "web": _SUPERVISORS,
    "worker_memory_interval": _SUPERVISORS,
    "workers": "Gunicorn's setting workers",
}

_ALL: Final = {**options_of(Config), METRICS.name: METRICS}
# Variables without our prefix are Gunicorn's to read.
KNOWN: Final = {name: replace(_ALL[name], also="") for name in (*options_of(ServerConfig), *BESIDE)}

# None switches these off; for any other option it stands for "not given". Without a timeout of its
# own a worker has Gunicorn's.
OFF_BY_NONE: Final = frozenset(name for name, option in KNOWN.items() if option.kind.optional) - {
    "timeout_graceful_shutdown"
}


def from_class(kwargs: Mapping[str, object], owner: str) -> Layer:
    """Return the options of a worker class's CONFIG_KWARGS.

    Raises:
        ConfigError: an unknown key, one that is decided elsewhere, or text that does not parse.
    """
    if not isinstance(kwargs, collections.abc.Mapping):
        raise ConfigError(f"{owner}.CONFIG_KWARGS={kwargs!r}: expected a dict of options")
    found: Layer = {}
    for name, value in kwargs.items():
        place = f"{owner}.CONFIG_KWARGS[{name!r}]"
        if name not in KNOWN and name not in INSTEAD:
            raise ConfigError(f"{place}: there is no such option{did_you_mean(name, KNOWN)}")
        if value is None and name not in OFF_BY_NONE:
            continue
        if name in INSTEAD:
            raise ConfigError(f"{place}: not an option of this worker; use {INSTEAD[name]}")
        if isinstance(value, str):
            value = KNOWN[name].parse(value, place)
        found[name] = Given(value, place)
    return found


def from_environment(environ: Mapping[str, str]) -> tuple[Layer, list[str]]:
    """Return the options in UVICORN_* variables, and a warning for each that has no effect.

    Raises:
        ConfigError: a value that does not parse, or that the option cannot have.
    """
    return sources.from_environment(environ, KNOWN, elsewhere=INSTEAD)
