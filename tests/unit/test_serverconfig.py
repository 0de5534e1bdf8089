"""What ServerConfig refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from uvicorn_worker.errors import ConfigError
from uvicorn_worker.serverconfig import ServerConfig


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("http", "h2", "expected one of auto, httptools, h11"),
        ("timeout_keep_alive", -1, "expected a number of at least 0"),
        ("timeout_request_exempt", ("events",), "expected paths such as '/events'"),
        ("timeout_request", float("inf"), "expected seconds"),
        ("ws_ping_timeout", float("nan"), "expected seconds"),
        ("root_path", "http://a/b", "expected a path such as '/api'"),
        ("root_path", "/a b", "expected a path such as '/api'"),
        ("forwarded_allow_ips", ("10.0.0.1/8",), "'10.0.0.1/8' names no peers"),
        ("proxy_allow_ips", ("::1", "proxy"), "'proxy' names no peers"),
        ("limit_concurrency", 0, "expected a number of at least 1"),
        ("headers", "X-A: b", "expected pairs"),
        ("headers", {"X-A": "b"}, "expected pairs"),
        ("headers", [("X-A", b"b")], "expected pairs"),
        ("headers", [("X A", "b")], "'X A' is no header name"),
        ("headers", [("X-A", "b\r\nX-C: d")], "the value of 'X-A'"),
        ("headers", [("Content-Length", "5")], "'Content-Length' is set by the server"),
        ("headers", [("transfer-encoding", "chunked")], "'transfer-encoding' is set by the server"),
    ],
)
def test_wrong_values_are_named(name: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        ServerConfig(**{name: value})
    assert name in str(refusal.value)
    assert repr(value) in str(refusal.value)
    assert says in str(refusal.value)


def test_fields_for_every_response_are_taken() -> None:
    headers = [("X-A", "b"), ("Server", "mine")]
    assert ServerConfig(headers=headers).headers == headers


@pytest.mark.parametrize(
    ("given", "meant"),
    [("", ""), ("/api", "/api"), ("api", "/api"), ("/api/v1/", "/api/v1"), ("/", "")],
)
def test_a_mount_point_begins_with_a_slash_and_ends_without(given: str, meant: str) -> None:
    assert ServerConfig(root_path=given).root_path == meant
