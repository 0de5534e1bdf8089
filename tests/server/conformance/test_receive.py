"""What `receive` gives, and when (ASGI HTTP 2.4, Request and Disconnect)."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.apps.conformance import Call, Gate, part, start
from tests.server.conformance.harness import Target, check_as_announced, check_open, get, head, post
from tests.support.waiting import eventually


def test_receive_and_send_are_coroutine_functions(target: Target) -> None:
    async def look(call: Call) -> None:
        call.notes["receive"] = inspect.iscoroutinefunction(call.receive)
        call.notes["send"] = inspect.iscoroutinefunction(call.send)
        receiving = call.receive()
        call.notes["receiving"] = inspect.iscoroutine(receiving)
        await receiving
        sending = call.send(start())
        call.notes["sending"] = inspect.iscoroutine(sending)
        await sending
        await call.say(part())

    path = target.app.behave(look)
    with target.connect() as client:
        client.send(get(path))
        assert client.read_response().status == 200
    assert all(target.finished(path).notes.values()), target.finished(path).notes


def test_send_and_receive_return_what_the_specification_says(target: Target) -> None:
    async def look(call: Call) -> None:
        call.notes["message"] = await call.receive()
        call.notes["start"] = await call.send(start())  # type: ignore[func-returns-value] # seen
        call.notes["body"] = await call.send(part())  # type: ignore[func-returns-value] # seen

    path = target.app.behave(look)
    with target.connect() as client:
        client.send(get(path))
        client.read_response()
    notes = target.finished(path).notes
    assert notes["message"] == {"type": "http.request", "body": b"", "more_body": False}
    assert type(notes["message"]["body"]) is bytes
    assert notes["start"] is None
    assert notes["body"] is None


@pytest.mark.parametrize(
    "data",
    [
        head("GET / HTTP/1.1"),
        head("POST / HTTP/1.1"),
        head("POST / HTTP/1.1", "Content-Length: 0"),
        head("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ],
    ids=["get", "post", "zero-length", "no-chunks"],
)
def test_request_without_body_is_one_message(data: bytes, target: Target) -> None:
    with target.connect() as client:
        client.send(data)
        client.read_response()
        (call,) = target.calls(client)
    assert call.body == b""
    assert [message.get("more_body", False) for message in call.received][-1] is False


def test_body_messages_are_bytes_and_end_once(target: Target) -> None:
    body = b"0123456789" * 30_000

    with target.connect() as client:
        client.send(post(body, f"Content-Length: {len(body)}"))
        client.read_response()
        (call,) = target.calls(client)
    assert call.body == body
    assert all(type(message["body"]) is bytes for message in call.received)
    assert all(message["type"] == "http.request" for message in call.received)
    more = [message["more_body"] for message in call.received]
    assert more == [True] * (len(more) - 1) + [False]


def test_body_messages_are_not_changed_later(target: Target) -> None:
    async def keep(call: Call) -> None:
        copies = []
        while not call.complete:
            copies.append(dict(await call.take()))
        call.notes["same"] = copies == call.received
        await call.answer(b"ok")

    path = target.app.behave(keep)
    with target.connect() as client:
        client.send(post(b"", "Content-Length: 40", target=path))
        for _ in range(4):
            client.send(b"0123456789", 10)
        client.read_response()
    call = target.finished(path)
    assert call.notes["same"] is True
    assert call.body == b"0123456789" * 4


def test_body_is_given_as_it_comes(target: Target) -> None:
    async def read(call: Call) -> None:
        await call.read()
        await call.answer(b"ok")

    path = target.app.behave(read)
    with target.connect() as client:
        client.send(post(b"first", "Content-Length: 11", target=path))
        eventually(lambda: target.call(path).body == b"first")
        assert not target.call(path).complete
        client.send(b"second")
        client.read_response()
    assert target.finished(path).body == b"firstsecond"


def test_application_is_called_before_the_body_has_come(target: Target) -> None:
    gate = Gate()

    async def wait(call: Call) -> None:
        await gate.passed()
        await call.read()
        await call.answer(call.body)

    path = target.app.behave(wait)
    with target.connect() as client:
        client.send(post(b"", "Content-Length: 5", target=path))
        eventually(lambda: gate.reached)
        gate.open()
        client.send(b"hello")
        assert client.read_response().body == b"hello"


def test_receive_after_the_response_gives_disconnect(target: Target) -> None:
    async def ask_again(call: Call) -> None:
        await call.read()
        await call.answer(b"ok")
        for _ in range(2):
            await asyncio.wait_for(call.take(), 5)

    path = target.app.behave(ask_again)
    with target.connect() as client:
        client.send(get(path))
        client.read_response()
        call = target.finished(path)
        assert call.outcome is None
        assert [m["type"] for m in call.received[1:]] == ["http.disconnect"] * 2
        check_open(client)


def test_receive_after_the_response_to_an_unread_body_gives_disconnect(target: Target) -> None:
    async def answer_first(call: Call) -> None:
        await call.answer(b"ok")
        while not call.disconnected:
            await asyncio.wait_for(call.take(), 5)

    path = target.app.behave(answer_first)
    with target.connect() as client:
        client.send(post("hello", "Content-Length: 5", target=path))
        response = client.read_response()
        assert target.finished(path).outcome is None
        check_as_announced(client, response)


def test_receive_that_waits_ends_when_the_response_ends(target: Target) -> None:
    async def listen(call: Call) -> None:
        await call.read()
        listener = asyncio.ensure_future(call.take())
        await asyncio.sleep(0)
        await call.answer(b"ok")
        message = await asyncio.wait_for(listener, 5)
        call.notes["type"] = message["type"]

    path = target.app.behave(listen)
    with target.connect() as client:
        client.send(get(path))
        client.read_response()
        assert target.finished(path).notes == {"type": "http.disconnect"}
        check_open(client)


def test_receive_can_be_cancelled_without_losing_the_body(target: Target) -> None:
    gate = Gate()

    async def impatient(call: Call) -> None:
        waiting = asyncio.ensure_future(call.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await gate.passed()
        await call.read()
        await call.answer(call.body)

    path = target.app.behave(impatient)
    with target.connect() as client:
        client.send(post("", "Content-Length: 5", target=path))
        eventually(lambda: gate.reached)
        client.send(b"hello")
        gate.open()
        assert client.read_response().body == b"hello"


def test_receive_waits_while_the_request_is_answered_slowly(target: Target) -> None:
    gate = Gate()

    async def listen(call: Call) -> None:
        await call.read()
        listener = asyncio.ensure_future(call.receive())
        await gate.passed()
        call.notes["waiting"] = not listener.done()
        listener.cancel()
        await call.answer(b"ok")

    path = target.app.behave(listen)
    with target.connect() as client:
        client.send(get(path) + get("/next"))  # bytes behind the request are no disconnect
        eventually(lambda: gate.reached)
        gate.open()
        client.read_response()
        client.read_response()
    assert target.finished(path).notes == {"waiting": True}


def test_work_after_the_response_goes_on(target: Target) -> None:
    gate = Gate()

    async def work(call: Call) -> None:
        await call.read()
        await call.answer(b"ok")
        await gate.passed()
        call.notes["worked"] = True

    path = target.app.behave(work)
    with target.connect() as client:
        client.send(get(path))
        client.read_response()
        check_open(client)
    gate.open()
    assert target.finished(path).notes == {"worked": True}
