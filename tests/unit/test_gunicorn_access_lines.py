"""Access lines are those that Gunicorn's own logger writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.glogging import Logger
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.exchange import FakeExchange, make_scope
from tests.support.gunicorn_access import COMBINED, MUCH, make_access_log, make_config, make_logger
from uvicorn_worker.gunicorn.access import _LineWriter
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logs.exchanges import Site, duration

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.logstate import Lines
    from uvicorn_worker.asgi import Headers

pytestmark = pytest.mark.usefixtures("own_loggers")

SINGLE = "hlutrmsUqHbBfaTDMLp"
EVERY_ATOM = " | ".join(f"{name}=%({name})s" for name in (*SINGLE, "x", "rr", "")) + (
    " | %({User-Agent}i)s %({x-a}I)s %({nothing}i)s %({x_odd}i)s %({}i)s %({é}i)s"
    " | %({Content-Length}o)s %({X-B}O)s %({date}o)s %({nothing}o)s %({x:b}o)s %({€}o)s"
    " | %({server_name}e)s %({REMOTE_PORT}E)s %({wsgi.url_scheme}e)s %({http_x_odd}e)s"
    " | %({nothing}e)s %({x}z)s %({x)s %(}i)s"
)


def own_line(log: Any, lines: Lines, exchange: Any, now: float, site: Site) -> str:
    """Return the line that Gunicorn's logger writes for the objects of an exchange."""
    objects = Objects(exchange, site)
    log.access(objects.resp, objects.req, objects.environ, duration(exchange, now))
    return lines.lines.pop()


def assert_equal_lines(line_format: str, exchange: FakeExchange, now: float = 1000.25) -> str:
    """Demand that ours is Gunicorn's line; return it."""
    log, lines = make_logger(access_log_format=line_format)
    access = make_access_log(log)
    assert isinstance(access.log, _LineWriter)
    # The line holds a second of the clock, which may go on between the two.
    before = own_line(log, lines, exchange, now, Site())
    access.log(exchange, now)
    ours = lines.lines.pop()
    assert ours in (before, own_line(log, lines, exchange, now, Site()))
    assert lines.lines == []
    return ours


BASIC = b"Basic " + b"YWxhZCJkaW46b3BlbnNlc2FtZQ=="  # alad"din:opensesame
EXCHANGES = {
    "plain": FakeExchange(),
    "no fields": FakeExchange(request_headers=[]),
    "much": MUCH,
    "unix": FakeExchange(peer=None, local=("/run/app.sock", None)),
    "named unix": FakeExchange(peer=("/run/client.sock", None), local=("/run/app.sock", None)),
    "ipv6": FakeExchange(peer=("2001:db8::1", 5), local=("::1", 8000)),
    "http/1.0": FakeExchange(scope=make_scope(http_version="1.0", method="HEAD"), sent=0),
    "websocket": FakeExchange(
        scope=make_scope(type="websocket", scheme="ws", method="GET"),
        status=101,
        response_head=b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
    ),
    "no response": FakeExchange(status=0, sent=0, response_head=b""),
    "user": FakeExchange(request_headers=[(b"authorization", BASIC)]),
    "bad user": FakeExchange(request_headers=[(b"authorization", b"Basic !")]),
    "bearer": FakeExchange(request_headers=[(b"authorization", b"Bearer x")]),
    "two users": FakeExchange(request_headers=[(b"authorization", BASIC)] * 2),
    "two agents": FakeExchange(request_headers=[(b"user-agent", b"a"), (b"user-agent", b"b")]),
    "odd agent": FakeExchange(request_headers=[(b"user_agent", b"a")]),
    "odd agents": FakeExchange(request_headers=[(b"user_agent", b"a"), (b"user-agent", b"b")]),
    "two referers": FakeExchange(request_headers=[(b"referer", b"a"), (b"referer", b"b")]),
    "empty agent": FakeExchange(request_headers=[(b"user-agent", b"")]),
    "mounted": FakeExchange(
        scope=make_scope(root_path="/app/sub"),
        target=b"/app/sub/x",
        request_headers=[(b"script_name", b"/app")],
    ),
}


@pytest.mark.parametrize("line_format", [COMBINED, EVERY_ATOM, "no atom", ""])
@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES.keys())
def test_the_line_is_the_one_that_gunicorn_writes(line_format: str, exchange: FakeExchange) -> None:
    assert_equal_lines(line_format, exchange)


@pytest.mark.parametrize(
    "seconds", [0.0, 0.000001, 0.2, 0.9999996, 1.0000005, 59.5, 3600.25, 86399.999999, 90000.5, -1]
)
def test_durations_are_those_that_gunicorn_writes(seconds: float) -> None:
    assert_equal_lines("%(T)s %(D)s %(M)s %(L)s %(D)d", FakeExchange(), 1000.0 + seconds)


@pytest.mark.parametrize(
    ("line_format", "line"),
    [
        # What the lines are, beside being equal.
        ('%(h)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"', None),
        ("%(m)s %(U)s %(q)s %(H)s", 'GET /A/x\\"y a=%20\\" HTTP/1.1'),
        ("%(r)s", 'GET /%41/x\\"y?a=%20\\" HTTP/1.1'),
        ("%(s)s %(B)s %(b)s", "404 9 9"),
        ("%(T)s %(M)s %(D)s %(L)s", "0 250 250000 0.250000"),
        ("%({X-A}i)s %({x-b}o)s %({HTTP_X_ODD}e)s", '2 the \\"last\\" 3,4'),
        ("%({server_name}e)s:%({server_port}e)s", "127.0.0.1:8000"),
        ("%(x)s %({x}i)s %({x}o)s %({x}e)s", "- - - -"),
    ],
)
def test_the_line_says_what_happened(line_format: str, line: str | None) -> None:
    written = assert_equal_lines(line_format, MUCH)

    expected = (
        '127.0.0.1 - - "GET /%41/x\\"y?a=%20\\" HTTP/1.1" 404 9 "http://a/?\\"x\\"" '
        '"Mozilla \\"5.0\\" é"'
    )
    assert written == (line or expected)


texts = st.text(
    alphabet=st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"),
    max_size=12,
).map(lambda text: text.strip().encode("latin-1"))
names = st.sampled_from(
    [b"host", b"user-agent", b"user_agent", b"referer", b"authorization", b"x-a", b"content-type"]
)
atoms = st.one_of(
    st.sampled_from(SINGLE),
    st.builds(
        lambda name, kind, upper: "{" + (name.upper() if upper else name) + "}" + kind,
        st.sampled_from(["user-agent", "x-a", "content-length", "http_x_a", "path_info", "b"]),
        st.sampled_from("ioeIOEx"),
        st.booleans(),
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(names, texts), max_size=5),
    st.lists(st.tuples(st.sampled_from([b"X-A", b"x-a", b"B"]), texts), max_size=3),
    st.text(alphabet='/%41"?&=ab', max_size=10),
    st.one_of(st.just(0), st.integers(100, 999)),
    st.floats(0, 1e5),
    st.lists(atoms, min_size=1, max_size=6),
)
def test_any_line_is_the_one_that_gunicorn_writes(
    fields: Headers,
    response_fields: Headers,
    target: str,
    status: int,
    seconds: float,
    wanted: list[str],
) -> None:
    lines = b"".join(b"%b: %b\r\n" % field for field in response_fields)
    exchange = FakeExchange(
        target=b"/" + target.encode(),
        request_headers=fields,
        status=status,
        response_head=b"HTTP/1.1 %03d Reason\r\n%b\r\n" % (status, lines) if status else b"",
    )
    assert_equal_lines(
        " ".join(f'"%({name})s"' for name in wanted), exchange, exchange.started + seconds
    )


def test_lines_reach_a_file_as_gunicorn_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = Logger(make_config(accesslog=str(path)))
    access = make_access_log(log)
    exchange = MUCH
    objects = Objects(exchange, Site())

    log.access(objects.resp, objects.req, objects.environ, duration(exchange, 1000.5))
    access.log(exchange, 1000.5)
    log.access(objects.resp, objects.req, objects.environ, duration(exchange, 1000.5))

    before, ours, after = path.read_text("utf-8").splitlines()
    assert ours in (before, after)


def test_the_time_goes_on() -> None:
    log, lines = make_logger(access_log_format="%(t)s")
    writer = make_access_log(log).log
    assert isinstance(writer, _LineWriter)

    writer(FakeExchange(), 1000.0)
    writer._second -= 1
    writer._stamp = "[a second ago]"
    writer(FakeExchange(), 1000.0)

    assert time.strptime(lines.lines[-1], "[%d/%b/%Y:%H:%M:%S %z]")


# -- refused messages


@pytest.mark.parametrize(
    ("head", "status", "line"),
    [
        (b"", 408, '192.0.2.1 - - "- - -" 408 - "-" "-" 0'),
        (b"\x16\x03\x01", 400, '192.0.2.1 - - "- - -" 400 - "-" "-" 0'),
        (
            b'GET /a"b HTTP/1.1\r\nuser-agent: x\r\nreferer: y\r\nhost\r\n\r\n',
            400,
            '192.0.2.1 - - "GET /a\\"b HTTP/1.1" 400 - "y" "x" 0',
        ),
        (b"GET /aaaa", 414, '192.0.2.1 - - "GET /aaaa -" 414 - "-" "-" 0'),
        (b"GET /\r\nX: 127.0.0.1\r\n\r\n", 400, '192.0.2.1 - - "GET / -" 400 - "-" "-" 0'),
    ],
)
def test_a_refused_message_has_its_line(head: bytes, status: int, line: str) -> None:
    log, lines = make_logger(
        access_log_format='%(h)s %(l)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s'
    )

    make_access_log(log).refused(("192.0.2.1", 5), head, status)

    assert lines.lines == [line]


@given(st.binary(max_size=80))
@settings(max_examples=100)
def test_no_refused_message_breaks_out_of_its_line(head: bytes) -> None:
    # The decoded path is what it is, here and in Gunicorn.
    log, lines = make_logger(access_log_format=EVERY_ATOM.replace("%(U)s", ""))

    make_access_log(log).refused(None, head, 400)

    assert all(char >= " " and char != "\x7f" for char in lines.lines[0])
