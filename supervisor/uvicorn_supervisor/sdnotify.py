"""What systemd is told, where it asks for it (`Type=notify`): sd_notify(3)."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "NOTIFY_SOCKET"

READY: Final = "READY=1"
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
