"""Logging configurations that cannot be honoured: each is refused in one line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.logconfigs import INI, PYTHON_JSON_LOGGER, configure, write
from uvicorn_worker.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_loggers")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.json", None, "'{path}': No such file or directory"),
        (
            "a.json",
            '{"version": 1,\n "x" 2}',
            "'{path}': line 2, column 6: Expecting ':' delimiter",
        ),
        ("a.json", "[]", "'{path}': expected a mapping, not list"),
        ("a.json", "{}", "'{path}': dictionary doesn't specify a version"),
        (
            "a.yaml",
            "a: b\n c: d",
            "'{path}': line 2, column 3: mapping values are not allowed here",
        ),
        ("a.yaml", "", "'{path}': expected a mapping, not nothing"),
        ("a.ini", "hello", "'{path}': File contains no section headers. "),
        ("a.ini", "[loggers]\nkeys=root", "'{path}': the section [handlers] is missing"),
        ("a.ini", INI.replace("StreamHandler", "StramHandler"), "'{path}': "),
        ("a.txt", "\xff", "'{path}': File contains no section headers. "),
    ],
)
def test_a_wrong_file_is_one_line(
    name: str, text: str | None, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, name, text) if text is not None else str(tmp_path / name)

    with pytest.raises(ConfigError) as caught:
        configure(log_config=path)

    told = str(caught.value)
    assert told.startswith(f"log_config={message.format(path=path)}")
    assert "\n" not in told


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        configure(log_config=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"log_config": {"version": 1, "handlers": {"a": {"class": "no.Such"}}}},
            "log_config: Unable to configure handler 'a': ",
        ),
        ({"log_config": 3}, "log_config=3: expected a path, a dict or a configparser"),
        (
            {"log_config": PYTHON_JSON_LOGGER, "log_format": "json"},
            "log_format='json': log_config has formatters of its own; name "
            "uvicorn_worker.logging.JsonFormatter there",
        ),
        (
            {"log_config": None, "log_format": "json"},
            "log_format='json' needs a log_config: the built-in one, or your own",
        ),
        ({"access_log_format": "%(h)"}, "access_log_format='%(h)': incomplete format; expected"),
        ({"access_log_format": "%(x)s"}, "access_log_format='%(x)s': there is no atom %(x)s; "),
        ({"access_log_format": "hi"}, "access_log_format='hi': it names no atom such as %(h)s"),
    ],
)
def test_what_cannot_be_honoured_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(**options)

    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_yaml_without_its_package_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = write(tmp_path, "a.yaml", "version: 1")

    with pytest.raises(ConfigError, match=r"PyYAML: pip install 'uvicorn-worker\[yaml\]'"):
        configure(log_config=path)
