"""The clients: wrk for load, plain sockets to check an answer and to hold idle connections.

wrk runs a generated Lua script that only sets the request and prints the exact totals at the end;
wrk sends these prepared bytes at full speed. Only where requests vary it has a function that runs
per request; it takes the next of many prepared ones.
"""

from __future__ import annotations

import json
import select
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING

from tests.benchmarks.apps import WATCH
from tests.benchmarks.environments import CHECKOUT
from tests.benchmarks.places import authority, dial
from tests.benchmarks.running import pinned
from tests.benchmarks.workloads import VARIES

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.benchmarks.places import Place
    from tests.benchmarks.workloads import Workload

TIMEOUT = 10.0  # seconds for one answer
# Requests that vary come again after so many: servers remember fewer. When each was made just
# before it was sent, a server had nothing to do in a quarter of the time.
VARIANTS = 16384
MARK = "benchmark-totals "
MISSING = "wrk is not installed: apt-get install wrk, or build it from github.com/wg/wrk"

DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'benchmark-totals {"requests": %d, "bytes": %d, "microseconds": %d, "connect": %d, ' ..
    '"read": %d, "write": %d, "timeout": %d, "status": %d, "p50": %d, "p99": %d}\\n',
    summary.requests, summary.bytes, summary.duration, e.connect, e.read, e.write, e.timeout,
    e.status, latency:percentile(50), latency:percentile(99)))
end
"""


class ClientProblem(Exception):
    """The client could not do its work, or the server answered wrongly."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What wrk, or another client, counted in one run."""

    requests: int
    bytes: int
    microseconds: int
    connect: int
    read: int
    write: int
    timeout: int
    status: int  # answers above 399
    p50: int  # latency in microseconds
    p99: int
    longest: int | None = None  # latency in microseconds, where it was taken of every answer
    stall: int | None = None  # the latest that the server's loop was, in microseconds
    pause: int | None = None  # the longest garbage collection of the server, in microseconds

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / (self.microseconds / 1e6)

    def problem(self, least: int) -> str:
        """Return why these figures cannot be used, "" when they can.

        `least`: bytes that each answer has at the least.
        """
        wrong = [
            f"{value} {what}"
            for value, what in (
                (self.status, "answers above 399"),
                (self.connect, "connect errors"),
                (self.read, "read errors"),
                (self.write, "write errors"),
                (self.timeout, "timeouts"),
            )
            if value
        ]
        if not self.requests:
            wrong.append("no request was answered")
        elif self.bytes < self.requests * least:
            wrong.append(f"{self.bytes} bytes read, too few for {self.requests} answers")
        return ", ".join(wrong)


def parse_totals(output: str) -> Totals:
    """Return the totals that our script printed.

    Raises:
        ClientProblem: there are none; the message shows what wrk said instead.
    """
    for line in output.splitlines():
        if line.startswith(MARK):
            return Totals(**json.loads(line[len(MARK) :]))
    raise ClientProblem(f"wrk printed no totals: {output.strip()[-200:]!r}")


def lua_string(value: str) -> str:
    """Return `value` as a Lua literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\r", "\\r").replace("\n", "\\n")
    return f'"{escaped}"'


def script(workload: Workload, port: Place) -> str:
    """Return the Lua script of a workload."""
    if VARIES in _head(workload, port):
        return _varying(workload, port) + DONE
    lines = [f"wrk.method = {lua_string(workload.method)}"]
    lines.append(f"wrk.path = {lua_string(workload.target)}")
    for name, value in workload.headers.items():
        lines.append(f"wrk.headers[{lua_string(name)}] = {lua_string(value)}")
    if workload.body:
        text = workload.body.decode("ascii")
        if text != text[0] * len(text):
            raise ValueError("bodies are one letter, repeated")
        lines.append(f"wrk.body = string.rep({lua_string(text[0])}, {len(text)})")
    if workload.pipelined > 1:
        all_at_once = f"all = string.rep(wrk.format(), {workload.pipelined})"
        lines.append(f"init = function() {all_at_once} end")
        lines.append("request = function() return all end")
    return "\n".join(lines) + DONE


def _varying(workload: Workload, port: Place) -> str:
    """Return the script that sends VARIANTS requests in turn, others than the run before it."""
    head = _head(workload, port)
    template = lua_string(head.replace("%", "%%").replace(VARIES, "%08x"))
    values = ", ".join(["random(0, 4294967295)"] * head.count(VARIES))
    return f"""math.randomseed({time.monotonic_ns() % 2**31})
local template, random, prepared, turn = {template}, math.random, {{}}, 0
for number = 1, {VARIANTS} do prepared[number] = string.format(template, {values}) end
request = function()
  turn = turn % {VARIANTS} + 1
  return prepared[turn]
end
"""


def run_wrk(
    port: Place, workload: Workload, *, seconds: int, cpu: int | None, folder: Path
) -> Totals:
    """Return the totals of a run of wrk with one thread on `cpu`; its script goes to `folder`.

    Raises:
        ClientProblem: wrk is missing, failed or did not end.
    """
    if shutil.which("wrk") is None:
        raise ClientProblem(MISSING)
    path = folder / "wrk.lua"
    path.write_text(script(workload, port))
    command = ["wrk", "-t1", f"-c{workload.connections}", f"-d{seconds}s", "--timeout", "5s"]
    command += ["-s", str(path), f"{'https' if workload.tls else 'http'}://127.0.0.1:{port}/"]
    return run(command, cpu=cpu, timeout=seconds + 20)


def run(command: Sequence[str], *, cpu: int | None, timeout: float) -> Totals:
    """Return what a program on `cpu` prints as totals; it runs in the checkout.

    Raises:
        ClientProblem: it failed, or did not end within `timeout` seconds.
    """
    name = "the load" if command[0] == sys.executable else command[0]
    try:
        with pinned(cpu):
            done = subprocess.run(
                command, cwd=CHECKOUT, capture_output=True, text=True, timeout=timeout, check=False
            )
    except subprocess.TimeoutExpired as exc:
        raise ClientProblem(f"{name} did not end {exc.timeout:g} s after its start") from exc
    if done.returncode:
        raise ClientProblem(f"{name} failed: {(done.stderr or done.stdout).strip()[-200:]}")
    return parse_totals(done.stdout)


def request_bytes(workload: Workload, place: Place) -> bytes:
    """Return one request as wrk sends it."""
    head = _head(workload, place).replace(VARIES, f"{time.monotonic_ns() % 2**32:08x}")
    return head.encode("ascii") + workload.body


def _head(workload: Workload, place: Place) -> str:
    lines = [f"{workload.method} {workload.target} HTTP/1.1", f"Host: {authority(place)}"]
    lines += [f"{name}: {value}" for name, value in workload.headers.items()]
    if workload.body:
        lines.append(f"Content-Length: {len(workload.body)}")
    return "\r\n".join([*lines, "", ""])


def exchange(sock: socket.socket, workload: Workload, request: bytes) -> None:
    """Send a request and read its answer.

    Raises:
        ClientProblem: it is not the right answer, or none came.
    """
    try:
        sock.sendall(request)
        response = HTTPResponse(sock, method=workload.method)
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()  # of its buffer; the socket stays open
    except (OSError, HTTPException) as exc:
        raise ClientProblem(f"no answer: {exc!r}") from exc
    if response.status != 200:
        raise ClientProblem(f"answer {response.status} instead of 200: {body[:100]!r}")
    if body != workload.expected:
        raise ClientProblem(f"wrong answer: {len(body)} bytes, {body[:60]!r}...")


def connect(place: Place, workload: Workload) -> socket.socket:
    """Return a connection, over TLS where the workload has that; whose certificate is no matter."""
    sock = dial(place, TIMEOUT)
    if not workload.tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def answer_length(sock: socket.socket, workload: Workload, request: bytes) -> int:
    """Ask, and return how many bytes the answer has, head and all; raises ClientProblem."""
    got = b""
    try:
        sock.sendall(request)
        while not got.endswith(b"\r\n\r\n" + workload.expected):
            part = sock.recv(65536)
            got += part
            if not part:
                break
    except OSError as exc:
        raise ClientProblem(f"no whole answer: {exc!r}, {got[-60:]!r}") from exc
    return len(got)


def watched(place: Place, workload: Workload) -> dict[str, int]:
    """Return what the application has seen of its loop since it was asked last, by names of Totals.

    Nothing where no application of ours runs, which answers as always then.
    """
    request = f"GET {WATCH} HTTP/1.1\r\nHost: {authority(place)}\r\nConnection: close\r\n\r\n"
    with connect(place, workload) as sock:
        sock.sendall(request.encode("ascii"))
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    body = answer.partition(b"\r\n\r\n")[2]
    found: dict[str, int] = json.loads(body) if body.startswith(b"{") else {}
    return found


def check(place: Place, workload: Workload) -> None:
    """Ask once, and twice on the same connection unless the request closes it.

    Raises:
        ClientProblem: the server cannot do this workload.
    """
    request = request_bytes(workload, place)
    with connect(place, workload) as sock:
        exchange(sock, workload, request)
        if "Connection" not in workload.headers:
            exchange(sock, workload, request)


def open_idle(place: Place, workload: Workload, count: int) -> list[socket.socket]:
    """Return `count` open connections that have had one answer each; the caller closes them.

    Raises:
        ClientProblem: the server refused one or answered wrongly; none is left open.
    """
    request = request_bytes(workload, place)
    connections: list[socket.socket] = []
    try:
        for _ in range(count):
            connections.append(dial(place, TIMEOUT))
            exchange(connections[-1], workload, request)
    except (OSError, ClientProblem) as exc:
        close_all(connections)
        raise ClientProblem(f"connection {len(connections)} of {count}: {exc}") from exc
    return connections


def closed_by_server(connections: Iterable[socket.socket], settle: float) -> int:
    """Return how many idle connections are readable, that is closed, `settle` seconds later."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + settle
    while not (ready := poll.poll(max(0.0, deadline - time.monotonic()) * 1000)):
        if time.monotonic() >= deadline:
            break
    return len(ready)


def close_all(connections: Iterable[socket.socket]) -> None:
    """Close them all."""
    for connection in connections:
        connection.close()
