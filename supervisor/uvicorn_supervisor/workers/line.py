"""What workers have to say in words: why one cannot boot, where one stands. Datagrams of JSON.

One pair of sockets for all, made before the first fork: each datagram is whole, whoever else sends
at the same moment. What cannot be sent in time is lost: nobody is to hang for it.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = "failed"
REPORT: Final = "report"

SUCCESSOR: Final = 0  # no worker: a new supervisor

# A quarter of what a datagram may have on Linux (net.core.wmem_default); JSON may double it.
LONGEST_TEXT: Final = 50_000  # characters
LONGEST: Final = 256 * 1024  # bytes of a datagram
TO_SAY: Final = 0.3  # seconds: the supervisor reads at once, unless it is stopped


class Word(NamedTuple):
    """What somebody has said."""

    kind: str
    number: int  # of the worker
    text: str


class Line:
    """Both ends of it; each process uses one."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)

    # -- in the supervisor

    def fileno(self) -> int:
        """Return what `poll` waits for."""
        return self._ours.fileno()

    def read(self) -> Iterator[Word]:
        """Yield what has been said since; never waits."""
        with contextlib.suppress(BlockingIOError):
            while data := self._ours.recv(LONGEST):
                with contextlib.suppress(ValueError, TypeError):
                    yield Word(*json.loads(data))

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()

    # -- in a worker

    def say(self, kind: str, number: int, text: str) -> None:
        """Say something, if the supervisor listens."""
        say(self.theirs, Word(kind, number, text))


def say(sock: socket.socket, word: Word) -> None:
    """Send a word; what cannot be sent is lost."""
    text = word.text
    if len(text) > LONGEST_TEXT:
        text = text[:LONGEST_TEXT] + "\n... and more\n"
    data = json.dumps(word._replace(text=text), ensure_ascii=False).encode(errors="replace")
    with contextlib.suppress(OSError):
        sock.setblocking(False)
        try:
            sock.send(data)
        except BlockingIOError:  # others have said much, which is being read
            poll = select.poll()
            poll.register(sock, select.POLLOUT)
            poll.poll(TO_SAY * 1000)
            sock.send(data)
