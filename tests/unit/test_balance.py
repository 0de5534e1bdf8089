"""Which worker leaves a connection to the others; clock and scoreboard are the test's own."""

from __future__ import annotations

import os

import pytest

from tests.support.processes import NOBODY
from uvicorn_worker.scoreboard.board import FRESH, Scoreboard
from uvicorn_worker.scoreboard.neighbours import Neighbours
from uvicorn_worker.scoreboard.phases import Phase
from uvicorn_worker.sockets.balance import (
    DISTRUST,
    LOOK,
    PATIENCE,
    PAUSE,
    Balance,
    is_above_share,
)


class FakeBoard:
    """Siblings by number, each with [load, accepted]."""

    def __init__(self, **siblings: list[int]) -> None:
        self.siblings = {int(name[1:]): numbers for name, numbers in siblings.items()}
        self.shown: list[tuple[int, int]] = []
        self.looks = 0

    def accepting(self) -> list[int]:
        self.looks += 1
        return list(self.siblings)

    def load(self, sibling: int) -> tuple[int, int]:
        load, accepted = self.siblings[sibling]
        return load, accepted

    def show(self, load: int, accepted: int) -> None:
        self.shown.append((load, accepted))


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("load", "others", "above"),
    [
        (500, [], False),
        (0, [0], False),
        (1, [0], False),  # nobody minds one more
        (2, [0], True),
        (1, [0, 0, 0], True),
        (50, [50, 50, 50], False),
        (51, [50, 50, 50], False),
        (52, [50, 50, 50], True),
        (50, [50, 50, 0], True),
        (44, [60, 60, 10], False),
    ],
)
def test_share_is_the_mean_and_a_little_more(load: int, others: list[int], above: bool) -> None:
    assert is_above_share(load, others) is above


@pytest.mark.parametrize(
    ("load", "others", "churn", "above"),
    [
        (60, [50, 50], 10.0, False),
        (70, [50, 50], 10.0, True),
        (100, [50, 50], 1e9, False),
        (130, [50, 50], 1e9, True),  # well above, whatever comes and goes
        (15, [5, 5, 5], 1e9, False),
        (30, [0, 1, 1], 1e9, True),
    ],
)
def test_share_is_wide_where_connections_come_and_go(
    load: int, others: list[int], churn: float, above: bool
) -> None:
    assert is_above_share(load, others, churn) is above


@pytest.mark.parametrize(("came", "pause"), [(0, PAUSE), (2, PAUSE), (25, 0.0)])
def test_what_has_just_come_and_gone_counts_until_the_next_look(came: int, pause: float) -> None:
    board, clock = FakeBoard(_1=[0, 7]), Clock()
    balance = Balance(board, clock)
    assert balance.pause(5) == PAUSE
    for _ in range(came):
        balance.accepted(came + 5)
    for load in (came + 5, 5):
        balance.changed(load)
    board.siblings[1][1] += 1
    clock.now += LOOK
    assert balance.pause(5) == pause
    board.siblings[1][1] += 1

    clock.now += LOOK

    assert balance.pause(5) == PAUSE


def test_a_lone_worker_never_pauses() -> None:
    balance = Balance(FakeBoard())

    assert [balance.pause(load) for load in (0, 1, 1000)] == [0.0, 0.0, 0.0]


def test_a_worker_with_more_than_its_share_pauses_as_long_as_others_accept() -> None:
    board, clock = FakeBoard(_1=[1, 7], _2=[9, 3]), Clock()
    balance = Balance(board, clock)

    for _ in range(5):
        assert balance.pause(20) == PAUSE
        clock.now += PAUSE
        board.siblings[1][1] += 1
    assert balance.pause(4) == 0.0


def test_nobody_pauses_for_those_who_do_not_accept() -> None:
    board, clock = FakeBoard(_1=[1, 7], _2=[20, 3]), Clock()
    balance = Balance(board, clock)

    for _ in range(PATIENCE):
        assert balance.pause(20) == PAUSE
        clock.now += PAUSE
    assert [balance.pause(load) for load in (20, 20, 20)] == [0.0, 0.0, 0.0]
    clock.now += DISTRUST
    assert balance.pause(20) == PAUSE, "it may have something else to do by now"


def test_who_accepts_again_counts_at_once() -> None:
    board, clock = FakeBoard(_1=[1, 7]), Clock()
    balance = Balance(board, clock)
    while balance.pause(20):
        clock.now += PAUSE

    board.siblings[1] = [2, 8]

    assert balance.pause(20) == PAUSE


def test_siblings_are_looked_up_once_in_a_while() -> None:
    board, clock = FakeBoard(), Clock()
    balance = Balance(board, clock)
    for _ in range(100):
        balance.pause(1)
    assert board.looks == 1

    clock.now += LOOK
    balance.pause(1)

    assert board.looks == 2


def test_a_load_is_shown_when_it_changes() -> None:
    board = FakeBoard()
    balance = Balance(board)
    for load in (1, 2, 3):
        balance.accepted(load)
    for load in (3, 2, 2):
        balance.changed(load)

    assert board.shown == [(1, 1), (2, 2), (3, 3), (2, 3)]


def test_only_siblings_that_live_and_beat_and_are_ready_count() -> None:
    board, now = Scoreboard(8), 1000.0
    slots = [board.reserve(number, now) for number in range(6)]
    phases = (Phase.READY, Phase.READY, Phase.DRAINING, Phase.READY, Phase.READY, Phase.KEPT)
    beats = (now, now, now, now - FRESH - 1, now, now)
    for slot, phase, beat in zip(slots, phases, beats, strict=True):
        assert slot is not None
        slot.claim(NOBODY if slot is slots[4] else os.getpid(), now)
        slot.set_phase(phase)
        slot.beat(beat, in_flight=0, connections=0, total=0)
        slot.show_load(slot.index, 10 * slot.index)
    first = slots[0]
    assert first is not None

    assert board.accepting(first, now) == [1, 5]
    assert Neighbours(board, first).load(5) == (5, 50)
    assert board.reserve(7, now) is not None  # the dead worker's place
    assert board.load(4) == (0, 0)
