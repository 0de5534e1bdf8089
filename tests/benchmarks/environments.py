"""Which Python and which import path a server runs with.

Ours runs with the interpreter of the benchmark, the checkout first on its path. The others run in
an environment of their own, because uvicorn-worker 0.4.0 has our import name: `.bench-venv`, made
on demand, with the same releases of every library that both sides use.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".bench-venv"

PEERS = (
    "uvicorn", "uvicorn-worker==0.4.0", "gunicorn", "granian", "hypercorn", "daphne", "fastapi",
)  # fmt: skip
# Both sides use these: the same release for all, or the comparison would be one of libraries.
SHARED = (
    "anyio",
    "click",
    "fastapi",
    "gunicorn",
    "h11",
    "httptools",
    "pydantic",
    "setproctitle",
    "starlette",
    "uvloop",
    "websockets",
)
# Gunicorn's C parser: taken when the index has the release that Gunicorn asks for, never an older
# one (0.6.9 under 27.0.1 closes connections after large bodies). The report says if it is missing.
OPTIONAL = "gunicorn[fast]"
INSTALL_TIMEOUT = 600.0  # seconds


class EnvironmentProblem(Exception):
    """No environment for the other servers; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter and what is put in front of its import path."""

    python: str
    path: str = ""

    def variables(self) -> dict[str, str]:
        """Return a server's environment variables: none that configures a server slips in."""
        kept = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
        variables = {name: os.environ[name] for name in kept if name in os.environ}
        if self.path:
            variables["PYTHONPATH"] = self.path
        return variables

    def run(self, code: str, *arguments: str, cwd: str = "/") -> str:
        """Return what the interpreter prints when it runs `code`.

        Raises:
            EnvironmentProblem: it failed; the message is the last line of its complaint.
        """
        done = subprocess.run(
            [self.python, "-c", code, *arguments],
            env=self.variables(),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise EnvironmentProblem((done.stderr.strip().splitlines() or ["no reason given"])[-1])
        return done.stdout.strip()

    def versions(self, names: list[str]) -> dict[str, str]:
        """Return the installed version of each distribution, "missing" where there is none."""
        code = (
            "import importlib.metadata as m, sys\n"
            "have = {d.metadata['Name'].lower().replace('_', '-'): d.version"
            " for d in m.distributions()}\n"
            "for name in sys.argv[1:]:"
            " print(have.get(name.lower().replace('_', '-'), 'missing'))"
        )
        found = self.run(code, *names).splitlines() if names else []
        return dict(zip(names, found, strict=True))


def own() -> Environment:
    """Return the environment that serves this checkout."""
    return Environment(sys.executable, str(CHECKOUT))


def revision() -> str:
    """Return the commit of the checkout, with a mark when our packages differ from it."""
    git = ["git", "-C", str(CHECKOUT)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        status = [*git, "status", "--porcelain", "--", "uvicorn_worker"]
        changes = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + (" with uncommitted changes" if changes else "")


def requirements() -> list[str]:
    """Return what the other servers' environment holds, shared libraries pinned to ours."""
    return [*PEERS, *map(_pinned, SHARED)]


def peers(given: str | None = None) -> Environment:
    """Return the environment of the other servers, made or renewed when needed.

    `given` names an interpreter that has them all already.

    Raises:
        EnvironmentProblem: it cannot be made.
    """
    if given:
        return Environment(given)
    environment = Environment(str(CACHE / "bin" / "python"))
    wanted = "\n".join([sys.version, *requirements()]) + "\n"
    stamp = CACHE / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Making {CACHE.name} for the other servers", file=sys.stderr, flush=True)
        _command("venv", "--clear", str(CACHE), python=sys.executable)
        install = ("install", "--quiet", "--disable-pip-version-check")
        _command("pip", *install, *requirements(), python=environment.python)
        with contextlib.suppress(EnvironmentProblem):
            _command("pip", *install, *requirements(), OPTIONAL, python=environment.python)
        stamp.write_text(wanted)
    return environment


def _command(module: str, *arguments: str, python: str) -> None:
    command = [python, "-m", module, *arguments]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or exc.stdout or "").strip().splitlines()
        raise EnvironmentProblem(
            f"cannot make {CACHE.name}: `{module} {arguments[0]}` failed: {' '.join(said[-2:])} "
            "(on Debian: apt-get install python3-venv; or --peers PYTHON names an interpreter "
            "that has the other servers)"
        ) from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise EnvironmentProblem(f"cannot make {CACHE.name}: {exc}") from exc


def _pinned(name: str) -> str:
    try:
        return f"{name}=={importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return name
