"""Code that blocks the event loop is found, and nothing else is taken for it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.serving import serve
from tests.support.waiting import eventually
from uvicorn_worker.diagnostics import blocking
from uvicorn_worker.diagnostics.blocking import Clocks, Stillness

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 0.1


def looks(*steps: tuple[float, float, float], turning: bool = False) -> float:
    """Return how long a loop has stood still after looks: (seconds later, cpu, delay) since."""
    stillness, now, cpu, delayed = Stillness(INTERVAL), 100.0, 1.0, 1.0
    stillness.look(Clocks(now, cpu, delayed), 100.0)
    for later, used, waited in steps:
        now, cpu, delayed = now + later, cpu + used, delayed + waited
        stillness.look(Clocks(now, cpu, delayed), now - 0.01 if turning else 100.0)
    return stillness.seconds


@pytest.mark.parametrize(
    ("steps", "seconds"),
    [
        pytest.param([(0.1, 0.0, 0.0)] * 5, 0.5, id="sleeps"),
        pytest.param([(0.1, 0.1, 0.0)] * 5, 0.5, id="computes"),
        pytest.param([(0.1, 0.0, 0.0), (2.0, 2.0, 0.0)], 2.1, id="holds Python's lock"),
        pytest.param([(0.1, 0.0, 0.0), (9.0, 0.0, 0.0)], 0.3, id="was stopped"),
        pytest.param([(0.1, 0.05, 0.05)] * 10, 0.5, id="shares a processor"),
        pytest.param([(0.1, 0.0, 0.1)] * 10, 0.0, id="is starved"),
        pytest.param([(3.0, 0.1, 2.9)], 0.1, id="is starved with the thread that looks"),
    ],
)
def test_time_counts_in_which_the_loop_could_have_turned(
    steps: list[tuple[float, float, float]], seconds: float
) -> None:
    assert looks(*steps) == pytest.approx(seconds)


def test_a_loop_that_turns_does_not_stand_still() -> None:
    assert looks(*[(0.1, 0.0, 0.0)] * 50, turning=True) == pytest.approx(0.01)


def sleep_here(seconds: float) -> None:
    time.sleep(seconds)


def compute_there(seconds: float) -> None:
    end = time.thread_time() + seconds  # a machine that is busy gives less in the same time
    while time.thread_time() < end:
        sum(range(1000))


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_each_place_is_logged_once_with_its_stack(loop: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Do nothing: only the loop is of interest."""

    with serve(app, loop=loop, lifespan="off", warn_blocking=0.1) as server:

        def block(function: Callable[[float], None]) -> list[str]:
            """Block until it is logged: on a busy machine, a look may come too late for blame."""
            server.call(function, 0.3)
            return [text for text in server.messages(logging.WARNING) if function.__name__ in text]

        [first] = eventually(lambda: block(sleep_here))
        assert "test_blocking.py" in first
        assert "_run_once" not in first
        eventually(lambda: block(compute_there))
        assert len(block(sleep_here)) == len(block(compute_there)) == 1
    eventually(lambda: "uvicorn-blocking" not in {one.name for one in threading.enumerate()})


def test_the_number_of_places_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocking, "MOST_PLACES", 2)
    log = logging.Logger("test")
    lines: list[str] = []
    log.addFilter(lambda record: not lines.append(record.getMessage()))  # type: ignore[func-returns-value]  # None, which is right
    watch = blocking.BlockingWatch(asyncio.new_event_loop(), 1.0, log)
    places: dict[str, Any] = {}
    for number in range(5):
        exec(f"def place{number}():\n    return __import__('sys')._getframe()", places)
        watch._report(1.0, places[f"place{number}"]())
    watch._loop.close()

    assert [line.startswith("The event loop has stood still") for line in lines] == [
        True,
        True,
        False,
    ]
    assert lines[-1] == "The event loop was blocked at 2 places: no more are logged"
