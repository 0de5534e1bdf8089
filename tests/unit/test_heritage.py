"""Counters that one master passes to the next."""

from __future__ import annotations

import os
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.processes import NOBODY
from uvicorn_worker.metrics import heritage
from uvicorn_worker.metrics.figures import Figures, read
from uvicorn_worker.metrics.heritage import MARK, bequeath, inherit, make_rooms
from uvicorn_worker.metrics.meter import Meter
from uvicorn_worker.scoreboard.board import SLOTS, Scoreboard
from uvicorn_worker.scoreboard.rooms import NO_DESCRIPTOR, Rooms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn_worker.http1.channel import Answered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs memory with a descriptor")

OURS = os.getpid()


class Master:
    """One that has a worker, which counts."""

    def __init__(self, passed: Iterable[int] = ()) -> None:
        self.board = Scoreboard(rooms=make_rooms())
        inherit(self.board.rooms, [os.dup(fd) for fd in passed])  # as a new process gets them
        slot = self.board.reserve(1, time.monotonic())
        assert slot is not None
        slot.claim(OURS, time.monotonic())
        self._meter = Meter(slot.room(), interval=1.0, clock=lambda: 0.0)

    def serve(self, requests: int, seconds: float = 0.1) -> None:
        for _ in range(requests):
            request = SimpleNamespace(method="GET")
            answered = SimpleNamespace(request=request, status=200, started=-seconds, sent=0)
            self._meter.answered(cast("Answered", answered))
        self._meter.show(time.monotonic(), in_flight=1, http=1, websockets=0, late=0)

    def succeed(self) -> Master:
        return Master(bequeath(self.board.rooms))

    def end(self) -> None:
        self.board.rooms._header[1] = NOBODY

    @property
    def figures(self) -> Figures:
        return read(self.board, time.monotonic())

    @property
    def counted(self) -> int:
        return self.figures.requests.get(("GET", "2xx"), 0)


def test_a_successor_goes_on_from_there_while_those_before_still_count() -> None:
    first = Master()
    first.serve(10)
    second = first.succeed()
    assert second.counted == 10
    second.serve(3)
    first.serve(1)  # its workers drain
    assert second.counted == 14
    assert sum(one.in_flight for one in second.figures.workers) == 1, "only its own are shown"

    third = second.succeed()  # before the first has ended
    first.serve(1)
    second.serve(1)
    third.serve(1)
    assert third.counted == 17


def test_what_masters_that_have_ended_counted_is_kept_without_them() -> None:
    master = Master()
    seconds = 0.0
    for upgrades in range(1, 20):
        master.serve(2, seconds=0.1 * upgrades)
        assert master.figures.durations.total >= seconds, "nothing falls, not even its last bit"
        seconds = master.figures.durations.total
        old, master = master, master.succeed()
        old.end()
        assert master.counted == 2 * upgrades
        assert len(master.board.rooms.past) == 1
    assert seconds == pytest.approx(2 * sum(0.1 * n for n in range(1, 20)))


def test_another_layout_begins_with_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Master()
    old.serve(5)
    monkeypatch.setattr(heritage, "MARK", MARK + 1)

    assert old.succeed().counted == 0


def test_what_is_no_such_memory_is_not_used() -> None:
    reader, writer = os.pipe()
    os.close(writer)

    master = Master([reader])
    os.close(reader)
    inherit(master.board.rooms, [reader])

    assert master.counted == 0
    assert master.board.rooms.past == []


def test_without_a_descriptor_there_is_nothing_to_pass_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    rooms = Rooms.passable(SLOTS, MARK)

    assert rooms.fd == NO_DESCRIPTOR
    assert bequeath(rooms) == []
