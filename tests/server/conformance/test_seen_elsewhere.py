"""What has been seen to go wrong in other servers, each by its name."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.apps.conformance import Call, Gate, echoed, part, start
from tests.server.conformance.harness import (
    SMUGGLED,
    Target,
    check_as_announced,
    check_open,
    get,
    head,
    post,
)
from tests.support.rawhttp import End
from tests.support.waiting import eventually

UPGRADES = [
    ("Connection: Upgrade", "Upgrade: foo"),
    ("Connection: upgrade", "Upgrade: foo/1"),
    ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    ("Connection: keep-alive, Upgrade", "Upgrade: TLS/1.0, HTTP/2.0"),
    ("Connection: Upgrade",),
    ("Upgrade: foo",),
    ("Upgrade: websocket",),
]


@pytest.mark.parametrize("fields", UPGRADES, ids="; ".join)
@pytest.mark.parametrize("step", [0, 1])
def test_body_after_upgrade_to_an_unknown_protocol_is_a_body(
    fields: tuple[str, ...], step: int, target: Target
) -> None:
    with target.connect() as client:
        length = f"Content-Length: {len(SMUGGLED)}"
        client.send(post(SMUGGLED, length, *fields), step)
        response = client.read_response()
        assert response.body == echoed("POST", b"/", SMUGGLED)
        check_as_announced(client, response)
        assert "/smuggled" not in [call.path for call in target.calls(client)]


@pytest.mark.parametrize("fields", UPGRADES, ids="; ".join)
def test_chunked_body_after_upgrade_to_an_unknown_protocol_is_a_body(
    fields: tuple[str, ...], target: Target
) -> None:
    with target.connect() as client:
        client.send(post("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked", *fields))
        response = client.read_response()
        assert response.body == echoed("POST", b"/", b"hello")
        check_as_announced(client, response)


@pytest.mark.parametrize("fields", UPGRADES, ids="; ".join)
def test_request_after_upgrade_to_an_unknown_protocol_is_served(
    fields: tuple[str, ...], target: Target
) -> None:
    with target.connect() as client:
        client.send(get("/1", *fields) + get("/2"))
        assert client.read_response().body == echoed("GET", b"/1")
        assert client.read_response().body == echoed("GET", b"/2")
        check_open(client)


def test_connect_is_refused_or_served_without_a_tunnel(target: Target) -> None:
    with target.connect() as client:
        client.send(head("CONNECT a:443 HTTP/1.1", host="a:443") + SMUGGLED)
        response = client.read_response("CONNECT")
        if response.status in (400, 405, 501):
            assert response.says_close or client.read_response().status == 200
        else:
            assert response.get(b"content-length") is None
            assert response.get(b"transfer-encoding") is None


def test_asterisk_of_options_is_answered(target: Target) -> None:
    with target.connect() as client:
        client.send(head("OPTIONS * HTTP/1.1"))
        assert client.read_response().status in (200, 204)
        check_open(client)
        for call in target.calls(client)[:-1]:
            assert call.scope["raw_path"] in (b"*", b"")


def test_bad_request_is_not_answered_in_the_middle_of_the_answer_before_it(
    target: Target,
) -> None:
    gate = Gate()

    async def stream(call: Call) -> None:
        await call.say(start(200, (b"content-length", b"10")), part(b"begin", True))
        await gate.passed()
        await call.say(part(b"ended"))

    with target.connect() as client:
        client.send(get(target.app.behave(stream)))
        eventually(lambda: gate.reached)
        client.send(b"\0nonsense\r\n\r\n")
        client.wait_until_taken()
        gate.open()
        assert client.read_response().body == b"beginended"
        response = client.read_response()
        assert response.status == 400
        assert response.says_close
        assert client.read_end() is End.EOF


def test_bad_request_is_not_answered_before_the_request_before_it(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"first")

    with target.connect() as client:
        client.send(get(target.app.behave(wait)) + get("/2") + b"\0nonsense\r\n\r\n" + SMUGGLED)
        eventually(lambda: gate.reached)
        assert client.quiet()
        gate.open()
        assert client.read_response().body == b"first"
        assert client.read_response().body == echoed("GET", b"/2")
        assert client.read_response().status == 400
        assert client.read_end() is End.EOF


@pytest.mark.parametrize("behind", [SMUGGLED, b"\0garbage", b"\r\n", b"G", b"x" * 500_000])
def test_answer_is_not_lost_because_bytes_followed_a_closing_request(
    behind: bytes, target: Target
) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await call.read()
        await gate.passed()
        await call.answer(b"z" * 300_000)

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path, "Connection: close") + behind)
        eventually(lambda: gate.reached)
        gate.open()
        assert client.read_response().body == b"z" * 300_000
        assert client.read_end() is End.EOF
        assert [call.path for call in target.calls(client)] == [path]


@pytest.mark.parametrize("step", [0, 1])
def test_trailers_are_not_merged_into_the_headers_of_the_scope(step: int, target: Target) -> None:
    async def keep(call: Call) -> None:
        before = list(call.scope["headers"])
        await call.read()
        call.notes["same"] = before == list(call.scope["headers"])
        await call.answer(b"ok")

    path = target.app.behave(keep)
    body = "1\r\nx\r\n0\r\nAuthorization: forged\r\nX-T: v\r\n\r\n"
    with target.connect() as client:
        client.send(post(body, "Transfer-Encoding: chunked", target=path) + get("/next"), step)
        client.read_response()
        client.read_response()
        first, second = target.calls(client)
    assert first.notes["same"] is True
    assert not {b"authorization", b"x-t"} & {name for name, _ in first.scope["headers"]}
    assert not {b"authorization", b"x-t"} & {name for name, _ in second.scope["headers"]}


@pytest.mark.parametrize("name", [b"date", b"server", b"Date", b"Server"])
def test_date_and_server_are_not_doubled(name: bytes, target: Target) -> None:
    path = target.app.say(start(200, (name, b"Sun, 06 Nov 1994 08:49:37 GMT")), part())

    with target.connect() as client:
        client.send(get(path))
        assert len(client.read_response().all(name.lower())) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_transfer_encoding_of_an_application_is_not_doubled_or_believed(
    version: str, target: Target
) -> None:
    fields = (b"transfer-encoding", b"chunked")
    path = target.app.say(start(200, fields), part(b"hello", True), part(b"!"))

    with target.connect() as client:
        client.send(head(f"GET {path} HTTP/{version}"))
        response = client.read_response()
        assert response.body == b"hello!"
        assert response.framing == ("close" if version == "1.0" else "chunked")


@pytest.mark.parametrize("length", [b"3", b"7", b"x", b"-5", b"5, 5"])
def test_wrong_length_of_an_application_does_not_reach_the_wire_as_a_whole_answer(
    length: bytes, target: Target
) -> None:
    path = target.app.say(start(200, (b"content-length", length)), part(b"hello"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 500
        check_as_announced(client, response)


def test_http_1_0_gets_neither_chunks_nor_100(target: Target) -> None:
    async def stream(call: Call) -> None:
        await call.read()
        await call.say(start(), part(b"a", True), part(b"b", True), part())

    path = target.app.behave(stream)
    with target.connect() as client:
        client.send(
            head(f"POST {path} HTTP/1.0", "Content-Length: 5", "Expect: 100-continue") + b"hello"
        )
        response = client.read_response()
        assert response.interim == []
        assert (response.framing, response.body) == ("close", b"ab")


@pytest.mark.parametrize("status", [0, 99, 1000, -1, None, "200", 2**70])
def test_impossible_status_does_not_kill_the_worker(status: object, target: Target) -> None:
    path = target.app.say(start(status), part(b"x"))

    with target.connect() as client:
        client.send(get(path))
        response = client.read_response()
        assert response.status == 500
        check_as_announced(client, response)
    with target.connect() as client:
        check_open(client)


def test_half_closed_client_is_not_left_without_its_answer(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await call.read()
        await gate.passed()
        await call.say(start(), part(b"a" * 1_000_000, True), part(b"b"))

    with target.connect() as client:
        client.send(get(target.app.behave(wait)))
        eventually(lambda: gate.reached)
        client.half_close()
        gate.open()
        assert client.read_response().body == b"a" * 1_000_000 + b"b"
        assert client.read_end() is End.EOF


def test_receive_after_the_response_does_not_hang(target: Target) -> None:
    async def ask(call: Call) -> None:
        await call.answer(b"ok")
        while (await asyncio.wait_for(call.take(), 5))["type"] != "http.disconnect":
            pass

    path = target.app.behave(ask)
    with target.connect() as client:
        client.send(get(path))
        assert client.read_response().body == b"ok"
        call = target.finished(path)
    assert call.outcome is None
    assert call.disconnected


def test_receive_is_a_coroutine_function(target: Target) -> None:
    async def look(call: Call) -> None:
        call.notes["answer"] = inspect.iscoroutinefunction(call.receive)
        await call.answer(b"ok")

    path = target.app.behave(look)
    with target.connect() as client:
        client.send(get(path))
        client.read_response()
    assert target.finished(path).notes == {"answer": True}


def test_500_to_head_has_no_body(target: Target) -> None:
    async def fail(call: Call) -> None:
        raise RuntimeError

    with target.connect() as client:
        client.send(head(f"HEAD {target.app.behave(fail)} HTTP/1.1") + get("/next"))
        response = client.read_response("HEAD")
        assert response.status == 500
        if response.says_close:
            assert client.read_end() is End.EOF
        else:
            assert client.read_response().body == echoed("GET", b"/next")


def test_keep_alive_promise_is_kept(target: Target) -> None:
    """An answer without `close` is followed by the answer to the next request, always."""
    with target.connect() as client:
        for number in range(20):
            client.send(get(f"/{number}"))
            response = client.read_response()
            assert not response.says_close
            assert response.body == echoed("GET", b"/%d" % number)


def test_tls_bytes_on_a_plain_port_are_named_in_the_log(target: Target) -> None:
    since = len(target.server.log)

    def refuse() -> bool:
        # A few lines a second is the limit: earlier tests may have used this second up.
        with target.connect() as client:
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 100)
            client.read_rest()
        return any("TLS" in record.getMessage() for record in target.server.log[since:])

    eventually(refuse)


def test_log_names_who_sent_a_malformed_request_and_why(target: Target) -> None:
    since = len(target.server.log)

    def lines() -> list[str]:
        return [record.getMessage() for record in target.server.log[since:]]

    def refuse() -> bool:
        # A few lines a second is the limit: earlier tests may have used this second up.
        with target.connect() as client:
            client.send(get("/", "X : y"))
            client.read_response()
        return any("127.0.0.1" in line for line in lines())

    eventually(refuse)
