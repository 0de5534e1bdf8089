"""Who is at the other end of a UNIX socket, as the kernel says (SO_PEERCRED of unix(7))."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final, NamedTuple

_UCRED: Final = struct.Struct("3i")  # struct ucred: pid, uid, gid

ROOT: Final = 0


class Peer(NamedTuple):
    """A process, as it was when it connected."""

    pid: int
    uid: int


def peer_of(sock: socket.socket) -> Peer | None:
    """Return who has connected, None where the platform does not tell (it is Linux's)."""
    if sys.platform != "linux":
        return None
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(data)
    return Peer(pid, uid)


def refused(sock: socket.socket) -> str | None:
    """Return why whoever has connected must not give orders; None: it may.

    The user of this process may, and root. Where the kernel does not tell, the mode of the
    socket's file is what keeps others out.
    """
    peer = peer_of(sock)
    if peer is None or peer.uid in (ROOT, os.geteuid()):
        return None
    return f"user {peer.uid} may not control a server of user {os.geteuid()}"
