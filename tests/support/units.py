"""Unit files of systemd in deploy/, read and run by hand: no manager is needed."""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
import socket
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
VENV = re.compile(r"/srv/\S+/venv/bin/")
"""Where units look for commands; ours are elsewhere."""

SYSCALL = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?(?:<\.\.\. )?([a-z][a-z0-9_]*)[( ]", re.MULTILINE)


def settings(unit: str) -> dict[str, list[str]]:
    """Return what a unit file says of each setting, in order."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / unit).read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def command(unit: str, places: Mapping[str, str]) -> list[str]:
    """Return the command that a unit starts, found where this Python's commands are.

    `places` are specifiers (`%i`) and paths to be replaced, each of which has to be there.
    """
    (line,) = settings(unit)["ExecStart"]
    for place, other in places.items():
        assert place in line, line
        line = line.replace(place, other)
    return shlex.split(VENV.sub(f"{sysconfig.get_path('scripts')}/", line))


class Manager:
    """What a service sees of systemd: where it sends its notifications."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.setblocking(False)
        self.told: list[str] = []

    def was_told(self, assignment: str, count: int = 1) -> bool:
        """Return whether the service has said this, so many times."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.told += self._socket.recv(4096).decode().splitlines()
        return self.told.count(assignment) >= count

    def close(self) -> None:
        self._socket.close()


def traced_calls(log: Path) -> set[str]:
    """Return the names of the system calls in what strace has written."""
    return set(SYSCALL.findall(log.read_text(errors="replace")))


def allowed_calls(filters: Iterable[str]) -> set[str]:
    """Return the system calls that lines of SystemCallFilter= allow."""
    allowed: set[str] = set()
    for line in filters:
        refused = line.startswith("~")
        calls = {call for name in line.lstrip("~").split() for call in _calls(name)}
        allowed = allowed - calls if refused else allowed | calls
    return allowed


@functools.cache
def _calls(name: str) -> frozenset[str]:
    """Return the system calls of a set of systemd's, or the one of that name."""
    if not name.startswith("@"):
        return frozenset({name})
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (line.strip() for line in done.stdout.splitlines()[1:])
    return frozenset(call for line in lines if line and line[0] != "#" for call in _calls(line))
