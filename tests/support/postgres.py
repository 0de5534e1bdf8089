"""A real PostgreSQL for one test: a cluster in a temporary folder, on a UNIX socket."""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "test"
DEBIAN = Path("/usr/lib/postgresql")  # VERSION/bin, which is not in PATH

STOP_TIMEOUT = 20.0  # seconds


def _programs() -> Path | None:
    """Return the folder with initdb and postgres, of the newest version; None: there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((path for path in folders if (path / "initdb").exists()), None)


def _owner() -> str | None:
    """Return who runs the server: root may not, and needs somebody who is there for that."""
    if os.getuid():
        return getpass.getuser()
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None


PROGRAMS = _programs()
OWNER = _owner()
MISSING = "needs PostgreSQL: apt-get install postgresql"
AVAILABLE = PROGRAMS is not None and OWNER is not None


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL to the end of the block; yield its DATABASE_URL."""
    assert PROGRAMS is not None, MISSING
    assert OWNER is not None, MISSING
    # Not in a test's own folder: root's are closed to everybody else.
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        user = None if os.getuid() else OWNER
        if user:
            shutil.chown(folder, user)
        with (folder / "log").open("wb") as log:

            def run(command: list[str]) -> subprocess.Popen[bytes]:
                return subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log)

            assert run(_initdb(folder)).wait() == 0, (folder / "log").read_text()
            process = run(_server(folder))
        try:
            eventually(lambda: _answers(folder, process), timeout=30, message="PostgreSQL answers")
            yield f"postgresql://{USER}@/postgres?host={folder}"
        finally:
            process.send_signal(signal.SIGINT)  # "fast": it ends what clients have left open
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)  # its children go with it
                process.wait()


def query(url: str, statement: str) -> str:
    """Return what psql prints for a statement: lines of fields."""
    command = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "-c", statement, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _initdb(folder: Path) -> list[str]:
    assert PROGRAMS is not None
    program, data = str(PROGRAMS / "initdb"), str(folder / "data")
    return [program, "-D", data, "-U", USER, "-A", "trust", "--no-sync"]


def _server(folder: Path) -> list[str]:
    assert PROGRAMS is not None
    settings = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off"}
    options = [f"-c{name}={value}" for name, value in settings.items()]
    return [str(PROGRAMS / "postgres"), "-D", str(folder / "data"), *options]


def _answers(folder: Path, process: subprocess.Popen[bytes]) -> bool:
    assert PROGRAMS is not None
    assert process.poll() is None, (folder / "log").read_text(errors="replace")
    ask = [str(PROGRAMS / "pg_isready"), "--quiet", "-h", str(folder), "-U", USER]
    return subprocess.run(ask, check=False).returncode == 0
