"""The client of WebSocket workloads: each connection sends a message and waits for its echo.

The load runs in a process of its own, pinned like wrk, with prepared bytes and one `recv` and one
`send` per message; it believes the frames' sizes, after `check` has compared one of each byte by
byte. It prints what wrk's script prints.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.benchmarks.client import MARK, TIMEOUT, ClientProblem, Totals, close_all, parse_totals
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.running import pinned
from tests.support.rawws import TEXT, frame

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Workload

EVERY = 16  # every so many messages the time of one is taken


def handshake(port: int, workload: Workload) -> bytes:
    """Return the handshake, with a browser's headers where the workload has them."""
    lines = [
        "GET / HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(f"{name}: {value}" for name, value in workload.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def connect(port: int, workload: Workload) -> socket.socket:
    """Return an open WebSocket; raises ClientProblem."""
    sock = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(handshake(port, workload))
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


def check(port: int, workload: Workload) -> None:
    """Ask once, and compare the whole echo; raises ClientProblem."""
    wanted = echoed(workload.body)
    with connect(port, workload) as sock:
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


def open_idle(port: int, workload: Workload, count: int) -> list[socket.socket]:
    """Return `count` open WebSockets that have said nothing; the caller closes them.

    Raises:
        ClientProblem: the server refused one; none is left open.
    """
    connections: list[socket.socket] = []
    try:
        while len(connections) < count:
            connections.append(connect(port, workload))
    except (OSError, ClientProblem) as exc:
        close_all(connections)
        raise ClientProblem(f"connection {len(connections)} of {count}: {exc}") from exc
    return connections


def run_load(port: int, workload: Workload, *, seconds: int, cpu: int | None) -> Totals:
    """Return the totals of a load of `seconds` from a process on `cpu`; raises ClientProblem."""
    command = [sys.executable, "-m", __name__, str(port), workload.name, str(seconds)]
    try:
        with pinned(cpu):
            done = subprocess.run(
                command,
                cwd=CHECKOUT,
                capture_output=True,
                text=True,
                timeout=seconds + 20,
                check=False,
            )
    except subprocess.TimeoutExpired as exc:
        raise ClientProblem(f"the load did not end {exc.timeout:g} s after its start") from exc
    if done.returncode:
        raise ClientProblem(f"the load failed: {done.stderr.strip()[-200:]}")
    return parse_totals(done.stdout)


def _load(port: int, workload: Workload, seconds: int) -> dict[str, int]:
    """Send and receive for so long; return the totals as wrk names them."""
    data, wanted = frame(TEXT, workload.body), len(echoed(workload.body))
    sockets = {}
    poll = select.epoll()
    for _ in range(workload.connections):
        sock = connect(port, workload)
        sockets[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    ends = {number: (sock.recv_into, sock.send) for number, sock in sockets.items()}
    missing = dict.fromkeys(sockets, wanted)
    asked: dict[int, float] = {}
    buffer = bytearray(262_144)  # one for all: what is in it was checked before
    count = errors = 0
    times = []
    start = now = time.monotonic()
    end = start + seconds
    for sock in sockets.values():
        sock.send(data)
    while now < end:
        for number, _ in poll.poll(1):
            receive, send = ends[number]
            got = receive(buffer)
            if got == missing[number]:
                send(data)
                missing[number] = wanted
                count += 1
                if number in asked:
                    times.append(time.monotonic() - asked.pop(number))
                if not count % EVERY:
                    asked[number] = time.monotonic()
            elif got:
                missing[number] -= got
            else:
                errors += 1
                poll.unregister(number)
        now = time.monotonic()
    times.sort()
    return {
        "requests": count,
        "bytes": count * wanted,
        "microseconds": int((now - start) * 1e6),
        "connect": 0,
        "read": errors,
        "write": 0,
        "timeout": 0,
        "status": 0,
        "p50": int(times[len(times) // 2] * 1e6) if times else 0,
        "p99": int(times[len(times) * 99 // 100] * 1e6) if times else 0,
    }


def main() -> None:
    from tests.benchmarks.workloads import WORKLOADS

    port, name, seconds = sys.argv[1:]
    print(MARK + json.dumps(_load(int(port), WORKLOADS[name], int(seconds))))


if __name__ == "__main__":
    main()
