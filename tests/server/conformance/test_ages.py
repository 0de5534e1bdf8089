"""Connections that end because of their age, or because they are idle, and requests in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.apps.conformance import echoed
from tests.server.conformance.harness import Target, check_open, get
from tests.support.rawhttp import End, RawClient
from tests.support.waiting import eventually
from uvicorn_worker.http1 import ending

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeTarget = Callable[..., Target]

AGE = {"limit_connection_age": 0.3, "timeout_keep_alive": 20}
IDLE = {"timeout_keep_alive": 0.2}


# -- limit_connection_age


def test_an_old_connection_ends_with_its_next_answer(make_target: MakeTarget) -> None:
    target = make_target(**AGE)

    with target.connect() as client:

        def told_to_close() -> bool:
            client.send(get("/1"))
            response = client.read_response()
            assert response.body == echoed("GET", b"/1")
            return response.says_close

        assert not told_to_close()
        eventually(told_to_close)
        assert client.read_end() is End.EOF
        with target.connect() as other:
            check_open(other)


def test_an_old_connection_is_not_cut_while_it_is_idle(make_target: MakeTarget) -> None:
    target = make_target(**AGE)

    with target.connect() as idle, target.connect() as clock:
        check_open(idle)
        eventually(lambda: _closes(clock))
        idle.send(get("/late"))
        response = idle.read_response()
        assert response.body == echoed("GET", b"/late")
        assert response.says_close


def _closes(client: RawClient) -> bool:
    client.send(get())
    return client.read_response().says_close


def test_ages_are_spread(make_target: MakeTarget) -> None:
    target = make_target(limit_connection_age=100, limit_connection_age_jitter=1000)
    service = target.server.server

    clients = [RawClient((target.server.host, target.server.port)) for _ in range(5)]
    eventually(lambda: len(service.state.connections) == 5)
    left = [one._retire_at - service.state.time() for one in service.state.connections]
    for client in clients:
        client.close()

    assert len(set(left)) == 5
    assert all(90 < seconds < 1100 for seconds in left)


# -- idle connections: the race with a peer that keeps them longer


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, make_target: MakeTarget) -> Target:
    """A server that waits longer than any test for requests that come late."""
    monkeypatch.setattr(ending, "PARTING_TIMEOUT", 30.0)
    return make_target(**IDLE)


def end_idle(target: Target, client: RawClient) -> None:
    """Use the connection, then wait until the server ends it."""
    client.send(get())
    assert client.read_response().status == 200
    assert client.read_end() is End.EOF


def hints(target: Target) -> list[str]:
    return [text for text in target.server.messages(30) if "came just after" in text]


def test_requests_that_come_too_late_are_counted_and_explained_once(patient: Target) -> None:
    state = patient.server.server.state
    before = state.late_requests

    for number in (1, 2):
        with patient.connect() as client:
            end_idle(patient, client)
            client.send(get("/late"))
            eventually(lambda: state.late_requests == before + number)  # noqa: B023  # at once
            assert [call.target for call in patient.calls(client)] == [b"/"]

    eventually(lambda: not state.connections)
    assert len(hints(patient)) == 1
    assert "timeout_keep_alive=0.2" in hints(patient)[0]
    assert "from 127.0.0.1" in hints(patient)[0]


def test_a_client_that_closes_in_time_is_not_counted(patient: Target) -> None:
    state = patient.server.server.state
    before = state.late_requests

    with patient.connect() as client:
        end_idle(patient, client)

    eventually(lambda: not state.connections)
    assert state.late_requests == before


def test_a_draining_server_does_not_wait_for_late_requests(patient: Target) -> None:
    server = patient.server
    state = server.server.state

    with patient.connect() as client:
        end_idle(patient, client)
        assert len(state.connections) == 1
        for one in tuple(state.connections):
            server.call(one.start_draining, 0.0)
        eventually(lambda: not state.connections)


def test_an_idle_client_that_never_closes_is_left(make_target: MakeTarget) -> None:
    target = make_target(**IDLE, limit_concurrency=7)  # a server of its own
    state = target.server.server.state

    with target.connect() as client:
        end_idle(target, client)
        eventually(lambda: not state.connections)
        assert state.late_requests == 0
