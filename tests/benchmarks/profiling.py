"""`--profile`: where one server spends its time under one workload, seen twice.

First by cProfile: the application starts it in the serving process when the lifespan starts and
writes the result when it ends, so this works for every server that runs the lifespan. It makes
small Python functions look dearer than they are: read it for what is called how often. Then, in a
fresh start, by perf where it is installed: undisturbed, C functions and kernel included.
"""

from __future__ import annotations

import os
import pstats
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import measure, traffic
from tests.benchmarks.client import ClientProblem
from tests.benchmarks.running import ServerProblem, running

if TYPE_CHECKING:
    from tests.benchmarks.environments import Environment
    from tests.benchmarks.rounds import Plan
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

LINES = 40
FREQUENCY = "999"  # samples per second


def profile(plan: Plan, launch: Launch, workload: Workload, environment: Environment) -> int:
    """Print the functions that took the most time of their own."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        try:
            _python(plan, launch, workload, environment, Path(name, "result.pstats"))
            if shutil.which("perf"):
                _native(plan, launch, workload, environment, Path(name, "perf.data"))
            else:
                print("perf is not installed: no C functions (apt-get install linux-perf)")
        except (ClientProblem, ServerProblem) as exc:
            sys.exit(f"{launch.name}, {workload.name}: {exc}")
    return 0


def _python(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, path: Path
) -> None:
    variables = {"BENCHMARK_PROFILE": str(path)}
    with running(launch, workload, environment, cpu=plan.server_cpu, variables=variables) as server:
        traffic.check(server.place, workload)
        totals = traffic.load(plan, workload, server, plan.seconds)
    print(f"{launch.name}, {workload.name}: {totals.requests} requests under cProfile")
    if path.exists():
        pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(LINES)
    else:
        print("no profile: the server does not run the lifespan to its end")


def _native(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, path: Path
) -> None:
    with running(launch, workload, environment, cpu=plan.server_cpu) as server:
        traffic.check(server.place, workload)
        pids = ",".join(map(str, measure.usage(server.session).pids))
        record = ["perf", "record", "-q", "-F", FREQUENCY, "-p", pids, "-o", str(path)]
        with subprocess.Popen([*record, "--", "sleep", str(plan.seconds)]) as perf:
            totals = traffic.load(plan, workload, server, plan.seconds)
            perf.wait(plan.seconds + 20)
    print(f"{launch.name}, {workload.name}: {totals.requests} requests under perf")
    for order in ("dso", "dso,symbol"):
        report = ["perf", "report", "-i", str(path), "--stdio", "-q", "--sort", order]
        done = subprocess.run(
            report, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
        )
        lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
        print("\n".join(lines[:LINES]) or done.stderr.strip()[-200:], end="\n\n")
