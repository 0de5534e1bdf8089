"""The server's own access log: the same line on every way, and records as people know them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.handlers
import pickle
import queue
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.exchange import FakeExchange, make_scope
from tests.support.logstate import Records, restored_loggers
from uvicorn_worker.config import LOGGING_CONFIG, Config
from uvicorn_worker.logs.access import AccessLog, make_access_log
from uvicorn_worker.logs.exchanges import Site, show_target
from uvicorn_worker.logs.lineformat import LineFormat
from uvicorn_worker.logs.remembered import MAX_KEY, MAX_REMEMBERED, Remembered
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uvicorn_worker.asgi import Headers

pytestmark = pytest.mark.usefixtures("own_loggers")

ACCESS = logging.getLogger("uvicorn.access")
TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TIMES = re.compile(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d[.,]\d{3}Z?|\[\d.*? \+\d{4}\]|\d+\.\d{6}")


def make(**options: Any) -> AccessLog:
    config = Config("a:b", **options)
    configure_logging(config)
    made = make_access_log(config)
    assert made is not None
    return made


def logged_to(path: Path, **changes: object) -> dict[str, Any]:
    """Return the usual configuration, with the access lines in a file."""
    access = {**LOGGING_CONFIG["formatters"]["access"], "use_colors": False, **changes}
    return {
        **LOGGING_CONFIG,
        "formatters": {**LOGGING_CONFIG["formatters"], "access": access},
        "handlers": {
            **LOGGING_CONFIG["handlers"],
            "access": {
                "class": "logging.FileHandler",
                "filename": str(path),
                "formatter": "access",
            },
        },
    }


# -- the same line, with and without a record

COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
FORMATS: dict[str, dict[str, Any]] = {
    "usual": {},
    "colours": {"use_colors": True},
    "time": {"fmt": "%(asctime)s %(levelprefix)-12s [%(name)s] %(message)s"},
    "date": {"fmt": "100%% %(asctime)s %(levelname)8s %(request_line)s", "datefmt": "%H %%"},
    "process": {"fmt": "%(process)d %(request_line)s"},  # only a record knows
    "braces": {"fmt": "{client_addr} {status_code}", "style": "{"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "json": {"log_format": "json"},
    "atoms": {"access_log_format": COMBINED},
    "more atoms": {"access_log_format": "%(p)s %(L)s %(U)s %(q)s %({X-A}i)s %({server}o)s %(B)d"},
    "json and atoms": {"log_format": "json", "access_log_format": COMBINED},
}
FIELDS: Headers = [(b"host", b"a"), (b"x-a", b'\x9b1"'), (b"authorization", b"Basic YTpi")]
EXCHANGES = {
    "plain": FakeExchange(),
    "query": FakeExchange(target=b"/a%20b?c=%22", status=404, request_headers=FIELDS),
    "traced": FakeExchange(request_headers=[(b"traceparent", TRACEPARENT)]),
    "named": FakeExchange(
        request_headers=[(b"traceparent", TRACEPARENT), (b"x-request-id", b'a"\xe9\x85')]
    ),
    "absolute": FakeExchange(target=b"http://host/p?q"),
    "star": FakeExchange(target=b"*", scope=make_scope(method="OPTIONS")),
    "odd bytes": FakeExchange(target=b"/\x1b[2J\xc3\xa9\n", status=799),
    "gone": FakeExchange(status=0, sent=0, response_head=b""),
    "websocket": FakeExchange(scope=make_scope(type="websocket"), status=101),
    "unix": FakeExchange(scope=make_scope(client=None)),
    "named unix": FakeExchange(scope=make_scope(client=("/run/x.sock", None))),
    "proxied": FakeExchange(scope=make_scope(client=("2001:db8::1", 0))),
}
del EXCHANGES["websocket"].scope["method"]


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
@pytest.mark.parametrize("way", [*FORMATS, *OPTIONS])
def test_a_line_is_the_same_with_and_without_a_record(
    way: str, exchange: FakeExchange, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    access = make(log_config=logged_to(log, **FORMATS.get(way, {})), **OPTIONS.get(way, {}))
    access.after(exchange)
    direct = access._writer is not None
    ACCESS.addFilter(lambda record: True)
    access.after(exchange)

    assert direct is (way not in ("process", "braces"))
    assert access._writer is None
    first, second = log.read_text("utf-8").splitlines()
    assert TIMES.sub("<time>", first) == TIMES.sub("<time>", second)
    assert "\x1b[2J" not in first


@pytest.mark.parametrize(
    ("exchange", "line"),
    [
        ("plain", '127.0.0.1:50000 - "GET / HTTP/1.1" 200 OK'),
        ("query", '127.0.0.1:50000 - "GET /a%20b?c=%22 HTTP/1.1" 404 Not Found'),
        ("absolute", '127.0.0.1:50000 - "GET /p?q HTTP/1.1" 200 OK'),
        ("star", '127.0.0.1:50000 - "OPTIONS * HTTP/1.1" 200 OK'),
        ("odd bytes", '127.0.0.1:50000 - "GET /%1B[2J%C3%A9%0A HTTP/1.1" 799 '),
        ("gone", '127.0.0.1:50000 - "GET / HTTP/1.1" 499 '),
        ("websocket", '127.0.0.1:50000 - "GET / HTTP/1.1" 101 Switching Protocols'),
        ("unix", ' - "GET / HTTP/1.1" 200 OK'),
        ("named unix", ' - "GET / HTTP/1.1" 200 OK'),
        ("proxied", '2001:db8::1:0 - "GET / HTTP/1.1" 200 OK'),
    ],
)
def test_lines_say_what_uvicorns_say(exchange: str, line: str, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    make(log_config=logged_to(log)).after(EXCHANGES[exchange])

    assert log.read_text() == f"INFO:     {line}\n"


@pytest.mark.parametrize(
    ("line_format", "line"),
    [
        ("%(h)s\t%(s)s", "127.0.0.1\t200"),
        ("%(B)06d|%(m)-5s|100%%(h)s", "000005|GET  |100%(h)s"),
        ('"%(f)s" "%(a)s" %(u)s', '"-" "a\\"b,c\\x9b" a'),
        ("%(T)s %(M)s %(D)s %(L)s", "1 1500 1500000 1.500000"),
        ("%({x-none}i)s %({X-A}I)s %(H)s %(l)s", "- \\x1b[2J HTTP/1.1 -"),
    ],
)
def test_a_format_says_how_lines_look(line_format: str, line: str) -> None:
    exchange = FakeExchange(
        sent=5,
        started=10.0,
        request_headers=[
            (b"user-agent", b'a"b'),
            (b"authorization", b"Basic YTpi"),
            (b"user-agent", b"c\x9b"),
            (b"x-a", b"\x1b[2J"),
        ],
    )
    made = LineFormat(line_format, Site())

    assert made.make(exchange, ("127.0.0.1", 50000), 11.5, "[now]") == line


def test_what_is_remembered_is_bounded() -> None:
    lengths = Remembered[str, int](len)
    for number in range(3 * MAX_REMEMBERED):
        assert lengths[f"{number:05}"] == 5
        assert lengths["x" * MAX_KEY] == MAX_KEY

    assert len(lengths) <= MAX_REMEMBERED
    assert "x" * MAX_KEY not in lengths


def test_records_are_those_that_filters_and_formatters_of_uvicorn_know() -> None:
    access = make()
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
    access = make(access_log_format="%(m)s %(U)s 100%%")
    records = Records()
    ACCESS.addHandler(records)

    access.after(FakeExchange(target=b"/a%20b"))

    (record,) = records.records
    assert record.getMessage() == "GET /a b 100%"
    assert isinstance(record.args, tuple)
    assert record.args[2] == "/a%20b"


def test_a_queue_gets_whole_records() -> None:
    access = make()
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    ACCESS.addHandler(logging.handlers.QueueHandler(waiting))

    access.after(FakeExchange())

    assert waiting.get().getMessage() == '127.0.0.1:50000 - "GET / HTTP/1.1" 200'


def test_json_says_all_about_a_request(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = make(log_config=logged_to(log), log_format="json")
    for name in ("named", "traced", "query", "plain"):
        access.after(EXCHANGES[name])

    named, traced, query, plain = map(json.loads, log.read_text().splitlines())
    assert (named["request_id"], traced["request_id"]) == (
        'a"\xe9\x85',
        "0af7651916cd43dd8448eb211c80319c",
    )
    assert (query["path"], query["query"], query["status"]) == ("/a%20b", "c=%22", 404)
    assert plain.pop("duration") > 0
    assert plain.pop("time").endswith("Z")
    assert plain == {
        "level": "INFO",
        "logger": "uvicorn.access",
        "message": '127.0.0.1:50000 - "GET / HTTP/1.1" 200',
        "client": "127.0.0.1:50000",
        "method": "GET",
        "path": "/",
        "http_version": "1.1",
        "status": 200,
        "bytes": 13,
    }


@settings(max_examples=150, deadline=None)
@given(
    target=st.binary(min_size=1),
    fields=st.lists(
        st.tuples(st.sampled_from([b"x-request-id", b"user-agent", b"referer"]), st.binary())
    ),
    client=st.text(st.characters(exclude_categories=["Cs"])),
)
def test_nothing_that_a_client_sends_breaks_a_line(
    target: bytes, fields: Headers, client: str
) -> None:
    exchange = FakeExchange(
        target=target, request_headers=fields, scope=make_scope(client=(client, 1))
    )
    lines = io.StringIO()
    for options in ({}, {"access_log_format": COMBINED}):
        with restored_loggers():
            access = make(log_format="json", **options)
            ACCESS.handlers[0].setStream(lines)  # type: ignore[attr-defined]  # it has a stream
            access.after(exchange)

    first, second = lines.getvalue().splitlines()
    assert json.loads(first)["status"] == 200
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", json.loads(second)["message"])
    assert show_target(target).isascii()
    assert show_target(target).isprintable()


# -- which requests

HEALTH = FakeExchange(target=b"/health?full")


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
    access = make(log_config=logged_to(log), access_log_skip=("/health", "/ready"))
    access.after(FakeExchange(target=target, status=status))

    assert bool(log.read_text()) is shown


def test_refused_messages_have_a_line(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = make(log_config=logged_to(log))
    access.refused(("10.0.0.1", 7), b"GET /\x1b HTTP/1.1\r\n", 400)
    access.refused(("10.0.0.1", 7), b"\x16\x03\x01", 400)

    assert log.read_text().splitlines() == [
        'INFO:     10.0.0.1:7 - "GET /\\x1b HTTP/1.1" 400 Bad Request',
        'INFO:     10.0.0.1:7 - "- - HTTP/" 400 Bad Request',
    ]


def test_a_refused_message_takes_no_time(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = make(log_config=logged_to(log), log_format="json")
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


# -- loggers that change while the server runs


def test_changes_of_the_logger_count_from_the_next_turn_of_the_loop(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = make(log_config=logged_to(log))
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

    access = make(log_config=logged_to(tmp_path / "access.log"))
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
    access = make(log_config=logged_to(tmp_path / "access.log"))
    access.after(FakeExchange())

    assert seen == [("127.0.0.1:50000", "GET", "/", "1.1", 200)]
    assert len(handled) == 1
    assert len((tmp_path / "access.log").read_text().splitlines()) == 2


def test_an_exception_in_the_log_is_told_and_goes_no_further() -> None:
    access = make()
    records = Records()
    logging.getLogger("uvicorn.error").addHandler(records)

    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("a filter's mistake")

    ACCESS.addFilter(broken)
    access.after(FakeExchange())

    assert "RuntimeError: a filter's mistake" in records.records[0].getMessage()
