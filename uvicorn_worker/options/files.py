"""Reads the files that options may stand in, and puts all places together.

Precedence: command line, environment, `--env-file`, `--config` or `[tool.uvicorn]` of a
pyproject.toml, default.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.options.declared import PREFIX, Option
from uvicorn_worker.options.sources import from_environment, from_table, overlay
from uvicorn_worker.options.values import PATH, optional

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from uvicorn_worker.options.sources import Layer

PYPROJECT: Final = "pyproject.toml"
TABLE: Final = ("tool", "uvicorn")  # the table of a pyproject.toml

# The option that names the file for all others.
CONFIG_FILE: Final = Option(
    name="config",
    default=None,
    help=f"TOML file of options; without it [{'.'.join(TABLE)}] of {PYPROJECT}",
    kind=optional(PATH),
    group="Application",
    flags=("--config",),
    variable=f"{PREFIX}CONFIG",
)


class Gathered(NamedTuple):
    """The values that count, and what to tell about those that do not."""

    values: Layer
    warnings: list[str]
    notes: list[str]


def gather(
    command_line: Layer,
    environ: MutableMapping[str, str],
    options: Mapping[str, Option],
    *,
    elsewhere: Mapping[str, str],
) -> Gathered:
    """Return what all places say together; variables of an env-file are added to `environ`.

    `elsewhere` as in `from_environment`.

    Raises:
        ConfigError: a file cannot be read, or a value cannot be.
    """
    known = {**options, CONFIG_FILE.name: CONFIG_FILE}
    variables, warnings = from_environment(environ, known, elsewhere=elsewhere)
    layers = [command_line, variables]
    given = overlay(layers)[0].get(CONFIG_FILE.name)
    table, where = read_config(given.value if given else None)
    in_file, more = from_table(table, options, file=where, elsewhere=elsewhere)
    warnings += more
    env_file = overlay([*layers, in_file])[0].get("env_file")
    if env_file is not None and env_file.value is not None:
        found, more = _from_env_file(env_file.value, environ, options, elsewhere)
        layers.append(found)
        warnings += more
    values, notes = overlay([*layers, in_file])
    values.pop(CONFIG_FILE.name, None)
    return Gathered(values, warnings, notes)


def _from_env_file(
    path: str,
    environ: MutableMapping[str, str],
    options: Mapping[str, Option],
    elsewhere: Mapping[str, str],
) -> tuple[Layer, list[str]]:
    """Return the options in an env-file, less those that the environment has itself."""
    variables = read_env_file(path)
    own = {name: text for name, text in variables.items() if name not in environ}
    environ.update(own)
    return from_environment(own, options, elsewhere=elsewhere, file=path)


def load_env_file(path: str | None, environ: MutableMapping[str, str]) -> None:
    """Add the variables of an env-file that are not in `environ`; raises as `read_env_file`."""
    if path is not None:
        for name, text in read_env_file(path).items():
            environ.setdefault(name, text)


def read_env_file(path: str) -> dict[str, str]:
    """Return the variables of a file of lines NAME=VALUE.

    Raises:
        ConfigError: it cannot be read, or the package python-dotenv is missing.
    """
    try:
        from dotenv import dotenv_values
    except ImportError:
        raise ConfigError(
            f"env_file={path!r} needs the package python-dotenv: "
            "pip install 'uvicorn-worker[dotenv]'"
        ) from None
    try:
        with open(path, encoding="utf-8-sig") as file:
            found = dotenv_values(stream=file)
    except OSError as exc:
        raise ConfigError(f"env_file={path!r}: {exc.strerror or exc}") from None
    except ValueError as exc:  # no UTF-8, or a NUL in the path
        raise ConfigError(f"env_file={path!r}: {exc}") from None
    return {name: text for name, text in found.items() if text is not None}


def read_config(path: str | None) -> tuple[Mapping[str, Any], str]:
    """Return the table of options of a TOML file, and what to call it in messages.

    None: the table of the pyproject.toml in the current folder, empty where there is none.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    file = PYPROJECT if path is None else path
    title = f"{file} [{'.'.join(TABLE)}]"
    try:
        with open(file, "rb") as stream:
            text = stream.read()
    except OSError as exc:
        if path is None:
            return {}, title
        raise ConfigError(f"config={path!r}: {exc.strerror or exc}") from None
    except ValueError as exc:  # a NUL in the path
        raise ConfigError(f"config={path!r}: {exc}") from None
    # Projects without a word about us need not be parsed at every start.
    if path is None and TABLE[1].encode() not in text:
        return {}, title
    content = _parse(text, file)
    is_pyproject = path is None or os.path.basename(path) == PYPROJECT
    table: Any = content.get(TABLE[0], {})
    table = table.get(TABLE[1]) if isinstance(table, dict) else None
    if table is None:
        return ({}, title) if is_pyproject else (content, file)
    if not isinstance(table, dict):
        raise ConfigError(f"{title}: expected a table of options")
    return table, title


def _parse(text: bytes, file: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content: dict[str, Any] = tomllib.loads(text.decode())
    except ValueError as exc:  # of TOML, or of UTF-8
        raise ConfigError(f"{file}: not valid TOML: {exc}") from None
    return content
