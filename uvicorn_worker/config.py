"""What one server process is told: the server's settings, and everything around them.

`Config` is the public class: `Config("app:app", port=8000)`. Its fields are the options of the
command `uvicorn-worker`, of its environment and of its files; see `options.files`.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import did_you_mean, options_of, setting
from uvicorn_worker.options.values import (
    FOLDER,
    INTEGER,
    LIST,
    MODE,
    OBJECT,
    PATH,
    SECONDS,
    SWITCH,
    TEXT,
    Kind,
    at_least,
    between,
    choice,
    optional,
)
from uvicorn_worker.serverconfig import LIMITS, ServerConfig, paths

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Awaitable, Callable, Sequence

InterfaceName = Literal["auto", "asgi3", "asgi2", "wsgi"]
LogFormat = Literal["text", "json"]
LogLevel = Literal["critical", "error", "warning", "info", "debug", "trace"]

# The topics of `--help`, beside those of the server's own settings.
APPLICATION: Final = "Application"
BINDING: Final = "Binding"
LOGGING: Final = "Logging"
TLS: Final = "TLS"
PROCESSES: Final = "Processes"

# Names of options that only the supervisor has: known here to say so.
SUPERVISORS: Final = (
    "access_logfile", "control", "drain_delay", "error_logfile", "hooks", "limit_worker_age",
    "limit_worker_age_jitter", "limit_worker_memory", "max_replacing", "metrics", "pid", "preload",
    "reload_delay", "reload_dir", "reload_dirs", "reload_exclude", "reload_excludes",
    "reload_include", "reload_includes", "timeout", "timeout_boot", "timeout_worker_healthcheck",
    "web", "worker_memory_interval",
)  # fmt: skip

# The levels of `logging`, and one below them.
TRACE: Final = 5


def _log_level(value: object) -> bool:
    return value in LEVELS.choices or (isinstance(value, int) and not isinstance(value, bool))


def _tls_version(value: object) -> str | None:
    return None if value in TLS_VERSIONS else f"expected one of {', '.join(map(str, TLS_VERSIONS))}"


# PROTOCOL_TLS_SERVER, PROTOCOL_TLS, PROTOCOL_TLSv1_2, _1 and PROTOCOL_TLSv1 of the module `ssl`.
TLS_VERSIONS: Final = (17, 2, 5, 4, 3)
LEVELS: Final = choice("critical", "error", "warning", "info", "debug", "trace")
# Code may also give a number, as `logging` has them.
LOG_LEVEL: Final = optional(dataclasses.replace(LEVELS, accepts=_log_level))


def default_logging() -> dict[str, Any]:
    """Return what `LOGGING_CONFIG` is as long as nobody has changed it."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "default": {
                "()": "uvicorn_worker.logging.DefaultFormatter",
                "fmt": "%(levelprefix)s %(message)s",
                "use_colors": None,
            },
            "access": {
                "()": "uvicorn_worker.logging.AccessFormatter",
                "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
            },
        },
        "handlers": {
            "default": {
                "class": "logging.StreamHandler",
                "formatter": "default",
                "stream": "ext://sys.stderr",
            },
            "access": {
                "class": "logging.StreamHandler",
                "formatter": "access",
                "stream": "ext://sys.stdout",
            },
        },
        "loggers": {
            "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"level": "INFO"},
            "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        },
    }


# The default of `log_config`. Its parts have the names that people change, in place or in a copy.
LOGGING_CONFIG: Final = default_logging()


def _no_http2(value: object) -> str | None:
    return "HTTP/2 is not served here; a proxy in front can" if value else None


def _show_log_config(value: object) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else "built in" if value == LOGGING_CONFIG else "given in code"


# Code may also give what `logging.config.dictConfig` takes, or a configparser.
LOG_CONFIG: Final = dataclasses.replace(
    optional(PATH), accepts=lambda value: True, show=_show_log_config
)
CALLBACK: Final = dataclasses.replace(
    OBJECT, expected="a coroutine function", accepts=lambda value: value is None or callable(value)
)
IN_CODE_SECONDS: Final = dataclasses.replace(SECONDS, parse=None)
APP: Final = Kind(
    expected="MODULE:ATTRIBUTE or an application",
    metavar="APP",
    parse=str,
    accepts=lambda value: callable(value) or (isinstance(value, str) and bool(value)),
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Config(ServerConfig):
    """Settings of one server process.

    The application may be positional, everything else is by name. None stands for the default
    wherever it does not switch something off, text for the value that it would mean on the
    command line.

    Raises:
        ConfigError: a value is out of range, or two do not go together.
        TypeError: a name is no option.
    """

    # -- the application
    app: Any = setting("", "application, as MODULE:ATTRIBUTE", kind=APP, group=APPLICATION)
    _: dataclasses.KW_ONLY
    app_dir: str = setting(
        "", "folder to import from, before all others", kind=FOLDER, group=APPLICATION
    )
    factory: bool = setting(
        False, "call what APP names to get the application", kind=SWITCH, group=APPLICATION
    )
    interface: InterfaceName = setting(
        "auto",
        "how the application is called; `wsgi` needs the package a2wsgi",
        kind=choice("auto", "asgi3", "asgi2", "wsgi"),
        group=APPLICATION,
    )
    env_file: str | None = setting(
        None, "file of variables for the environment", kind=optional(PATH), group=APPLICATION
    )
    reset_contextvars: bool = setting(
        False,
        "requests never see context variables set before them: always so here",
        kind=SWITCH,
        group=APPLICATION,
    )

    # -- where it listens
    host: str = setting("127.0.0.1", "address or name to listen on", group=BINDING)
    port: int = setting(
        8000, "port to listen on; 0: any free one", between(0, 65535), group=BINDING
    )
    uds: str | None = setting(
        None,
        "UNIX socket to listen on, in place of host and port",
        kind=optional(PATH),
        group=BINDING,
    )
    uds_mode: int = setting(
        0o666, "permissions of UNIX sockets", between(0, 0o777), kind=MODE, group=BINDING
    )
    fd: int | None = setting(
        None,
        "inherited socket to listen on, in place of host and port",
        at_least(0),
        kind=optional(INTEGER),
        group=BINDING,
    )
    bind: Sequence[str] = setting(
        (),
        "HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N, in place of host and port; may be repeated",
        kind=LIST,
        group=BINDING,
        flags=("-b",),
    )
    reuse_port: bool = setting(
        False,
        "let other processes listen on the same ports; a supervisor: a queue for each worker",
        kind=SWITCH,
        group=BINDING,
    )

    # -- what is logged
    log_config: Any = setting(
        LOGGING_CONFIG,
        "configuration for logging: .ini, .json, .yaml; none: leave logging as it is",
        kind=LOG_CONFIG,
        group=LOGGING,
    )
    log_level: LogLevel | int | None = setting(
        None,
        "least important level to log; None: info, or as log_config says",
        kind=LOG_LEVEL,
        group=LOGGING,
    )
    log_format: LogFormat = setting(
        "text", "`json` logs one object per line", kind=choice("text", "json"), group=LOGGING
    )
    access_log: bool = setting(True, "log every request", kind=SWITCH, group=LOGGING)
    access_log_format: str | None = setting(
        None,
        "format of access lines, of Gunicorn's atoms such as %(h)s",
        kind=optional(TEXT),
        group=LOGGING,
        flags=("--access-logformat",),
    )
    access_log_skip: Sequence[str] = setting(
        (),
        "path whose requests are logged only if they fail; may be repeated",
        paths,
        kind=LIST,
        group=LOGGING,
    )
    use_colors: bool | None = setting(
        None, "colours in the log; None: on a terminal", kind=optional(SWITCH), group=LOGGING
    )

    # -- TLS
    ssl_keyfile: str | None = setting(None, "private key", kind=optional(PATH), group=TLS)
    ssl_certfile: str | None = setting(
        None, "certificate, and those between it and the root", kind=optional(PATH), group=TLS
    )
    ssl_keyfile_password: str | None = setting(
        None, "password of the private key", kind=optional(TEXT), group=TLS, secret=True
    )
    ssl_version: int = setting(
        17, "protocol version, as a number of the module ssl", _tls_version, group=TLS
    )
    ssl_cert_reqs: int = setting(
        0, "client certificates: 0 none, 1 optional, 2 required", between(0, 2), group=TLS
    )
    ssl_ca_certs: str | None = setting(
        None, "certificates that sign the clients'", kind=optional(PATH), group=TLS
    )
    ssl_ciphers: str | None = setting(
        None, "ciphers, as OpenSSL names them; None: its default", kind=optional(TEXT), group=TLS
    )
    ssl_context_factory: Callable[..., Any] | None = setting(
        None,
        "called with this configuration and a function that makes the usual context",
        kind=OBJECT,
        group=TLS,
    )

    # -- limits of the process
    limit_max_requests_jitter: int = setting(
        0,
        "up to so many requests are added to limit_max_requests, by chance",
        at_least(0),
        group=LIMITS,
        flags=("--max-requests-jitter",),
    )

    # -- what only a supervisor can do: known here to say so
    workers: int | None = setting(
        None,
        "processes; more than one need uvicorn-supervisor",
        at_least(1),
        kind=optional(INTEGER),
        group=PROCESSES,
        flags=("-w",),
        also="WEB_CONCURRENCY",
    )
    reload: bool = setting(
        False, "restart when code changes; needs uvicorn-supervisor", kind=SWITCH, group=PROCESSES
    )

    # -- for code only, as in Uvicorn
    callback_notify: Callable[[], Awaitable[None]] | None = setting(
        None, "awaited every `timeout_notify` seconds while the server runs", kind=CALLBACK
    )
    timeout_notify: float = setting(
        30.0, "seconds between calls of `callback_notify`", at_least(0.001), kind=IN_CODE_SECONDS
    )
    http2: bool = setting(False, "refused where it is true", _no_http2, kind=OBJECT)

    loaded_app: Any = field(default=None, init=False)
    """What `load` has loaded, which a server takes then."""

    def __new__(cls, *args: Any, **options: Any) -> Config:
        """Raise TypeError for a keyword that is no option, and say which one is near."""
        known = options_of(cls)
        for name in options.keys() - known.keys():
            if name in SUPERVISORS:
                raise TypeError(f"{name} is an option of uvicorn_supervisor.run() only")
            raise TypeError(f"{name} is no option{did_you_mean(name, known)}")
        return object.__new__(cls)

    def __post_init__(self) -> None:
        own: type[Any] = type(self)  # a subclass may have more of them, or other kinds
        for option in options_of(own).values():
            value = getattr(self, option.name)
            settled = option.settle(value)
            if settled is not value:
                object.__setattr__(self, option.name, settled)
        self._trust_as_environment_says()
        ServerConfig.__post_init__(self)
        given = [name for name in ("uds", "fd", "bind") if getattr(self, name) not in (None, ())]
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)}: only one of them can say where to listen")
        if self.reuse_port and given in (["uds"], ["fd"]):
            raise ConfigError(f"reuse_port and {given[0]}: expected a host and port to listen on")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ConfigError(f"ssl_keyfile={self.ssl_keyfile!r} needs ssl_certfile")

    def _trust_as_environment_says(self) -> None:
        """Let FORWARDED_ALLOW_IPS count in programs, too, where they say nothing of their own.

        Images and platforms set it for whatever server starts; Uvicorn's `Config` reads it.
        """
        option = options_of(Config)["forwarded_allow_ips"]
        text = os.environ.get(option.also, "").strip()
        if text and self.forwarded_allow_ips is option.default:
            object.__setattr__(self, option.name, option.parse(text, option.also))

    # -- what Uvicorn's can do as well; the command does without

    @property
    def loaded(self) -> bool:
        """Whether `load` was called."""
        return self.loaded_app is not None

    def load(self) -> None:
        """Load the application now; raises AppLoadError or ConfigError where it cannot be."""
        object.__setattr__(self, "loaded_app", self.load_app())

    def load_app(self) -> Any:
        """Return the application as ASGI 3, loaded anew; raises as `load`."""
        from uvicorn_worker.application.importing import load_application

        return load_application(self)

    def configure_logging(self) -> None:
        """Set `logging` up, as every server does when it is made."""
        from uvicorn_worker.logs.setup import configure_logging

        configure_logging(self)

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop]:
        """Return what makes the event loop that `loop` names: for `asyncio.Runner`."""
        from uvicorn_worker.loops import new_event_loop

        return lambda: new_event_loop(self.loop)

    def bind_socket(self) -> socket.socket:
        """Return a socket that listens where the configuration says first; the caller owns it.

        It may be inherited, and given to `Server.run(sockets=[...])`. Raises ConfigError where
        there can be none.
        """
        from uvicorn_worker.sockets.opening import bind_all

        first, *others = bind_all(self, os.environ, inheritable=True)
        for sock in others:
            sock.close()
        return first

    @property
    def is_ssl(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.ssl_certfile or self.ssl_context_factory)
