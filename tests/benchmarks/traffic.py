"""Which client makes a workload's traffic: wrk and plain sockets, or the one for WebSockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks import client, websocket_client

if TYPE_CHECKING:
    import socket

    from tests.benchmarks.client import Totals
    from tests.benchmarks.rounds import Plan
    from tests.benchmarks.running import RunningServer
    from tests.benchmarks.workloads import Workload


def check(port: int, workload: Workload) -> None:
    """Ask once, and compare the whole answer; raises ClientProblem."""
    if workload.websocket:
        websocket_client.check(port, workload)
    else:
        client.check(port, workload)


def open_idle(port: int, workload: Workload, count: int) -> list[socket.socket]:
    """Return `count` open connections that are idle; raises ClientProblem."""
    if workload.websocket:
        return websocket_client.open_idle(port, workload, count)
    return client.open_idle(port, workload, count)


def load(plan: Plan, workload: Workload, server: RunningServer, seconds: int) -> Totals:
    """Return the totals of a load of `seconds`; raises ClientProblem."""
    port, cpu = server.port, plan.client_cpu
    if workload.websocket:
        return websocket_client.run_load(port, workload, seconds=seconds, cpu=cpu)
    return client.run_wrk(port, workload, seconds=seconds, cpu=cpu, folder=server.folder)
