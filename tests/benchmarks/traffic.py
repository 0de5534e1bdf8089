"""Which client makes a workload's traffic: wrk where it can, else our own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks import client, raw_load, websocket_client

if TYPE_CHECKING:
    import socket

    from tests.benchmarks.client import Totals
    from tests.benchmarks.places import Place
    from tests.benchmarks.rounds import Plan
    from tests.benchmarks.running import RunningServer
    from tests.benchmarks.workloads import Workload


def check(place: Place, workload: Workload) -> None:
    """Ask once, and compare the whole answer; raises ClientProblem."""
    if workload.websocket:
        websocket_client.check(place, workload)
    else:
        client.check(place, workload)


def open_idle(place: Place, workload: Workload, count: int) -> list[socket.socket]:
    """Return `count` open connections that are idle; raises ClientProblem."""
    if workload.websocket:
        return websocket_client.open_idle(place, workload, count)
    return client.open_idle(place, workload, count)


def load(plan: Plan, workload: Workload, server: RunningServer, seconds: int) -> Totals:
    """Return the totals of a load of `seconds`; raises ClientProblem."""
    place, cpu = server.place, plan.client_cpu
    if workload.websocket or workload.unix or workload.rate:
        return raw_load.run_load(place, workload, seconds=seconds, cpu=cpu)
    return client.run_wrk(place, workload, seconds=seconds, cpu=cpu, folder=server.folder)
