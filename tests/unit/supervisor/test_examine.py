"""Why a loop does not turn: the decision as a table, the looks at real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.waiting import eventually
from uvicorn_supervisor.observation.examine import Look, judge, look, parse_stat, parse_wakeups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BEFORE = Look(at=100.0, state="S", main=5.0, total=9.0, queued=1.0, wakeups=50, throttled=2.0)


def later(seconds: float = 2.0, state: str = "S", **grown: Any) -> Look:
    """Return a look after `BEFORE`, in which these fields have grown by so much."""
    fields = {
        name: getattr(BEFORE, name) + grown.get(name, 0)
        for name in ("main", "total", "queued", "wakeups", "throttled")
    }
    return Look(at=BEFORE.at + seconds, state=state, **fields)


CASES: dict[str, tuple[Look | None, Look, str, bool]] = {
    "stopped": (BEFORE, later(state="T"), "it is stopped (SIGSTOP)", False),
    "traced": (BEFORE, later(state="t"), "it is held by a debugger or tracer", True),
    "disk": (
        BEFORE,
        later(state="D"),
        "it waits for a disk or a network file system, and cannot be interrupted (state D)",
        False,
    ),
    "blocked": (
        BEFORE,
        later(main=0.02, total=0.02),
        "it is blocked in a call that waits, having used 1% of a processor",
        False,
    ),
    "computing": (
        BEFORE,
        later(state="R", main=1.9, total=1.9),
        "it computes, using 95% of a processor",
        False,
    ),
    "computing-beside-others": (
        BEFORE,
        later(state="R", main=1.0, total=1.0, queued=1.0),
        "it computes, using 50% of a processor",
        False,
    ),
    "no-processor": (
        BEFORE,
        later(state="R", main=0.2, total=0.2, queued=1.8),
        "it is starved: it could have run, but waited for a processor for 90% of the time",
        True,
    ),
    "throttled": (
        BEFORE,
        later(state="R", main=0.2, total=0.2, queued=1.8, throttled=1.7),
        "it is starved: the quota of processor time of its cgroup was used up for 85% of the time",
        True,
    ),
    "gil": (
        BEFORE,
        later(main=0.1, total=2.1, wakeups=380),
        "it waits for the GIL: other threads of it use 100% of a processor, "
        "the event loop's thread 5%",
        True,
    ),
    "blocked-beside-busy-threads": (
        BEFORE,
        later(total=2.0, wakeups=1),
        "it is blocked in a call that waits, having used 0% of a processor",
        False,
    ),
    "never-looked-before": (None, later(), "it is blocked", False),
    "no-time-between": (BEFORE, later(0.0), "it is blocked", False),
    "process-only": (
        Look(at=1.0, state="R", main=None, total=1.0),
        Look(at=2.0, state="R", main=None, total=1.9),
        "it computes, using 90% of a processor",
        False,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_two_looks_tell_why(name: str) -> None:
    before, after, text, starved = CASES[name]

    assert judge(before, after) == (text, starved)


# -- real processes

SLEEPS = "import time; time.sleep(60)"
COMPUTES = "while True: pass"
THREADS = """
import threading, time
def compute():
    while True: pass
threading.Thread(target=compute, daemon=True).start()
while True: time.sleep(0.001)
"""


@contextlib.contextmanager
def running(code: str) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def finds(pid: int, words: str) -> None:
    """Look twice, half a second apart, until the finding is the one that is expected."""
    before = look(pid)

    def found() -> bool:
        nonlocal before
        after = look(pid)
        assert after is not None
        assert before is not None
        if after.at - before.at < 0.5:
            return False
        finding, before = judge(before, after), after
        return words in finding.text

    eventually(found, message=words, timeout=30.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param(SLEEPS, "blocked in a call", id="sleeps"),
        # A machine that is busy with other things starves it: that is right, too.
        pytest.param(COMPUTES, "a processor", id="computes"),
        pytest.param(
            THREADS,
            "waits for the GIL",
            id="threads",
            marks=pytest.mark.skipif(
                os.getloadavg()[0] > 4 * (os.cpu_count() or 1),
                reason="who holds the GIL gets no processor either: it looks blocked",
            ),
        ),
    ],
)
def test_a_real_process_is_told_from_others(code: str, words: str) -> None:
    with running(code) as pid:
        finds(pid, words)


def test_a_stopped_process_is_found_stopped() -> None:
    with running(SLEEPS) as pid:
        os.kill(pid, signal.SIGSTOP)
        finds(pid, "SIGSTOP")


def test_a_process_that_is_gone_has_no_look(tmp_path: Path) -> None:
    with running("") as pid:
        pass

    assert look(pid) is None
    assert look(1, proc=tmp_path) is None


def test_names_of_processes_do_not_confuse() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    text = f"7 (a) b) R) S {' 0' * 10} {3 * ticks} {ticks} 0 0\n"

    assert parse_stat(text) == ("S", 4.0)


@pytest.mark.parametrize("text", ["", "7 (sh) S 1 2"])
def test_what_is_no_stat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected the fields|substring not found"):
        parse_stat(text)


def test_wakeups_are_found_where_the_kernel_tells() -> None:
    assert parse_wakeups("Name:\tsh\nvoluntary_ctxt_switches:\t12\n") == 12
    assert parse_wakeups("Name:\tsh\n") is None
