"""What logging configurations do, of all the shapes that people have them in."""

from __future__ import annotations

import configparser
import copy
import io
import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.logconfigs import (
    ACCESS,
    ERROR,
    INI,
    PYTHON_JSON_LOGGER,
    UVICORNS,
    configure,
    log_access,
    write,
)
from tests.support.logstate import NAMES
from uvicorn_worker.config import LOGGING_CONFIG, TRACE
from uvicorn_worker.logs.setup import reopen_logs

pytestmark = pytest.mark.usefixtures("own_loggers")


@pytest.mark.parametrize("shape", ["dict", ".json", ".yaml", ".yml", ".ini", "parser", "file"])
def test_uvicorns_configurations_work_without_uvicorn(
    shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = configparser.RawConfigParser()
    parser.read_string(INI)
    given: dict[str, Any] = {
        "dict": UVICORNS,
        ".json": write(tmp_path, "log.json", json.dumps(UVICORNS)),
        ".yaml": write(tmp_path, "log.yaml", yaml.safe_dump(UVICORNS)),
        ".yml": Path(write(tmp_path, "log.yml", yaml.safe_dump(UVICORNS))),
        ".ini": write(tmp_path, "log.ini", INI),
        "parser": parser,
        "file": io.StringIO(INI),
    }

    configure(log_config=given[shape])
    log_access()

    assert capsys.readouterr().out == '> INFO:     127.0.0.1:50000 "GET /?a=1 HTTP/1.1" 200 OK\n'
    assert "uvicorn" not in sys.modules


def test_a_given_dict_is_left_as_it_is() -> None:
    given = copy.deepcopy(UVICORNS)

    configure(log_config=given, use_colors=True, log_format="json")

    assert given == UVICORNS


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_colors": True},
        {"log_format": "json"},
        {"access_log_format": "%(h)s"},
        {"log_level": "error"},
        {"access_log": False},
    ],
    ids=repr,
)
def test_the_built_in_configuration_is_what_logging_makes_of_it(options: dict[str, Any]) -> None:
    root = logging.getLogger()

    def result(log_config: dict[str, Any]) -> dict[str, object]:
        for name in (*NAMES, "uvicorn.other"):  # whatever somebody has done before
            logger = logging.getLogger(name)
            logger.setLevel(logging.CRITICAL)
            logger.disabled = True
            logger.addHandler(logging.NullHandler())
        configure(log_config=log_config, **options)
        made = {name: shown(logging.getLogger(name)) for name in (*NAMES, "uvicorn.other")}
        # pytest's handlers are there, and open their files again when logging closes all.
        return {**made, "": (root.level, list(root.handlers))}

    assert result(LOGGING_CONFIG) == result({**LOGGING_CONFIG, "filters": {}})


def shown(logger: logging.Logger) -> object:
    handlers = [
        (type(one), one.name, one.level, getattr(one, "stream", None), vars(one.formatter).copy())
        for one in logger.handlers
        if one.formatter is not None
    ]
    for *_, formatter in handlers:
        formatter["_style"] = vars(formatter["_style"])
    return logger.level, logger.propagate, logger.disabled, handlers


def test_the_public_dict_can_be_changed_in_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {**LOGGING_CONFIG["formatters"]["access"], "fmt": "%(client_addr)s %(status_code)s"}
    monkeypatch.setitem(LOGGING_CONFIG["formatters"], "access", changed)

    configure()
    log_access()

    assert capsys.readouterr().out == "127.0.0.1:50000 200 OK\n"


def test_python_json_logger_writes_what_the_tutorial_promises(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it has moved, tutorials have not
        configure(log_config=PYTHON_JSON_LOGGER)
    log_access()
    ERROR.info("ready")

    access, server = map(json.loads, capsys.readouterr().out.splitlines())
    assert access["message"] == '127.0.0.1:50000 - "GET /?a=1 HTTP/1.1" 200'
    assert (access["name"], server["levelname"], server["message"]) == (
        "uvicorn.access",
        "INFO",
        "ready",
    )


def test_none_leaves_logging_to_the_application() -> None:
    configure(log_config=None, log_level="debug")

    assert (logging.getLogger("uvicorn").handlers, ACCESS.handlers) == ([], [])
    assert ERROR.getEffectiveLevel() == logging.DEBUG
    assert ACCESS.propagate


def test_root_and_other_loggers_are_not_touched() -> None:
    root, other = logging.getLogger(), logging.getLogger("tests.other")
    before = (list(root.handlers), root.level)

    configure()
    configure(log_config={**UVICORNS, "loggers": {}})

    assert (list(root.handlers), root.level) == before
    assert not other.disabled


@pytest.mark.parametrize(
    ("level", "number"),
    [("critical", 50), ("info", 20), ("debug", 10), ("trace", TRACE), (35, 35)],
)
def test_log_level_wins_over_the_configuration(level: Any, number: int) -> None:
    configure(log_level=level)

    names = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
    assert {logging.getLogger(name).getEffectiveLevel() for name in names} == {number}
    assert logging.getLevelName(TRACE) == "TRACE"


def test_without_access_log_nothing_reaches_a_handler(capsys: pytest.CaptureFixture[str]) -> None:
    configure(access_log=False)
    log_access()

    assert capsys.readouterr() == ("", "")


# -- opening files again


def file_config(path: Path, **handler: object) -> dict[str, Any]:
    about = {"class": "logging.FileHandler", "filename": str(path), "formatter": "default"}
    return {
        **UVICORNS,
        "handlers": {
            "file": {**about, **handler},
            "late": {"class": "logging.handlers.MemoryHandler", "capacity": 1, "target": "file"},
        },
        "loggers": {"uvicorn.error": {"handlers": ["late"], "level": "INFO", "propagate": False}},
    }


@pytest.mark.parametrize("mode", ["a", "w"])
def test_reopen_follows_a_rotation_and_empties_nothing(mode: str, tmp_path: Path) -> None:
    log, old = tmp_path / "server.log", tmp_path / "server.log.1"
    configure(log_config=file_config(log, mode=mode))
    ERROR.info("one")
    log.rename(old)
    ERROR.info("two")
    reopen_logs()
    ERROR.info("three")
    reopen_logs()
    ERROR.info("four")

    assert old.read_text() == "INFO:     one\nINFO:     two\n"
    assert log.read_text() == "INFO:     three\nINFO:     four\n"


def test_a_log_that_cannot_be_opened_again_goes_on_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log, away = folder / "server.log", tmp_path / "away"
    configure(log_config=file_config(log))
    ERROR.info("one")
    folder.rename(away)

    reopen_logs()
    ERROR.info("two")

    told = (away / "server.log").read_text().splitlines()
    assert told == [
        "INFO:     one",
        f"ERROR:    Cannot reopen the log {log}: No such file or directory",
        "INFO:     two",
    ]
