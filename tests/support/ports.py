"""Ports for programs that neither inherit a socket nor say which one they got."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that nobody uses at this instant; prefer port 0 or a socket of your own."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
