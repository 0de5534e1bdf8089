"""What one request must not see of another: lifespan state and context variables."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from tests.server.conformance.harness import Target, get
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.apps.conformance import Call

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="untouched")


async def touch(call: Call) -> None:
    """Note what the variable was, set it, and answer with a task that sets it too."""
    call.notes["before"] = VARIABLE.get()
    VARIABLE.set(call.scope["query_string"].decode())
    await call.read()
    await asyncio.sleep(0)
    call.notes["after"] = VARIABLE.get()
    await call.answer(b"ok")


def test_context_variables_of_one_request_are_not_seen_by_the_next(target: Target) -> None:
    path = target.app.behave(touch)

    with target.connect() as client:
        for number in range(3):
            client.send(get(f"{path}?{number}"))
            client.read_response()
        notes = [call.notes for call in target.calls(client)]
    assert notes == [{"before": "untouched", "after": str(number)} for number in range(3)]


def test_context_variables_of_pipelined_requests_are_apart(target: Target) -> None:
    path = target.app.behave(touch)

    with target.connect() as client:
        client.send(b"".join(get(f"{path}?{number}") for number in range(5)))
        for _ in range(5):
            client.read_response()
        notes = [call.notes for call in target.calls(client)]
    assert notes == [{"before": "untouched", "after": str(number)} for number in range(5)]


def test_context_variables_of_two_connections_are_apart(target: Target) -> None:
    path = target.app.behave(touch)

    with target.connect() as one, target.connect() as two:
        one.send(get(f"{path}?one"))
        two.send(get(f"{path}?two"))
        one.read_response()
        two.read_response()
        (first,), (second,) = target.calls(one), target.calls(two)
    assert (first.notes["before"], first.notes["after"]) == ("untouched", "one")
    assert (second.notes["before"], second.notes["after"]) == ("untouched", "two")


def test_context_variable_set_by_a_body_reader_stays_in_its_request(target: Target) -> None:
    async def read_in_parts(call: Call) -> None:
        VARIABLE.set("reader")
        await call.read()
        call.notes["after"] = VARIABLE.get()
        await call.answer(b"ok")

    reader, toucher = target.app.behave(read_in_parts), target.app.behave(touch)
    with target.connect() as client:
        client.send(get(reader, "Content-Length: 3") + b"ab")
        eventually(lambda: target.calls(client))
        client.send(b"c" + get(f"{toucher}?x"))
        client.read_response()
        client.read_response()
        first, second = target.calls(client)
    assert first.notes["after"] == "reader"
    assert second.notes["before"] == "untouched"


def test_state_of_the_lifespan_is_copied_for_each_request(target: Target) -> None:
    async def change(call: Call) -> None:
        call.notes["text"] = call.scope["state"].get("text")
        call.notes["own"] = call.scope["state"].get("own")
        call.scope["state"]["text"] = "changed"
        call.scope["state"]["own"] = "mine"
        await call.answer(b"ok")

    path = target.app.behave(change)
    with target.connect() as client:
        for _ in range(3):
            client.send(get(path))
            client.read_response()
        notes = [call.notes for call in target.calls(client)]
    assert notes == [{"text": "from lifespan", "own": None}] * 3


def test_state_of_the_lifespan_is_a_shallow_copy(target: Target) -> None:
    assert target.app.lifespan_scope is not None
    shared = target.app.lifespan_scope["state"]["shared"]

    with target.connect() as client:
        client.send(get("/1") + get("/2"))
        client.read_response()
        client.read_response()
        first, second = target.calls(client)
    assert first.scope["state"]["shared"] is shared
    assert second.scope["state"]["shared"] is shared
    assert first.scope["state"] is not second.scope["state"]


def test_lifespan_scope(target: Target) -> None:
    scope = target.app.lifespan_scope

    assert scope is not None
    assert scope["type"] == "lifespan"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["asgi"]["spec_version"] in ("1.0", "2.0")
    assert type(scope["state"]) is dict


def test_lifespan_off_never_calls_the_application_with_it(
    make_target: Callable[..., Target],
) -> None:
    target = make_target(lifespan="off")

    with target.connect() as client:
        client.send(get())
        assert client.read_response().status == 200
    assert target.app.lifespan_scope is None
