"""Instructions and system calls per request, counted by valgrind: the steady measure.

The same requests cost the same number of instructions however busy the machine is, so a change of
one percent can be seen, in seconds. The kernel's part is not in it, for which the system calls
stand, nor is waiting for memory. `python -m tests.benchmarks.instructions` compares servers;
`--record` writes what ours needs into the budget that `tests/process/test_budget.py` defends.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import socket
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.benchmarks import client, environments, websocket_client
from tests.benchmarks.apps import MARK
from tests.benchmarks.places import dial
from tests.benchmarks.running import ServerProblem, running
from tests.benchmarks.servers import FLOOR, SERVERS
from tests.benchmarks.workloads import WORKLOADS
from tests.support.rawws import TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.environments import Environment
    from tests.benchmarks.places import Place
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

BUDGET: Final = Path(__file__).with_name("budget.json")
GUARDED: Final = ("plaintext", "headers", "varied", "connect")
OURS: Final = "command"
# Requests before the first count: Python 3.10 makes its code faster when it has run 1024 times.
WARM_UP: Final = 1100
CHANGE: Final = 200  # before each other one: what is remembered of them is remembered by then
REQUESTS: Final = 400
# Valgrind makes a start thirty times slower, and machines that test do other things, too.
START_TIMEOUT: Final = 120.0  # seconds
MISSING: Final = "valgrind is not installed: apt-get install valgrind"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes of a server, on average."""

    instructions: float
    system_calls: float


def count(
    launch: Launch, workloads: Sequence[Workload], environment: Environment, requests: int
) -> dict[str, Cost]:
    """Return the cost of a request of each workload; they have the same application.

    Raises:
        ServerProblem, ClientProblem: it does not serve.
    """
    first = workloads[0]
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        counts = Path(name, "counts")
        valgrind = ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={counts}"]
        valgrind += ["--dump-before=getpriority", "--collect-systime=yes"]
        variables = {"BENCHMARK_APPLICATION": first.app, "PYTHONHASHSEED": "0"}
        if not first.websocket:  # which ours would load in the middle of a count
            variables["UVICORN_WS"] = "none"
        serving = replace(first, app="marked:app")
        with running(
            launch, serving, environment, variables=variables, under=valgrind, timeout=START_TIMEOUT
        ) as server:
            for workload in workloads:
                _send(server.place, workload, WARM_UP if workload is first else CHANGE)
                _mark(server.place)
                _send(server.place, workload, requests)
                _mark(server.place)
        # Two counts end for each workload, with its warm-up and with its requests.
        ended = [counts.with_name(f"counts.{2 * place + 2}") for place in range(len(workloads))]
        totals = [read_totals(path.read_text()) for path in ended]
    return {
        workload.name: Cost(instructions / requests, system_calls / requests)
        for workload, (instructions, system_calls) in zip(workloads, totals, strict=True)
    }


def read_totals(text: str) -> tuple[int, int]:
    """Return the instructions and system calls of one of callgrind's files."""
    lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    values = (lines.get("summary") or lines["totals"]).split()
    return int(values[0]), int(values[1])


def _send(place: Place, workload: Workload, requests: int) -> None:
    """Ask one request after the other: how many are read at once must not depend on the time."""
    if workload.websocket:
        _send_messages(place, workload, requests)
    elif workload.headers.get("Connection") == "close":
        for _ in range(requests):
            with _dial_with_request(place) as sock:
                client.exchange(sock, workload, client.request_bytes(workload, place))
    else:
        with dial(place, client.TIMEOUT) as sock:
            for _ in range(requests):
                client.exchange(sock, workload, client.request_bytes(workload, place))


def _dial_with_request(place: Place) -> socket.socket:
    """Return a connection that the server accepts together with its first request, or behind it.

    What is there when a connection is accepted must not depend on the time. Without quick
    acknowledgements, Linux sends the last packet of the handshake with the first data.
    """
    assert isinstance(place, int), "UNIX sockets connect at once"
    sock = socket.socket()
    sock.settimeout(client.TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    sock.connect(("127.0.0.1", place))
    return sock


def _send_messages(place: Place, workload: Workload, messages: int) -> None:
    sent, wanted = frame(TEXT, workload.body), websocket_client.echoed(workload.body)
    with websocket_client.connect(place, workload) as sock:
        for _ in range(messages):
            sock.sendall(sent)
            got = b""
            while len(got) < len(wanted) and (part := sock.recv(65536)):
                got += part
            if got != wanted:
                raise client.ClientProblem(f"wrong echo: {got[:60]!r}")


def _mark(place: Place) -> None:
    with dial(place, client.TIMEOUT) as sock:
        sock.sendall(f"GET {MARK} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        while sock.recv(65536):
            pass


# -- the budget


def surroundings() -> str:
    """Return what a count depends on beside our code: how Python was built, and the libraries."""
    options = str(sysconfig.get_config_var("CONFIG_ARGS"))
    build = f"{platform.python_compiler()} {options} {' '.join(platform.libc_ver())}"
    parts = [f"Python {platform.python_version()}"]
    versions = environments.own().versions(["uvloop", "httptools"])
    parts += [f"{name} {version}" for name, version in versions.items()]
    return ", ".join([*parts, f"build {hashlib.sha1(build.encode()).hexdigest()[:8]}"])


def recorded() -> dict[str, float] | None:
    """Return the instructions per request that were recorded for these surroundings."""
    budget: dict[str, dict[str, float]] = json.loads(BUDGET.read_text())
    return budget.get(surroundings())


def record(costs: dict[str, Cost]) -> None:
    """Write what ours needs here into the budget."""
    budget = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    budget[surroundings()] = {name: round(cost.instructions) for name, cost in costs.items()}
    BUDGET.write_text(json.dumps(budget, indent=2, sort_keys=True) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Count, and print a table or write the budget."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.instructions", description=(__doc__ or "").split("\n")[0]
    )
    add = parser.add_argument
    add("--server", action="append", choices=SERVERS, help=f"repeatable [{OURS}, uvicorn]")
    add("--workload", action="append", choices=WORKLOADS, help="repeatable [the guarded ones]")
    add("--requests", type=int, default=REQUESTS, metavar="N", help=f"counted [{REQUESTS}]")
    add("--record", action="store_true", help=f"write {BUDGET.name} instead")
    add("--peers", metavar="PYTHON", help="interpreter that has the other servers [.bench-venv]")
    options = parser.parse_args(argv)
    if shutil.which("valgrind") is None:
        sys.exit(MISSING)
    workloads = [WORKLOADS[name] for name in options.workload or GUARDED]
    try:
        if options.record:
            guarded = [WORKLOADS[name] for name in GUARDED]
            record(count(SERVERS[OURS], guarded, environments.own(), options.requests))
        else:
            _compare(options.server or [OURS, "uvicorn"], workloads, options)
    except (ServerProblem, client.ClientProblem, environments.EnvironmentProblem) as exc:
        sys.exit(str(exc))
    return 0


def _compare(names: list[str], workloads: list[Workload], options: argparse.Namespace) -> None:
    print(f"{'workload':<16}{'server':<16}{'instructions':>14}{'system calls':>14}{'ratio':>8}")
    for workload in workloads:
        first = 0.0
        for name in names:
            if name == FLOOR:
                sys.exit("the floor calls no application that could mark what is counted")
            launch = SERVERS[name]
            theirs = environments.own() if launch.ours else environments.peers(options.peers)
            cost = count(launch, [workload], theirs, options.requests)[workload.name]
            first = first or cost.instructions
            print(
                f"{workload.name:<16}{name:<16}{cost.instructions:>14.0f}"
                f"{cost.system_calls:>14.1f}{cost.instructions / first:>8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
