"""How lines of the log look: in colours, as JSON, and when a record does not fit."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest

from tests.support.logconfigs import ERROR, UVICORNS, configure, log_access
from uvicorn_worker.config import LOGGING_CONFIG
from uvicorn_worker.logging import AccessFormatter, DefaultFormatter, JsonFormatter

pytestmark = pytest.mark.usefixtures("own_loggers")


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
