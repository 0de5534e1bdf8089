"""The file that tells others the supervisor's process id."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from uvicorn_worker.errors import ConfigError

SUCCESSOR: Final = ".2"  # behind the name, while an upgrade is not complete; as Gunicorn has it

# Clocks of files and of processes differ by less; nobody writes a file before it was started.
SLACK: Final = 2.0


class PidFile:
    """A file with a process id; nobody ever sees half of one, and nobody else's is removed."""

    def __init__(self, path: str, *, successor: bool = False) -> None:
        """Take the path; a successor has another one until `take_name`."""
        self._name = Path(path).absolute()
        self._path = self._name.with_name(self._name.name + SUCCESSOR) if successor else self._name

    def write(self) -> None:
        """Write this process's id.

        Raises:
            ConfigError: a process that is alive has written the file, or it cannot be written.
        """
        owner = self.owner()
        if owner is not None and owner != os.getpid():
            raise ConfigError(
                f"pid={str(self._path)!r}: process {owner} runs with this file; stop it, or give "
                "this supervisor another one"
            )
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            draft.write_text(f"{os.getpid()}\n")
            draft.replace(self._path)
        except OSError as exc:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise ConfigError(f"pid={str(self._path)!r}: {exc.strerror or exc}") from None

    def owner(self) -> int | None:
        """Return the process that has written the file, None where there is none any more."""
        try:
            written = self._path.stat().st_mtime
            pid = int(self._path.read_text())
        except (OSError, ValueError):  # none there, not to be read, or no number in it
            return None
        if not _exists(pid):
            return None
        # A container's first process has the same id each time, and ids are used again: a process
        # that is younger than the file has not written it.
        started = _started(pid)
        return pid if started is None or started <= written + SLACK else None

    def take_name(self) -> None:
        """Give a successor's file the name without the suffix: its predecessor has ended."""
        if self._path != self._name and self.owner() == os.getpid():
            with contextlib.suppress(OSError):
                self._path.replace(self._name)
                self._path = self._name

    def remove(self) -> None:
        """Remove the file, if it is still this process's."""
        if self.owner() == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink()

    def clear_after(self, pid: int) -> None:
        """Remove the file of a successor that was killed before it could."""
        path = self._name.with_name(self._name.name + SUCCESSOR)
        with contextlib.suppress(OSError):
            if path != self._path and path.read_text().strip() == str(pid):
                path.unlink()


def _exists(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # another user's
    except (OSError, OverflowError):
        return False
    return True


def _started(pid: int) -> float | None:
    """Return when a process was started, in seconds of the wall clock; None: not known here."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        ticks = int(stat[stat.rindex(")") + 1 :].split()[19])
        age = uptime - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.time() - age
