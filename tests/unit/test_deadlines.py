"""Deadlines of many connections at once: each is kept, and none of them stops the loop for long."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from uvicorn_worker.deadlines import AT_ONCE, Deadlines
from uvicorn_worker.flow import JUST_IDLE, NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from uvicorn_worker.http1.state import HTTPState

KEEP_ALIVE = 1000.0


class Connection:
    """Has a deadline that has come, and notes what happens then."""

    def __init__(self, *, fails: bool = False) -> None:
        self.deadline = 0.0
        self.calls = 0
        self.aborted = False
        self.fails = fails

    def expired(self, now: float) -> None:
        assert now > 0
        self.calls += 1
        self.deadline = NEVER
        if self.fails:
            raise ValueError("what is due goes wrong")

    def abort(self) -> None:
        self.aborted = True


def look(connections: list[Connection], between: Callable[[], None] = lambda: None) -> list[int]:
    """Look once, and return how many have been called after each turn of the loop.

    `between` is called when the look has ended.
    """

    async def run() -> list[int]:
        loop, log = asyncio.get_running_loop(), logging.getLogger("uvicorn.error")
        state = SimpleNamespace(
            connections=set(connections), loop=loop, log=log, keep_alive=KEEP_ALIVE
        )
        Deadlines(cast("HTTPState", state)).look()
        between()
        counts = [sum(one.calls for one in connections)]
        for _ in range(3):
            await asyncio.sleep(0)
            counts.append(sum(one.calls for one in connections))
        return counts

    return asyncio.run(run())


def test_a_turn_of_the_loop_ends_only_some_of_many_connections() -> None:
    counts = look([Connection() for _ in range(3 * AT_ONCE - 1)])
    assert counts == [AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE - 1, 3 * AT_ONCE - 1]


def test_who_is_used_or_closed_while_others_have_their_turn_is_left_alone() -> None:
    connections = [Connection() for _ in range(AT_ONCE + 2)]
    waiting: list[Connection] = []

    def use() -> None:
        waiting.extend(one for one in connections if not one.calls)
        waiting[0].deadline = NEVER

    look(connections, use)
    assert [one.calls for one in waiting] == [0, 1]


def test_who_has_time_left_is_not_called() -> None:
    late, early = Connection(), Connection()
    early.deadline = NEVER
    look([late, early])
    assert (late.calls, early.calls) == (1, 0)


def test_the_idle_time_of_a_connection_begins_at_the_look() -> None:
    idle = Connection()
    idle.deadline = JUST_IDLE
    before = time.monotonic() + KEEP_ALIVE
    look([idle])
    # uvloop's and asyncio's clock is this one; the loop's time may be that of its turn's begin
    assert before - 1 < idle.deadline <= time.monotonic() + KEEP_ALIVE
    assert idle.calls == 0


def test_one_that_fails_is_cut_and_costs_no_other_its_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connections = [Connection(fails=number % 2 == 0) for number in range(4)]
    with caplog.at_level(logging.ERROR, "uvicorn.error"):
        look(connections)
    assert [one.calls for one in connections] == [1] * 4
    assert [one.aborted for one in connections] == [True, False] * 2
    assert [record.message for record in caplog.records] == [
        "Exception at the deadline of a connection"
    ] * 2
