"""What systemd is told, where it asks for it (`Type=notify`): sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "NOTIFY_SOCKET"

READY: Final = "READY=1"
RELOADING: Final = "RELOADING=1"
STOPPING: Final = "STOPPING=1"


def notify(environ: Mapping[str, str], *assignments: str) -> bool:
    """Send `NAME=VALUE` pairs to systemd; return whether it has asked for such.

    The variable is not removed: a supervisor that takes over has to tell, too. What cannot be sent
    is lost: nobody is to stop serving for it.
    """
    path = environ.get(VARIABLE, "")
    if not path.startswith(("/", "@")):
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    message = "\n".join(assignments).encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.sendto(message, address)
    return True


def main_process(pid: int | None = None) -> str:
    """Return the assignment that names the process which systemd is to look after."""
    return f"MAINPID={os.getpid() if pid is None else pid}"


def status(text: str) -> str:
    """Return the assignment of the line that `systemctl status` shows."""
    return f"STATUS={' '.join(text.split())}"


def reloading() -> tuple[str, str]:
    """Return the assignments of a reload's begin; `READY` follows at its end."""
    # `Type=notify-reload` wants to know since when; CLOCK_MONOTONIC is Python's as well.
    return RELOADING, f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
