"""Access lines: equal to those of Gunicorn's own logger, and real objects for every other one."""

from __future__ import annotations

import copy
import functools
import json
import logging
import logging.handlers
import pickle
import queue
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger, SafeAtoms
from gunicorn.instrument.statsd import Statsd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.exchange import FakeExchange, make_scope
from uvicorn_worker.gunicorn.access import AccessLog, _LineWriter
from uvicorn_worker.gunicorn.atoms import make_atoms
from uvicorn_worker.gunicorn.views import Objects
from uvicorn_worker.logging import JsonFormatter
from uvicorn_worker.logs.exchanges import Site, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from uvicorn_worker.asgi import Headers

COMBINED = Config().access_log_format
SINGLE = "hlutrmsUqHbBfaTDMLp"
EVERY_ATOM = " | ".join(f"{name}=%({name})s" for name in (*SINGLE, "x", "rr", "")) + (
    " | %({User-Agent}i)s %({x-a}I)s %({nothing}i)s %({x_odd}i)s %({}i)s %({é}i)s"
    " | %({Content-Length}o)s %({X-B}O)s %({date}o)s %({nothing}o)s %({x:b}o)s %({€}o)s"
    " | %({server_name}e)s %({REMOTE_PORT}E)s %({wsgi.url_scheme}e)s %({http_x_odd}e)s"
    " | %({nothing}e)s %({x}z)s %({x)s %(}i)s"
)


class Lines(logging.Handler):
    """Keeps the lines that a logger writes."""

    def __init__(self, line_format: str = "%(message)s") -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(line_format))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def make_config(**changes: object) -> Config:
    cfg = Config()
    cfg.set("errorlog", "/dev/null")
    for name, value in changes.items():
        cfg.set(name, value)
    return cfg


@pytest.fixture(autouse=True)
def _loggers_are_left_as_they_were() -> Iterator[None]:
    yield
    reset_loggers()


def reset_loggers() -> None:
    for name in ("gunicorn.access", "gunicorn.error"):
        log = logging.getLogger(name)
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()  # Gunicorn only takes it out when a new configuration replaces it
        log.filters.clear()
        log.propagate = True
        log.setLevel(logging.NOTSET)


def make_logger(cls: type[Any] = Logger, **changes: object) -> tuple[Any, Lines]:
    """Return a logger of Gunicorn with the access log on, and the lines that it will write."""
    reset_loggers()
    log = cls(make_config(**{"accesslog": "/dev/null", **changes}))
    lines = Lines()
    log.access_log.addHandler(lines)
    return log, lines


def make_access_log(log: Any, site: Site | None = None) -> AccessLog:
    return AccessLog(log, log.cfg, own_class=Logger, site=site)


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


# -- the same line as Gunicorn's

HEAD = (
    b'HTTP/1.1 404 Not Found\r\nDate: today\r\nX-B: first\r\nx-b: the "last"  \r\n'
    b"content-length: 9\r\n\r\n"
)
FIELDS: Headers = [
    (b"host", b"testserver"),
    (b"referer", b'http://a/?"x"'),
    (b"user-agent", b'Mozilla "5.0" \xe9'),
    (b"x-a", b"1"),
    (b"x-a", b"2"),
    (b"x_odd", b"3"),
    (b"x-odd", b"4"),
]
BASIC = b"Basic " + b"YWxhZCJkaW46b3BlbnNlc2FtZQ=="  # alad"din:opensesame

EXCHANGES = {
    "plain": FakeExchange(),
    "no fields": FakeExchange(request_headers=[]),
    "much": FakeExchange(
        target=b'/%41/x"y?a=%20"', request_headers=FIELDS, status=404, sent=9, response_head=HEAD
    ),
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
    written = assert_equal_lines(line_format, EXCHANGES["much"])

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
    exchange = EXCHANGES["much"]
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


# -- the record, for formatters and handlers of all kinds


def record_of(
    exchange: FakeExchange, line_format: str = COMBINED, now: float = 1000.25
) -> logging.LogRecord:
    class Records(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    records: list[logging.LogRecord] = []
    log, _ = make_logger(access_log_format=line_format)
    log.access_log.addHandler(Records())
    make_access_log(log).log(exchange, now)
    return records[0]


def safe_atoms(exchange: FakeExchange, now: float = 1000.25) -> dict[str, object]:
    objects = Objects(exchange, Site())
    log, _ = make_logger()
    made: dict[str, object] = SafeAtoms(
        log.atoms(objects.resp, objects.req, objects.environ, duration(exchange, now))
    )
    return made


@pytest.mark.parametrize(
    "look",
    [
        dict,
        list,
        len,
        sorted,
        repr,
        json.dumps,
        copy.copy,
        copy.deepcopy,
        lambda atoms: pickle.loads(pickle.dumps(atoms)),
        lambda atoms: atoms.copy(),
        lambda atoms: {**atoms},
        lambda atoms: dict(**atoms),
        lambda atoms: list(atoms.keys()),
        lambda atoms: list(atoms.values()),
        lambda atoms: list(atoms.items()),
        lambda atoms: [atoms.get(key) for key in ("h", "U", "{x-a}i", "{X-A}i", "x")],
        lambda atoms: [atoms.get(key, "?") for key in ("h", "{X-A}i", "x")],
        lambda atoms: [key in atoms for key in ("h", "U", "{x-a}i", "{X-A}i", "x")],
        lambda atoms: [len(atoms), atoms["U"], atoms["{X-A}i"], atoms["{x}i"], atoms["x"]],
        lambda atoms: [isinstance(atoms, dict), bool(atoms)],
    ],
)
def test_a_record_carries_what_looks_like_gunicorns_atoms(
    look: Callable[[dict[str, object]], object],
) -> None:
    exchange = EXCHANGES["much"]
    args: Any = record_of(exchange).args
    expected = safe_atoms(exchange)
    expected["t"] = args["t"]

    assert look(args) == look(expected)
    assert args == expected
    assert args != {}


def test_json_lines_have_the_members_that_they_have_without_gunicorn() -> None:
    record = record_of(FakeExchange(target=b"/a?b", started=1000.0), "%(m)s %(U)s", now=1000.25)

    said = json.loads(JsonFormatter().format(record))

    assert (said["message"], said["logger"]) == ("GET /a", "gunicorn.access")
    assert said["client"] == "127.0.0.1:50000"
    assert (said["method"], said["path"], said["query"]) == ("GET", "/a", "b")
    assert (said["http_version"], said["status"], said["duration"]) == ("1.1", 200, 0.25)


def test_the_atoms_stay_those_of_then_when_the_line_is_formatted_later() -> None:
    exchange = FakeExchange()
    log, _ = make_logger()
    atoms = make_atoms(exchange, 1000.25, "[then]", log, Site())

    assert (atoms["t"], dict(atoms)["t"], atoms["t"]) == ("[then]", "[then]", "[then]")
    assert atoms["D"] == dict(atoms)["D"] == 250_000


def test_a_record_has_the_attributes_that_logging_gives_it() -> None:
    reference = logging.LogRecord("gunicorn.access", logging.INFO, "x", 1, COMBINED, (), None)

    record = record_of(FakeExchange())

    assert vars(record).keys() >= vars(reference).keys()
    for name in ("name", "levelno", "levelname", "msg", "process", "processName", "thread"):
        assert getattr(record, name) == getattr(reference, name)
    assert abs(record.created - reference.created) < 60
    assert record.msecs == int(record.created % 1 * 1000)
    # `relativeCreated` counts milliseconds since logging was loaded.
    loaded = reference.created * 1000 - reference.relativeCreated
    assert abs(record.created * 1000 - record.relativeCreated - loaded) < 1
    assert record.exc_info is None
    assert record.filename == "access.py"


def test_a_queue_handler_can_take_the_record() -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    log, lines = make_logger()
    log.access_log.addHandler(logging.handlers.QueueHandler(records))

    make_access_log(log).log(EXCHANGES["much"], 1000.25)

    assert records.get_nowait().getMessage() == lines.lines[0]


def test_filters_and_levels_of_the_logger_count() -> None:
    log, lines = make_logger()
    access = make_access_log(log)

    log.access_log.setLevel(logging.WARNING)
    access.log(FakeExchange(), 1000.25)
    log.access_log.setLevel(logging.INFO)
    log.access_log.addFilter(lambda record: "/health" not in record.getMessage())
    access.log(FakeExchange(target=b"/health"), 1000.25)
    assert lines.lines == []

    access.log(FakeExchange(target=b"/x"), 1000.25)
    assert len(lines.lines) == 1


class MarkedRecord(logging.LogRecord):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mark = "marked"


def test_a_record_factory_is_used_where_there_is_one() -> None:
    usual = logging.getLogRecordFactory()
    logging.setLogRecordFactory(MarkedRecord)
    try:
        record = record_of(FakeExchange())
    finally:
        logging.setLogRecordFactory(usual)

    assert isinstance(record, MarkedRecord)
    assert record.mark == "marked"
    assert '"GET / HTTP/1.1" 200 13' in record.getMessage()


@pytest.mark.parametrize("name", ["makeRecord", "_log", "info"])
def test_the_machinery_of_logging_is_used_where_somebody_wrapped_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    usual = getattr(logging.Logger, name)

    @functools.wraps(usual)
    def traced(*args: Any, **kwargs: Any) -> object:
        calls.append(name)
        return usual(*args, **kwargs)

    monkeypatch.setattr(logging.Logger, name, traced)
    record_of(FakeExchange())

    assert calls == [name]


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
            access.log(EXCHANGES["much"], 1000.25)
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
    exchange = EXCHANGES["much"]
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
