"""New connections go to those workers that have less to do, under Gunicorn and the supervisor."""

from __future__ import annotations

import http.client
import signal
from collections import Counter
from contextlib import ExitStack, closing
from signal import SIGTTIN, SIGTTOU
from typing import TYPE_CHECKING

import pytest

from tests.support.load import Load
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.gunicorn import StartGunicorn
    from tests.support.supervisor import StartSupervisor

APP = "tests.apps.basic:app"
EVEN = 1.3  # the busiest over the least busy
MANY = 200

# The balance is found as connections come; a machine that is busy with other things gets more.
ATTEMPTS = 5


class Clients:
    """Keep-alive connections to one server, and the worker that each has come to."""

    def __init__(self, address: tuple[str, int], stack: ExitStack) -> None:
        self._address = address
        self._stack = stack
        self.at: Counter[int] = Counter()

    def ask(self, path: str = "/pid") -> http.client.HTTPConnection:
        """Open one more connection, and send a request on it."""
        client = http.client.HTTPConnection(*self._address, timeout=20)
        self._stack.enter_context(closing(client))
        client.request("GET", path)
        return client

    def open(self, count: int) -> Counter[int]:
        """Open more connections, one after the other; return how many have come to whom."""
        came: Counter[int] = Counter()
        for _ in range(count):
            came[int(self.ask().getresponse().read().split()[0])] += 1
        self.at += came
        return came

    def ratio(self, workers: int) -> float:
        held = self.at.values()
        return max(held) / min(held) if len(held) == workers else float("inf")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_four_workers_hold_equally_many_connections(loop: str, supervisor: StartSupervisor) -> None:
    words = ("--workers", "4", "--loop", loop, "--timeout-keep-alive", "60", "--no-access-log")
    server = supervisor(APP, *words, "--timeout-graceful-shutdown", "1")
    server.wait_for_workers(4)
    with ExitStack() as stack:
        assert_even(Clients(server.tcp, stack), 4)


def assert_even(clients: Clients, workers: int) -> None:
    for _ in range(ATTEMPTS):
        clients.open(MANY)
        if clients.ratio(workers) <= EVEN:
            return
    raise AssertionError(f"connections per worker: {sorted(clients.at.values())}")


def test_a_worker_that_computes_gets_fewer_connections(gunicorn: StartGunicorn) -> None:
    server = gunicorn(APP, "--workers", "2", "--keep-alive", "60", "--graceful-timeout", "1")
    server.wait_for_workers(2)
    with ExitStack() as stack:
        clients = Clients(("127.0.0.1", server.port), stack)
        blocked = clients.ask("/block?s=3")
        [busy] = server.wait_for_marks("sleeping")

        came = clients.open(30)

        assert came[busy] == 0
        assert blocked.getresponse().status == 200
        # It has 29 less than the other, and gets nearly all of the next ones.
        eventually(lambda: clients.open(10)[busy] >= 7, message="connections for the idle one")


def test_queues_of_their_own_lose_nothing_when_workers_come_and_go(
    supervisor: StartSupervisor,
) -> None:
    words = ("--port", "0", "--workers", "2", "--reuse-port", "--no-access-log")
    server = supervisor(APP, *words, own_address=True)
    workers = server.wait_for_workers(2)
    load = Load(server.address, busy=4, reconnecting=8)
    with load:
        eventually(lambda: workers <= load.outcomes.served_by.keys())
        server.signal(signal.SIGHUP)
        workers = server.wait_for_workers(2, without=workers)
        eventually(lambda: workers <= load.outcomes.served_by.keys())
        for number, count in ((SIGTTOU, 1), (SIGTTIN, 2), (SIGTTIN, 3), (SIGTTOU, 2), (SIGTTOU, 1)):
            server.signal(number)
            [*_, last] = sorted(server.wait_for_workers(count))
        load.wait_for_requests(load.outcomes.ok + 100)
        # The kernel goes on to put every other connection into the queue of the second worker.
        with ExitStack() as stack:
            assert Clients(server.tcp, stack).open(20) == {last: 20}
    assert not load.outcomes.losses(), load.outcomes
