"""What is said of a worker that has died."""

from __future__ import annotations

import signal

import pytest

from uvicorn_supervisor.decisions.deaths import (
    MIB,
    Death,
    describe,
    describe_exit,
    killed_for_memory,
)
from uvicorn_supervisor.observation.cgroups import Counts


@pytest.mark.parametrize(
    ("death", "line"),
    [
        (
            Death(code=9),
            "exit code 9 without a word: the application, or what it imports, calls os._exit or "
            "exec; it was not ready yet",
        ),
        (Death(code=70), "exit code 70; see the traceback above; it was not ready yet"),
        (
            Death(code=-signal.SIGSEGV, lived=12.34, answered=7, in_flight=2, beat_age=0.42),
            "killed by SIGSEGV: C code has crashed (an extension module?), see the stack above; "
            "12.3 s after it was ready; "
            "7 requests answered and 2 in flight at its last heartbeat, 0.4 s before",
        ),
        (
            Death(code=-signal.SIGKILL, oom=True, memory=512 * MIB, memory_age=3.0),
            "killed by SIGKILL: the kernel was out of memory for this cgroup (oom_kill); "
            "it was not ready yet; memory 512 MiB, 3 s before",
        ),
        (
            Death(code=-signal.SIGKILL),
            "killed by SIGKILL, not by this supervisor; by the kernel, out of memory?; "
            "it was not ready yet",
        ),
        (
            Death(code=-signal.SIGKILL, oom=False),
            "killed by SIGKILL, neither by this supervisor nor for lack of memory of its cgroup; "
            "it was not ready yet",
        ),
        (Death(code=-signal.SIGTERM), "killed by SIGTERM; it was not ready yet"),
    ],
)
def test_a_death_is_told_in_one_line(death: Death, line: str) -> None:
    assert describe(death) == line


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-11, "killed by SIGSEGV"),
        (-64, "killed by SIGRTMAX"),
        (-99, "killed by signal 99"),
    ],
)
def test_an_exit_in_words(code: int, text: str) -> None:
    assert describe_exit(code) == text


@pytest.mark.parametrize(
    ("before", "after", "killed"),
    [
        (Counts(1), Counts(2), True),
        (Counts(2), Counts(2), False),
        (Counts(None), Counts(2), None),
        (Counts(1), Counts(None), None),
    ],
)
def test_the_kernels_count_of_kills_tells_of_memory(
    before: Counts, after: Counts, killed: bool | None
) -> None:
    assert killed_for_memory(before, after) is killed
