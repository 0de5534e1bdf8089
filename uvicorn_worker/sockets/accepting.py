"""Accept a connection without what Python's sockets do beside it.

`socket.family` and `socket.type` make an enum at every look. Between `socket.accept` and the loop's
transport there are five, a tenth of all that a connection costs.
"""

from __future__ import annotations

import _socket
import socket


class PlainSocket(socket.socket):
    """A socket whose `family` and `type` are numbers, which enums of theirs are equal to."""

    __slots__ = ()

    family = _socket.socket.family  # type: ignore[assignment]  # an int for an IntEnum
    type = _socket.socket.type  # type: ignore[assignment]


def accept(listener: socket.socket, family: int) -> tuple[PlainSocket, object]:
    """Return the next connection of a stream listener of this family, and its peer's name.

    It has no timeout, whatever the application has made the default: Python would wait that long
    for a silent peer, even where the call itself says that it must not.

    Raises:
        OSError: as accept(2); BlockingIOError where none waits.
    """
    # All that `socket.accept` has in C; private, as it is in Python's own `socket`.
    descriptor, name = listener._accept()  # type: ignore[attr-defined]
    sock = PlainSocket(family, socket.SOCK_STREAM, 0, descriptor)
    if socket.getdefaulttimeout() is not None:
        sock.settimeout(None)
    return sock, name
