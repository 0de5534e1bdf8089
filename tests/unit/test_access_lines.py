"""How access lines look: usual ones, formats, JSON; alike with and without a record."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.accesslog import ACCESS, COMBINED, access_log_of, logged_to
from tests.support.exchange import FakeExchange, make_scope
from tests.support.logstate import restored_loggers
from uvicorn_worker.logs.exchanges import Site, show_target
from uvicorn_worker.logs.lineformat import LineFormat
from uvicorn_worker.logs.remembered import MAX_KEY, MAX_REMEMBERED, Remembered

if TYPE_CHECKING:
    from pathlib import Path

    from uvicorn_worker.asgi import Headers

pytestmark = pytest.mark.usefixtures("own_loggers")

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TIMES = re.compile(r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d[.,]\d{3}Z?|\[\d.*? \+\d{4}\]|\d+\.\d{6}")
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
    access = access_log_of(
        log_config=logged_to(log, **FORMATS.get(way, {})), **OPTIONS.get(way, {})
    )
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
    access_log_of(log_config=logged_to(log)).after(EXCHANGES[exchange])

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


def test_json_says_all_about_a_request(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    access = access_log_of(log_config=logged_to(log), log_format="json")
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
            access = access_log_of(log_format="json", **options)
            ACCESS.handlers[0].setStream(lines)  # type: ignore[attr-defined]  # it has a stream
            access.after(exchange)

    first, second = lines.getvalue().splitlines()
    assert json.loads(first)["status"] == 200
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", json.loads(second)["message"])
    assert show_target(target).isascii()
    assert show_target(target).isprintable()
