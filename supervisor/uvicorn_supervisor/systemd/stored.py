"""Listening sockets that systemd keeps while no supervisor runs: sd_pid_notify_with_fds(3).

Each is given to systemd under a name of ours. When the supervisor is killed, systemd still has it,
so clients go on to queue there, and the next start finds it among the descriptors that it is
passed: with sockets from a `.socket` unit, which have other names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from uvicorn_supervisor.systemd.sdnotify import notify

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Sequence

    from uvicorn_worker.sockets.binds import Inherited

PREFIX: Final = "uvicorn-listener-"


def separate(passed: Sequence[Inherited]) -> tuple[list[Inherited], list[Inherited]]:
    """Return the descriptors that we had stored, and all others."""
    stored = [one for one in passed if one.name.startswith(PREFIX)]
    return stored, [one for one in passed if one not in stored]


def store(sockets: Sequence[socket.socket], *, but: Collection[int]) -> None:
    """Give systemd copies of listeners, all `but` those descriptors that it has passed itself.

    It keeps them without looking at them: a listener has no end to wait for.
    """
    for name, sock in zip(_names(sockets), sockets, strict=True):
        if sock.fileno() not in but:
            words = ("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0")
            notify(os.environ, *words, descriptors=[sock.fileno()])


def forget(sockets: Sequence[object]) -> None:
    """Let systemd close its copies: nobody will accept there, so clients are to be refused."""
    for name in _names(sockets):
        notify(os.environ, "FDSTOREREMOVE=1", f"FDNAME={name}")


def _names(sockets: Sequence[object]) -> list[str]:
    """Return what systemd calls the sockets: the same in a successor, which has them in order."""
    return [f"{PREFIX}{index}" for index in range(len(sockets))]
