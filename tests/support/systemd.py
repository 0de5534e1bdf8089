"""The end of systemd's notification socket: keeps what services say, and descriptors they store."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 4096
STORE = 16  # FileDescriptorStoreMax=


class Systemd:
    """What one service says; `abstract`: on a socket without a file. Close it at the end."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        self.name = f"@uvicorn-test-{os.getpid()}" if abstract else str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if abstract else self.name)
        self._socket.setblocking(False)
        self._messages: list[list[str]] = []
        self.stored: dict[str, int] = {}
        """Descriptors by FDNAME."""

    @property
    def environ(self) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.name}

    def messages(self) -> list[list[str]]:
        """Return all messages that have come, each a list of assignments."""
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, LONGEST, STORE)
            except BlockingIOError:
                return self._messages
            words = data.decode().split("\n")
            self._messages.append(words)
            self._keep(words, descriptors)

    def _keep(self, words: list[str], descriptors: list[int]) -> None:
        fields = dict(word.split("=", 1) for word in words)
        if "FDSTORE" in fields:
            (self.stored[fields["FDNAME"]],) = descriptors
        if "FDSTOREREMOVE" in fields and fields["FDNAME"] in self.stored:
            os.close(self.stored.pop(fields["FDNAME"]))

    def words(self) -> list[str]:
        """Return all assignments that have come, in order."""
        return [word for message in self.messages() for word in message]

    def wait_for(self, start: str, count: int = 1, timeout: float = 20.0) -> str:
        """Wait for assignments that begin so; return the last one of them."""
        eventually(
            lambda: sum(word.startswith(start) for word in self.words()) >= count,
            timeout=timeout,
            message=f"{count} x {start} from the service",
        )
        return [word for word in self.words() if word.startswith(start)][-1]

    def count(self, start: str) -> int:
        """Return how many assignments have come that begin so."""
        return sum(word.startswith(start) for word in self.words())

    def close(self) -> None:
        for descriptor in self.stored.values():
            os.close(descriptor)
        self._socket.close()
