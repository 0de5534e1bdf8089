"""Starting a server for one measurement and ending it, whatever happens in between.

A server runs in a fresh folder with copies of the applications: neither the checkout nor this
package is on its import path unless its launch says so, and its logs vanish with the folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.environments import CHECKOUT, EnvironmentProblem
from tests.benchmarks.places import dial
from tests.benchmarks.servers import Target
from tests.support.certificates import Authority
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.environments import Environment
    from tests.benchmarks.places import Place
    from tests.benchmarks.servers import Launch
    from tests.benchmarks.workloads import Workload

SERVED = ("apps.py", "fastapi_app.py", "floor.py", "marked.py", "node_app.js", "watch.py")
START_TIMEOUT = 20.0  # seconds; FastAPI's import is the slowest part
STOP_TIMEOUT = 8.0
PAUSE = 0.001  # seconds between looks at a server that starts: its time is measured


class ServerProblem(Exception):
    """The server does not serve; the message shows the end of its log."""


@dataclass(slots=True)
class RunningServer:
    """A server that listens. Its session number is the process id of its first process."""

    process: subprocess.Popen[bytes]
    place: Place
    folder: Path
    log: Path
    session: int = field(init=False)

    def __post_init__(self) -> None:
        self.session = self.process.pid

    @property
    def access_log(self) -> Path:
        """The file that access lines go to."""
        return self.folder / "access.log"

    def access_lines(self) -> int:
        """Return the lines logged so far, in the access log or, where there is none, the log."""
        path = self.access_log if self.access_log.exists() else self.log
        with path.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))

    def last_words(self) -> str:
        """Return the end of the log on one line."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return " | ".join([line for line in lines if line][-4:])[-400:] or "nothing in its log"


@contextlib.contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Let processes started inside run on this CPU only; `None`: anywhere.

    A child inherits the affinity, so there is no moment at which it, or a thread of it, is free.
    """
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def running(
    launch: Launch,
    workload: Workload,
    environment: Environment,
    *,
    cpu: int | None = None,
    variables: dict[str, str] | None = None,
    under: Sequence[str] = (),
    timeout: float = START_TIMEOUT,
) -> Iterator[RunningServer]:
    """Serve the workload's application until the block ends.

    `under`: a command that runs the server's, such as valgrind's. `timeout`: seconds for its start.

    Raises:
        ServerProblem: it did not start, or it is not the one that the launch means.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        for served in SERVED:
            shutil.copy(Path(__file__).with_name(served), folder)
        if launch.worker_package:
            _demand_right_package(launch, environment, name)
        server = _start(launch, workload, environment, folder, cpu, variables or {}, under)
        try:
            _await_listening(server, timeout)
            yield server
        finally:
            _stop(server.process)


def time_to_answer(
    launch: Launch, workload: Workload, environment: Environment, *, cpu: int | None = None
) -> float:
    """Return the seconds from the start of a server to its first answer.

    Raises:
        ServerProblem: there was none.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        for served in SERVED:
            shutil.copy(Path(__file__).with_name(served), folder)
        begin = time.perf_counter()
        server = _start(launch, workload, environment, folder, cpu, {})
        try:
            answer = _first_answer(server, begin + START_TIMEOUT)
            taken = time.perf_counter() - begin
        finally:
            _stop(server.process)
        if not answer.endswith(workload.expected):
            raise ServerProblem(f"answered {answer[:60]!r}")
        return taken


def _first_answer(server: RunningServer, deadline: float) -> bytes:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    while server.process.poll() is None and time.perf_counter() < deadline:
        try:
            with dial(server.place, START_TIMEOUT) as sock:
                sock.sendall(request)
                return b"".join(iter(lambda: sock.recv(4096), b""))
        except ConnectionError:  # noqa: PERF203  # refused until it listens
            time.sleep(PAUSE)
    raise ServerProblem(f"no answer; its log: {server.last_words()}")


def _start(
    launch: Launch,
    workload: Workload,
    environment: Environment,
    folder: Path,
    cpu: int | None,
    variables: dict[str, str],
    under: Sequence[str] = (),
) -> RunningServer:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    target = Target(
        port,
        workload.app,
        str(folder / "access.log") if workload.access_log else None,
        workload.websocket,
        workload.workers,
        uds=str(folder / "server.sock") if workload.unix else None,
    )
    if workload.tls:
        pair = Authority(folder).issue("server")
        target = replace(target, certificate=pair.certificate, key=pair.key)
    command = launch.command(target)
    log = folder / "server.log"
    with log.open("wb") as output, pinned(cpu):
        process = subprocess.Popen(
            [*under, environment.python, *command],
            cwd=folder,
            env=environment.variables() | {"HOME": str(folder)} | variables,  # control socket
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return RunningServer(process, target.uds or port, folder, log)


def _demand_right_package(launch: Launch, environment: Environment, folder: str) -> None:
    """Two of the servers import `uvicorn_worker`: never measure one in the other's name."""
    try:
        found = environment.run("import uvicorn_worker as u; print(u.__file__)", cwd=folder)
    except EnvironmentProblem as exc:
        raise ServerProblem(f"cannot import its worker class: {exc}") from exc
    if Path(found).is_relative_to(CHECKOUT / "uvicorn_worker") is not launch.ours:
        raise ServerProblem(f"uvicorn_worker is the wrong package: {found}")


def _await_listening(server: RunningServer, timeout: float) -> None:
    def listening() -> bool:
        if server.process.poll() is not None:
            raise ServerProblem(f"ended ({server.process.returncode}): {server.last_words()}")
        try:
            dial(server.place, 1).close()
        except OSError:
            return False
        return True

    try:
        eventually(listening, timeout=timeout)
    except AssertionError as exc:
        raise ServerProblem(f"does not listen after {timeout:g} s: {server.last_words()}") from exc


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its session; nothing is left behind."""
    if process.poll() is None:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):  # none left: the usual case
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_TIMEOUT)
