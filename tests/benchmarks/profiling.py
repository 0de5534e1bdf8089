"""Where one server spends its time under one workload, seen twice.

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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.benchmarks import measure, traffic
from tests.benchmarks.client import ClientProblem
from tests.benchmarks.running import ServerProblem, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.benchmarks.environments import Environment
    from tests.benchmarks.rounds import Plan
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

LINES: Final = 40
FREQUENCY: Final = "999"  # samples per second
NO_PERF: Final = "perf is not installed: no C functions (apt-get install linux-perf)"

# Whose code a file is that perf names: the first beginning that fits.
PARTS: Final = (
    ("[kernel", "the kernel"),
    ("libpython", "Python's interpreter"),
    ("python", "Python's interpreter"),
    ("_asyncio", "Python's interpreter"),
    ("loop.", "uvloop"),
    ("parser.", "httptools"),
    ("libc", "libc"),
    ("ld-", "libc"),
)


class Function(NamedTuple):
    """A function as cProfile saw it."""

    name: str
    calls: float  # per request
    share: float  # of the time of all that requests call, its own only; 0 to 1


class Anatomy(NamedTuple):
    """What a request's time is spent on: by whose code, and by Python function."""

    parts: Mapping[str, float]  # shares of all samples; empty without perf
    functions: list[Function]  # the dearest first


def profile(plan: Plan, launch: Launch, workload: Workload, environment: Environment) -> int:
    """Print the functions that took the most time of their own."""
    what = f"{launch.name}, {workload.name}"
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        path, data = Path(name, "result.pstats"), Path(name, "perf.data")
        try:
            requests = _run_python(plan, launch, workload, environment, path)
            print(f"{what}: {requests} requests under cProfile")
            if path.exists():
                pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(LINES)
            else:
                print("no profile: the server does not run the lifespan to its end")
            if not shutil.which("perf"):
                print(NO_PERF)
                return 0
            requests = _run_native(plan, launch, workload, environment, data)
        except (ClientProblem, ServerProblem) as exc:
            sys.exit(f"{what}: {exc}")
        print(f"{what}: {requests} requests under perf")
        for order in ("dso", "dso,symbol"):
            print("\n".join(_perf_report(data, order)[:LINES]), end="\n\n")
    return 0


def anatomy(plan: Plan, launch: Launch, workload: Workload, environment: Environment) -> Anatomy:
    """Return where the time of a request goes.

    Raises:
        ClientProblem, ServerProblem: it does not serve.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        path, data = Path(name, "result.pstats"), Path(name, "perf.data")
        requests = _run_python(plan, launch, workload, environment, path)
        # The stubs have no name for what a result holds.
        stats: Any = pstats.Stats(str(path)) if path.exists() else None
        found = functions(stats.stats, requests) if stats is not None else []
        if not shutil.which("perf"):
            return Anatomy({}, found)
        _run_native(plan, launch, workload, environment, data)
        return Anatomy(parts(_perf_report(data, "dso")), found)


def functions(
    stats: Mapping[tuple[str, int, str], tuple[Any, ...]], requests: int
) -> list[Function]:
    """Return what most requests call, of the statistics of a profile: (file, line, name) to
    (primitive calls, calls, seconds of its own, seconds with what it calls, callers).
    """
    often = {key: entry for key, entry in stats.items() if entry[1] * 2 >= requests}
    total = sum(entry[2] for entry in often.values()) or 1.0
    found = [
        Function(_name(*key), entry[1] / requests, entry[2] / total) for key, entry in often.items()
    ]
    return sorted(found, key=lambda one: -one.share)


def parts(lines: Iterable[str]) -> dict[str, float]:
    """Return the shares by whose code it is; `lines` are `PERCENT%  FILE`."""
    shares: dict[str, float] = {}
    for line in lines:
        percent, mark, file = line.strip().partition("%")
        if not mark:
            continue  # a complaint of perf's
        file = file.strip().partition(" ")[0]
        part = next((name for start, name in PARTS if file.startswith(start)), "other")
        shares[part] = shares.get(part, 0.0) + float(percent) / 100
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _name(file: str, line: int, name: str) -> str:
    return name.strip("<>{}") if file == "~" else f"{Path(file).name} {name}"


def _run_python(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, path: Path
) -> int:
    """Serve under cProfile, which writes to `path`; return the number of requests."""
    variables = {"BENCHMARK_PROFILE": str(path)}
    with running(launch, workload, environment, cpu=plan.server_cpu, variables=variables) as server:
        traffic.check(server.place, workload)
        return traffic.load(plan, workload, server, plan.seconds).requests


def _run_native(
    plan: Plan, launch: Launch, workload: Workload, environment: Environment, path: Path
) -> int:
    """Serve while perf records to `path`; return the number of requests."""
    with running(launch, workload, environment, cpu=plan.server_cpu) as server:
        traffic.check(server.place, workload)
        pids = ",".join(map(str, measure.usage(server.session).pids))
        record = ["perf", "record", "-q", "-F", FREQUENCY, "-p", pids, "-o", str(path)]
        with subprocess.Popen([*record, "--", "sleep", str(plan.seconds)]) as perf:
            totals = traffic.load(plan, workload, server, plan.seconds)
            perf.wait(plan.seconds + 20)
    return totals.requests


def _perf_report(data: Path, order: str) -> list[str]:
    """Return the lines of perf's report, or the end of its complaint."""
    report = ["perf", "report", "-i", str(data), "--stdio", "-q", "--sort", order]
    done = subprocess.run(
        report, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False
    )
    lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    return lines or [done.stderr.strip()[-200:]]
