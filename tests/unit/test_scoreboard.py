"""The scoreboard within one process: slots, and what workers ask of them.

What several processes see of one another is in tests/process/test_scoreboard.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.processes import NOBODY
from tests.support.slots import OURS, claimed, reserve
from uvicorn_worker.scoreboard.board import FRESH, RESERVED, Scoreboard
from uvicorn_worker.scoreboard.phases import (
    BOOTING,
    DRAINING,
    EXITED,
    FAILED,
    FREE,
    KEPT,
    READY,
    Phase,
)
from uvicorn_worker.scoreboard.slots import Slot

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_slot_shows_what_its_worker_said() -> None:
    board = Scoreboard(4)
    assert board.views() == []

    slot = reserve(board, generation=7, now=100.5)
    view = slot.snapshot()
    assert (view.index, view.pid, view.generation, view.phase) == (0, 0, 7, BOOTING)
    assert (view.reserved_at, view.booted_at, view.heartbeat) == (100.5, 0.0, 0.0)

    slot.claim(OURS, 101.25)
    slot.set_phase(READY)
    slot.beat(102.5, in_flight=3, connections=2**40, total=5)
    view = slot.snapshot()
    assert (view.pid, view.phase) == (OURS, READY)
    assert (view.booted_at, view.heartbeat) == (101.25, 102.5)
    assert (view.in_flight, view.connections, view.total) == (3, 2**40, 5)
    assert board.views() == [view]
    assert f"pid={OURS}" in repr(slot)


def test_a_slot_is_found_by_its_ticket_until_somebody_else_has_it() -> None:
    board = Scoreboard(1)
    slot = reserve(board, generation=7)

    found = board.slot(slot.ticket)
    found.claim(OURS, 101.0)
    found.set_phase(READY)
    assert (slot.snapshot().pid, slot.snapshot().phase, found.generation) == (OURS, READY, 7)

    slot.release()
    reserve(board, generation=8)
    found.set_phase(DRAINING)
    assert slot.snapshot().phase is BOOTING


def test_slots_do_not_overlap() -> None:
    board = Scoreboard(50)
    slots = [claimed(board, READY, generation=number) for number in range(50)]

    for number, slot in enumerate(slots):
        slot.beat(float(number), in_flight=number, connections=-number, total=number)

    assert [view.index for view in board.views()] == list(range(50))
    for number, view in enumerate(board.views()):
        assert (view.generation, view.in_flight, view.connections) == (number, number, -number)
        assert (view.phase, view.pid, view.heartbeat) == (READY, OURS, float(number))


@pytest.mark.parametrize("act", [Slot.release, lambda slot: slot.set_phase(EXITED)])
def test_a_slot_is_used_again_when_its_worker_ended(act: Callable[[Slot], None]) -> None:
    board = Scoreboard(2)
    first, second = (claimed(board, READY, beat=50.0) for _ in range(2))
    assert board.reserve(3, 100.0) is None

    act(first)
    third = reserve(board, generation=3, now=101.0)

    assert (third.index, second.index) == (0, 1)
    view = third.snapshot()
    assert (view.pid, view.generation, view.phase, view.heartbeat) == (0, 3, BOOTING, 0.0)


def test_a_slot_is_used_again_when_its_worker_is_dead() -> None:
    board = Scoreboard(2)
    claimed(board, READY)
    claimed(board, DRAINING, pid=NOBODY)

    assert reserve(board).index == 1
    assert board.reserve(1, 100.0) is None


def test_the_oldest_reservation_without_a_worker_is_given_away_when_slots_run_out() -> None:
    board = Scoreboard(3)
    reserve(board, now=102.0)
    reserve(board, now=100.0)
    reserve(board, now=101.0)

    assert board.reserve(2, 100.0 + RESERVED) is None  # its fork may still be on its way
    assert reserve(board, 2, 100.5 + RESERVED).index == 1
    assert board.reserve(2, 100.5 + RESERVED) is None


def test_what_a_late_predecessor_writes_is_dropped() -> None:
    board = Scoreboard(1)
    old = claimed(board, DRAINING)
    old.set_phase(EXITED)
    new = reserve(board, generation=2)
    before = new.snapshot()

    old.beat(200.0, in_flight=9, connections=9, total=9)
    old.set_phase(READY)
    old.release()
    assert new.snapshot() == before

    new.claim(OURS, 150.0)
    before = new.snapshot()
    old.beat(200.0, in_flight=9, connections=9, total=9)
    assert new.snapshot() == before


def test_a_worker_whose_reservation_was_given_away_claims_nothing() -> None:
    board = Scoreboard(1)
    late = reserve(board, now=0.0)
    new = reserve(board, generation=2, now=100.0)

    late.claim(OURS, 100.0)
    late.set_phase(READY)

    assert (new.snapshot().pid, new.snapshot().phase) == (0, BOOTING)
    assert not board.boots.ever_ready


def test_a_slot_that_nobody_claimed_is_not_written_to() -> None:
    board = Scoreboard(1)
    slot = reserve(board)
    before = slot.snapshot()

    slot.beat(200.0, in_flight=9, connections=9, total=9)
    slot.set_phase(READY)

    assert slot.snapshot() == before


def test_the_master_gives_back_the_slot_of_a_worker_that_it_could_not_fork() -> None:
    board = Scoreboard(1)

    reserve(board).release()

    assert board.views() == []
    assert reserve(board).index == 0


# -- siblings and successors


@pytest.mark.parametrize(
    ("phase", "pid", "beat", "ready"),
    [
        (READY, OURS, 0.0, 1),  # has not beaten yet
        (READY, OURS, 1000.0, 1),
        (READY, OURS, 1000.0 - FRESH, 1),
        (READY, OURS, 999.0 - FRESH, 0),
        (READY, OURS, 1000.5, 1),  # beaten after we looked at the clock
        (READY, NOBODY, 1000.0, 0),
        (KEPT, OURS, 1000.0, 1),
        (KEPT, OURS, 999.0 - FRESH, 0),
        (FAILED, OURS, 1000.0, 0),
        (BOOTING, OURS, 1000.0, 0),
        (DRAINING, OURS, 1000.0, 0),
        (EXITED, OURS, 1000.0, 0),
        (FREE, OURS, 1000.0, 0),
    ],
    ids=range(13),  # process ids differ from run to run
)
def test_ready_siblings_are_alive_and_beat(phase: Phase, pid: int, beat: float, ready: int) -> None:
    board = Scoreboard(8)
    me = claimed(board, DRAINING, beat=1000.0)

    claimed(board, phase, pid=pid, beat=beat)

    assert board.ready_siblings(me, 1000.0) == ready


def test_a_worker_is_not_its_own_sibling_or_successor() -> None:
    board = Scoreboard(8)
    me = claimed(board, READY, beat=1000.0)
    assert board.ready_siblings(me, 1000.0) == 0
    me.set_phase(BOOTING)
    assert board.successors(me, BOOTING, now=1000.0) == []


def test_siblings_are_counted() -> None:
    board = Scoreboard(8)
    slots = [claimed(board, READY, beat=1000.0) for _ in range(5)]

    assert board.ready_siblings(slots[2], 1000.0) == 4


@pytest.mark.parametrize(
    ("generation", "pid", "phase", "now", "booting"),
    [
        (2, OURS, BOOTING, 1000.0, 1),
        (1, OURS, BOOTING, 1000.0, 0),  # no successor: started before us, or with us
        (2, NOBODY, BOOTING, 1000.0, 0),
        (2, OURS, READY, 1000.0, 0),
        (2, OURS, EXITED, 1000.0, 0),
        # only reserved, at 100.0
        (2, None, BOOTING, 100.0 + RESERVED, 1),
        (2, None, BOOTING, 100.5 + RESERVED, 0),
        (1, None, BOOTING, 100.0, 0),
    ],
    ids=range(8),  # process ids differ from run to run
)
def test_booting_successors_are_younger_and_alive_or_just_reserved(
    generation: int, pid: int | None, phase: Phase, now: float, booting: int
) -> None:
    board = Scoreboard(8)
    me = claimed(board, DRAINING)

    if pid is None:
        reserve(board, generation, now=100.0)
    else:
        claimed(board, phase, generation=generation, pid=pid)

    assert len(board.successors(me, BOOTING, now=now)) == booting


def test_the_clock_is_read_when_no_time_is_given() -> None:
    board = Scoreboard(8)
    me = claimed(board, DRAINING)
    claimed(board, READY, beat=1.0)  # long ago on any machine's monotonic clock
    claimed(board, READY)
    claimed(board, BOOTING, generation=2)

    assert board.ready_siblings(me) == 1
    assert len(board.successors(me, BOOTING)) == 1


def test_a_worker_is_found_by_its_generation_until_another_one_has_its_slot() -> None:
    board = Scoreboard(2)
    claimed(board, READY, generation=1)
    claimed(board, DRAINING, generation=2, pid=NOBODY)

    found = board.find(2)
    assert found is not None
    assert (found.generation, found.phase, found.pid) == (2, DRAINING, NOBODY)
    assert board.find(3) is None
    reserve(board, generation=3)
    assert board.find(2) is None


@pytest.mark.parametrize(
    ("phase", "end"),
    [(BOOTING, FAILED), (READY, EXITED), (DRAINING, EXITED), (KEPT, EXITED)],
)
def test_the_slot_of_a_worker_that_ended_tells_whether_that_was_to_be_expected(
    phase: Phase, end: Phase
) -> None:
    board = Scoreboard(1)
    slot = claimed(board, phase, pid=NOBODY)

    slot.exit()

    assert slot.snapshot().phase is end
    slot = reserve(board, generation=2)
    slot.exit()  # nobody has claimed it
    assert slot.snapshot().phase is BOOTING
