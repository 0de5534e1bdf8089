"""What one of several processes is to do, whichever comes first."""

from __future__ import annotations

import os


class Once:
    """A pipe with one byte in it, made before the forks: the kernel gives it to one reader."""

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.write(writer, b".")
        os.close(writer)

    def take(self) -> bool:
        """Return whether it is this process that does it; true once, in all of them together."""
        return os.read(self._reader, 1) != b""

    def close(self) -> None:
        os.close(self._reader)
