"""Clients that are gone: what the application is told, and when it is cancelled.

ASGI HTTP 2.4, Disconnect and Send.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.harness import Target, get, post
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable


def test_reset_is_a_disconnect(target: Target) -> None:
    async def wait(call: Call) -> None:
        await call.read()
        await call.take()

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: target.call(path).complete)
        client.reset()
    assert target.finished(path).disconnected


def test_reset_inside_a_body_is_a_disconnect(target: Target) -> None:
    async def read(call: Call) -> None:
        call.notes["whole"] = await call.read()

    path = target.app.behave(read)
    with target.connect() as client:
        client.send(post("hel", "Content-Length: 5", target=path))
        eventually(lambda: target.call(path).body)
        client.reset()
    call = target.finished(path)
    assert call.disconnected
    assert call.notes["whole"] is False


def test_disconnect_is_told_again_and_again(target: Target) -> None:
    async def ask(call: Call) -> None:
        await call.read()
        for _ in range(3):
            await call.take()

    path = target.app.behave(ask)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: target.call(path).complete)
        client.reset()
    kinds = [message["type"] for message in target.finished(path).received]
    assert kinds == ["http.request", *["http.disconnect"] * 3]


def test_disconnect_reaches_an_application_that_streams(target: Target) -> None:
    async def stream(call: Call) -> None:
        await call.read()
        await call.say(start(), part(b"x", True))
        await call.take()

    path = target.app.behave(stream)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: target.call(path).sent == 2)
        client.reset()
    assert target.finished(path).disconnected


@pytest.mark.parametrize("begun", [True, False], ids=["after-start", "before-start"])
def test_send_after_disconnect_raises_os_error(begun: bool, target: Target) -> None:
    async def send_late(call: Call) -> None:
        await call.read()
        if begun:
            await call.say(start(), part(b"x", True))
        await call.take()
        if not begun:
            await call.say(start())
        await call.say(part(b"y", True))

    path = target.app.behave(send_late)
    since = len(target.server.log)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: target.call(path).complete)
        client.reset()
    (error,) = target.finished(path).send_errors
    assert isinstance(error, OSError)
    assert target.errors(since) == []  # the client's doing, no error of ours


def test_pipelined_requests_of_a_client_that_left_end(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await call.read()
        await call.take()
        await gate.passed()

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(get(path) + get("/later") * 5)
        eventually(lambda: target.call(path).complete)
        client.reset()
        eventually(lambda: gate.reached)
        gate.open()
        target.finished(path)
        eventually(lambda: all(call.returned for call in target.calls(client)))


def test_application_is_not_cancelled_because_the_client_left(target: Target) -> None:
    gate = Gate()

    async def work(call: Call) -> None:
        await call.read()
        await call.take()
        await gate.passed()
        call.notes["worked"] = True

    path = target.app.behave(work)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: target.call(path).complete)
        client.reset()
    eventually(lambda: gate.reached)
    gate.open()
    assert target.finished(path).notes == {"worked": True}


def test_application_is_cancelled_after_the_grace_period(
    make_target: Callable[..., Target],
) -> None:
    target = make_target(disconnect_grace_period=0.2)
    gate = Gate()

    async def hang(call: Call) -> None:
        await call.read()
        await gate.passed()

    path = target.app.behave(hang)
    with target.connect() as client:
        client.send(get(path))
        eventually(lambda: gate.reached)
        client.reset()
    assert isinstance(target.finished(path).outcome, asyncio.CancelledError)


def test_work_after_the_answer_is_not_cancelled_after_the_grace_period(
    make_target: Callable[..., Target],
) -> None:
    target = make_target(disconnect_grace_period=0.2)
    gates = {"hang": Gate(), "work": Gate()}

    async def hang(call: Call) -> None:
        await call.read()
        await gates["hang"].passed()

    async def work(call: Call) -> None:
        await call.read()
        await call.answer(b"ok")
        await gates["work"].passed()
        call.notes["worked"] = True

    paths = {"hang": target.app.behave(hang), "work": target.app.behave(work)}
    with target.connect() as worker:
        worker.send(get(paths["work"]))
        worker.read_response()
        worker.reset()
    with target.connect() as clock:
        clock.send(get(paths["hang"]))
        eventually(lambda: gates["hang"].reached)
        clock.reset()
    target.finished(paths["hang"])  # cancelled: the time has passed for both
    gates["work"].open()
    assert target.finished(paths["work"]).notes == {"worked": True}
