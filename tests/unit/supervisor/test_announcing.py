"""What systemd is told, by situation and time."""

from __future__ import annotations

import os
from typing import Any

import pytest

from uvicorn_supervisor.decisions.limits import NEVER
from uvicorn_supervisor.systemd.announcing import (
    EXTEND_EVERY,
    EXTENSION,
    STATUS_EVERY,
    WATCHDOG,
    Announcer,
    Situation,
)
from uvicorn_supervisor.systemd.sdnotify import watchdog

BOOTING = Situation(ready=0, wanted=2, beating=0, changing=True, ending=False)
SERVING = Situation(ready=2, wanted=2, beating=2, changing=False, ending=False)
RELOADING = SERVING._replace(changing=True)
ENDING = SERVING._replace(ending=True, ready=0, left=2)
EXTEND = [f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}"]


def first_words(messages: list[list[str]]) -> list[str]:
    return [words[0].partition("=")[0] for words in messages]


def said_ready(watchdog: float = 0.0, now: float = 100.0) -> Announcer:
    announcer = Announcer(watchdog)
    announcer.step(SERVING, now)
    return announcer


def test_a_start_is_over_when_the_first_worker_serves() -> None:
    announcer = Announcer()
    assert announcer.reloading(99.0) == [], "the first release is none"
    assert first_words(announcer.step(BOOTING, 100.0)) == ["STATUS", "EXTEND_TIMEOUT_USEC"]

    assert announcer.step(BOOTING._replace(ready=1, beating=1), 101.0)[0] == [
        "READY=1",
        "STATUS=1 of 2 workers ready, 0 requests in flight, 0 connections; reloading",
    ]
    assert announcer.step(SERVING, 101.0) == [], "a status may wait"
    assert announcer.step(SERVING, 101.0 + STATUS_EVERY) == [
        ["STATUS=2 of 2 workers ready, 0 requests in flight, 0 connections"]
    ]


def test_a_slow_start_asks_for_more_time() -> None:
    announcer = Announcer()
    announcer.step(BOOTING, 100.0)

    assert announcer.deadline(BOOTING) == 100.0 + EXTEND_EVERY
    assert announcer.step(BOOTING, 101.0) == []
    assert announcer.step(BOOTING, 100.0 + EXTEND_EVERY) == [EXTEND]
    announcer.step(SERVING, 110.0)
    assert announcer.deadline(SERVING) == NEVER


@pytest.mark.parametrize("refusal", ["", "it cannot boot"])
def test_a_reload_is_over_when_its_release_serves_or_is_dropped(refusal: str) -> None:
    announcer = said_ready()
    words = announcer.reloading(200.0)
    assert words[:2] == ["RELOADING=1", "MONOTONIC_USEC=200000000"]
    assert "READY" not in first_words(announcer.step(RELOADING, 200.0))
    assert EXTEND in announcer.step(RELOADING, 200.0 + EXTEND_EVERY)

    [(ready, status)] = announcer.step(SERVING._replace(refusal=refusal), 210.0)

    assert ready == "READY=1"
    assert status.endswith("; not reloaded: it cannot boot" if refusal else " 0 connections")
    assert announcer.step(SERVING._replace(refusal=refusal), 220.0) == []


def test_a_stop_asks_for_the_time_that_it_takes() -> None:
    announcer = said_ready()

    messages = announcer.step(ENDING, 200.0)

    assert messages == [["STATUS=Stopping: 2 workers left, 0 requests in flight"], EXTEND]
    assert announcer.step(ENDING, 200.0 + EXTEND_EVERY) == [EXTEND]


@pytest.mark.parametrize(
    ("changes", "well"),
    [
        ({}, True),
        ({"beating": 1}, True),
        ({"beating": 0}, False),  # all are stuck
        ({"ready": 0, "beating": 0}, False),
        ({"ready": 0, "beating": 0, "wanted": 0}, True),  # SIGWINCH: nobody is to serve
        ({"ending": True}, False),
    ],
)
def test_the_watchdog_hears_as_long_as_a_worker_beats(changes: dict[str, Any], well: bool) -> None:
    announcer, situation = said_ready(watchdog=4.0), SERVING._replace(**changes)

    assert ([WATCHDOG] in announcer.step(situation, 102.0)) is well
    assert [WATCHDOG] not in announcer.step(situation, 103.9)
    if well:
        assert announcer.deadline(situation) == 104.0


def test_a_successor_has_nothing_to_say_of_a_start() -> None:
    announcer = Announcer(ready=True)

    assert first_words(announcer.step(SERVING, 100.0)) == ["STATUS"]


@pytest.mark.parametrize(
    ("usec", "pid", "predecessor", "seconds"),
    [
        ("", "", 0, 0.0),
        ("30000000", "", 0, 30.0),
        ("500000", "{own}", 0, 0.5),
        ("500000", "7", 7, 0.5),  # an upgrade
        ("500000", "7", 0, 0.0),  # of a process that has started this one
        ("soon", "", 0, 0.0),
    ],
)
def test_the_watchdog_has_one_process_in_mind(
    usec: str, pid: str, predecessor: int, seconds: float
) -> None:
    environ = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid.format(own=os.getpid())}

    assert watchdog(environ, predecessor) == seconds
    if seconds and pid:
        assert environ["WATCHDOG_PID"] == str(os.getpid()), "for the next successor"
