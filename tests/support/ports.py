"""Ports for programs that neither inherit a socket nor say which one they got."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

# Below what Linux gives to clients, and to those who ask for any port: nobody gets one of these
# between the look and the program's start, which takes seconds where the machine is busy.
PORTS: Final = range(10_000, 32_768)

_choose = random.SystemRandom().choice  # not the same ones in every process of a test run


def free_port() -> int:
    """Return a port that nobody uses at this instant; prefer port 0 or a socket of your own.

    Raises:
        OSError: there is none.
    """
    for _ in range(100):
        port = _choose(PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port on 127.0.0.1")
