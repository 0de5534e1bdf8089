"""The HTTP connection scope, key by key (ASGI HTTP 2.4 and later)."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import pytest

from tests.apps.conformance import ConformanceApp
from tests.server.conformance.harness import Target, get, head, post
from tests.support.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Http
    from uvicorn_worker.asgi import Scope

REQUIRED = {
    "type",
    "asgi",
    "http_version",
    "method",
    "scheme",
    "path",
    "raw_path",
    "query_string",
    "root_path",
    "headers",
    "client",
    "server",
    "state",
    "extensions",
}


def scope_of(target: Target, data: bytes) -> Scope:
    """Return the scope that a request led to."""
    with target.connect() as client:
        client.send(data)
        assert client.read_response().status == 200
        (call,) = target.calls(client)
        return call.scope


def test_keys(target: Target) -> None:
    scope = scope_of(target, get())

    assert set(scope) == REQUIRED
    assert scope["type"] == "http"
    assert scope["scheme"] == "http"
    assert type(scope) is dict


def test_versions(target: Target) -> None:
    asgi = scope_of(target, get())["asgi"]

    assert asgi["version"] == "3.0"
    assert tuple(map(int, asgi["spec_version"].split("."))) >= (2, 4)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_http_version(version: str, target: Target) -> None:
    assert scope_of(target, head(f"GET / HTTP/{version}"))["http_version"] == version


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_method(method: str, target: Target) -> None:
    scope = scope_of(target, head(f"{method} / HTTP/1.1"))

    assert scope["method"] == method
    assert type(scope["method"]) is str


@pytest.mark.parametrize(
    ("sent", "path", "raw", "query"),
    [
        ("/", "/", b"/", b""),
        ("/a/b", "/a/b", b"/a/b", b""),
        ("/a?b", "/a", b"/a", b"b"),
        ("/a?", "/a", b"/a", b""),
        ("/?", "/", b"/", b""),
        ("/?a=1&b=2", "/", b"/", b"a=1&b=2"),
        ("/a?b?c", "/a", b"/a", b"b?c"),
        ("/a%20b?c%20d", "/a b", b"/a%20b", b"c%20d"),
        ("/%C3%A9?%C3%A9", "/é", b"/%C3%A9", b"%C3%A9"),
        ("/%c3%a9", "/é", b"/%c3%a9", b""),
        ("/%e2%82%ac/%F0%9F%98%80", "/€/😀", b"/%e2%82%ac/%F0%9F%98%80", b""),
        ("/a%2Fb", "/a/b", b"/a%2Fb", b""),
        ("/a%3Fb?c", "/a?b", b"/a%3Fb", b"c"),
        ("/a%23b", "/a#b", b"/a%23b", b""),
        ("/%2541", "/%41", b"/%2541", b""),
        ("/a+b?c+d", "/a+b", b"/a+b", b"c+d"),
        ("/a;b=c", "/a;b=c", b"/a;b=c", b""),
        ("/a//b/../c/.", "/a//b/../c/.", b"/a//b/../c/.", b""),
        ("//a.example/b", "//a.example/b", b"//a.example/b", b""),
        ("/a:80/b@c", "/a:80/b@c", b"/a:80/b@c", b""),
        ("/%7Ea/~b", "/~a/~b", b"/%7Ea/~b", b""),
        ("http://a/b%41?c", "/bA", b"/b%41", b"c"),
        ("http://a", "/", b"/", b""),
        ("http://a?b=c", "/", b"/", b"b=c"),
        ("http://a/?", "/", b"/", b""),
    ],
)
def test_path_and_query(sent: str, path: str, raw: bytes, query: bytes, target: Target) -> None:
    scope = scope_of(target, get(sent))

    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)
    assert type(scope["raw_path"]) is bytes
    assert type(scope["query_string"]) is bytes


@pytest.mark.parametrize("sent", ["/%ff", "/a%C3", "/%E2%82", "/%80%81"])
def test_path_that_is_not_utf_8_is_refused_or_decoded_somehow(sent: str, target: Target) -> None:
    with target.connect() as client:
        client.send(get(sent))
        if client.read_response().status == 200:
            (call,) = target.calls(client)
            assert call.scope["raw_path"] == sent.encode()
            assert isinstance(call.scope["path"], str)


def test_every_byte_that_may_be_encoded_is_decoded(target: Target) -> None:
    sent = "/" + "".join(f"%{code:02X}" for code in range(1, 128))

    scope = scope_of(target, get(sent))

    assert scope["raw_path"] == sent.encode()
    assert scope["path"] == unquote_to_bytes(sent).decode()


@pytest.mark.parametrize(
    ("mount", "path"), [("/api", "/api/users"), ("/a/b", "/a/b/users")], ids=["one", "two"]
)
def test_root_path_is_part_of_the_path(
    mount: str, path: str, make_target: Callable[..., Target]
) -> None:
    scope = scope_of(make_target(root_path=mount), get("/users?x"))

    assert scope["root_path"] == mount
    assert scope["path"] == path
    assert scope["raw_path"] == path.encode()


def test_root_path_is_empty_without_a_mount(target: Target) -> None:
    assert scope_of(target, get())["root_path"] == ""


def test_headers(target: Target) -> None:
    data = get("/", "X-One: 1", "ACCEPT: a, b", "x-one: 2", "Cookie: c=d; e=f", "X-Empty:")
    headers = scope_of(target, data)["headers"]

    assert [tuple(pair) for pair in headers] == [
        (b"host", b"a"),
        (b"x-one", b"1"),
        (b"accept", b"a, b"),
        (b"x-one", b"2"),
        (b"cookie", b"c=d; e=f"),
        (b"x-empty", b""),
    ]
    assert all(type(part) is bytes for pair in headers for part in pair)


def test_headers_of_framing_and_connection_are_there(target: Target) -> None:
    data = post("hi", "Content-Length: 2", "Connection: keep-alive", "Content-Type: text/plain")
    headers = list(map(tuple, scope_of(target, data)["headers"]))

    assert (b"content-length", b"2") in headers
    assert (b"connection", b"keep-alive") in headers
    assert (b"content-type", b"text/plain") in headers


def test_headers_can_be_read_twice(target: Target) -> None:
    headers = scope_of(target, get())["headers"]

    assert list(headers) == list(headers) != []


def test_client_and_server(target: Target) -> None:
    with target.connect() as client:
        client.send(get())
        client.read_response()
        (call,) = target.calls(client)
        assert tuple(call.scope["client"]) == client.address
        assert tuple(call.scope["server"]) == (target.server.host, target.server.port)
        host, port = call.scope["client"]
        assert (type(host), type(port)) == (str, int)


def test_client_and_server_of_a_unix_socket(http: Http, tmp_path: Path) -> None:
    app = ConformanceApp()
    path = tmp_path / "server.sock"

    with serve(app, http=http, uds=path), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        client.sendall(get("/", "Connection: close"))
        assert client.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    (call,) = app.calls
    assert call.scope["client"] is None
    assert tuple(call.scope["server"]) == (str(path), None)


def test_extensions(target: Target) -> None:
    extensions = scope_of(target, get())["extensions"]

    for name in ("http.response.early_hint", "http.response.trailers", "http.response.pathsend"):
        assert isinstance(extensions[name], dict)
    assert "tls" not in extensions
    assert "http.response.push" not in extensions
    assert "http.response.debug" not in extensions


def test_early_hints_are_not_offered_to_http_1_0(target: Target) -> None:
    extensions = scope_of(target, head("GET / HTTP/1.0"))["extensions"]

    assert "http.response.early_hint" not in extensions
    assert "http.response.trailers" not in extensions


def test_scopes_of_one_connection_are_not_shared(target: Target) -> None:
    def spoil(value: Any) -> None:
        if isinstance(value, dict):
            value["spoiled"] = True
        elif isinstance(value, list):
            value.append((b"spoiled", b"1"))

    with target.connect() as client:
        client.send(get("/1", "X: 1"))
        client.read_response()
        (first,) = target.calls(client)
        for key in ("asgi", "extensions", "headers", "state"):
            spoil(first.scope[key])
        first.scope["spoiled"] = True
        client.send(get("/2"))
        client.read_response()
        second = target.calls(client)[1].scope

    assert "spoiled" not in second
    assert [tuple(pair) for pair in second["headers"]] == [(b"host", b"a")]
    assert "spoiled" not in second["state"]
    assert "spoiled" not in second["asgi"]
    assert "spoiled" not in second["extensions"]
    assert set(second) == REQUIRED
