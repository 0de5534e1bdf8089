"""`python -m tests.benchmarks`: compare servers; the README of this folder says how."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.benchmarks import environments, publishing, report
from tests.benchmarks.client import MISSING, ClientProblem
from tests.benchmarks.environments import EnvironmentProblem
from tests.benchmarks.profiling import anatomy, profile
from tests.benchmarks.rounds import ATTEMPTS, OVERHEAD, PRIMING, Plan, measure_all
from tests.benchmarks.running import ServerProblem
from tests.benchmarks.servers import FLOOR, OURS, SERVERS
from tests.benchmarks.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.environments import Environment
    from tests.benchmarks.profiling import Anatomy
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

RIVAL = "uvicorn"
HERE = Path(__file__).parent
DESCRIPTORS = 256  # beside the idle connections


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Compare servers by the CPU time they need per request, on one core.",
    )
    add = parser.add_argument
    add("--rounds", type=_count, default=None, metavar="N", help="rounds [5; --quick: 2]")
    add("--seconds", type=_count, default=None, metavar="N", help="load per sample [3; 1]")
    add("--idle", type=_count, default=None, metavar="N", help="idle connections [2000; 500]")
    add("--workload", action="append", choices=WORKLOADS, help="only this one (repeatable)")
    add("--server", action="append", choices=SERVERS, help="only this one (repeatable)")
    add("--floor", action="store_true", help="also measure what is possible at all")
    add("--quick", action="store_true", help=f"few rounds, only {OURS} and {RIVAL}")
    add("--baseline", choices=SERVERS, default=OURS, help=f"ratios by whom [{OURS}]")
    add("--minutes", type=_count, metavar="N", help="begin no round that would end later [off]")
    add("--budget", type=_count, default=120, metavar="MINUTES", help="for everything [120]")
    add(
        "--quiet",
        type=float,
        default=math.inf,
        metavar="CPUS",
        help=f"repeat a sample (at most {ATTEMPTS} times) while others keep more CPUs busy [off]",
    )
    add("--json", type=Path, metavar="FILE", help="write every sample and result there")
    add(
        "--report",
        nargs="?",
        type=Path,
        const=HERE,
        metavar="FOLDER",
        help=f"write RESULTS.md and results.svg there [{HERE.relative_to(environments.CHECKOUT)}]",
    )
    add("--peers", metavar="PYTHON", help="interpreter that has the other servers [.bench-venv]")
    add("--list", action="store_true", help="list servers and workloads")
    add(
        "--profile",
        nargs=2,
        metavar=("SERVER", "WORKLOAD"),
        help="instead: show in which functions the server spends its time",
    )
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.idle = options.idle or (500 if options.quick else 2000)
    if options.profile:
        server, workload = options.profile
        if server not in SERVERS or workload not in WORKLOADS:
            parser.error(f"--profile {server} {workload}: no such pair, see --list")
    return options


def main() -> int:
    """Measure, print the tables; 1 when a sample is missing or does not count."""
    options = arguments()
    if options.list:
        return _list()
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("the benchmarks read /proc and pin processes: they need Linux")
    if shutil.which("wrk") is None:
        sys.exit(MISSING)
    signal.signal(signal.SIGTERM, _end)
    launches = _launches(_chosen(options), options.peers)
    plan = _plan(options)
    if options.profile:
        launch, environment = launches[0]
        if isinstance(environment, str):
            sys.exit(environment)
        return profile(plan, launch, WORKLOADS[options.profile[1]], environment)
    workloads = [WORKLOADS[name] for name in options.workload or WORKLOADS]
    return _compare(options, plan, launches, workloads)


def _compare(
    options: argparse.Namespace,
    plan: Plan,
    launches: list[tuple[Launch, Environment | str]],
    workloads: list[Workload],
) -> int:
    about = _about(plan, launches)
    print(json.dumps(about, indent=2))
    count = plan.rounds * len(launches) * len(workloads)
    minutes = count * (plan.seconds + OVERHEAD) / 60
    most = "" if options.minutes is None else f", or whole rounds in {options.minutes}"
    print(f"{count} samples, about {minutes:.0f} min{most}", file=sys.stderr)
    samples = measure_all(plan, launches, workloads, _progress)
    for workload in workloads:
        own = [sample for sample in samples if sample.workload == workload.name]
        print(f"\n{report.table(workload, own, options.baseline)}")
    verdicts = [report.verdict(samples, w.name, options.baseline, RIVAL) for w in workloads]
    if any(verdicts) and options.baseline != RIVAL:
        print("\n" + "\n".join(line for line in verdicts if line))
    if options.json:
        document = report.document(samples, workloads, options.baseline, about)
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    if options.report:
        found = _anatomy(plan, launches, workloads, options.baseline)
        text = publishing.markdown(samples, workloads, options.baseline, about, found)
        options.report.joinpath("RESULTS.md").write_text(text)
        picture = publishing.picture(samples, workloads, options.baseline)
        options.report.joinpath("results.svg").write_text(picture)
    return int(any(sample.problem for sample in samples))


def _anatomy(
    plan: Plan,
    launches: list[tuple[Launch, Environment | str]],
    workloads: list[Workload],
    baseline: str,
) -> Anatomy | None:
    """Return where the time of the baseline's requests goes, where they were measured."""
    environment = {launch.name: theirs for launch, theirs in launches}.get(baseline)
    workload = WORKLOADS[publishing.PROFILED]
    if workload not in workloads or environment is None or isinstance(environment, str):
        return None
    try:
        return anatomy(plan, SERVERS[baseline], workload, environment)
    except (ClientProblem, ServerProblem) as exc:
        print(f"no profile of {baseline}: {exc}", file=sys.stderr)
        return None


def _chosen(options: argparse.Namespace) -> list[Launch]:
    if options.profile:
        return [SERVERS[options.profile[0]]]
    names = list(dict.fromkeys(options.server or ()))
    if not names:
        names = [OURS, RIVAL] if options.quick else [s.name for s in SERVERS.values() if s.default]
    if options.floor and FLOOR not in names:
        names.append(FLOOR)
    return [SERVERS[name] for name in names]


def _launches(chosen: list[Launch], peers: str | None) -> list[tuple[Launch, Environment | str]]:
    """Pair each launch with its environment, or with the reason why there is none."""
    theirs: Environment | str = "not needed"
    if not all(launch.ours for launch in chosen):
        try:
            theirs = environments.peers(peers)
        except EnvironmentProblem as exc:
            theirs = str(exc)
    ours = environments.own()
    return [(launch, ours if launch.ours else theirs) for launch in chosen]


def _plan(options: argparse.Namespace) -> Plan:
    times = max(workload.idle_times for workload in WORKLOADS.values())
    idle = options.idle * times * (PRIMING + 1) // PRIMING
    # A workload with more connections than the limit allows has no figure, and says so.
    wanted = max(idle, *(one.connections for one in WORKLOADS.values())) + DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # the servers inherit it
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        if limit < wanted:
            most = (limit - DESCRIPTORS) * PRIMING // (PRIMING + 1) // times
            options.idle = min(options.idle, most)
            print(f"only {options.idle} idle connections: limit on open files", file=sys.stderr)
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("one CPU only: servers and client disturb each other", file=sys.stderr)
    return Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        idle=options.idle,
        server_cpu=cpus[0],
        client_cpu=cpus[1] if len(cpus) > 1 else cpus[0],
        budget=options.budget * 60.0,
        enough=math.inf if options.minutes is None else options.minutes * 60.0,
        quiet=options.quiet,
    )


def _about(plan: Plan, launches: list[tuple[Launch, Environment | str]]) -> dict[str, object]:
    """Return what a reader must know to judge or repeat the figures."""
    versions: dict[str, object] = {}
    for launch, environment in launches:
        if isinstance(environment, str):
            versions[launch.name] = environment
            continue
        try:
            versions[launch.name] = environment.versions(list(launch.distributions))
            if launch.version:
                versions[launch.name] = _output(launch.version)
        except EnvironmentProblem as exc:
            versions[launch.name] = str(exc)
    return {
        "command": " ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
        "checkout": environments.revision(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPUs, {_cpu()}",
        "load": os.getloadavg()[0],
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "idle": plan.idle,
        "cpus": {"server": plan.server_cpu, "client": plan.client_cpu},
        "versions": versions,
    }


def _output(command: Sequence[str]) -> str:
    """Return what a command prints, or that it is not there."""
    if shutil.which(command[0]) is None:
        return f"{command[0]} is not installed"
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown model"


def _progress(sample: report.Sample) -> None:
    figure = "no figure" if sample.figure is None else f"{sample.figure:.1f}"
    line = f"{sample.workload} round {sample.round + 1} {sample.server}: {figure} {sample.problem}"
    print(line.rstrip(), file=sys.stderr, flush=True)


def _list() -> int:
    print("Servers:")
    for launch in SERVERS.values():
        print(f"  {launch.name:<16}{launch.summary}{'' if launch.default else ' (on request)'}")
    print("Workloads:")
    for workload in WORKLOADS.values():
        print(f"  {workload.name:<16}{workload.summary}")
    return 0


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return value


def _end(signum: int, frame: object) -> NoReturn:
    raise SystemExit(128 + signum)  # through every `finally`: the servers are ended


if __name__ == "__main__":
    sys.exit(main())
