"""Bounded memory whatever the peer does: a slow end makes the other end wait."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.harness import Target, check_open, get, post
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.rawhttp import RawClient

TOTAL = 64_000_000
"""Bytes: far more than the buffers of both sockets (some 10 MB at most) and the server hold."""

BOUND = 32_000_000
STUCK = 0.3
"""Seconds without progress that count as waiting."""


def send_until_stuck(client: RawClient, data: bytes, total: int = TOTAL) -> int:
    """Send `data` again and again until the other end takes no more; return the bytes sent."""
    client.socket.setblocking(False)
    sent = 0
    while sent < total and select.select([], [client.socket], [], STUCK)[1]:
        sent += client.socket.send(data[sent % len(data) :] or data)
    client.socket.settimeout(10)
    return sent


async def send_until_paused(call: Call) -> None:
    """Stream until `send` waits longer than `STUCK`; note how much has gone by then."""
    await call.say(start())
    sent = 0
    while sent < TOTAL:
        sending = asyncio.ensure_future(call.send(part(b"x" * 65536, True)))
        await asyncio.wait([sending], timeout=STUCK)
        if not sending.done():
            call.notes["sent"] = sent
            await sending
            break
        sent += 65536
    await call.say(part(b"end"))


def test_slow_reader_pauses_send(target: Target) -> None:
    path = target.app.behave(send_until_paused)

    with target.connect() as client:
        client.send(get(path))
        call = target.call(path)
        eventually(lambda: call.notes or call.returned)
        assert call.notes["sent"] < BOUND
        response = client.read_response()
        assert response.body.endswith(b"xxend")
        check_open(client)


def test_reader_that_leaves_ends_a_paused_send(target: Target) -> None:
    path = target.app.behave(send_until_paused)

    with target.connect() as client:
        client.send(get(path))
        call = target.call(path)
        eventually(lambda: call.notes)
        client.reset()
    assert isinstance(target.finished(path).outcome, OSError)


@pytest.mark.parametrize("chunked", [False, True])
def test_application_that_does_not_read_pauses_the_client(chunked: bool, target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"ok")

    path = target.app.behave(wait)
    with target.connect() as client:
        field = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {TOTAL}"
        client.send(post("", field, target=path))
        eventually(lambda: gate.reached)
        data = b"fff0\r\n" + b"x" * 0xFFF0 + b"\r\n" if chunked else b"x" * 65536
        assert send_until_stuck(client, data) < BOUND
        gate.open()
        assert client.read_response().body == b"ok"


def test_body_that_was_paused_arrives_whole(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.read()
        await call.answer(b"%d" % len(call.body))

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(post("", f"Content-Length: {TOTAL}", target=path))
        sent = send_until_stuck(client, b"x" * 65536)
        gate.open()
        client.send(b"x" * (TOTAL - sent))
        assert client.read_response().body == b"%d" % TOTAL
        check_open(client)


def test_pipelined_requests_that_nobody_answers_pause_the_client(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"ok")

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: gate.reached)
        assert send_until_stuck(client, get("/next") * 1000) < BOUND
        gate.open()
        assert client.read_response().body == b"ok"
        assert client.read_response().status == 200


def test_pipelined_requests_of_a_client_that_does_not_read_pause_it(target: Target) -> None:
    path = target.app.say(start(), part(b"y" * 10_000))

    with target.connect() as client:
        data = get(path) * 1000
        assert send_until_stuck(client, data) < BOUND
        assert client.read_response().body == b"y" * 10_000


def test_pipelined_bodies_that_nobody_reads_pause_the_client(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"ok")

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: gate.reached)
        assert send_until_stuck(client, post(b"z" * 100_000, "Content-Length: 100000")) < BOUND
        gate.open()
        assert client.read_response().body == b"ok"
        assert client.read_response().body.endswith(b"z" * 1000)
