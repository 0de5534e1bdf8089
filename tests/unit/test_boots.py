"""Boots of workers as the master and its workers see them: pauses, the first, the last, others."""

from __future__ import annotations

import pytest

from tests.support.processes import NOBODY
from tests.support.slots import OURS, claimed
from uvicorn_worker.scoreboard.board import Scoreboard
from uvicorn_worker.scoreboard.phases import BOOTING, DRAINING, EXITED, FAILED, KEPT, READY, Phase


def test_pauses_double_up_to_thirty_seconds() -> None:
    board = Scoreboard(1)
    now, pauses = 100.0, []
    for _ in range(8):
        pauses.append(board.boots.failed(now))
        now += pauses[-1] + 0.2

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_workers_that_fail_together_wait_together() -> None:
    board = Scoreboard(1)

    assert [board.boots.failed(100.0 + n / 10) for n in range(4)] == [1, 1, 1, 1]
    assert [board.boots.failed(101.2 + n / 10) for n in range(4)] == [2, 2, 2, 2]
    assert [board.boots.failed(103.5 + n / 10) for n in range(4)] == [4, 4, 4, 4]


def test_pauses_start_again_after_a_success_or_a_long_time() -> None:
    board = Scoreboard(1)
    for now in (0.0, 10.0, 20.0):
        board.boots.failed(now)
    assert not board.boots.ever_ready

    board.boots.succeeded()
    assert board.boots.ever_ready
    assert board.boots.failed(30.0) == 1
    assert board.boots.failed(40.0) == 2
    assert board.boots.failed(40.0 + 1000) == 1


def test_the_first_worker_that_is_ready_is_remembered() -> None:
    board = Scoreboard(2)
    slot = claimed(board, BOOTING)
    board.boots.failed(100.0)
    assert not board.boots.ever_ready

    slot.set_phase(READY)
    slot.set_phase(EXITED)

    assert board.boots.ever_ready
    assert board.boots.failed(110.0) == 1


def test_that_the_last_boot_failed_is_known_until_one_succeeds() -> None:
    board = Scoreboard(2)
    slot = claimed(board, BOOTING)
    assert not board.boots.last_failed

    board.boots.failed(100.0)
    slot.set_phase(KEPT)
    assert board.boots.last_failed

    claimed(board, READY)
    assert not board.boots.last_failed


def test_a_worker_that_stays_after_all_has_not_booted() -> None:
    board = Scoreboard(1)
    slot = claimed(board, READY)
    board.boots.failed(100.0)

    slot.set_phase(DRAINING)
    slot.set_phase(READY)

    assert board.boots.last_failed


@pytest.mark.parametrize(
    ("phase", "pid", "beat", "expected"),
    [
        (BOOTING, OURS, 0.0, True),
        (READY, OURS, 1.0, True),  # although it hangs
        (DRAINING, OURS, 1.0, True),
        (DRAINING, NOBODY, 199.0, False),  # was killed: its place is found when the next one comes
        (EXITED, NOBODY, 199.0, True),  # the master is about to fork the next one
        (EXITED, NOBODY, 1.0, False),
        (FAILED, OURS, 0.0, False),  # counted elsewhere: see `Boots.failed`
    ],
    ids=range(7),  # process ids differ from run to run
)
def test_whether_there_are_others_or_were_just_now(
    phase: Phase, pid: int, beat: float, expected: bool
) -> None:
    board = Scoreboard(2)
    own = claimed(board, READY)
    assert not board.has_company(own, now=200.0)

    claimed(board, phase, pid=pid, beat=beat)
    assert board.has_company(own, now=200.0) is expected
