"""When a worker that goes still accepts, and how long its parts may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from uvicorn_worker.process.leaving import (
    IDLE_TIMEOUT,
    IDLE_TIMEOUT_AT_STOP,
    Budget,
    Shedding,
    Why,
)


@dataclass
class FakeSiblings:
    ready_now: int = 0
    coming_now: int = 0

    def ready(self) -> int:
        return self.ready_now

    def coming(self) -> int:
        return self.coming_now


@pytest.mark.parametrize(
    ("timeout", "drain"),
    [(30, 29.0), (5, 4.0), (3, 2.4), (1, 0.8), (300, 299.0)],
)
def test_the_drain_ends_a_second_or_a_fifth_before_the_graceful_timeout(
    timeout: float, drain: float
) -> None:
    assert Budget.graceful(100.0, timeout).drain == pytest.approx(100.0 + drain)


@pytest.mark.parametrize("timeout", [0.1, 1, 3, 30, 300])
def test_all_of_a_graceful_end_is_over_before_the_kill(timeout: float) -> None:
    budget = Budget.graceful(100.0, timeout)

    assert 100.0 < budget.drain < budget.shutdown < budget.interrupt < budget.end < 100.0 + timeout


def test_no_time_at_all_is_a_quick_end() -> None:
    assert Budget.graceful(100.0, 0) == Budget.quick(100.0)


def test_all_of_a_quick_end_is_over_within_two_seconds() -> None:
    budget = Budget.quick(100.0)

    assert 100.0 < budget.drain < budget.shutdown < budget.interrupt < budget.end < 102.0


@pytest.mark.parametrize(
    ("why", "ready", "coming", "own_queue", "first", "later"),
    [
        # `first`: connections that were open at the beginning still are; `later`: they are gone.
        pytest.param(Why.STOP, 0, 0, False, False, False, id="stop-of-the-server"),
        pytest.param(Why.STOP, 1, 0, False, False, False, id="one-worker-fewer"),
        pytest.param(Why.STOP, 0, 1, False, True, True, id="reload-successors-still-boot"),
        pytest.param(Why.STOP, 1, 1, False, False, False, id="reload-a-successor-is-ready"),
        pytest.param(Why.ORPHAN, 0, 0, False, False, False, id="orphan"),
        pytest.param(Why.LIMIT, 0, 0, False, True, False, id="max-requests-alone"),
        pytest.param(Why.LIMIT, 1, 0, False, False, False, id="max-requests-with-a-sibling"),
        pytest.param(Why.LIMIT, 0, 1, False, True, True, id="max-requests-sibling-boots"),
        pytest.param(Why.RECYCLE, 0, 0, False, True, False, id="recycled-alone"),
        pytest.param(Why.STOP, 0, 0, True, True, False, id="stop-own-queue"),
        pytest.param(Why.STOP, 1, 0, True, True, False, id="fewer-own-queue"),
        pytest.param(Why.STOP, 0, 1, True, True, True, id="reload-own-queue"),
        pytest.param(Why.LIMIT, 1, 0, True, True, False, id="max-requests-own-queue"),
        pytest.param(Why.QUIT, 0, 1, True, False, False, id="quit"),
        pytest.param(Why.RELOAD, 0, 1, False, False, False, id="changed-code"),
    ],
)
def test_a_worker_that_goes_accepts_until_somebody_else_does(
    why: Why, ready: int, coming: int, own_queue: bool, first: bool, later: bool
) -> None:
    connections: set[Any] = {"old"}
    shedding = Shedding(why, FakeSiblings(ready, coming), lambda: connections, own_queue=own_queue)

    while_open = shedding.keep_accepting()
    connections = {"new"}
    when_gone = shedding.keep_accepting()

    assert (while_open, when_gone) == (first, later)


def test_a_connection_accepted_while_shedding_does_not_prolong_it() -> None:
    connections: set[Any] = {"old"}
    shedding = Shedding(Why.LIMIT, FakeSiblings(), lambda: connections, own_queue=False)
    connections = {"old", "new"}

    assert shedding.keep_accepting()
    connections = {"new", "newer"}
    assert not shedding.keep_accepting()
    # Another object of that value is not the old connection come back.
    connections = {"old"}
    assert not shedding.keep_accepting()


def test_it_stops_accepting_when_the_successor_is_ready() -> None:
    siblings = FakeSiblings(coming_now=1)
    shedding = Shedding(Why.STOP, siblings, set, own_queue=False)

    assert shedding.keep_accepting()
    siblings.ready_now, siblings.coming_now = 1, 0
    assert not shedding.keep_accepting()


@pytest.mark.parametrize(
    ("why", "ready", "coming", "expected"),
    [
        (Why.STOP, 0, 0, IDLE_TIMEOUT_AT_STOP),
        (Why.ORPHAN, 0, 0, IDLE_TIMEOUT_AT_STOP),
        (Why.STOP, 1, 0, IDLE_TIMEOUT),
        (Why.STOP, 0, 1, IDLE_TIMEOUT),
        (Why.LIMIT, 0, 0, IDLE_TIMEOUT),
    ],
)
def test_idle_connections_have_less_time_when_the_server_stops(
    why: Why, ready: int, coming: int, expected: float
) -> None:
    shedding = Shedding(why, FakeSiblings(ready, coming), set, own_queue=False)

    assert shedding.idle_timeout == expected
