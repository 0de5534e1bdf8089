"""The scoreboard over real forks: what one process writes, the others see, whole."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import eventually
from uvicorn_worker.lease import is_alive
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import BOOTING, DRAINING, EXITED, READY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uvicorn_worker.scoreboard.slots import Slot


class Children:
    """Forks functions into processes; ends and reaps them all."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    def start(self, function: Callable[[], None]) -> int:
        """Run `function` in a child that exits with 0 after it; return the child's pid."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                function()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)  # never back into pytest
        self.pids.append(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Return the exit code of a child, negative for a signal."""
        self.pids.remove(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, pid: int) -> None:
        """End a child as the kernel does when memory runs out."""
        os.kill(pid, signal.SIGKILL)
        assert self.wait(pid) == -signal.SIGKILL

    def kill_all(self) -> None:
        for pid in tuple(self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.wait(pid)


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.kill_all()


class Gate:
    """Lets children wait, without polling, until the test opens it."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def wait(self) -> None:
        os.close(self._write)  # the child's copy: else it would wait for itself
        os.read(self._read, 1)

    def open(self) -> None:
        os.close(self._write)
        os.close(self._read)


def reserve(board: Scoreboard, generation: int) -> Slot:
    slot = board.reserve(generation, time.monotonic())
    assert slot is not None
    return slot


def serve(slot: Slot, gate: Gate) -> Callable[[], None]:
    """Return what a worker does: boot, be ready, wait, drain, end."""

    def run() -> None:
        slot.claim(os.getpid(), time.monotonic())
        slot.set_phase(READY)
        slot.beat(time.monotonic(), in_flight=1, connections=2, total=3)
        gate.wait()
        slot.set_phase(DRAINING)
        slot.set_phase(EXITED)

    return run


def test_the_master_and_siblings_see_what_workers_say(children: Children) -> None:
    board, gate = Scoreboard(8), Gate()
    me = reserve(board, 0)
    me.claim(os.getpid(), time.monotonic())
    pids = [children.start(serve(reserve(board, number), gate)) for number in (1, 2, 3)]

    eventually(lambda: board.ready_siblings(me) == 3)
    assert [view.pid for view in board.views()] == [os.getpid(), *pids]
    assert [(v.in_flight, v.connections, v.total) for v in board.views()[1:]] == [(1, 2, 3)] * 3
    assert board.boots.ever_ready

    seen_by_child = os.pipe()

    def ask() -> None:
        os.write(seen_by_child[1], bytes([board.ready_siblings(me)]))

    assert children.wait(children.start(ask)) == 0
    assert os.read(seen_by_child[0], 1) == b"\x03"
    for fd in seen_by_child:
        os.close(fd)

    gate.open()
    assert [children.wait(pid) for pid in pids] == [0, 0, 0]
    assert [view.phase for view in board.views()[1:]] == [EXITED] * 3
    assert board.ready_siblings(me) == 0


def test_a_killed_worker_is_no_sibling_and_its_slot_is_used_again(children: Children) -> None:
    board, gate = Scoreboard(2), Gate()
    me = reserve(board, 0)
    me.claim(os.getpid(), time.monotonic())
    slot = reserve(board, 1)
    pid = children.start(serve(slot, gate))
    eventually(lambda: board.ready_siblings(me) == 1)
    assert board.reserve(2, time.monotonic()) is None

    children.kill(pid)
    gate.open()

    assert not is_alive(pid)
    assert slot.snapshot().phase is READY  # it had no time to say otherwise
    assert board.ready_siblings(me) == 0
    assert reserve(board, 2).index == slot.index


def test_a_successor_is_seen_from_the_reservation_until_it_is_ready(children: Children) -> None:
    board, booting, serving = Scoreboard(4), Gate(), Gate()
    me = reserve(board, 1)
    me.claim(os.getpid(), time.monotonic())
    slot = reserve(board, 2)
    assert len(board.successors(me, BOOTING)) == 1

    def boot() -> None:
        slot.claim(os.getpid(), time.monotonic())
        booting.wait()
        serve(slot, serving)()

    pid = children.start(boot)
    eventually(lambda: slot.snapshot().pid == pid)
    assert (len(board.successors(me, BOOTING)), board.ready_siblings(me)) == (1, 0)

    booting.open()
    eventually(lambda: board.ready_siblings(me) == 1)
    assert board.successors(me, BOOTING) == []

    children.kill(pid)
    serving.open()
    assert (len(board.successors(me, BOOTING)), board.ready_siblings(me)) == (0, 0)


def test_a_successor_that_dies_while_booting_is_none(children: Children) -> None:
    board = Scoreboard(4)
    me = reserve(board, 1)
    me.claim(os.getpid(), time.monotonic())
    slot = reserve(board, 2)

    assert children.wait(children.start(lambda: slot.claim(os.getpid(), time.monotonic()))) == 0

    assert slot.snapshot().phase is BOOTING
    assert board.successors(me, BOOTING) == []


def test_failed_boots_are_counted_over_processes(children: Children) -> None:
    board = Scoreboard(4)

    def fail(now: float, pause: float) -> Callable[[], None]:
        def run() -> None:
            assert board.boots.failed(now) == pause
            assert not board.boots.ever_ready

        return run

    for now, pause in ((100.0, 1.0), (101.5, 2.0), (102.0, 2.0), (104.0, 4.0)):
        assert children.wait(children.start(fail(now, pause))) == 0

    def boot() -> None:
        slot.claim(os.getpid(), time.monotonic())
        slot.set_phase(READY)

    slot = reserve(board, 1)
    assert children.wait(children.start(boot)) == 0
    assert board.boots.ever_ready
    assert board.boots.failed(110.0) == 1.0


def test_readers_never_see_half_a_number(children: Children) -> None:
    """A writer alternates between numbers that share no byte; every read is one of them."""
    board, gate = Scoreboard(1), Gate()
    slot = reserve(board, 1)
    low, high = 0x1111111111111111, 0x7222222222222222

    def write() -> None:
        slot.claim(os.getpid(), 1.0)
        os.set_blocking(gate._read, False)
        os.close(gate._write)
        while True:
            for number in (low, high):
                slot.beat(float(number), in_flight=number, connections=number, total=number)
            try:
                os.read(gate._read, 1)
            except BlockingIOError:
                continue
            return

    pid = children.start(write)
    eventually(lambda: slot.snapshot().total in (low, high))
    seen: set[float] = set()

    def look() -> bool:
        for _ in range(20_000):
            view = slot.snapshot()
            seen.update((view.in_flight, view.connections, view.total, view.heartbeat))
        return len(seen) >= 4

    eventually(look)  # on a busy machine the writer may not run at all for a while
    gate.open()

    assert children.wait(pid) == 0
    assert seen == {low, high, float(low), float(high)}


def test_a_slot_that_changes_hands_never_shows_a_mixture(children: Children) -> None:
    """While slots are reserved and claimed again and again, a pid comes with its own numbers."""
    board, gate = Scoreboard(1), Gate()

    def change() -> None:
        os.set_blocking(gate._read, False)
        os.close(gate._write)
        number = 0
        while True:
            number += 1
            slot = board.reserve(number, float(number))
            assert slot is not None
            slot.claim(number, float(number))  # no process: a slot of its own each time
            slot.set_phase(READY)
            slot.release()
            try:
                os.read(gate._read, 1)
            except BlockingIOError:
                continue
            return

    pid = children.start(change)
    eventually(lambda: board.boots.ever_ready)

    def look() -> bool:
        ready = 0
        for _ in range(20_000):
            for view in board.views():
                if view.phase is READY:
                    ready += 1
                    assert view.pid == view.generation == view.booted_at == view.reserved_at
        return ready > 0

    eventually(look)  # on a busy machine the writer may not run at all for a while
    gate.open()

    assert children.wait(pid) == 0
