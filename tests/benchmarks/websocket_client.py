"""WebSockets, opened and checked; `raw_load` sends the load."""

from __future__ import annotations

import base64
import os
import socket
from typing import TYPE_CHECKING

from tests.benchmarks.client import TIMEOUT, ClientProblem, close_all
from tests.benchmarks.places import authority, dial
from tests.support.rawws import TEXT, frame

if TYPE_CHECKING:
    from tests.benchmarks.places import Place
    from tests.benchmarks.workloads import Workload


def handshake(place: Place, workload: Workload) -> bytes:
    """Return the handshake, with a browser's headers where the workload has them."""
    lines = [
        "GET / HTTP/1.1",
        f"Host: {authority(place)}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in workload.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def connect(place: Place, workload: Workload) -> socket.socket:
    """Return an open WebSocket; raises ClientProblem."""
    sock = dial(place, TIMEOUT)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(handshake(place, workload))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            data = sock.recv(4096)
            answer += data
            if not data or len(answer) > 16384:
                raise ClientProblem(f"no answer to the handshake: {answer[:100]!r}")
        if not answer.startswith(b"HTTP/1.1 101 "):
            raise ClientProblem(f"handshake answered with {answer[:60]!r}")
    except OSError as exc:
        sock.close()
        raise ClientProblem(f"no answer to the handshake: {exc!r}") from exc
    except ClientProblem:
        sock.close()
        raise
    return sock


def echoed(payload: bytes) -> bytes:
    """Return the frame that a server sends back, uncompressed."""
    return _unmasked(frame(TEXT, payload, key=b"\0\0\0\0"), len(payload))


def _unmasked(data: bytes, length: int) -> bytes:
    head = len(data) - length - 4
    return data[:1] + bytes((data[1] & 0x7F,)) + data[2:head] + data[head + 4 :]


def check(place: Place, workload: Workload) -> None:
    """Ask once, and compare the whole echo; raises ClientProblem."""
    wanted = echoed(workload.body)
    with connect(place, workload) as sock:
        try:
            sock.sendall(frame(TEXT, workload.body))
            got = b""
            while len(got) < len(wanted):
                data = sock.recv(65536)
                if not data:
                    break
                got += data
        except OSError as exc:
            raise ClientProblem(f"no echo: {exc!r}") from exc
    if got != wanted:
        raise ClientProblem(f"wrong echo: {len(got)} bytes, {got[:60]!r}...")


def open_idle(place: Place, workload: Workload, count: int) -> list[socket.socket]:
    """Return `count` open WebSockets that have said nothing; the caller closes them.

    Raises:
        ClientProblem: the server refused one; none is left open.
    """
    connections: list[socket.socket] = []
    try:
        while len(connections) < count:
            connections.append(connect(place, workload))
    except (OSError, ClientProblem) as exc:
        close_all(connections)
        raise ClientProblem(f"connection {len(connections)} of {count}: {exc}") from exc
    return connections
