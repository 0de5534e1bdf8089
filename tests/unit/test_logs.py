"""What logging configurations do, of all the shapes that people have them in."""

from __future__ import annotations

import configparser
import copy
import io
import json
import logging
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.logstate import NAMES
from uvicorn_worker.config import LOGGING_CONFIG, TRACE, Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.logging import AccessFormatter, DefaultFormatter, JsonFormatter
from uvicorn_worker.logs.setup import configure_logging, reopen_logs

pytestmark = pytest.mark.usefixtures("own_loggers")

ERROR = logging.getLogger("uvicorn.error")
ACCESS = logging.getLogger("uvicorn.access")
ACCESS_ARGS = ("127.0.0.1:50000", "GET", "/?a=1", "1.1", 200)
ACCESS_MESSAGE = '%s - "%s %s HTTP/%s" %d'

# As it stands in Uvicorn's documentation, and in configurations copied from there.
UVICORNS: dict[str, Any] = {
    "version": 1,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '> %(levelprefix)s %(client_addr)s "%(request_line)s" %(status_code)s',
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
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
INI = """
[loggers]
keys=root, access

[handlers]
keys=console

[formatters]
keys=access

[logger_root]
level=INFO
handlers=

[logger_access]
qualname=uvicorn.access
level=INFO
propagate=0
handlers=console

[handler_console]
class=StreamHandler
formatter=access
args=(sys.stdout,)

[formatter_access]
class=uvicorn.logging.AccessFormatter
format=> %(levelprefix)s %(client_addr)s "%(request_line)s" %(status_code)s
"""
# From a tutorial, word for word.
PYTHON_JSON_LOGGER: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.jsonlogger.JsonFormatter",
            "format": "%(asctime)s %(name)s %(levelname)s %(message)s",
        }
    },
    "handlers": {
        "default": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stdout",
        }
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO"},
        "uvicorn.error": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["default"], "level": "INFO", "propagate": False},
    },
}


def configure(**options: Any) -> None:
    configure_logging(Config("a:b", **options))


def log_access() -> None:
    ACCESS.info(ACCESS_MESSAGE, *ACCESS_ARGS)


# -- shapes of a configuration


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


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
    def result(log_config: dict[str, Any]) -> dict[str, object]:
        for name in (*NAMES, "uvicorn.other"):  # whatever somebody has done before
            logger = logging.getLogger(name)
            logger.setLevel(logging.CRITICAL)
            logger.disabled = True
            logger.addHandler(logging.NullHandler())
        configure(log_config=log_config, **options)
        return {name: shown(logging.getLogger(name)) for name in (*NAMES, "uvicorn.other", "")}

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


# -- options on top of it


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


@pytest.mark.parametrize(
    ("options", "colored"),
    [({"use_colors": True}, True), ({"use_colors": False}, False), ({}, False)],
)
def test_colors_are_as_told_and_none_off_a_terminal(
    options: dict[str, bool], colored: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(**options)
    ERROR.warning("careful", extra={"color_message": "\033[1mcareful\033[0m"})
    log_access()

    out, err = capsys.readouterr()
    if colored:
        assert err == "\033[33mWARNING\033[0m:  \033[1mcareful\033[0m\n"
        assert '"\033[1mGET /?a=1 HTTP/1.1\033[0m" \033[32m200 OK\033[0m\n' in out
    else:
        assert err == "WARNING:  careful\n"
        assert "\033" not in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colored"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_each_handler_has_colors_if_its_own_stream_is_a_terminal(
    stream: type[io.StringIO],
    environ: dict[str, str],
    colored: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    asked, plain = stream(), io.StringIO()
    handlers = {
        name: {"class": "logging.StreamHandler", "formatter": "default", "stream": target}
        for name, target in (("asked", asked), ("plain", plain))
    }
    loggers = {"uvicorn.error": {"handlers": ["asked", "plain"], "propagate": False}}

    configure(log_config={**UVICORNS, "handlers": handlers, "loggers": loggers}, log_level="info")
    ERROR.info("hello")

    name = "\033[32mINFO\033[0m" if colored else "INFO"
    assert asked.getvalue() == f"{name}:     hello\n"
    assert plain.getvalue() == "INFO:     hello\n"


@pytest.mark.parametrize("given", [LOGGING_CONFIG, UVICORNS])
def test_json_takes_the_place_of_our_text(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(log_config=given, log_format="json")
    log_access()
    ERROR.warning("careful")

    out, err = capsys.readouterr()
    assert json.loads(out)["message"] == '127.0.0.1:50000 - "GET /?a=1 HTTP/1.1" 200'
    assert json.loads(err)["level"] == "WARNING"


def test_formatters_can_be_given_as_classes(capsys: pytest.CaptureFixture[str]) -> None:
    class Shouting(AccessFormatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            return super().formatMessage(record).upper() + "!"

    formatters = {
        "default": {"()": JsonFormatter},
        "access": {"()": Shouting, "fmt": "%(request_line)s", "use_colors": False},
    }
    configure(log_config={**UVICORNS, "formatters": formatters})
    log_access()
    ERROR.info("hello")

    out, err = capsys.readouterr()
    assert (out, json.loads(err)["message"]) == ("GET /?A=1 HTTP/1.1!\n", "hello")


# -- records that do not fit


@pytest.mark.parametrize(
    ("formatter", "line"),
    [
        (AccessFormatter("%(levelprefix)s %(client_addr)s"), "WARNING:  not 1 request"),
        (DefaultFormatter("{levelprefix} {message}", style="{"), "WARNING:  not 1 request"),
    ],
)
def test_other_records_on_the_access_log_are_shown_by_their_message(
    formatter: logging.Formatter, line: str
) -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "not %d request", (1,), None)

    assert formatter.format(record) == line


class Unspeakable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_json_is_one_whole_line_whatever_a_record_holds() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    extra = {
        "bytes": b"\x00",
        "nan": float("nan"),
        "cycle": cycle,
        "worse": Unspeakable(),
        "keys": {(1, 2): 3},
        "text": 'é\u2028\x1b"\n',
        "number": 3,
        "time": "noon",
        "status": 4,
    }
    logger, stream = logging.Logger("x\n"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger.addHandler(handler)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("two\nlines %s", "\x1b[2J\r", stack_info=True, extra=extra)
    logger.error("%d", "no number")

    first, second = stream.getvalue().splitlines()
    assert stream.getvalue().isascii()
    made = json.loads(first)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["time"])
    assert (made["logger"], made["message"]) == ("x\n", "two\nlines \x1b[2J\r")
    assert made["exception"].endswith("ValueError: first\nsecond")
    assert "test_json_is_one_whole_line" in made["stack"]
    assert (made["bytes"], made["nan"], made["number"]) == ("b'\\x00'", "nan", 3)
    assert (made["worse"], made["text"]) == ("<Unspeakable>", 'é\u2028\x1b"\n')
    assert (made["extra_time"], made["status"]) == ("noon", 4)
    assert made["keys"] == "{(1, 2): 3}"
    assert "no number" in json.loads(second)["message"]


# -- wrong configurations


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
