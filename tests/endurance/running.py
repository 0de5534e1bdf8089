"""One server under load: started in a folder of its own, signalled, and ended whatever happens."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.endurance.servers import Wish
from tests.support.load import Load
from tests.support.processes import alive, kill_all_in, working_in
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Set

    from tests.benchmarks.environments import Environment
    from tests.endurance.servers import Server

APPLICATION = Path(__file__).parents[1] / "apps" / "basic.py"
START = 30.0  # seconds until all workers have answered
TURNOVER = 45.0  # seconds for new workers to answer after an order


class Trouble(Exception):
    """The server did not do what it was told; the message says what was waited for."""


class Session:
    """A server that serves `basic.py`, and what is done to it."""

    def __init__(self, server: Server, process: subprocess.Popen[bytes], wish: Wish, folder: Path):
        self.server = server
        self.process = process
        self.wish = wish
        self.folder = folder
        self.remarks: list[str] = []

    @property
    def application(self) -> Path:
        """The file that is served."""
        return self.folder / APPLICATION.name

    def load(self, *, until_refused: bool = False) -> Load:
        """Return clients of every kind; the idle ones stay below everybody's keep-alive time."""
        return Load(
            ("127.0.0.1", self.wish.port),
            busy=4,
            reconnecting=3,
            idle=6,
            idle_time=0.7,
            until_refused=until_refused,
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server's first process."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def processes(self) -> set[int]:
        """Return all its processes that have not ended, whoever their parent is now."""
        return working_in(self.folder)

    def listens(self) -> bool:
        """Return whether a connection can be made."""
        try:
            socket.create_connection(("127.0.0.1", self.wish.port), 1).close()
        except OSError:
            return False
        return True

    def await_workers(
        self, load: Load, count: int, *, without: Set[int] = frozenset(), limit: float = TURNOVER
    ) -> set[int]:
        """Wait until `count` processes beside `without` have answered; return who they are.

        Raises:
            Trouble: they have not.
        """
        served = load.outcomes.served_by
        try:
            eventually(lambda: len(served.keys() - without) >= count, timeout=limit)
        except AssertionError:
            found = len(served.keys() - without)
            raise Trouble(f"{found} of {count} new workers in {limit:g} s") from None
        return {pid for pid in served.keys() - without if alive(pid)}


@contextlib.contextmanager
def running(
    server: Server,
    environment: Environment,
    *,
    workers: int,
    max_requests: int = 0,
    variables: dict[str, str] | None = None,
) -> Iterator[Session]:
    """Serve until the block ends; then every process of the server is killed.

    Raises:
        Trouble: it does not listen; the message is the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="endurance-") as name:
        folder = Path(name).resolve()
        shutil.copy(APPLICATION, folder)
        wish = Wish(_free_port(), workers, Path(environment.python).parent, max_requests)
        log = folder / "server.log"
        settings = {"HOME": name, "PYTHONDONTWRITEBYTECODE": "1", **(variables or {})}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [environment.python, *server.command(wish)],
                cwd=folder,
                env=environment.variables() | settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        session = Session(server, process, wish, folder)
        try:
            _await_listening(session, log)
            yield session
        finally:
            kill_all_in(folder)
            process.wait()


def _await_listening(session: Session, log: Path) -> None:
    try:
        eventually(lambda: session.listens() or session.process.poll() is not None, timeout=START)
    except AssertionError:
        raise Trouble("does not listen") from None
    if session.process.poll() is not None:
        lines = log.read_text(errors="replace").split("\n")
        raise Trouble(f"ended at its start: {' '.join(lines[-3:]).strip()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
