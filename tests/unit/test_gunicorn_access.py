"""Who writes access lines, and what becomes of a logger's mistakes."""

from __future__ import annotations

import functools
import logging
import logging.handlers
import socket
from typing import Any

import pytest
from gunicorn.glogging import Logger
from gunicorn.instrument.statsd import Statsd

from tests.support.exchange import FakeExchange
from tests.support.gunicorn_access import MUCH, make_access_log, make_config, make_logger
from tests.support.logstate import Lines
from uvicorn_worker.gunicorn.access import AccessLog, _LineWriter
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logs.exchanges import Site

pytestmark = pytest.mark.usefixtures("own_loggers")

# -- who writes


class Renamed(Logger):  # type: ignore[misc]  # Gunicorn ships no types
    def setup(self, cfg: Any) -> None:
        super().setup(cfg)


class OtherAccess(Logger):  # type: ignore[misc]
    def access(self, *args: Any) -> None:
        self.access_log.info("other %s", len(args))


class OtherAtoms(Logger):  # type: ignore[misc]
    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, object]:
        return {**super().atoms(resp, req, environ, request_time), "h": req.peer_addr[0] + "!"}


class OtherNow(Logger):  # type: ignore[misc]
    def now(self) -> str:
        return "[now]"


class OtherWrapper(Logger):  # type: ignore[misc]
    atoms_wrapper_class = dict


class OtherUser(Logger):  # type: ignore[misc]
    def _get_user(self, environ: Any) -> str:
        return "someone"


@pytest.mark.parametrize(
    ("cls", "fast", "line"),
    [
        (Logger, True, "127.0.0.1 - 200"),
        (Renamed, True, "127.0.0.1 - 200"),
        (OtherAccess, False, "other 4"),
        (OtherAtoms, False, "127.0.0.1! - 200"),
        (OtherNow, False, "127.0.0.1 - 200"),
        (OtherWrapper, False, "127.0.0.1 - 200"),
        (OtherUser, False, "127.0.0.1 someone 200"),
    ],
)
def test_only_a_logger_that_changes_nothing_is_replaced(
    cls: type[Any], fast: bool, line: str
) -> None:
    log, lines = make_logger(cls, access_log_format="%(h)s %(u)s %(s)s")
    access = make_access_log(log)

    access.log(FakeExchange(), 1000.25)

    assert isinstance(access.log, _LineWriter) is fast
    assert access.enabled
    assert lines.lines == [line]


def test_a_method_replaced_on_the_object_is_called() -> None:
    log, lines = make_logger(access_log_format="%(h)s")
    log.atoms = lambda *args: {"h": "object"}

    make_access_log(log).log(FakeExchange(), 1000.25)

    assert lines.lines == ["object"]


def test_an_access_logger_of_another_class_is_left_to_gunicorns_logger() -> None:
    class OtherLogger(logging.Logger):
        pass

    log, _ = make_logger(access_log_format="%(s)s")
    log.access_log = OtherLogger("other")
    lines = Lines()
    log.access_log.addHandler(lines)
    access = make_access_log(log)

    access.log(FakeExchange(), 1000.25)

    assert not isinstance(access.log, _LineWriter)
    assert lines.lines == ["200"]


@pytest.mark.parametrize("name", ["now", "atoms", "access", "_get_user"])
def test_a_method_replaced_on_gunicorns_class_is_called(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    usual = getattr(Logger, name)

    @functools.wraps(usual)
    def replaced(*args: Any) -> object:
        calls.append(name)
        return usual(*args)

    monkeypatch.setattr(Logger, name, replaced)
    log, _ = make_logger()

    make_access_log(log).log(FakeExchange(), 1000.25)

    assert calls == [name]


class Before252(Logger):  # type: ignore[misc]
    """Gunicorn's logger as it was when it did not say whether the access log is on."""

    access_log_enabled = None


@pytest.mark.parametrize(
    ("cls", "changes", "enabled"),
    [
        (Logger, {}, False),
        (Before252, {}, False),
        (Before252, {"accesslog": "/dev/null"}, True),
        (Before252, {"logconfig_dict": {"version": 1}}, True),
        (Before252, {"syslog": True}, True),
        (Before252, {"syslog": True, "disable_redirect_access_to_syslog": True}, False),
        (Renamed, {}, False),
        (OtherAtoms, {}, False),
        (OtherAccess, {}, True),
        (Logger, {"accesslog": "/dev/null"}, True),
        (Logger, {"logconfig_dict": {"version": 1}}, True),
        (Logger, {"syslog": True, "disable_redirect_access_to_syslog": True}, False),
    ],
)
def test_nothing_is_done_where_nobody_would_see_it(
    cls: type[Any], changes: dict[str, object], enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Logger, "_set_syslog_handler", lambda *args: None)
    log = cls(make_config(**changes))
    access = make_access_log(log)

    assert access.enabled is enabled


def test_syslog_alone_is_an_access_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Logger, "_set_syslog_handler", lambda *args: None)
    log = Logger(make_config(syslog=True))
    lines = Lines()
    log.access_log.addHandler(lines)

    make_access_log(log).log(FakeExchange(), 1000.25)

    assert len(lines.lines) == 1


def test_an_access_log_that_is_off_writes_nothing() -> None:
    log, lines = make_logger(accesslog=None)
    access = make_access_log(log)

    access.log(FakeExchange(), 1000.25)
    access.refused(("192.0.2.1", 5), b"GET / HTTP/1.1\r\n", 400)

    assert not access.enabled
    assert lines.lines == []


@pytest.mark.parametrize("accesslog", [None, "/dev/null"])
def test_statsd_counts_every_request(accesslog: str | None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        address = f"127.0.0.1:{receiver.getsockname()[1]}"
        log = Statsd(make_config(accesslog=accesslog, statsd_host=address))
        with log.sock:
            access = make_access_log(log)
            access.log(MUCH, 1000.25)
            access.refused(None, b"", 431)
            metrics = [receiver.recv(200).decode() for _ in range(6)]

    assert access.enabled
    assert metrics == [
        "gunicorn.request.duration:250.0|ms",
        "gunicorn.requests:1|c|@1.0",
        "gunicorn.request.status.404:1|c|@1.0",
        "gunicorn.request.duration:0.0|ms",
        "gunicorn.requests:1|c|@1.0",
        "gunicorn.request.status.431:1|c|@1.0",
    ]


def test_a_foreign_logger_gets_real_objects_and_those_that_were_made_already() -> None:
    class Foreign:
        def __init__(self) -> None:
            self.calls: list[tuple[Any, ...]] = []

        def access(self, *args: Any) -> None:
            self.calls.append(args)

        def error(self, msg: str, /, *args: object) -> None:
            raise AssertionError(msg % args)

    log = Foreign()
    access = AccessLog(log, make_config(), own_class=Logger, site=Site(software="test/1"))
    exchange = MUCH
    objects = Objects(exchange, Site())

    access.log(exchange, 1000.25)
    access.log(exchange, 1000.25, objects)

    resp, req, environ, request_time = log.calls[0]
    assert (resp.status, resp.status_code, resp.sent) == ("404 Not Found", 404, 9)
    assert (req.method, req.uri) == ("GET", '/%41/x"y?a=%20"')
    assert environ["SERVER_SOFTWARE"] == "test/1"
    assert request_time.total_seconds() == 0.25
    assert log.calls[1] == (objects.resp, objects.req, objects.environ, request_time)


# -- mistakes of others


@pytest.mark.parametrize("cls", [Logger, OtherAtoms])
def test_a_handler_that_raises_does_not_break_the_request(cls: type[Any]) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError("in the handler")

    log, _ = make_logger(cls)
    errors = Lines()
    log.error_log.addHandler(errors)
    log.access_log.addHandler(Broken())

    make_access_log(log).log(FakeExchange(), 1000.25)

    assert "ZeroDivisionError: in the handler" in errors.lines[0]


def test_an_access_method_that_raises_does_not_break_the_request() -> None:
    class Raising(Logger):  # type: ignore[misc]
        def access(self, *args: Any) -> None:
            raise ZeroDivisionError("100 %s")

    log, _ = make_logger(Raising)
    errors = Lines()
    log.error_log.addHandler(errors)

    make_access_log(log).log(FakeExchange(), 1000.25)

    assert "ZeroDivisionError: 100 %s" in errors.lines[0]


@pytest.mark.parametrize("line_format", ["%(h)d", "%(nothing", "%(h)q"])
def test_a_format_that_raises_does_not_break_the_request(
    line_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)  # not on the tests' stderr
    log = Logger(make_config(accesslog="/dev/null", access_log_format=line_format))

    make_access_log(log).log(FakeExchange(), 1000.25)
