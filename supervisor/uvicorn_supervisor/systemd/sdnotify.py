"""Datagrams to systemd, where it asks for them (`Type=notify`): sd_notify(3)."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence

VARIABLE: Final = "NOTIFY_SOCKET"

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def is_asked(environ: Mapping[str, str]) -> bool:
    """Return whether systemd wants to be told: by a path, or a name without a file."""
    return environ.get(VARIABLE, "").startswith(("/", "@"))


def notify(environ: Mapping[str, str], *assignments: str, descriptors: Sequence[int] = ()) -> bool:
    """Send `NAME=VALUE` pairs, and copies of descriptors; return whether systemd has asked.

    The variable is not removed: a supervisor that takes over has to tell, too. What cannot be sent
    is lost: nobody is to stop serving for it.
    """
    if not is_asked(environ):
        return False
    path = environ[VARIABLE]
    address = "\0" + path[1:] if path.startswith("@") else path
    message = "\n".join(assignments).encode()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        # Not `socket.send_fds`: it does not look at the address that it takes.
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        sock.sendmsg([message], [rights] if descriptors else [], 0, address)
    return True


def main_process(pid: int | None = None) -> str:
    """Return the assignment that names the process which systemd is to look after."""
    return f"MAINPID={os.getpid() if pid is None else pid}"


def watchdog(environ: MutableMapping[str, str], predecessor: int = 0) -> float:
    """Return the seconds in which systemd wants to hear of this process; 0: it does not.

    sd_watchdog_enabled(3). What was meant for a predecessor is for this process, and from then on
    for its own successor.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    if not (microseconds.isascii() and microseconds.isdigit()):
        return 0.0
    pid = environ.get("WATCHDOG_PID", "")
    if pid and pid not in (str(os.getpid()), str(predecessor)):
        return 0.0
    if pid:
        environ["WATCHDOG_PID"] = str(os.getpid())
    return int(microseconds) / 1e6
