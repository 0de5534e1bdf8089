"""`python -m tests.endurance`: count lost requests; the README of this folder says how."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.benchmarks import environments
from tests.endurance.running import Trouble, running
from tests.endurance.scenarios import SCENARIOS
from tests.endurance.servers import SERVERS
from tests.endurance.soak import soak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.environments import Environment
    from tests.endurance.scenarios import Scenario
    from tests.endurance.servers import Server


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.endurance", description="Count the requests that restarts lose."
    )
    add = parser.add_argument
    add("--server", action="append", choices=SERVERS, help="only this one (repeatable)")
    add("--scenario", action="append", choices=SCENARIOS, help="only this one (repeatable)")
    add("--workers", type=int, action="append", help="so many workers (repeatable) [1 and 4]")
    add("--peers", metavar="PYTHON", help="interpreter that has the other servers [.bench-venv]")
    add("--soak", type=float, metavar="SECONDS", help="instead: disturb our supervisor so long")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return 1 if a server of ours has lost a request."""
    options = arguments(argv)
    if options.soak:
        return soak(options.soak)
    scenarios = [SCENARIOS[name] for name in options.scenario or SCENARIOS]
    servers = [SERVERS[name] for name in options.server or SERVERS]
    rivals = None
    if not all(server.ours for server in servers):
        rivals = environments.peers(options.peers)
    failed = False
    for workers in options.workers or (1, 4):
        print(f"\n{workers} workers\n\n| scenario | {' | '.join(s.name for s in servers)} |")
        print(f"|---|{'---|' * len(servers)}", flush=True)
        for scenario in scenarios:
            print(f"| {scenario.name} |", end="", flush=True)
            for server in servers:
                environment = environments.own() if server.ours or not rivals else rivals
                verdict, good = judge(server, scenario, environment, workers)
                failed |= server.ours and not good
                print(f" {verdict} |", end="", flush=True)
            print(flush=True)
    return int(failed)


def judge(
    server: Server, scenario: Scenario, environment: Environment, workers: int
) -> tuple[str, bool]:
    """Run a scenario; return what happened in few words, and whether nothing was lost."""
    if workers < server.least_workers or not scenario.able(server):
        return "not able", True
    remarks: list[str] = []
    try:
        with running(
            server,
            environment,
            workers=workers,
            max_requests=scenario.max_requests,
            variables=scenario.variables,
        ) as session:
            remarks = session.remarks
            outcomes = scenario.run(session)
    except Trouble as exc:
        return f"failed: {exc}", False
    losses = outcomes.losses(allowed=scenario.allowed)
    counts = {kind: count for kind, count in losses.items() if kind not in ("ok", "problems")}
    for problem in losses.get("problems", ()):  # type: ignore[attr-defined]  # a list of lines
        print(f"\n  {server.name}, {scenario.name}: {problem}", file=sys.stderr)
    total = outcomes.ok + sum(counts.values())  # type: ignore[arg-type]  # counts are numbers
    lost = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "0 lost"
    words = [f"{lost} of {total}", f"slowest {outcomes.slowest:.2f} s", *remarks]
    return "; ".join(words), not counts


if __name__ == "__main__":
    sys.exit(main())
