"""The file that tells others the supervisor's process id."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from uvicorn_worker.errors import ConfigError


class PidFile:
    """A file with a process id; nobody ever sees half of one, and nobody else's is removed."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()

    def write(self) -> None:
        """Write this process's id.

        Raises:
            ConfigError: a process that is alive has written the file, or it cannot be written.
        """
        owner = self.owner()
        if owner is not None and owner != os.getpid():
            raise ConfigError(f"pid={str(self._path)!r}: process {owner} runs with this file")
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        try:
            draft.write_text(f"{os.getpid()}\n")
            draft.replace(self._path)
        except OSError as exc:
            raise ConfigError(f"pid={str(self._path)!r}: {exc.strerror or exc}") from None

    def owner(self) -> int | None:
        """Return the process that has written the file, None where there is none."""
        try:
            pid = int(self._path.read_text())
            os.kill(pid, 0)
        except PermissionError as exc:
            return pid if exc.filename is None else None  # another user's process, or file
        except (OSError, ValueError, OverflowError):
            return None
        return pid

    def remove(self) -> None:
        """Remove the file, if it is still this process's."""
        if self.owner() == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink()
