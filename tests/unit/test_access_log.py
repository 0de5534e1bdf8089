"""Which requests have access lines, and what loggers that people change make of them."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import pickle
import queue
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.accesslog import ACCESS, access_log_of, logged_to
from tests.support.exchange import FakeExchange
from tests.support.logstate import Records
from uvicorn_worker.config import Config
from uvicorn_worker.logs.access import make_access_log
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("own_loggers")

# -- which requests


@pytest.mark.parametrize(
    ("target", "status", "shown"),
    [
        (b"/health", 200, False),
        (b"/health?full", 204, False),
        (b"/ready", 399, False),
        (b"/health", 400, True),
        (b"/health", 503, True),
        (b"/health", 0, True),  # the client left
        (b"/healthy", 200, True),
        (b"/", 200, True),
    ],
)
def test_skipped_paths_are_shown_if_they_fail(
    target: bytes, status: int, shown: bool, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    access = access_log_of(log_config=logged_to(log), access_log_skip=("/health", "/ready"))
    access.after(FakeExchange(target=target, status=status))

    assert bool(log.read_text()) is shown


def test_refused_messages_have_a_line(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = access_log_of(log_config=logged_to(log))
    access.refused(("10.0.0.1", 7), b"GET /\x1b HTTP/1.1\r\n", 400)
    access.refused(("10.0.0.1", 7), b"\x16\x03\x01", 400)

    assert log.read_text().splitlines() == [
        'INFO:     10.0.0.1:7 - "GET /\\x1b HTTP/1.1" 400 Bad Request',
        'INFO:     10.0.0.1:7 - "- - HTTP/" 400 Bad Request',
    ]


def test_a_refused_message_takes_no_time(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = access_log_of(log_config=logged_to(log), log_format="json")
    access.refused(None, b"GET /", 400)

    made = json.loads(log.read_text())
    assert (made["client"], made["method"], made["duration"]) == ("", "GET", 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda: ACCESS.setLevel(logging.WARNING),
        lambda: ACCESS.handlers.clear(),
        lambda: ACCESS.handlers[0].setLevel(logging.WARNING),
        lambda: ACCESS.handlers.__setitem__(0, logging.NullHandler()),
    ],
)
def test_nothing_is_made_where_nobody_would_see_it(change: Callable[[], None]) -> None:
    config = Config("a:b")
    configure_logging(config)
    change()

    assert make_access_log(config) is None


def test_switched_off_nothing_is_made() -> None:
    config = Config("a:b", access_log=False, log_config=None)
    configure_logging(config)
    logging.getLogger("uvicorn").addHandler(Records())

    assert make_access_log(config) is None


# -- records, for filters, formatters and handlers


def test_records_are_those_that_filters_and_formatters_of_uvicorn_know() -> None:
    access = access_log_of()
    records = Records()
    ACCESS.addHandler(records)

    def hide_health(record: logging.LogRecord) -> bool:
        assert isinstance(record.args, tuple)
        return record.args[2] != "/health"

    ACCESS.addFilter(hide_health)
    access.after(FakeExchange(target=b"/health"))
    access.after(FakeExchange(target=b"/?a=1"))

    (record,) = records.records
    assert record.args == ("127.0.0.1:50000", "GET", "/?a=1", "1.1", 200)
    assert record.getMessage() == '127.0.0.1:50000 - "GET /?a=1 HTTP/1.1" 200'
    assert (record.name, record.levelname, record.funcName) == ("uvicorn.access", "INFO", "after")
    assert pickle.loads(pickle.dumps(record)).args == record.args


def test_filters_see_the_same_arguments_beside_a_format() -> None:
    access = access_log_of(access_log_format="%(m)s %(U)s 100%%")
    records = Records()
    ACCESS.addHandler(records)

    access.after(FakeExchange(target=b"/a%20b"))

    (record,) = records.records
    assert record.getMessage() == "GET /a b 100%"
    assert isinstance(record.args, tuple)
    assert record.args[2] == "/a%20b"


def test_a_queue_gets_whole_records() -> None:
    access = access_log_of()
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    ACCESS.addHandler(logging.handlers.QueueHandler(waiting))

    access.after(FakeExchange())

    assert waiting.get().getMessage() == '127.0.0.1:50000 - "GET / HTTP/1.1" 200'


# -- loggers that change while the server runs


def test_changes_of_the_logger_count_from_the_next_turn_of_the_loop(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = access_log_of(log_config=logged_to(log))
    records = Records()

    async def run() -> list[int]:
        seen = []
        changes: tuple[Callable[[], object], ...] = (
            lambda: None,
            lambda: ACCESS.addHandler(records),
            lambda: ACCESS.removeHandler(records),
            lambda: ACCESS.setLevel(logging.WARNING),
            lambda: ACCESS.setLevel(logging.INFO),
            lambda: ACCESS.handlers[0].addFilter(lambda record: False),
            lambda: ACCESS.handlers[0].filters.clear(),
        )
        for change in changes:
            change()
            access.after(FakeExchange())
            access.after(FakeExchange())
            await asyncio.sleep(0)
            seen.append(len(log.read_text().splitlines()))
        return seen

    assert asyncio.run(run()) == [2, 4, 6, 6, 8, 8, 10]
    assert len(records.records) == 2


def test_whoever_replaces_the_machinery_of_logging_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    factory = logging.getLogRecordFactory()

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        seen.append(record.args)
        return record

    access = access_log_of(log_config=logged_to(tmp_path / "access.log"))
    try:
        logging.setLogRecordFactory(make_record)
        access.after(FakeExchange())
    finally:
        logging.setLogRecordFactory(factory)
    handled = []
    own = logging.Logger.callHandlers

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        handled.append(record)
        own(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", call_handlers)
    access = access_log_of(log_config=logged_to(tmp_path / "access.log"))
    access.after(FakeExchange())

    assert seen == [("127.0.0.1:50000", "GET", "/", "1.1", 200)]
    assert len(handled) == 1
    assert len((tmp_path / "access.log").read_text().splitlines()) == 2


def test_an_exception_in_the_log_is_told_and_goes_no_further() -> None:
    access = access_log_of()
    records = Records()
    logging.getLogger("uvicorn.error").addHandler(records)

    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's mistake")

    ACCESS.addFilter(broken)
    access.after(FakeExchange())

    assert "RuntimeError: a filter's mistake" in records.records[0].getMessage()
