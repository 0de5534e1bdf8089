"""Load that wrk cannot make: over UNIX sockets, of WebSockets, and at a steady rate.

It runs in a process of its own, pinned like wrk, with prepared bytes and one `recv` and one `send`
per exchange; it believes the answers' sizes, after one was compared byte by byte. It prints what
wrk's script prints. Its own time does not matter: the server's CPU time is the figure, or, at a
steady rate, how long an answer takes.
"""

from __future__ import annotations

import json
import select
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks import client, websocket_client
from tests.benchmarks.client import MARK, Totals
from tests.benchmarks.workloads import WORKLOADS
from tests.support.rawws import TEXT, frame

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from tests.benchmarks.places import Place
    from tests.benchmarks.workloads import Workload

EVERY = 16  # every so many exchanges the time of one is taken, at full speed
WARM_UP = 1  # seconds at a steady rate that do not count
LAST_ANSWERS = 1.0  # seconds for what was asked at a steady rate
STARTING = 60  # seconds for the process and its connections, at the most


class Exchange(NamedTuple):
    """What is sent again and again, and the number of bytes that come back."""

    data: bytes
    wanted: int


class Counted(NamedTuple):
    """What happened in a run; times in seconds."""

    answered: int
    errors: int
    elapsed: float
    times: list[float]


def run_load(place: Place, workload: Workload, *, seconds: int, cpu: int | None) -> Totals:
    """Return the totals of a load of `seconds` from a process on `cpu`; raises ClientProblem."""
    numbers = map(str, (seconds, workload.connections, workload.rate))
    command = [sys.executable, "-m", __name__, json.dumps(place), workload.name, *numbers]
    return client.run(command, cpu=cpu, timeout=seconds + STARTING)


# -- in the process


def _prepared(place: Place, workload: Workload) -> Exchange:
    if workload.websocket:
        body = workload.body
        return Exchange(frame(TEXT, body), len(websocket_client.echoed(body)))
    data = client.request_bytes(workload, place)
    with client.connect(place, workload) as sock:
        return Exchange(data, client.answer_length(sock, workload, data))


def _connections(place: Place, workload: Workload, exchange: Exchange) -> dict[int, socket.socket]:
    """Return open connections by descriptor; those that are to wait have had an answer each."""
    connect = websocket_client.connect if workload.websocket else client.connect
    sockets = {}
    for _ in range(workload.connections):
        sock = connect(place, workload)
        sockets[sock.fileno()] = sock
        if workload.rate:
            client.exchange(sock, workload, exchange.data)
    return sockets


def _poll(numbers: Iterable[int]) -> select.epoll:
    poll = select.epoll()
    for number in numbers:
        poll.register(number, select.EPOLLIN)
    return poll


def full_speed(sockets: dict[int, socket.socket], exchange: Exchange, seconds: int) -> Counted:
    """Let every connection wait for its answer and ask again at once, for so long."""
    data, wanted = exchange
    poll = _poll(sockets)
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
    return Counted(count, errors, now - start, times)


def steady(
    sockets: dict[int, socket.socket], exchange: Exchange, seconds: int, rate: int
) -> Counted:
    """Ask `rate` times a second, each connection in turn, however long the answers take.

    A server that stands still is asked on: whoever would have come meanwhile has to wait, too. A
    connection whose last answer has not come yet when it has its turn again is an error.
    """
    data, wanted = exchange
    poll, buffer = _poll(sockets), bytearray(65_536)
    turn = list(sockets)
    missing: dict[int, int] = {}
    asked: dict[int, float] = {}
    times, errors, sent = [], 0, 0
    start = now = time.monotonic()
    end = start + seconds
    while now < end or (asked and now < end + LAST_ANSWERS):
        while (due := start + sent / rate) <= now and due < end:
            number = turn[sent % len(turn)]
            sent += 1
            if number in asked:
                errors += 1
                continue
            missing[number], asked[number] = wanted, time.monotonic()
            sockets[number].send(data)
        for number, _ in poll.poll(max(0.0, due - time.monotonic()) if due < end else 0.01):
            got = sockets[number].recv_into(buffer)
            if not got or number not in asked:
                errors += 1
                poll.unregister(number)
            elif got < missing[number]:
                missing[number] -= got
            else:
                times.append(time.monotonic() - asked.pop(number))
        now = time.monotonic()
    return Counted(len(times), errors + len(asked), now - start, times)


def totals(counted: Counted, wanted: int) -> dict[str, int]:
    """Return them with the names of wrk's script; times there are in microseconds."""
    times = sorted(counted.times) or [0.0]
    return {
        "requests": counted.answered,
        "bytes": counted.answered * wanted,
        "microseconds": int(counted.elapsed * 1e6),
        "connect": 0,
        "read": counted.errors,
        "write": 0,
        "timeout": 0,
        "status": 0,
        "p50": int(times[len(times) // 2] * 1e6),
        "p99": int(times[len(times) * 99 // 100] * 1e6),
        "longest": int(times[-1] * 1e6),
    }


def main() -> None:
    place: Place = json.loads(sys.argv[1])
    seconds, connections, rate = map(int, sys.argv[3:])
    workload = replace(WORKLOADS[sys.argv[2]], connections=connections, rate=rate)
    exchange = _prepared(place, workload)
    sockets = _connections(place, workload, exchange)
    watched: dict[str, int] = {}
    if workload.rate:
        steady(sockets, exchange, WARM_UP, workload.rate)
        client.watched(place, workload)  # what there was so far is forgotten
        counted = steady(sockets, exchange, seconds, workload.rate)
        watched = client.watched(place, workload)
    else:
        counted = full_speed(sockets, exchange, seconds)
    print(MARK + json.dumps(totals(counted, exchange.wanted) | watched))


if __name__ == "__main__":
    main()
