"""The command `uvicorn-supervisorctl`, for a supervisor that a test has started."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.command import environment
from tests.support.waiting import eventually
from uvicorn_supervisor.control.client import Client

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-m", "uvicorn_supervisor.ctl")


class Outcome(NamedTuple):
    """How a command has ended."""

    code: int
    out: str
    err: str


class Control:
    """Commands for one control socket."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command; it is the caller's to end."""
        return subprocess.Popen(
            [*COMMAND, *words],
            env=environment({"UVICORN_CONTROL": self.path}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str) -> Outcome:
        """Run a command to its end."""
        return outcome(self.start(*words))

    def status(self) -> Any:
        """Return what `status --json` shows; asked without the command, which takes a while."""
        return Client(self.path).ask("GET", "/status").content

    def seats(self) -> dict[int, int]:
        """Return the process ids of the workers that serve, by seat."""
        workers = self.status()["workers"]
        return {one["worker"]: one["pid"] for one in workers if one["state"] == "ready"}

    def wait_for_seats(self, count: int) -> dict[int, int]:
        """Wait until exactly so many workers serve."""

        def found() -> dict[int, int] | None:
            seats = self.seats()
            return seats if len(seats) == count else None

        return eventually(found, timeout=20, message=f"{count} workers that serve")


def outcome(process: subprocess.Popen[str]) -> Outcome:
    """Wait for the end of a command."""
    try:
        out, err = process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Outcome(process.returncode, out, err)
