"""Requests that take longer than `timeout_request`: what client, application and log see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.apps.conformance import Call, ConformanceApp, Gate, part, start
from tests.server.conformance.harness import Target, check_refusal, get, head, post
from tests.support.rawhttp import End, Truncated
from tests.support.rawws import TEXT, RawWebSocket, frame
from tests.support.serving import serve
from tests.support.waiting import eventually
from uvicorn_worker.http1 import timelimit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from uvicorn_worker.asgi import Receive, Scope, Send

    MakeTarget = Callable[..., Target]

LIMIT: dict[str, Any] = {"timeout_request": 0.3, "timeout_request_exempt": ("/free",)}


@pytest.fixture
def target(make_target: MakeTarget) -> Target:
    return make_target(**LIMIT)


async def for_ever(call: Call) -> None:
    await asyncio.Event().wait()


def timed_out(target: Target, path: str) -> list[str]:
    """Return the errors logged of a path."""
    return [text for text in target.server.messages(40) if f" {path} " in text]


def test_a_request_without_an_answer_gets_504_and_is_cancelled(target: Target) -> None:
    path = target.app.behave(for_ever)

    with target.connect() as client:
        client.send(get(path))
        check_refusal(client, client.read_response(), frozenset({504}))

    assert isinstance(target.finished(path).outcome, asyncio.CancelledError)
    (error,) = timed_out(target, path)
    assert error.startswith(f"GET {path} took longer than timeout_request=0.3 and was cancelled at")
    assert "in for_ever" in error
    assert f'File "{__file__}"' in error


def test_a_response_that_was_only_started_is_replaced(target: Target) -> None:
    async def begin(call: Call) -> None:
        await call.say(start(200))
        await asyncio.Event().wait()

    with target.connect() as client:
        client.send(get(target.app.behave(begin)))
        check_refusal(client, client.read_response(), frozenset({504}))


@pytest.mark.parametrize(
    ("version", "end"), [("HTTP/1.1", End.EOF), ("HTTP/1.0", End.RESET)], ids=["chunked", "close"]
)
def test_a_response_that_has_begun_is_cut(target: Target, version: str, end: End) -> None:
    async def trickle(call: Call) -> None:
        await call.say(start(200), part(b"some", more=True))
        await asyncio.Event().wait()

    path = target.app.behave(trickle)
    with target.connect() as client:
        client.send(head(f"GET {path} {version}"))
        with pytest.raises(Truncated) as caught:
            client.read_response()
        assert caught.value.end is end
        assert caught.value.response is not None
        assert caught.value.response.status == 200
    assert isinstance(target.finished(path).outcome, asyncio.CancelledError)


def test_a_file_that_is_read_too_slowly_is_cut(target: Target, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"z" * 30_000_000)  # more than the socket buffers of both ends hold
    path = target.app.say(start(200), {"type": "http.response.pathsend", "path": str(file)})

    with target.connect() as client:
        client.send(get(path))
        call = target.finished(path)
        assert isinstance(call.outcome, asyncio.CancelledError | OSError)
        with pytest.raises(Truncated):
            client.read_response()
    assert len(timed_out(target, path)) == 1


def test_time_for_the_body_counts(target: Target) -> None:
    with target.connect() as client:
        client.send(post("hel", "Content-Length: 5"))
        check_refusal(client, client.read_response(), frozenset({504}))
        (call,) = target.calls(client)
        eventually(lambda: call.returned)
        assert not call.complete


def test_a_call_that_does_not_return_is_told_of(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timelimit, "RETURN_TIMEOUT", 0.1)
    gate = Gate()

    async def stubborn(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await gate.passed()
        await call.answer(b"too late")

    path = target.app.behave(stubborn)
    with target.connect() as client:
        client.send(get(path))
        check_refusal(client, client.read_response(), frozenset({504}))
    eventually(lambda: len(timed_out(target, path)) == 2)
    assert "has not returned" in timed_out(target, path)[1]
    assert "in stubborn" in timed_out(target, path)[1]

    gate.open()
    assert target.finished(path).outcome is not None  # there is nobody to answer
    eventually(lambda: not target.server.server.state.cycles)
    eventually(lambda: not target.server.server._time_limit._cancelled)


def test_a_cancelled_call_may_fail(target: Target) -> None:
    async def fail(call: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("no, you") from None

    path = target.app.behave(fail)
    with target.connect() as client:
        client.send(get(path))
        check_refusal(client, client.read_response(), frozenset({504}))
    eventually(lambda: len(timed_out(target, path)) == 1)


def test_what_comes_after_the_answer_has_time(target: Target) -> None:
    gate = Gate()

    async def work_on(call: Call) -> None:
        await call.answer(b"done")
        await gate.passed()

    path, slow = target.app.behave(work_on), target.app.behave(for_ever)
    with target.connect() as client, target.connect() as clock:
        client.send(get(path))
        assert client.read_response().body == b"done"
        eventually(lambda: gate.reached)
        clock.send(get(slow))
        assert clock.read_response().status == 504  # the time has passed once
        assert not target.call(path).returned
        gate.open()
    assert target.finished(path).outcome is None


def test_exempt_paths_have_time(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"late")

    target.app._behaviours |= {"/free": wait, "/free/": wait, "/free/1": wait, "/freedom": wait}
    with (
        target.connect() as one,
        target.connect() as two,
        target.connect() as three,
        target.connect() as other,
    ):
        for client, path in ((one, "/free"), (two, "/free/"), (three, "/free/1?a")):
            client.send(get(path))
        other.send(get("/freedom"))
        assert other.read_response().status == 504
        gate.open()
        assert [client.read_response().body for client in (one, two, three)] == [b"late"] * 3


def test_no_limit_is_the_default(make_target: MakeTarget) -> None:
    patient, strict = make_target(), make_target(**LIMIT)
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.answer(b"late")

    with patient.connect() as client, strict.connect() as clock:
        client.send(get(patient.app.behave(wait)))
        clock.send(get(strict.app.behave(for_ever)))
        assert clock.read_response().status == 504
        gate.open()
        assert client.read_response().body == b"late"


def test_websockets_have_time() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.Event().wait()
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            message = await receive()
            await send({"type": "websocket.send", "text": message["text"]})

    with serve(app, timeout_request=0.3, lifespan="off") as server:
        target = Target(server, ConformanceApp())
        with RawWebSocket((server.host, server.port)) as talk, target.connect() as clock:
            talk.open()
            clock.send(get())
            assert clock.read_response().status == 504  # the time has passed once
            talk.send(frame(TEXT, b"still here"))
            assert talk.read_message() == "still here"
