"""Where a server listens: a port of 127.0.0.1, or the path of a UNIX socket."""

from __future__ import annotations

import socket

Place = int | str


def dial(place: Place, timeout: float) -> socket.socket:
    """Return a connection whose operations take at most `timeout` seconds; raises OSError."""
    if isinstance(place, int):
        return socket.create_connection(("127.0.0.1", place), timeout)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(place)
    except OSError:
        sock.close()
        raise
    return sock


def authority(place: Place) -> str:
    """Return what the Host field says."""
    return f"127.0.0.1:{place}" if isinstance(place, int) else "localhost"
