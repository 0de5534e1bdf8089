"""The servers that are compared: how each is launched with several workers, and what it is able to.

Options away from a server's defaults make the comparison fair: the same event loop, no access log,
and the same 30 s for a graceful end where a server has no such limit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = "basic:app"
GRACE = "30"  # seconds


@dataclass(frozen=True, slots=True)
class Wish:
    """What a command line has to say."""

    port: int
    workers: int
    scripts: Path
    """The folder of the commands that the environment has."""
    max_requests: int = 0
    """Requests after which a worker is replaced; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server, and which orders it knows (its documentation, not its success)."""

    name: str
    command: Callable[[Wish], list[str]]  # arguments of the Python interpreter
    ours: bool = False
    reloads: bool = True  # SIGHUP: new workers
    scales: bool = True  # SIGTTIN, SIGTTOU
    upgrades: bool = False  # SIGUSR2
    old_master_stays: bool = False  # until SIGTERM, after SIGUSR2
    recycles: bool = True
    least_workers: int = 1  # with fewer nobody supervises them


def _gunicorn(worker_class: str, *options: str) -> Callable[[Wish], list[str]]:
    def command(wish: Wish) -> list[str]:
        # Not `-m gunicorn`: an upgrade (USR2) runs sys.argv again, and finds Gunicorn's own folder
        # first on its import path.
        words = [
            str(wish.scripts / "gunicorn"),
            "-k",
            worker_class,
            "-w",
            str(wish.workers),
            *options,
        ]
        words += ["-b", f"127.0.0.1:{wish.port}", "--max-requests", str(wish.max_requests)]
        return [*words, "--keep-alive", "5", "--pid", "server.pid", APP]

    return command


def _supervised(module: str) -> Callable[[Wish], list[str]]:
    def command(wish: Wish) -> list[str]:
        words = ["-m", module, "--port", str(wish.port), "--workers", str(wish.workers)]
        if wish.max_requests:
            words += ["--limit-max-requests", str(wish.max_requests)]
        return [*words, "--timeout-graceful-shutdown", GRACE, "--no-access-log", APP]

    return command


def _granian(wish: Wish) -> list[str]:
    words = ["-m", "granian", "--interface", "asgi", "--port", str(wish.port), "--loop", "uvloop"]
    return [*words, "--workers", str(wish.workers), "--http", "1", "--no-access-log", APP]


def _hypercorn(wish: Wish) -> list[str]:
    words = ["-m", "hypercorn", "-k", "uvloop", "-b", f"127.0.0.1:{wish.port}"]
    if wish.max_requests:
        words += ["--max-requests", str(wish.max_requests)]
    return [*words, "-w", str(wish.workers), "--graceful-timeout", GRACE, APP]


SERVERS = {
    server.name: server
    for server in (
        Server(
            name="supervisor", command=_supervised("uvicorn_supervisor"), ours=True, upgrades=True
        ),
        Server(
            name="worker",
            command=_gunicorn("uvicorn_worker.UvicornWorker"),
            ours=True,
            upgrades=True,
            old_master_stays=True,
        ),
        Server(name="uvicorn", command=_supervised("uvicorn"), least_workers=2),
        Server(
            name="uvicorn-worker",
            command=_gunicorn("uvicorn_worker.UvicornWorker"),
            upgrades=True,
            old_master_stays=True,
        ),
        Server(
            name="gunicorn-asgi",
            command=_gunicorn("asgi", "--asgi-loop", "uvloop"),
            upgrades=True,
            old_master_stays=True,
        ),
        Server(name="granian", command=_granian, scales=False, recycles=False),
        Server(name="hypercorn", command=_hypercorn, reloads=False, scales=False),
    )
}
