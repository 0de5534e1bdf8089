"""What a proxy in front of tests/apps/deployed.py has to let through, and what it has to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from tests.support.rawws import TEXT, RawWebSocket, close_frame, frame

if TYPE_CHECKING:
    from tests.support.proxies import Address

FORGED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "666",
    "Forwarded": "for=6.6.6.6;proto=https;host=evil.example",
    "SCRIPT_NAME": "/report",
    "X-Request-Start": "t=666",
}
"""What clients write to seem somebody else; none of it may reach the application's scope."""


def assert_passes(front: Address) -> None:
    """Check a request's origin, an upload, a stream and a WebSocket through the proxy."""
    url = f"http://{front[0]}:{front[1]}"
    with httpx.Client(base_url=url, timeout=10.0) as client:
        _assert_origin(client, front)
        upload = bytes(range(256)) * 8192  # 2 MiB: more than nginx takes by default
        assert client.post("/echo", content=upload).content == upload
        pieces = (upload[at : at + 65536] for at in range(0, len(upload), 65536))
        assert client.post("/echo", content=pieces).content == upload  # chunked
        # Lines until the client leaves: too few within its timeout to fill anybody's buffer.
        with client.stream("GET", "/stream?s=0.2") as answer:
            assert next(answer.iter_lines()) == "0"
        assert client.get("/big").content == b"0123456789abcdef" * 65536
    with RawWebSocket(front) as socket:
        socket.open("/chat")
        assert socket.read_message()
        for text in ("hello", "x" * 70_000):
            socket.send(frame(TEXT, text.encode()))
            assert socket.read_message() == text
        socket.send(close_frame(1000))
        assert socket.read_close() == (1000, "")


def _assert_origin(client: httpx.Client, front: Address) -> None:
    host = {"Host": f"shop.example:{front[1]}"}
    told = client.get("/report", headers={**host, **FORGED}).json()
    assert (told["client"][0], told["scheme"]) == ("127.0.0.1", "http"), told
    assert told["server"] == ["shop.example", front[1]], told
    assert dict(told["headers"])["host"] == host["Host"]
    assert told["root_path"] == "", told
    names = [name for name, _ in told["headers"]]
    assert names.count("x-request-start") == 1  # the proxy's, for the metric
    assert not {("x-forwarded-for", "6.6.6.6"), ("x-request-start", "t=666")} & {
        (name, value) for name, value in told["headers"]
    }
