"""How many bytes of a local TCP connection its other end has not read yet.

Linux answers by its socket diagnosis (`man 7 sock_diag`); elsewhere nobody can say. A client in
the tests uses it to send one piece only after the server has read the piece before, so a split of
the bytes at the client is a split at the server too.
"""

from __future__ import annotations

import socket
import struct

# linux/inet_diag.h and linux/sock_diag.h
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
TCP_LISTEN = 10
ANY_STATE = 0xFFFFFFFF
NO_COOKIE = b"\xff" * 8

_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_STATE = struct.Struct("=BBBB")
_QUEUE_OFFSET = _HEADER.size + _STATE.size + 48 + 4  # after the socket's id and the timer


class UnreadBytes:
    """Asks the kernel about one connection; close it, or use it as a context manager."""

    def __init__(self, reader: tuple[str, int], writer: tuple[str, int]) -> None:
        """Watch what `reader` (the address of the other end, IPv4) has still to read."""
        self._question = _question(reader, writer)
        self._netlink = _open()

    def count(self) -> int | None:
        """Return the bytes not read, None where the kernel cannot tell or the socket is gone."""
        if self._netlink is None:
            return None
        try:
            self._netlink.send(self._question)
            answer = self._netlink.recv(4096)
        except OSError:
            return None
        kind = _HEADER.unpack_from(answer)[1]
        if kind != SOCK_DIAG_BY_FAMILY:
            return None
        if _STATE.unpack_from(answer, _HEADER.size)[1] == TCP_LISTEN:
            return None  # not accepted yet, or closed: the kernel found the listener instead
        unread: int = struct.unpack_from("=I", answer, _QUEUE_OFFSET)[0]
        return unread

    def close(self) -> None:
        """Give the kernel's socket back."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


def backlog(address: tuple[str, int]) -> int | None:
    """Return how many connections may wait at a listener (IPv4), None where nobody can tell."""
    netlink = _open()
    if netlink is None:
        return None
    with netlink:
        netlink.send(_question(address, ("0.0.0.0", 0)))
        answer = netlink.recv(4096)
    if _STATE.unpack_from(answer, _HEADER.size)[1] != TCP_LISTEN:
        return None
    length: int = struct.unpack_from("=I", answer, _QUEUE_OFFSET + 4)[0]
    return length


def _open() -> socket.socket | None:
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        netlink = socket.socket(family, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    except OSError:
        return None
    netlink.settimeout(1.0)
    return netlink


def _question(reader: tuple[str, int], writer: tuple[str, int]) -> bytes:
    """Return the netlink message that asks for exactly one socket, by its two addresses."""
    identity = (
        struct.pack("!HH", reader[1], writer[1])
        + socket.inet_aton(reader[0]).ljust(16, b"\0")
        + socket.inet_aton(writer[0]).ljust(16, b"\0")
        + struct.pack("=I", 0)
        + NO_COOKIE
    )
    body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ANY_STATE) + identity
    length = _HEADER.size + len(body)
    return _HEADER.pack(length, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 1, 0) + body
