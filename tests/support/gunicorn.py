"""A real Gunicorn for one test: started, asked, signalled, ended, and looked after.

    def test_hup_replaces_every_worker(gunicorn: StartGunicorn) -> None:
        server = gunicorn("tests.apps.basic:app", "--workers", "2")
        before = server.wait_for_workers(2)
        server.signal(signal.SIGHUP)
        eventually(lambda: server.worker_pids().isdisjoint(before))

The listening socket exists before Gunicorn starts, so nobody waits for a port: `server.get("/")`
simply takes as long as the boot. At the end of the test the server is stopped by SIGTERM; it must
exit with 0 (or `expect_exit`) and leave no process behind, else the test fails and shows the log.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import children, kill_all_in, title, working_in
from tests.support.replies import Address, ask, open_connection
from tests.support.replies import Reply as Reply  # others take it from here
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class StartGunicorn(Protocol):
        """The fixture `gunicorn`: starts a server that ends with the test."""

        def __call__(
            self,
            app: str,
            *args: str,
            config: str = "",
            env: Mapping[str, str] | None = None,
            worker_class: str = ...,
            bind: Sequence[str] | None = None,
            expect_exit: int | None = 0,
            files: Mapping[str, str] | None = None,
        ) -> RunningGunicorn: ...


CHECKOUT = Path(__file__).parents[2]

WORKER_CLASS = os.environ.get("TEST_WORKER_CLASS", "uvicorn_worker.UvicornWorker")
"""Set the variable to let another worker class go through the same tests."""

VERSION = tuple(int(part) for part in importlib.metadata.version("gunicorn").split(".")[:2])

LISTENING = re.compile(r"Listening at: https?://\S+:(\d+)")

STOP_TIMEOUT = 15.0
"""Seconds that a stop at the end of a test may take before everything is killed."""

MARKING_HOOKS = """
import os

def _mark(event, pid):
    with open(os.environ["MARKS"], "ab", buffering=0) as file:
        file.write(f"{event} {pid}\\n".encode())

def worker_int(worker): _mark("worker_int", worker.pid)
def worker_abort(worker): _mark("worker_abort", worker.pid)
def worker_exit(server, worker): _mark("worker_exit", os.getpid())
def child_exit(server, worker): _mark("child_exit", worker.pid)
"""
"""A configuration in which the hooks at the end of a worker mark their names."""


class RunningGunicorn:
    """A Gunicorn master and its workers.

    `folder` is the servers' working directory; it has `gunicorn.conf.py`, `gunicorn.log`,
    `gunicorn.pid` and `marks`: lines "EVENT PID" that applications and hooks append to the file
    which the variable MARKS names.
    """

    def __init__(
        self,
        folder: Path,
        app: str,
        *args: str,
        config: str = "",
        env: Mapping[str, str] | None = None,
        worker_class: str = WORKER_CLASS,
        bind: Sequence[str] | None = None,
        expect_exit: int | None = 0,
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Start `gunicorn [args] app`.

        Without `bind` the server gets a listening socket on a free port of 127.0.0.1 from us.
        With it, it binds those addresses itself; `{folder}` in them is its working directory and
        port 0 a free one. SIGUSR2 needs that: Gunicorn does not pass on a listener from `fd://`.
        `expect_exit` is the exit code that the end of the test demands; None: any.
        `env` is added to the environment. `files` (name and text) are written into the working
        directory, where an application is found like one of the checkout's.
        """
        self.folder = folder
        self.expect_exit = expect_exit
        self.port = 0
        self.binds = [address.format(folder=folder) for address in bind or ()]
        self.log_file = folder / "gunicorn.log"
        self.marks_file = folder / "marks"
        self.marks_file.touch()
        for name, text in {"gunicorn.conf.py": config, **(files or {})}.items():
            (folder / name).write_text(text)
        variables = os.environ | {"MARKS": str(self.marks_file)} | dict(env or {})
        paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.log_file.open("wb"))
            passed = []
            if not bind:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
                self.port = listener.getsockname()[1]
                passed = [listener.fileno()]
            binds = self.binds or [f"fd://{passed[0]}"]
            command = [*_executable(), *_options(folder, worker_class, binds), *args, app]
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=passed,
                start_new_session=True,
            )
        self.pid = self.process.pid
        self.ended = False
        self.stopping: set[int] = set()

    @property
    def address(self) -> Address:
        """Where clients connect: host and port, or the path of a UNIX socket.

        With `bind` it is the first one. For port 0 the log says which one it has become.
        """
        first = self.binds[0] if self.binds else f"127.0.0.1:{self.port}"
        if first.startswith("unix:"):
            return first.removeprefix("unix:")
        host, _, port = first.rpartition(":")
        if port == "0":
            found = LISTENING.search(self.wait_for_log("Listening at: "))
            assert found, self.log_text()
            port = found[1]
        return host.strip("[]"), int(port)

    def connect(self, timeout: float = 10.0) -> socket.socket:
        """Return a new connection to the server; the caller closes it."""
        return open_connection(self.address, timeout)

    def get(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Reply:
        """Send one request on a connection of its own and return the answer.

        Raises:
            OSError, http.client.HTTPException: there was none.
        """
        return ask(self.address, path, method, body, dict(headers or {}), timeout)

    def log_text(self) -> str:
        """Return what Gunicorn and its workers have written so far."""
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str, *, count: int = 1, timeout: float = 10.0) -> str:
        """Wait until the log contains `text` `count` times; return the log."""
        eventually(
            lambda: self.log_text().count(text) >= count,
            timeout=timeout,
            message=f"{text!r} in the log {count} times",
        )
        return self.log_text()

    def marks(self, event: str) -> list[int]:
        """Return the process ids that have marked this event, in order."""
        lines = [line.split() for line in self.marks_file.read_text().splitlines()]
        return [int(pid) for name, pid in lines if name == event]

    def wait_for_marks(self, event: str, count: int = 1, *, timeout: float = 10.0) -> list[int]:
        """Wait until an event was marked `count` times; return the process ids."""
        eventually(
            lambda: len(self.marks(event)) >= count,
            timeout=timeout,
            message=f"{event!r} marked {count} times",
        )
        return self.marks(event)

    def worker_pids(self, master: int | None = None) -> set[int]:
        """Return the workers of this master, booting ones too, but no second master."""
        found = children(self.pid if master is None else master)
        return {pid for pid in found if "worker" in title(pid)}

    def wait_for_workers(
        self,
        count: int,
        *,
        master: int | None = None,
        without: set[int] = frozenset(),  # type: ignore[assignment]  # nobody changes it
    ) -> set[int]:
        """Wait until the master has exactly `count` workers, none of them of `without`, and all
        have marked "start" (the applications in tests/apps do, in lifespan startup)."""

        def ready() -> set[int]:
            pids = self.worker_pids(master)
            started = len(pids) == count and pids.issubset(self.marks("start"))
            return pids if started and pids.isdisjoint(without) else set()

        return eventually(ready, timeout=20.0, message=f"{count} workers that have started")

    def second_master(self) -> int:
        """Wait for the master that SIGUSR2 has made and return its process id."""
        pidfile = self.folder / "gunicorn.pid.2"
        eventually(lambda: pidfile.exists() and pidfile.read_text().strip())
        return int(pidfile.read_text())

    def daemon_master(self) -> int:
        """Wait for the master of a server started with --daemon and return its process id."""
        pidfile = self.folder / "gunicorn.pid"
        eventually(lambda: pidfile.exists() and pidfile.read_text().strip())
        return int(pidfile.read_text())

    def signal(self, number: int, pid: int | None = None) -> None:
        """Send a signal to the master, or to the process given."""
        pid = self.pid if pid is None else pid
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self.stopping.add(pid)
        os.kill(pid, number)

    def wait_exit(self, timeout: float = 10.0) -> int:
        """Wait for the end of the master that the test started; return its exit code.

        Raises:
            AssertionError: it has not ended in time.
        """
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the master has not ended within {timeout:g} s") from None

    def processes(self) -> set[int]:
        """Return every process of this server, whoever its parent is by now."""
        return working_in(self.folder)

    def wait_until_gone(self, timeout: float = 10.0) -> None:
        """Wait until no process of this server is left."""
        eventually(lambda: not self.processes(), timeout=timeout, message="no process is left")

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the server as the end of a test does; further calls do nothing.

        Raises:
            AssertionError: another exit code than the expected one, or processes were left.
        """
        if self.ended:
            return
        self.ended = True
        # Several masters after SIGUSR2; a daemon is not `self.process`. None is told twice: while
        # the interpreter shuts down, Python's own handlers are gone and SIGTERM kills.
        for pid in self.processes() - self.stopping:
            if "master" in title(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            self.wait_until_gone(timeout)
        left = {pid: title(pid) for pid in self.processes()}
        kill_all_in(self.folder)
        code = self.process.wait()
        assert not left, f"processes were left {timeout:g} s after SIGTERM: {left}"
        if self.expect_exit is not None:
            assert code == self.expect_exit, f"exit code {code}, expected {self.expect_exit}"


def _executable() -> list[str]:
    """Return the command without arguments.

    The installed script where there is one: with `-m`, the path that SIGUSR2 executes again puts
    Gunicorn's own folder on the import path, where its `http` hides the standard library's.
    """
    script = shutil.which("gunicorn", path=sysconfig.get_path("scripts"))
    return [sys.executable, script] if script else [sys.executable, "-m", "gunicorn"]


def _options(folder: Path, worker_class: str, binds: Sequence[str]) -> list[str]:
    options = ["-c", "gunicorn.conf.py", "-k", worker_class, "--pid", str(folder / "gunicorn.pid")]
    for address in binds:
        options += ["--bind", address]
    if VERSION >= (25, 1):
        options.append("--no-control-socket")  # all servers of a user share its path
    return options
