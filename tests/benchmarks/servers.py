"""How each server is launched: one process that serves, uvloop and its fastest parser.

Options away from a server's defaults are only those that make the comparison fair: the same
event loop, the same keep-alive time, room for the idle connections, no access log unless the
workload is about it. Of Uvicorn's three WebSocket engines `websockets-sansio` is the fastest: the
others take 1.6 times its CPU time for messages of 64 bytes, 1.5 and 2.0 times for 8 KiB; an idle
connection takes least memory with `wsproto`, 0.9 of it (Uvicorn 0.54.0, websockets 17.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.workloads import Workload

KEEP_ALIVE = "75"  # seconds; no idle connection may be closed while memory is measured
CONNECTIONS = "20000"
UNIX = "UNIX sockets"
HEAP = "objects of an application"
EVERYTHING = frozenset({"access log", "ASGI", HEAP, "TLS", UNIX, "WebSockets", "workers"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a command line has to say: where to listen, what to serve, where to log."""

    port: int
    app: str
    access_log: str | None  # path; None: off
    websocket: bool = False
    workers: int = 1
    certificate: str | None = None  # paths of PEM files; None: no TLS
    key: str | None = None
    uds: str | None = None  # path of a UNIX socket, which takes the place of the port

    @property
    def address(self) -> str:
        """`host:port`, or `unix:path`."""
        return f"unix:{self.uds}" if self.uds else f"127.0.0.1:{self.port}"

    def where(self, port: str, uds: str) -> list[str]:
        """Return the option of one of these names."""
        return [uds, self.uds] if self.uds else [port, str(self.port)]

    def tls(self, certificate: str, key: str) -> list[str]:
        """Return the options of these names, where TLS is wanted."""
        if self.certificate is None or self.key is None:
            return []
        return [certificate, self.certificate, key, self.key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A server and how to start it."""

    name: str
    summary: str
    command: Callable[[Target], list[str]]  # arguments of the Python interpreter
    distributions: tuple[str, ...]  # whose versions belong into the report
    version: tuple[str, ...] = ()  # command that prints it, of what is no distribution
    ours: bool = False  # served from the checkout, in the environment the benchmark runs in
    default: bool = True
    features: frozenset[str] = EVERYTHING

    def lacks(self, workload: Workload) -> str:
        """Return what the workload needs and the server has not, "" where it has all."""
        needed = {
            "access log": workload.access_log,
            "ASGI": workload.app.startswith("fastapi"),
            HEAP: workload.app == "watch:heap",
            "TLS": workload.tls,
            UNIX: workload.unix,
            "WebSockets": workload.websocket,
            "workers": workload.workers > 1,
        }
        return ", ".join(name for name in needed if needed[name] and name not in self.features)

    worker_package: bool = False  # imports `uvicorn_worker`: make sure that it is the right one


def _gunicorn(worker_class: str, *options: str) -> Callable[[Target], list[str]]:
    def command(target: Target) -> list[str]:
        arguments = ["-m", "gunicorn", "-k", worker_class, "-w", str(target.workers)]
        arguments += ["-b", target.address, *target.tls("--certfile", "--keyfile")]
        arguments += ["--keep-alive", KEEP_ALIVE, "--worker-connections", CONNECTIONS]
        arguments += ["--graceful-timeout", "2", "--log-level", "warning", *options]
        if target.access_log:
            arguments += ["--access-logfile", target.access_log]
        return [*arguments, target.app]

    return command


def _without_gunicorn(module: str, *options: str) -> Callable[[Target], list[str]]:
    def command(target: Target) -> list[str]:
        arguments = ["-m", module, *target.where("--port", "--uds"), *options]
        arguments += ["--timeout-keep-alive", KEEP_ALIVE]
        arguments += target.tls("--ssl-certfile", "--ssl-keyfile")
        if target.workers > 1:
            arguments += ["--workers", str(target.workers)]
        if not target.access_log:  # on, it writes to the standard output: a file here
            arguments += ["--log-level", "warning", "--no-access-log"]
        return [*arguments, target.app]

    return command


def _uvicorn(parser: str, loop: str, websockets: str) -> Callable[[Target], list[str]]:
    return _without_gunicorn("uvicorn", "--http", parser, "--loop", loop, "--ws", websockets)


def _granian(target: Target) -> list[str]:
    arguments = ["-m", "granian", "--interface", "asgi", *target.where("--port", "--uds")]
    arguments += ["--workers", str(target.workers), "--runtime-threads", "1", "--loop", "uvloop"]
    arguments += ["--http", "1", *target.tls("--ssl-certificate", "--ssl-keyfile")]
    arguments += ["--backlog", CONNECTIONS, "--backpressure", CONNECTIONS]
    arguments += ["--ws" if target.websocket else "--no-ws"]
    arguments += ["--log-level", "warning"] if not target.access_log else ["--access-log"]
    return [*arguments, target.app]


def _hypercorn(target: Target) -> list[str]:
    arguments = ["-m", "hypercorn", "-k", "uvloop", "-w", str(target.workers)]
    arguments += ["-b", target.address, *target.tls("--certfile", "--keyfile")]
    arguments += ["--keep-alive", KEEP_ALIVE, "--graceful-timeout", "2"]
    arguments += ["--log-level", "warning" if not target.access_log else "info"]
    if target.access_log:
        arguments += ["--access-logfile", target.access_log]
    return [*arguments, target.app]


def _daphne(target: Target) -> list[str]:
    arguments = ["-m", "daphne", *target.where("-p", "-u"), "-v", "0"]
    if target.access_log:
        arguments += ["--access-log", target.access_log]
    return [*arguments, "--http-timeout", KEEP_ALIVE, target.app]


def _node(target: Target) -> list[str]:
    become = "import os, sys; os.execvp('node', ['node', 'node_app.js', *sys.argv[1:]])"
    return ["-c", become, target.uds or str(target.port), target.app]


def _floor(target: Target) -> list[str]:
    return ["floor.py", target.uds or str(target.port), target.app]


OURS = "ours"
FLOOR = "floor"
_STACK = ("uvloop", "httptools")
SERVERS = {
    launch.name: launch
    for launch in (
        Launch(
            name=OURS,
            summary="this checkout under Gunicorn",
            command=_gunicorn("uvicorn_worker.UvicornWorker"),
            distributions=("gunicorn", *_STACK, "websockets"),
            ours=True,
            worker_package=True,
        ),
        Launch(
            name="uvicorn",
            summary="Uvicorn, one process, httptools, websockets-sansio and uvloop",
            command=_uvicorn("httptools", "uvloop", "websockets-sansio"),
            distributions=("uvicorn", *_STACK, "websockets"),
        ),
        Launch(
            name="uvicorn-worker",
            summary="Uvicorn under Gunicorn: uvicorn-worker 0.4.0",
            command=_gunicorn("uvicorn_worker.UvicornWorker"),
            distributions=("uvicorn-worker", "gunicorn", "uvicorn", *_STACK),
            worker_package=True,
        ),
        Launch(
            name="gunicorn-asgi",
            summary="Gunicorn's own asgi worker, uvloop, its C parser if installed",
            command=_gunicorn("asgi", "--asgi-loop", "uvloop"),
            distributions=("gunicorn", "gunicorn_h1c", "uvloop"),
        ),
        Launch(
            name="granian",
            summary="Granian, one worker, one runtime thread, uvloop",
            command=_granian,
            distributions=("granian", "uvloop"),
        ),
        Launch(
            name="hypercorn",
            summary="Hypercorn, one worker, uvloop",
            command=_hypercorn,
            distributions=("hypercorn", "h11", "uvloop"),
        ),
        Launch(
            name="daphne",
            summary="Daphne, one process",
            command=_daphne,
            distributions=("daphne", "twisted", "autobahn"),
            features=frozenset({"access log", "ASGI", HEAP, UNIX, "WebSockets"}),
        ),
        Launch(
            name="node",
            summary="the http module of Node.js, one process",
            command=_node,
            distributions=(),
            version=("node", "--version"),
            ours=True,
            features=frozenset({UNIX}),
        ),
        Launch(
            name="command",
            summary="this checkout without Gunicorn: the command uvicorn-worker",
            command=_without_gunicorn("uvicorn_worker"),
            distributions=(*_STACK, "websockets"),
            ours=True,
            features=EVERYTHING - {"workers"},
            worker_package=True,
            default=False,
        ),
        Launch(
            name="supervisor",
            summary="this checkout without Gunicorn: uvicorn-supervisor with one worker",
            command=_without_gunicorn("uvicorn_supervisor", "--workers", "1"),
            distributions=(*_STACK, "websockets"),
            ours=True,
            worker_package=True,
            default=False,
        ),
        Launch(
            name="ours-h11",
            summary="this checkout under Gunicorn, h11 and wsproto on asyncio",
            command=_gunicorn("uvicorn_worker.UvicornH11Worker"),
            distributions=("gunicorn", "h11", "wsproto"),
            ours=True,
            worker_package=True,
            default=False,
        ),
        Launch(
            name="uvicorn-h11",
            summary="Uvicorn, one process, h11 and wsproto on asyncio",
            command=_uvicorn("h11", "asyncio", "wsproto"),
            distributions=("uvicorn", "h11", "wsproto"),
            default=False,
        ),
        *(
            Launch(
                name=f"uvicorn-{engine}",
                summary=f"Uvicorn with its other WebSocket engine {engine}",
                command=_uvicorn("httptools", "uvloop", engine),
                distributions=("uvicorn", *_STACK, engine),
                default=False,
            )
            for engine in ("websockets", "wsproto")
        ),
        Launch(
            name=FLOOR,
            summary="uvloop and httptools with a canned answer: what is possible at all",
            command=_floor,
            distributions=_STACK,
            ours=True,
            default=False,
            features=frozenset({"ASGI", UNIX, "WebSockets"}),
        ),
    )
}
