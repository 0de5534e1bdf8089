"""Ids of requests: which are kept, where they are seen; `traceparent` in access lines."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.logstate import Lines
from tests.support.serving import serve
from uvicorn_worker.logs.jsonlines import JsonFormatter
from uvicorn_worker.logs.requestid import MAX_ID, find_names, received_id

if TYPE_CHECKING:
    from uvicorn_worker.asgi import Message, Receive, Scope, Send

MADE = re.compile("[0-9a-f]{32}")
TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Show what the application sees, and log a line."""
    assert scope["type"] == "http"
    if scope["path"] == "/fail":
        raise RuntimeError("as asked")
    logging.getLogger("shop").warning("sold")
    seen = [value.decode() for name, value in scope["headers"] if name == b"x-request-id"]
    body = json.dumps([*seen, scope["state"]["request_id"]]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    if scope["path"] == "/own":
        headers.append((b"X-Request-ID", b"the application's"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([], ""),
        ([b"4bf92f35-77b3.4da6=="], "4bf92f35-77b3.4da6=="),
        ([b"a" * MAX_ID], "a" * MAX_ID),
        ([b"a" * (MAX_ID + 1)], ""),
        ([b""], ""),
        ([b"two words"], ""),
        ([b'"quoted"'], ""),
        ([b"\xe4"], ""),
        ([b"one", b"two"], ""),
    ],
)
def test_an_id_is_kept_that_may_stand_in_other_peoples_logs(values: list[bytes], kept: str) -> None:
    headers = [(b"host", b"a"), *((b"x-request-id", value) for value in values)]

    assert received_id(headers) == kept


def test_requests_have_ids_everywhere() -> None:
    with serve(app, lifespan="off", request_id=True) as server, httpx.Client() as client:
        kept = client.get(server.url, headers={"X-Request-ID": "mine-1"})
        made = client.get(server.url)
        replaced = client.get(server.url, headers={"X-Request-ID": "no good"})
        own = client.get(f"{server.url}/own")
        failed = client.get(f"{server.url}/fail", headers={"X-Request-ID": "mine-2"})

    assert (kept.headers["x-request-id"], kept.json()) == ("mine-1", ["mine-1", "mine-1"])
    for answer in (made, replaced):
        name = answer.headers["x-request-id"]
        assert MADE.fullmatch(name)
        assert answer.json() == [name, name]
    assert made.json() != replaced.json()
    assert own.headers.get_list("x-request-id") == ["the application's"]
    assert (failed.status_code, failed.text) == (500, "Internal Server Error")
    assert failed.headers["x-request-id"] == "mine-2"
    assert "as asked" in repr(server.log[-1].exc_info)


def test_without_the_option_nothing_is_added() -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        assert "request_id" not in scope["state"]
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with serve(plain, lifespan="off") as server:
        answer = httpx.get(server.url, headers={"X-Request-ID": "mine"})

    assert answer.status_code == 204
    assert "x-request-id" not in answer.headers


def test_lines_of_the_log_name_the_request_that_they_belong_to() -> None:
    handler = Lines(JsonFormatter())
    logging.getLogger("shop").addHandler(handler)
    try:
        with serve(app, lifespan="off", request_id=True) as server, httpx.Client() as client:
            for name in ("mine-1", "mine-2"):
                client.get(server.url, headers={"X-Request-ID": name})
        logging.getLogger("shop").warning("closed", extra={"request_id": "its own"})
    finally:
        logging.getLogger("shop").removeHandler(handler)

    lines = map(json.loads, handler.lines)
    assert [(line["message"], line["request_id"]) for line in lines] == [
        ("sold", "mine-1"),
        ("sold", "mine-2"),
        ("closed", "its own"),
    ]


class FakeExchange:
    def __init__(self, *headers: tuple[bytes, bytes], **state: object) -> None:
        self.request_headers = [(b"host", b"a"), *headers]
        self.scope = {"state": state}


TRACED = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("exchange", "names"),
    [
        (FakeExchange(), ("", "", "")),
        (FakeExchange((b"traceparent", TRACED)), (TRACE, TRACE, SPAN)),
        (
            FakeExchange((b"x-request-id", b"mine"), (b"traceparent", TRACED)),
            (b"mine", TRACE, SPAN),
        ),
        (FakeExchange((b"x-request-id", b"mine"), request_id="made"), (b"made", "", "")),
        (FakeExchange((b"x-request-id", b"mine"), request_id=7), (b"mine", "", "")),
        (FakeExchange((b"traceparent", b"ff" + TRACED[2:])), (TRACE, "", "")),
        (FakeExchange((b"traceparent", b"01" + TRACED[2:] + b"-more")), (TRACE, TRACE, SPAN)),
        (FakeExchange((b"traceparent", b"00-%b-%b-01" % (TRACE, b"0" * 16))), (TRACE, "", "")),
        (FakeExchange((b"traceparent", b"garbage")), ("", "", "")),
    ],
)
def test_access_lines_name_request_and_trace(exchange: Any, names: tuple[Any, ...]) -> None:
    expected = tuple(name.decode() if isinstance(name, bytes) else name for name in names)

    assert find_names(exchange) == expected


def test_the_handshake_of_a_websocket_is_answered_with_the_id() -> None:
    from websockets.sync.client import connect

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        message: Message = {"type": "websocket.send", "text": scope["state"]["request_id"]}
        await send(message)
        with contextlib.suppress(OSError):
            await receive()

    with serve(echo, lifespan="off", request_id=True, ws="websockets") as server:
        headers = {"X-Request-ID": "mine"}
        with connect(f"ws://127.0.0.1:{server.port}/", additional_headers=headers) as socket:
            assert socket.recv(5) == "mine"
            assert socket.response is not None
            assert socket.response.headers["X-Request-ID"] == "mine"
