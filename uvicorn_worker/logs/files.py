"""Reads what a logging configuration is given as: a path, an open .ini file, a dict.

Whatever cannot be read is a ConfigError of one line that says where.
"""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    import configparser
    from collections.abc import Callable

JSON: Final = (".json",)
YAML: Final = (".yaml", ".yml")


def read_log_config(given: Any) -> dict[str, Any] | configparser.RawConfigParser:
    """Return a logging configuration that belongs to the caller.

    `given` is a path (.json, .yaml or .yml; anything else is .ini), a dict, a configparser or an
    open file in .ini format.

    Raises:
        ConfigError: missing, unreadable, or no logging configuration.
    """
    if isinstance(given, dict):
        return cast("dict[str, Any]", _copy(given))
    import configparser  # not what most servers are given

    if isinstance(given, configparser.RawConfigParser):
        return copy.deepcopy(given)
    if hasattr(given, "readline"):
        return parse_ini(given.read(), getattr(given, "name", "log_config"))
    if not isinstance(given, str | os.PathLike):
        raise ConfigError(f"log_config={given!r}: expected a path, a dict or a configparser")
    path = os.fspath(given)
    text = _read(path)
    kind = os.path.splitext(path)[1].lower()
    parse: Callable[[str, str], Any] = (
        parse_json if kind in JSON else parse_yaml if kind in YAML else parse_ini
    )
    loaded = parse(text, path)
    if not isinstance(loaded, dict | configparser.RawConfigParser):
        raise ConfigError(f"log_config={path!r}: expected a mapping, not {_kind(loaded)}")
    return loaded


def parse_json(text: str, path: str) -> object:
    import json  # not what most servers are given

    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise ConfigError(
            f"log_config={path!r}: line {exc.lineno}, column {exc.colno}: {exc.msg}"
        ) from None


def parse_yaml(text: str, path: str) -> object:
    try:
        import yaml
    except ImportError:
        raise ConfigError(
            f"log_config={path!r} needs the package PyYAML: pip install 'uvicorn-worker[yaml]'"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"log_config={path!r}: {where}{exc.problem or exc.context}") from None
    except yaml.YAMLError as exc:
        raise ConfigError(f"log_config={path!r}: {_one_line(exc)}") from None


def parse_ini(text: str, path: str) -> configparser.RawConfigParser:
    import configparser

    parser = configparser.ConfigParser()
    try:
        parser.read_string(text, path)
    except configparser.Error as exc:
        raise ConfigError(f"log_config={path!r}: {_one_line(exc)}") from None
    missing = [name for name in ("loggers", "handlers", "formatters") if name not in parser]
    if missing:
        raise ConfigError(f"log_config={path!r}: the section [{missing[0]}] is missing")
    return parser


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as exc:
        raise ConfigError(f"log_config={path!r}: {exc.strerror or exc}") from None
    except ValueError as exc:  # no UTF-8, or a NUL in the path
        raise ConfigError(f"log_config={path!r}: {exc}") from None


def _copy(value: Any) -> Any:
    """Copy dicts and lists only: streams and classes in them are what they are."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return list(map(_copy, value)) if type(value) is list else value


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())
