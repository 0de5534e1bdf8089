"""A real `uvicorn-worker` for one test: started, asked, signalled, ended, and looked after.

Where nothing is said of an address it listens on a free port, which its log names.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import kill_all_in
from tests.support.replies import Address, Reply, ask, open_connection
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    StartCommand = Callable[..., "RunningCommand"]

BASIC = ("tests.apps.basic:app", "--port", "0")
"""The words of a command that serves tests/apps/basic.py on a free port."""

CHECKOUT = Path(__file__).parents[2]
RUNNING = re.compile(r"running on (?:https?://(\[?\S+?\]?):(\d+)|unix:(\S+)) ")
STOP_TIMEOUT = 15.0  # seconds for a stop at the end of a test

# Variables of whoever runs the tests are not for the servers in them.
OURS = re.compile(r"UVICORN_|WEB_CONCURRENCY$|FORWARDED_ALLOW_IPS$|LISTEN_")


class RunningCommand:
    """One server process; `folder` is its working directory, with `log` and `marks` in it."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        command: Sequence[str] = ("-m", "uvicorn_worker"),
        env: Mapping[str, str] | None = None,
        expect_exit: int | None = 0,
        pass_fds: Sequence[int] = (),
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start Python with `command` and `words`, in an environment with `env` added.

        `expect_exit` is the exit code that the end of the test demands; None: any.
        """
        self.folder = folder
        self.expect_exit = expect_exit
        self.log_file = folder / "log"
        self.marks_file = folder / "marks"
        self.marks_file.touch()
        self._address: Address | None = None
        with self.log_file.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command, *words],
                cwd=folder,
                env=environment({"MARKS": str(self.marks_file), **(env or {})}),
                stdin=stdin,
                stdout=output,
                stderr=output,
                pass_fds=pass_fds,
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def address(self) -> Address:
        """Where clients connect, as the log says: host and port, or the path of a socket."""
        if self._address is None:
            found = RUNNING.search(self.wait_for_log("(Press CTRL+C to quit)"))
            assert found, self.log_text()
            host, port, path = found.groups()
            self._address = str(self.folder / path) if path else (host.strip("[]"), int(port))
        return self._address

    def listens_on(self, address: Address) -> None:
        """Say where clients connect, to a server whose log does not."""
        self._address = address

    @property
    def tcp(self) -> tuple[str, int]:
        """Host and port, of a server that has them."""
        assert not isinstance(self.address, str), self.address
        return self.address

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
    ) -> Reply:
        """Send one request on a connection of its own and return the answer."""
        return ask(self.address, path, method, body, dict(headers or {}), 10.0)

    def log_text(self) -> str:
        """Return what the process has written so far."""
        return self.log_file.read_text(errors="replace")

    def wait_for_log(self, text: str, *, count: int = 1, timeout: float = 10.0) -> str:
        """Wait until the log contains `text` `count` times; return the log."""

        def written() -> bool:
            log = self.log_text()
            assert self.process.poll() is None or log.count(text) >= count, log
            return log.count(text) >= count

        eventually(written, timeout=timeout, message=f"{text!r} in the log {count} times")
        return self.log_text()

    def marks(self, event: str) -> int:
        """Return how often an event was marked."""
        lines = [line.split() for line in self.marks_file.read_text().splitlines()]
        return [name for name, _ in lines].count(event)

    def wait_for_mark(self, event: str) -> None:
        """Wait until an event was marked."""
        eventually(lambda: self.marks(event), message=f"{event!r} marked")

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def wait_exit(self, timeout: float = STOP_TIMEOUT) -> int:
        """Wait for the end of the process; return its exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the process has not ended within {timeout:g} s") from None

    def stop(self) -> None:
        """End the server as the end of a test does; raises AssertionError on a wrong exit code."""
        late = False
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT)
            late = self.process.poll() is None
        kill_all_in(self.folder)
        code = self.process.wait()
        assert not late, f"it has not ended {STOP_TIMEOUT:g} s after SIGTERM"
        if self.expect_exit is not None:
            assert code == self.expect_exit, f"exit code {code}, expected {self.expect_exit}"


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: the tests' own, less variables for us, and `env`."""
    kept = {name: text for name, text in os.environ.items() if not OURS.match(name)}
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **env}


def run_command(
    folder: Path, *words: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "uvicorn_worker", *words],
        cwd=folder,
        env=environment(env or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
