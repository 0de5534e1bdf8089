"""One measurement of one server, and the alternating rounds of them."""

from __future__ import annotations

import contextlib
import math
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import client, measure, traffic
from tests.benchmarks.client import ClientProblem
from tests.benchmarks.report import Sample
from tests.benchmarks.running import ServerProblem, running, time_to_answer
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.benchmarks.environments import Environment
    from tests.benchmarks.running import RunningServer
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

WARM_UP = 1  # seconds, the shortest run that wrk can do
# Idle connections that are open before memory is measured the first time, as a part of all: they
# fill what the warm-up left free, and take the unsharing of pages with Gunicorn's master.
PRIMING = 4
STARTS = 6  # of one sample, the first included
ATTEMPTS = 4  # at a sample that nobody disturbs
PATIENCE = 30.0  # seconds to wait for quiet before each
LOG_TIMEOUT = 5.0  # seconds for the last access lines to be written
SETTLE = 1.0  # seconds from the last idle connection to the measurement
OVERHEAD = 2.5  # seconds that a sample costs beside its load: start, check, warm-up, stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured, and where."""

    rounds: int
    seconds: int
    idle: int  # connections
    server_cpu: int | None
    client_cpu: int | None
    budget: float  # seconds for everything
    enough: float = math.inf  # seconds after which no further round begins
    quiet: float = math.inf  # CPUs that others may keep busy during a sample


def measure_all(
    plan: Plan,
    launches: Sequence[tuple[Launch, Environment | str]],
    workloads: Sequence[Workload],
    progress: Callable[[Sample], None],
) -> list[Sample]:
    """Return every sample: round after round, per workload each server in turn.

    Servers of one round stand next to each other in time, so a noisy minute hits them all; who
    is first changes from round to round. A launch with a text in the place of its environment
    cannot run, and the text says why. When the time is over, the rest becomes a problem, too. No
    round begins that would not end, if it took as long as the last one, when it is enough.
    """
    start = began = time.monotonic()
    samples: list[Sample] = []
    hopeless: dict[tuple[str, str], str] = {}
    for number in range(plan.rounds):
        first = number % len(launches)
        for workload in workloads:
            for launch, environment in [*launches[first:], *launches[:first]]:
                key = (launch.name, workload.name)
                problem = environment if isinstance(environment, str) else hopeless.get(key, "")
                if not problem and time.monotonic() > start + plan.budget:
                    problem = "the time for the whole run was over (--budget)"
                if problem or isinstance(environment, str):
                    sample = Sample(
                        server=launch.name, workload=workload.name, round=number, problem=problem
                    )
                else:
                    sample = _quiet_sample(plan, launch, workload, environment, number)
                    if sample.problem and sample.value is None:
                        hopeless[key] = sample.problem  # it did not serve: once is enough
                samples.append(sample)
                progress(sample)
        now = time.monotonic()
        if now + (now - began) > start + plan.enough:
            break
        began = now
    return samples


def measure_one(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, number: int
) -> Sample:
    """Return the sample of a fresh start; what goes wrong is in it, nothing is raised."""
    sample = Sample(server=launch.name, workload=workload.name, round=number)
    if lacking := launch.lacks(workload):
        return _failed(sample, f"it has no {lacking}")
    try:
        if workload.start:
            return _start_sample(plan, launch, workload, environment, sample)
        with running(launch, workload, environment, cpu=plan.server_cpu) as server:
            try:
                traffic.check(server.place, workload)
                return _taker(workload)(plan, workload, server, sample)
            except ClientProblem as exc:
                return _failed(sample, f"{exc}; its log: {server.last_words()}")
    except (ServerProblem, OSError, ValueError) as exc:
        return _failed(sample, str(exc))


def _taker(workload: Workload) -> Callable[[Plan, Workload, RunningServer, Sample], Sample]:
    if workload.rate:
        return _latency_sample
    return _memory_sample if workload.idle else _cpu_sample


def _quiet_sample(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, number: int
) -> Sample:
    """Return a sample that others did not disturb, or the last of some attempts as a problem."""
    for _ in range(ATTEMPTS):
        _await_quiet(plan.quiet)
        sample = measure_one(plan, launch, workload, environment, number)
        if sample.problem or sample.others is None or sample.others <= plan.quiet:
            return sample
    return replace(sample, problem=f"others kept {sample.others:.1f} CPUs busy, {ATTEMPTS} times")


def _await_quiet(limit: float) -> None:
    """Wait, for a time, until others have kept at most `limit` CPUs busy for a second."""
    if math.isinf(limit):
        return
    since, before = time.monotonic(), _busy()

    def quiet() -> bool:
        nonlocal since, before
        if time.monotonic() < since + 1.0:
            return False
        now, busy = time.monotonic(), _busy()
        others = (busy - before) / (now - since)
        since, before = now, busy
        return others <= limit

    with contextlib.suppress(AssertionError):  # then the attempt shows whether it is still so
        eventually(quiet, timeout=PATIENCE)


def _failed(sample: Sample, problem: str) -> Sample:
    return replace(sample, problem=problem)


def _start_sample(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, sample: Sample
) -> Sample:
    """The first start, which writes bytecode and fills the cache of files, does not count."""
    times = [
        time_to_answer(launch, workload, environment, cpu=plan.server_cpu) for _ in range(STARTS)
    ]
    return replace(sample, value=min(times[1:]) * 1000)


def _cpu_sample(plan: Plan, workload: Workload, server: RunningServer, sample: Sample) -> Sample:
    warm_up = traffic.load(plan, workload, server, WARM_UP)
    started, busy = time.monotonic(), _busy()
    before = measure.usage(server.session)
    totals = traffic.load(plan, workload, server, plan.seconds)
    after = measure.usage(server.session)
    spent = after.user + after.system - before.user - before.system
    others = (_busy() - busy - spent) / (time.monotonic() - started)
    problem = totals.problem(len(workload.expected))
    if before.pids != after.pids:
        problem = f"a process of the server was replaced; its log: {server.last_words()}"
    if workload.access_log:
        problem = problem or _unlogged(server, warm_up.requests + totals.requests)
    requests = max(totals.requests, 1)
    user = (after.user - before.user) / requests * 1e6
    system = (after.system - before.system) / requests * 1e6
    return replace(
        sample,
        value=user + system,
        user=user,
        system=system,
        rate=totals.rate,
        p50=_milliseconds(totals.p50),
        p99=_milliseconds(totals.p99),
        peak=measure.peak_memory(server.session),
        others=max(others, 0.0),
        problem=problem,
    )


def _latency_sample(
    plan: Plan, workload: Workload, server: RunningServer, sample: Sample
) -> Sample:
    """The client warms the server up; its CPU time says little, as it mostly opens connections."""
    started, busy, before = time.monotonic(), _busy(), measure.usage(server.session)
    totals = traffic.load(plan, workload, server, plan.seconds)
    after = measure.usage(server.session)
    spent = after.user + after.system - before.user - before.system
    others = (_busy() - busy - spent) / (time.monotonic() - started)
    return replace(
        sample,
        value=_milliseconds(totals.p99),
        rate=totals.rate,
        p50=_milliseconds(totals.p50),
        p99=_milliseconds(totals.p99),
        longest=_milliseconds(totals.longest),
        stall=_milliseconds(totals.stall),
        pause=_milliseconds(totals.pause),
        peak=measure.peak_memory(server.session),
        others=max(others, 0.0),
        problem=totals.problem(len(workload.expected)),
    )


def _milliseconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _busy() -> float:
    """Return the seconds that all CPUs have worked for others than our clients."""
    clients = resource.getrusage(resource.RUSAGE_CHILDREN)  # and ended servers: no difference
    all_of_us = clients.ru_utime + clients.ru_stime + time.process_time()
    return measure.busy(Path("/proc/stat").read_text()) - all_of_us


def _unlogged(server: RunningServer, requests: int) -> str:
    """Return a complaint unless every answer has its line in the access log."""
    try:
        eventually(lambda: server.access_lines() >= requests, timeout=LOG_TIMEOUT)
    except AssertionError:
        return f"only {server.access_lines()} access lines for {requests} requests"
    return ""


def _memory_sample(plan: Plan, workload: Workload, server: RunningServer, sample: Sample) -> Sample:
    traffic.load(plan, workload, server, WARM_UP)  # what is made once is not the connections'
    count = plan.idle * workload.idle_times
    connections = traffic.open_idle(server.place, workload, max(count // PRIMING, 1))
    try:
        pss, rss = measure.memory(server.session)
        connections += traffic.open_idle(server.place, workload, count)
        closed = client.closed_by_server(connections, SETTLE)
        pss_full, rss_full = measure.memory(server.session)
        peak = measure.peak_memory(server.session)
    finally:
        client.close_all(connections)
    return replace(
        sample,
        value=(rss_full - rss) / count,
        proportional=(pss_full - pss) / count,
        peak=peak,
        problem=f"{closed} or more idle connections were closed" if closed else "",
    )
