"""Why a worker that has ended had to be replaced, for the metrics."""

from __future__ import annotations

from typing import Any

import pytest

from uvicorn_supervisor.decisions.lifecycle import READY, SILENT, STOPPED, Worker
from uvicorn_supervisor.observation.tally import Tally, reason_of
from uvicorn_worker.metrics.figures import read
from uvicorn_worker.scoreboard.board import Scoreboard


def ended(**fields: Any) -> Worker:
    return Worker(
        **{"number": 7, "slot": 1, "release": 2, "state": STOPPED, "ready_at": 1.0, **fields}
    )


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (ended(ready_at=None, code=3), "boot"),
        (ended(ready_at=None, code=None), "boot"),
        (ended(code=-9), "died"),
        (ended(code=0), "died"),
        (ended(code=1, reason=f"{SILENT} for 31.0 s; exit code 1"), "hung"),
        (ended(told=True, code=0, due="requests 1003/1000"), "requests"),
        (ended(told=True, code=0, due="memory 600/512 MiB"), "memory"),
        (ended(told=True, code=0, due="age"), "age"),
        (ended(told=True, code=70), "exit"),
        (ended(told=True, code=0, release=1), "reload"),
        (ended(told=True, code=0), ""),  # one fewer, or the end
        (ended(told=True, code=0, ready_at=None), ""),
    ],
)
def test_the_reason_is_one_of_few(worker: Worker, reason: str) -> None:
    assert reason_of(worker, 2) == reason


def test_ends_are_counted_in_the_supervisors_own_room() -> None:
    board = Scoreboard(2)
    tally = Tally(board)
    tally.note(ended(code=-9), 2)
    tally.note(ended(code=-11), 2)
    tally.note(ended(told=True, code=0), 2)
    tally.note(ended(state=READY), 2)

    restarts = read(board, 0.0).restarts
    assert (restarts["died"], sum(restarts.values())) == (2, 2)
