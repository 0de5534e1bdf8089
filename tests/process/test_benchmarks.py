"""The benchmarks' own machinery on a real server: the floor, which needs no other package."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks import client, measure, traffic
from tests.benchmarks.environments import own
from tests.benchmarks.rounds import Plan, measure_one
from tests.benchmarks.running import ServerProblem, running
from tests.benchmarks.servers import FLOOR, OURS, SERVERS
from tests.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from tests.benchmarks.workloads import Workload

PLAN = Plan(rounds=1, seconds=1, idle=20, server_cpu=None, client_cpu=None, budget=60)
ANSWERED = [workload for workload in WORKLOADS.values() if not SERVERS[FLOOR].lacks(workload)]


@pytest.mark.parametrize("workload", ANSWERED, ids=[workload.name for workload in ANSWERED])
def test_the_floor_answers_every_workload_and_leaves_no_process(workload: Workload) -> None:
    with running(SERVERS[FLOOR], workload, own()) as server:
        traffic.check(server.place, workload)
        assert measure.usage(server.session).pids == {server.process.pid}
        pss, rss = measure.memory(server.session)
        assert 0 < pss <= rss <= measure.peak_memory(server.session)
    assert server.process.returncode == 0
    assert measure.processes(server.session) == []
    assert not server.folder.exists()


def test_a_wrong_answer_is_a_problem() -> None:
    workload = dataclasses.replace(WORKLOADS["plaintext"], expected=b"something else")
    with (
        running(SERVERS[FLOOR], workload, own()) as server,
        pytest.raises(client.ClientProblem, match="wrong answer"),
    ):
        client.check(server.place, workload)


def test_a_server_that_cannot_start_shows_its_log() -> None:
    workload = dataclasses.replace(WORKLOADS["plaintext"], app="apps:nothing")
    with (
        pytest.raises(ServerProblem, match="KeyError: 'apps:nothing'"),
        running(SERVERS[FLOOR], workload, own()),
    ):
        pytest.fail("it started")


def test_the_other_worker_package_is_never_taken_for_ours() -> None:
    other = dataclasses.replace(SERVERS[OURS], ours=False)
    sample = measure_one(PLAN, other, WORKLOADS["plaintext"], own(), 0)
    assert sample.figure is None
    assert "uvicorn_worker is the wrong package" in sample.problem


@pytest.mark.parametrize("name", ["idle-memory", "ws-idle-memory"])
def test_idle_connections_closed_by_the_server_are_counted(name: str) -> None:
    workload = WORKLOADS[name]
    with running(SERVERS[FLOOR], workload, own()) as server:
        connections = traffic.open_idle(server.place, workload, 5)
        try:
            assert client.closed_by_server(connections, settle=0) == 0
            server.process.kill()
            server.process.wait(5)
            assert client.closed_by_server(connections, settle=5) > 0
        finally:
            client.close_all(connections)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("name", ["plaintext", "unix", "ws-echo-8k"])
def test_a_sample_has_cpu_time_and_rate(name: str) -> None:
    sample = measure_one(PLAN, SERVERS[FLOOR], WORKLOADS[name], own(), 0)
    assert sample.problem == ""
    assert sample.value is not None
    assert sample.value > 0
    assert sample.rate is not None
    assert sample.rate > 100


def test_a_sample_at_a_steady_rate_has_latencies_and_what_the_application_saw() -> None:
    workload = dataclasses.replace(WORKLOADS["many"], connections=200, rate=40)
    sample = measure_one(PLAN, SERVERS["command"], workload, own(), 0)
    assert sample.problem == ""
    assert sample.value == sample.p99
    assert sample.p50 is not None
    assert sample.p99 is not None
    assert sample.longest is not None
    assert 0 < sample.p50 <= sample.p99 <= sample.longest
    assert sample.stall is not None
    assert sample.pause is not None
