"""Where a server listens: a port of 127.0.0.1, or the path of a UNIX socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.replies import open_connection

if TYPE_CHECKING:
    import socket

Place = int | str


def dial(place: Place, timeout: float) -> socket.socket:
    """Return a connection whose operations take at most `timeout` seconds; raises OSError."""
    return open_connection(("127.0.0.1", place) if isinstance(place, int) else place, timeout)


def authority(place: Place) -> str:
    """Return what the Host field says."""
    return f"127.0.0.1:{place}" if isinstance(place, int) else "localhost"
