"""A real `uvicorn-supervisor` for one test: started, asked, signalled, ended, and looked after.

    def test_hup_replaces_every_worker(supervisor: StartSupervisor) -> None:
        server = supervisor("tests.apps.basic:app", "--workers", "2")
        before = server.wait_for_workers(2)
        server.signal(signal.SIGHUP)
        server.wait_for_workers(2, without=before)

The listening socket exists before the supervisor starts, so nobody waits for a port. At the end of
the test the server is stopped by SIGTERM; it must exit with 0 (or `expect_exit`) and leave no
process behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.support.command import RunningCommand
from tests.support.processes import children, title, working_in
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from typing import Protocol

    from tests.support.replies import Address

    class StartSupervisor(Protocol):
        """The fixture `supervisor`: starts a server that ends with the test."""

        def __call__(
            self,
            app: str,
            *words: str,
            env: Mapping[str, str] | None = None,
            files: Mapping[str, str] | None = None,
            own_address: bool = False,
            expect_exit: int | None = 0,
            stdin: int = ...,
        ) -> RunningSupervisor: ...


COMMAND = ("-m", "uvicorn_supervisor")
SERVING = re.compile(r"Serving on (?:https?://(\[?\S+?\]?):(\d+)|unix:(\S+?)),? ")


class RunningSupervisor(RunningCommand):
    """A supervisor and its workers; `folder` is their working directory."""

    def __init__(
        self,
        folder: Path,
        app: str,
        *words: str,
        env: Mapping[str, str] | None = None,
        own_address: bool = False,
        expect_exit: int | None = 0,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start `uvicorn-supervisor app words`, on a socket of ours unless `own_address`."""
        with contextlib.ExitStack() as stack:
            passed = []
            if not own_address:
                listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
                passed = [listener.fileno()]
                words = (*words, "--fd", str(passed[0]))
            super().__init__(
                folder,
                app,
                *words,
                command=COMMAND,
                env=env,
                expect_exit=expect_exit,
                pass_fds=passed,
                stdin=stdin,
            )
            if not own_address:
                self._address = listener.getsockname()

    @property
    def address(self) -> Address:
        if self._address is None:
            found = SERVING.search(self.wait_for_log("Serving on "))
            assert found, self.log_text()
            host, port, path = found.groups()
            self._address = str(self.folder / path) if path else (host.strip("[]"), int(port))
        return self._address

    def worker_pids(self) -> set[int]:
        """Return the workers, booting ones too."""
        return {pid for pid in children(self.pid) if "worker" in title(pid)}

    def masters(self) -> set[int]:
        """Return the supervisors: two while an upgrade is under way."""
        return {pid for pid in self.processes() if "master" in title(pid)}

    def marked(self, event: str) -> list[int]:
        """Return the process ids that have marked this event, in order."""
        lines = [line.split() for line in self.marks_file.read_text().splitlines()]
        return [int(pid) for name, pid in lines if name == event]

    def wait_for_workers(self, count: int, *, without: Collection[int] = ()) -> set[int]:
        """Wait until there are exactly `count` workers, none of them of `without`, that serve."""

        def ready() -> set[int]:
            pids = self.worker_pids()
            if len(pids) != count or not pids.isdisjoint(without):
                return set()
            return pids if all("ready" in title(pid) for pid in pids) else set()

        return eventually(ready, timeout=20.0, message=f"{count} workers that are ready")

    def processes(self) -> set[int]:
        """Return every process of this server, whoever its parent is by now."""
        return working_in(self.folder)

    def wait_until_gone(self, timeout: float = 10.0) -> None:
        """Wait until no process of this server is left."""
        eventually(lambda: not self.processes(), timeout=timeout, message="no process is left")

    def signal(self, number: int, pid: int | None = None) -> None:
        """Send a signal to the supervisor, or to the process given."""
        os.kill(self.pid if pid is None else pid, number)

    def stop(self) -> None:
        """End the server; raises AssertionError on a wrong exit code, or processes that stay."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(AssertionError):
                self.wait_exit()
        left = {pid: title(pid) for pid in self.processes()}
        super().stop()
        assert not left, f"processes were left: {left}"
