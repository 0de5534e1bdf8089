"""Counters live in rooms that outlive their workers: nothing is lost, nothing counted twice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.meters import INTERVAL, OURS, answer, make_meter, show, worker
from tests.support.processes import NOBODY
from uvicorn_worker.metrics.figures import Figures, read
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import READY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from uvicorn_worker.scoreboard.slots import Slot


class Killed(Exception):
    """A worker's process has ended between two stores."""


class Dying:
    """A room whose worker is killed when it has stored so many more values."""

    def __init__(self, room: memoryview) -> None:
        self.left: float = float("inf")
        self._room = room

    def cast(self, kind: Any) -> Any:
        return _DyingView(self, self._room.cast(kind))


class _DyingView:
    def __init__(self, room: Dying, view: memoryview[Any]) -> None:
        self._room = room
        self._view = view

    def __getitem__(self, index: int) -> Any:
        return self._view[index]

    def __setitem__(self, index: int, value: Any) -> None:
        if self._room.left <= 0:
            raise Killed
        self._room.left -= 1
        self._view[index] = value


class Worker:
    """A worker's part of the story: its slot, its room, its meter."""

    def __init__(self, slot: Slot, now: float) -> None:
        self.slot = slot
        self.room = Dying(slot.room())
        room: Any = self.room
        self.meter = make_meter(room, now=now)


def counters(figures: Figures) -> Mapping[str, float]:
    """Return everything that may never fall, by name."""
    found: dict[str, float] = {f"requests {key}": n for key, n in figures.requests.items()}
    for name in ("durations", "lags", "waits"):
        histogram = getattr(figures, name)
        found |= {f"{name} {place}": count for place, count in enumerate(histogram.counts)}
        found[f"{name} total"] = histogram.total
    for name in ("received", "sent", "late", "websockets", "busy"):
        found[name] = getattr(figures, name)
    return found | {f"restarts {reason}": n for reason, n in figures.restarts.items()}


class Story(RuleBasedStateMachine):
    """Workers come, count, and go in any order and at any moment; scrapes come at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Scoreboard(6)
        self.now = time.monotonic()
        self.generation = 0
        self.workers: list[Worker] = []
        self.answered = 0
        self.last: Mapping[str, float] = {}

    @precondition(lambda self: len(self.workers) < 4)
    @rule()
    def begin(self) -> None:
        self.generation += 1
        self.workers.append(Worker(worker(self.board, self.generation), self.now))

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(),
        method=st.sampled_from(["GET", "POST", "QUERY"]),
        status=st.sampled_from([200, 404, 503, 999]),
        seconds=st.floats(0, 100),
    )
    def respond(self, data: st.DataObject, method: str, status: int, seconds: float) -> None:
        one = data.draw(st.sampled_from(self.workers))
        answer(one.meter, method, status, seconds, sent=10)
        self.answered += 1

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), lag=st.floats(0, 3))
    def look(self, data: st.DataObject, lag: float) -> None:
        one = data.draw(st.sampled_from(self.workers))
        self.now += INTERVAL + lag
        one.meter.looked(self.now)
        show(one.meter, self.now, late=1)

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), stores=st.integers(0, 12), reaped=st.booleans())
    def kill_while_it_stores(self, data: st.DataObject, stores: int, reaped: bool) -> None:
        one = data.draw(st.sampled_from(self.workers))
        self.workers.remove(one)
        one.room.left = stores
        self.now += 1
        try:
            one.meter.looked(self.now)
            show(one.meter, self.now, late=1)
        except Killed:
            pass
        one.slot.claim(NOBODY, self.now)  # its process is gone
        if reaped:
            one.slot.release()  # by a supervisor; under Gunicorn it is found at the next reserve

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.workers))
        self.workers.remove(one)
        one.meter.leaving("requests")
        one.slot.exit()

    @invariant()
    def scrape(self) -> None:
        figures = read(self.board, self.now)
        assert sum(figures.requests.values()) == self.answered
        assert sum(figures.durations.counts) == self.answered
        assert len(figures.workers) == len(self.workers)
        seen = counters(figures)
        fallen = {name: (n, seen.get(name)) for name, n in self.last.items() if seen[name] < n}
        assert fallen == {}
        self.last = seen


Story.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestStory = Story.TestCase


def test_a_worker_that_has_lost_its_slot_counts_where_nobody_reads() -> None:
    board = Scoreboard(1)
    late = board.reserve(1, time.monotonic() - 60.0)
    assert late is not None
    assert board.reserve(2, time.monotonic()) is not None  # the only slot changes hands
    late.claim(OURS, time.monotonic())
    answer(make_meter(late.room()), "GET", 200, 0.1)

    assert read(board, time.monotonic()).requests == {}


def test_deaths_are_counted_once_and_by_what_the_worker_was() -> None:
    board = Scoreboard(8)
    booting, ready, left = (board.reserve(number, 100.0) for number in (1, 2, 3))
    assert booting is not None
    assert ready is not None
    assert left is not None
    for slot in (booting, ready, left):
        slot.claim(NOBODY, 100.0)
    ready.set_phase(READY)
    left.set_phase(READY)
    left.exit()
    for number in (4, 5, 6):
        board.reserve(number, 100.0)

    assert (board.deaths, board.failed_boots) == (1, 1)
    restarts = read(board, 100.0).restarts
    assert (restarts["died"], restarts["boot"]) == (1, 1)
