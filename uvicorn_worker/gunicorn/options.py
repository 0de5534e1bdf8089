"""Server options that come beside Gunicorn's settings: CONFIG_KWARGS and UVICORN_* variables.

Names are Uvicorn's, so that people's subclasses and environments go on working. A key of
CONFIG_KWARGS that cannot be honoured is refused by name; a variable is only warned about, as
UVICORN_* may be meant for somebody else.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.serverconfig import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PREFIX: Final = "UVICORN_"

# Options that the server's configuration does not hold, with their defaults.
BESIDE: Final[Mapping[str, object]] = {
    "interface": "auto",
    "factory": False,
    "limit_max_requests_jitter": 0,
}

# Options of Uvicorn's that something else decides here.
INSTEAD: Final[Mapping[str, str]] = {
    "access_log": "Gunicorn's setting accesslog",
    "access_log_format": "Gunicorn's setting access_log_format",
    "app": "Gunicorn's argument APP_MODULE",
    "app_dir": "Gunicorn's settings chdir and pythonpath",
    "callback_notify": "Gunicorn's hooks",
    "env_file": "Gunicorn's setting raw_env",
    "fd": "Gunicorn's setting bind ('fd://N')",
    "h11_max_incomplete_event_size": "Gunicorn's setting limit_request_field_size",
    "host": "Gunicorn's setting bind",
    "log_config": "Gunicorn's settings logconfig, logconfig_dict and logconfig_json",
    "log_level": "Gunicorn's setting loglevel",
    "port": "Gunicorn's setting bind",
    "reload": "Gunicorn's setting reload",
    "reload_delay": "Gunicorn's setting reload",
    "reload_dirs": "Gunicorn's setting reload_extra_files",
    "reload_excludes": "Gunicorn's setting reload_extra_files",
    "reload_includes": "Gunicorn's setting reload_extra_files",
    "reset_contextvars": "nothing: every request has a context of its own",
    "ssl_ca_certs": "Gunicorn's setting ca_certs",
    "ssl_cert_reqs": "Gunicorn's setting cert_reqs",
    "ssl_certfile": "Gunicorn's setting certfile",
    "ssl_ciphers": "Gunicorn's setting ciphers",
    "ssl_keyfile": "Gunicorn's setting keyfile",
    "ssl_keyfile_password": "Gunicorn's hook ssl_context",
    "ssl_version": "Gunicorn's hook ssl_context",
    "timeout_notify": "Gunicorn's setting timeout",
    "timeout_worker_healthcheck": "Gunicorn's setting timeout",
    "uds": "Gunicorn's setting bind ('unix:PATH')",
    "use_colors": "nothing: Gunicorn's log has no colours",
    "workers": "Gunicorn's setting workers",
}

# Uvicorn's names for values that have another name here.
ALIASES: Final[Mapping[tuple[str, str], str]] = {("ws", "websockets-sansio"): "websockets"}

# None switches these off; for any other option it stands for "not given".
OFF_BY_NONE: Final = frozenset(
    {"disconnect_grace_period", "limit_concurrency", "ws_ping_interval", "ws_ping_timeout"}
)

TRUE: Final = frozenset({"1", "true", "yes", "on", "y", "t"})
FALSE: Final = frozenset({"0", "false", "no", "off", "n", "f"})
HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\s]+")  # one word "NAME:VALUE"


class Given(NamedTuple):
    """An option somebody gave, and where."""

    value: object
    place: str


def from_class(kwargs: Mapping[str, object], owner: str) -> dict[str, Given]:
    """Return the options of a worker class's CONFIG_KWARGS.

    Raises:
        ConfigError: an unknown key, one that is decided elsewhere, or text that does not parse.
    """
    if not isinstance(kwargs, collections.abc.Mapping):
        raise ConfigError(f"{owner}.CONFIG_KWARGS={kwargs!r}: expected a dict of options")
    found: dict[str, Given] = {}
    for name, value in kwargs.items():
        place = f"{owner}.CONFIG_KWARGS[{name!r}]"
        if name not in KNOWN and name not in INSTEAD:
            raise ConfigError(f"{place}: there is no such option{_nearest(name, KNOWN)}")
        if value is None and name not in OFF_BY_NONE:
            continue
        if name in INSTEAD:
            raise ConfigError(f"{place}: not an option of this worker; use {INSTEAD[name]}")
        found[name] = Given(_value(name, value, place), place)
    return found


def from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Given], list[str]]:
    """Return the options in UVICORN_* variables, and a warning for each that has no effect.

    Raises:
        ConfigError: a value that does not parse.
    """
    found: dict[str, Given] = {}
    warnings: list[str] = []
    for variable in sorted(environ):
        text = environ[variable].strip()
        if not variable.startswith(PREFIX) or not text:
            continue
        name = variable[len(PREFIX) :].lower()
        if name in KNOWN:
            found[name] = Given(_value(name, text, variable), variable)
        elif name in INSTEAD:
            warnings.append(f"{variable} has no effect; use {INSTEAD[name]}")
        else:
            known = [f"{PREFIX}{one.upper()}" for one in KNOWN]
            warnings.append(f"{variable} has no effect{_nearest(variable, known)}")
    return found, warnings


def _value(name: str, value: object, place: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return PARSERS[name](ALIASES.get((name, value), value))
    except ValueError as exc:
        raise ConfigError(f"{place}={value!r}: {exc}") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


# -- text -> value


def boolean(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError("expected true or false")
    return text.lower() in TRUE


def integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("expected a number") from None


def optional(parse: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: None if text.lower() == "none" else parse(text)


def listing(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())


def headers(text: str) -> tuple[tuple[str, str], ...]:
    """Read one `NAME: VALUE` per line, or words `NAME:VALUE` as Uvicorn reads the variable."""
    words = text.split()
    lines = words if all(map(HEADER.fullmatch, words)) else text.splitlines()
    pairs = [line.partition(":") for line in lines if line.strip()]
    if not all(colon and name.strip() for name, colon, _ in pairs):
        raise ValueError("expected NAME:VALUE")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def mapping(text: str) -> dict[str, str]:
    """Read `NAME=VALUE` pairs with commas between them."""
    pairs = [item.partition("=") for item in listing(text)]
    if not all(name.strip() and equals for name, equals, _ in pairs):
        raise ValueError("expected NAME=VALUE,NAME=VALUE")
    return {name.strip(): value.strip() for name, _, value in pairs}


# Where the type of the default does not tell.
_SPECIAL: Final[Mapping[str, Callable[[str], object]]] = {
    "disconnect_grace_period": optional(number),
    "forwarded_allow_ips": listing,
    "forwarder_headers": listing,
    "headers": headers,
    "limit_concurrency": optional(integer),
    "proxy_allow_ips": listing,
    "secure_scheme_headers": mapping,
    "timeout_graceful_shutdown": number,
    "ws_ping_interval": optional(number),
    "ws_ping_timeout": optional(number),
}
_BY_TYPE: Final[Mapping[type, Callable[[str], object]]] = {
    bool: boolean,
    int: integer,
    float: number,
    str: str,
}


def _parsers() -> dict[str, Callable[[str], object]]:
    defaults = {item.name: item.default for item in dataclasses.fields(ServerConfig)}
    return {
        name: _SPECIAL[name] if name in _SPECIAL else _BY_TYPE[type(default)]
        for name, default in (defaults | dict(BESIDE)).items()
    }


PARSERS: Final = _parsers()
KNOWN: Final = frozenset(PARSERS)
