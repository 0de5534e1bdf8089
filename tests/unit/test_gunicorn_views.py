"""What hooks and loggers see of a request and its response."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.exchange import FakeExchange, make_scope
from uvicorn_worker import __version__
from uvicorn_worker.gunicorn.views import Objects, RequestView, ResponseView
from uvicorn_worker.logs.exchanges import (
    MAX_REFUSED_TARGET,
    RefusedExchange,
    Site,
    duration,
    make_environ,
)
from uvicorn_worker.proxies.proxy_protocol import ProxyInfo

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Address, Headers

FIELDS: Headers = [
    (b"host", b"example.com:8080"),
    (b"user-agent", b'curl "8"'),
    (b"x-name", b"Jos\xe9"),
    (b"accept", b"text/html"),
    (b"accept", b"*/*"),
    (b"content-type", b"text/plain"),
    (b"content-length", b"3"),
]


def environ_of(site: Site | None = None, **changes: Any) -> dict[str, str]:
    return make_environ(FakeExchange(**changes), site or Site())


# -- requests


def test_a_request_has_the_attributes_of_gunicorns() -> None:
    req = RequestView(
        FakeExchange(
            scope=make_scope(method="POST", http_version="1.0", scheme="https"),
            target=b"/%41/x?a=1&b=%20",
            request_headers=FIELDS,
        )
    )

    assert (req.method, req.uri, req.path, req.query) == (
        "POST",
        "/%41/x?a=1&b=%20",
        "/%41/x",
        "a=1&b=%20",
    )
    assert (req.fragment, req.version, req.scheme, req.body) == ("", (1, 0), "https", None)
    assert req.headers[:4] == [
        ("HOST", "example.com:8080"),
        ("USER-AGENT", 'curl "8"'),
        ("X-NAME", "José"),
        ("ACCEPT", "text/html"),
    ]
    assert req.peer_addr == req.remote_addr == ("127.0.0.1", 50000)
    assert (req.trailers, req.proxy_protocol_info) == ([], None)


@pytest.mark.parametrize("peer", [None, ("", None), ("/run/client.sock", None)])
def test_the_peer_of_a_unix_socket_has_no_address(peer: Address) -> None:
    exchange = FakeExchange(peer=peer)

    assert RequestView(exchange).peer_addr == ""
    assert not {"REMOTE_ADDR", "REMOTE_PORT"} & make_environ(exchange, Site()).keys()


@pytest.mark.parametrize(
    ("version", "fields", "closes"),
    [
        ("1.1", [], False),
        ("1.0", [], True),
        ("1.1", [(b"connection", b"close")], True),
        ("1.1", [(b"connection", b"Upgrade, Close")], True),
        ("1.0", [(b"connection", b"Keep-Alive")], False),
        ("1.0", [(b"connection", b"x"), (b"connection", b"keep-alive")], False),
        ("1.1", [(b"connection", b"upgrade")], False),
    ],
)
def test_should_close(version: str, fields: Headers, closes: bool) -> None:
    exchange = FakeExchange(scope=make_scope(http_version=version), request_headers=fields)

    assert RequestView(exchange).should_close() is closes


def test_the_handshake_of_a_websocket_is_a_get() -> None:
    scope = make_scope(type="websocket", scheme="wss")
    del scope["method"]
    exchange = FakeExchange(scope=scope)

    assert (RequestView(exchange).method, RequestView(exchange).scheme) == ("GET", "https")
    assert make_environ(exchange, Site())["wsgi.url_scheme"] == "https"


PROXY = ProxyInfo(("192.0.2.1", 4711), ("10.0.0.9", 443), 2, "TCP4")


@pytest.mark.parametrize(
    ("proxy", "info", "variables"),
    [
        (None, None, {}),
        (
            PROXY,
            {
                "proxy_protocol": "TCP4",
                "client_addr": "192.0.2.1",
                "client_port": 4711,
                "proxy_addr": "10.0.0.9",
                "proxy_port": 443,
            },
            {"PROXY_PROTOCOL": "TCP4", "PROXY_ADDR": "10.0.0.9", "PROXY_PORT": "443"},
        ),
        (
            ProxyInfo(None, None, 2, "LOCAL"),
            {
                "proxy_protocol": "LOCAL",
                "client_addr": None,
                "client_port": None,
                "proxy_addr": None,
                "proxy_port": None,
            },
            {"PROXY_PROTOCOL": "LOCAL"},
        ),
    ],
)
def test_a_proxy_header_is_told(
    proxy: ProxyInfo | None, info: dict[str, object] | None, variables: dict[str, str]
) -> None:
    exchange = FakeExchange(peer=("192.0.2.1", 4711), proxy=proxy)
    environ = make_environ(exchange, Site())

    assert RequestView(exchange).proxy_protocol_info == info
    assert {key: value for key, value in environ.items() if key.startswith("PROXY_")} == variables
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("192.0.2.1", "4711")


# -- variables


def test_environ_describes_the_request() -> None:
    assert environ_of(
        scope=make_scope(method="POST"),
        target=b"/%41/x%C3%A9?a=%41",
        request_headers=[*FIELDS, (b"x_odd", b"1"), (b"x-odd", b"2")],
    ) == {
        "REQUEST_METHOD": "POST",
        "RAW_URI": "/%41/x%C3%A9?a=%41",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/A/xé",
        "QUERY_STRING": "a=%41",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": f"uvicorn-worker/{__version__}",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "example.com:8080",
        "HTTP_USER_AGENT": 'curl "8"',
        "HTTP_X_NAME": "José",
        "HTTP_ACCEPT": "text/html,*/*",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "3",
        "HTTP_X_ODD": "1,2",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
    }


@pytest.mark.parametrize(
    ("local", "scheme", "host", "server"),
    [
        (("10.0.0.9", 8000), "http", b"example.com:81", ("10.0.0.9", "8000")),
        (("::1", 8000), "http", b"example.com:81", ("::1", "8000")),
        (("/run/app.sock", None), "http", b"example.com:81", ("example.com", "81")),
        (("/run/app.sock", None), "http", b"example.com", ("example.com", "80")),
        (("/run/app.sock", None), "http", b"example.com:", ("example.com", "80")),
        (("/run/app.sock", None), "https", b"example.com", ("example.com", "443")),
        (("/run/app.sock", None), "http", b"[2001:db8::1]:81", ("[2001:db8::1]", "81")),
        (("/run/app.sock", None), "http", b"[2001:db8::1]", ("[2001:db8::1]", "80")),
        (("/run/app.sock", None), "http", None, ("/run/app.sock", "")),
        (None, "http", None, ("", "")),
    ],
)
def test_environ_names_the_server(
    local: Address, scheme: str, host: bytes | None, server: tuple[str, str]
) -> None:
    environ = environ_of(
        local=local,
        scope=make_scope(scheme=scheme),
        request_headers=[(b"host", host)] if host is not None else [],
    )

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == server


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/?", "/", ""),
        (b"/a?b?c", "/a", "b?c"),
        (b"//a//b", "//a//b", ""),
        (b"*", "*", ""),
        (b"http://example.com/a%20b?c", "/a b", "c"),
        (b"http://example.com", "", ""),
        (b"/a:b://c", "/a:b://c", ""),
        (b"/%ff", "/\ufffd", ""),
    ],
)
def test_environ_splits_the_target(target: bytes, path: str, query: str) -> None:
    environ = environ_of(target=target)

    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == target.decode()


@pytest.mark.parametrize(
    ("site", "root_path", "header", "target", "expected"),
    [
        # nothing mounted, or by the framework only
        (Site(), "", None, b"/x", ("", "/x")),
        (Site(), "/static", None, b"/static/x", ("", "/static/x")),
        (Site(), "", b"/app", b"/app/x", ("", "/app/x")),  # of a peer that is not trusted
        # root_path: cut off by the proxy
        (Site(root_path="/api"), "/api", None, b"/x", ("/api", "/x")),
        (Site(root_path="/api"), "/api/static", None, b"/static/x", ("/api", "/static/x")),
        # SCRIPT_NAME of the environment: still in the path
        (Site("/api", "/api"), "/api", None, b"/api/x", ("/api", "/x")),
        (Site("/api", "/api"), "/api/static", None, b"/api/static", ("/api", "/static")),
        # SCRIPT_NAME of a trusted proxy
        (Site(), "/app", b"/app", b"/app/x", ("/app", "/x")),
        (Site(), "/app", b"/app/", b"/app/x", ("/app", "/x")),
        (Site(), "/app/static", b"/app", b"/app/static/x", ("/app", "/static/x")),
        (Site("/api", "/api"), "/app", b"/app", b"/app/x", ("/app", "/x")),
        (Site(root_path="/api"), "/app", b"/app", b"/app", ("/app", "")),
        # a header that did not count
        (Site(root_path="/api"), "/api", b"/app", b"/app/x", ("/api", "/app/x")),
    ],
)
def test_environ_splits_the_path_at_the_servers_mount_point(
    site: Site, root_path: str, header: bytes | None, target: bytes, expected: tuple[str, str]
) -> None:
    environ = environ_of(
        site,
        scope=make_scope(root_path=root_path),
        target=target,
        request_headers=[(b"script_name", header)] if header is not None else [],
    )

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


# -- responses


@pytest.mark.parametrize(
    ("head", "code", "status", "headers", "length"),
    [
        (
            b"HTTP/1.1 200 OK\r\nServer: uvicorn\r\nX-A:  b: c \r\ncontent-length: 13\r\n\r\n",
            200,
            "200 OK",
            [("Server", "uvicorn"), ("X-A", "b: c"), ("content-length", "13")],
            13,
        ),
        (b"HTTP/1.1 299 \r\nx: \xe9\r\n\r\n", 299, "299", [("x", "é")], None),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, "101 Switching Protocols", [], None),
        (b"", 413, "413 Request Entity Too Large", [], None),
        (b"", 799, "799", [], None),
        (b"", 0, "500 Internal Server Error", [], None),
    ],
)
def test_a_response_has_the_attributes_of_gunicorns(
    head: bytes, code: int, status: str, headers: list[tuple[str, str]], length: int | None
) -> None:
    resp = ResponseView(FakeExchange(status=code, response_head=head, sent=7))

    assert resp.status_code == (code or 500)
    assert resp.status.replace("Content Too Large", "Request Entity Too Large") == status
    assert (resp.headers, resp.response_length, resp.sent) == (headers, length, 7)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (1000.25, timedelta(milliseconds=250)),
        (1000.0, timedelta()),
        (999.0, timedelta()),  # a clock that is less exact than ours
        (1000.0 + 90000, timedelta(days=1, hours=1)),
    ],
)
def test_duration_is_the_time_since_the_head(now: float, expected: timedelta) -> None:
    assert duration(FakeExchange(started=1000.0), now) == expected


def test_objects_are_made_once() -> None:
    objects = Objects(FakeExchange(), Site(software="test/1"))

    assert objects.req is objects.req
    assert objects.environ is objects.environ
    assert objects.resp is objects.resp
    assert objects.environ["SERVER_SOFTWARE"] == "test/1"


# -- refused messages


@pytest.mark.parametrize(
    ("head", "line", "fields"),
    [
        (b"", ("-", "-", "-"), []),
        (b"GET", ("-", "-", "-"), []),
        (b"GET ", ("-", "-", "-"), []),
        (b"\x16\x03\x01\x02\x00\x01", ("-", "-", "-"), []),
        (b"GET /a", ("GET", "/a", "-"), []),
        (b"GET /a HTTP/1.1", ("GET", "/a", "-"), []),
        (b"GET /a?b HTTP/1.1\r\n", ("GET", "/a?b", "HTTP/1.1"), []),
        (b"GET /a HTTP/2.0\r\n\r\n", ("GET", "/a", "HTTP/2.0"), []),
        (b"get  /a HTTP/1.1\r\n\r\n", ("-", "-", "-"), []),
        (b"GET /a b HTTP/1.1\r\n\r\n", ("GET", "/a", "-"), []),
        (b'GET /\x1b[31m"\xff HTTP/1.1\r\n\r\n', ("GET", '/\\x1b[31m"\\xff', "HTTP/1.1"), []),
        (
            b"GET /a\nHTTP/1.1 HTTP/1.1\r\nhost: a\r\n\r\n",
            ("GET", "/a", "-"),
            [("HOST", "a")],
        ),
        (
            b"PUT / HTTP/1.1\r\nHost: a\r\nbad name: x\r\nX-A: \t b \t\r\nX-B: a\x00b\r\nX-C: cut",
            ("PUT", "/", "HTTP/1.1"),
            [("HOST", "a"), ("X-A", "b")],
        ),
        (
            b"GET /" + b"a" * 100_000,
            ("GET", "/" + "a" * (MAX_REFUSED_TARGET - 1) + "...", "-"),
            [],
        ),
    ],
)
def test_a_refused_message_is_told_as_far_as_it_is_understood(
    head: bytes, line: tuple[str, str, str], fields: list[tuple[str, str]]
) -> None:
    objects = Objects(RefusedExchange(("192.0.2.1", 5), head, 400), Site())
    environ = objects.environ

    assert (
        environ["REQUEST_METHOD"],
        environ["RAW_URI"],
        environ["SERVER_PROTOCOL"],
    ) == line
    assert objects.req.headers == fields
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"]) in (
        ("192.0.2.1", ""),
        ("192.0.2.1", "a"),
    )
    assert (objects.resp.status, objects.resp.sent) == ("400 Bad Request", None)
