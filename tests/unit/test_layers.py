"""Imports point downwards, and each library has one module that imports it.

The tables say how the package is built. A new module gets a rank, a new library an owner; an edge
that the ranks forbid is first a question about the design, then an entry in `edges` with a reason.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.layers import Layers, complaints, read_imports

ROOT = Path(__file__).parents[2]

IMPURE = ("asyncio", "logging", "os", "socket", "threading", "time")

WORKER = Layers(
    where="WORKER in tests/unit/test_layers.py",
    ranks=(
        ("__main__",),
        ("cli", "main"),
        ("checkup", "server", "worker"),
        (
            "gunicorn.endpoint",
            "gunicorn.life",
            "gunicorn.observer",
            "gunicorn.signalled",
            "gunicorn.tls",
        ),
        ("gunicorn.access", "gunicorn.masters", "gunicorn.meaning", "gunicorn.settings"),
        ("gunicorn.atoms", "gunicorn.options"),
        ("gunicorn.views",),
        ("metrics.desk", "process.departure", "process.signalled"),
        ("process.family", "process.leaving", "process.news", "process.orders", "process.single"),
        ("service",),
        ("upgrades",),
        ("metrics.answers", "metrics.metering"),
        (
            "http1.health",
            "metrics.connection",
            "metrics.exposition",
            "metrics.pauses",
            "metrics.websocket",
        ),
        ("metrics.figures", "metrics.heritage", "metrics.meter"),
        ("metrics.layout", "metrics.queueing"),
        ("application.importing", "sockets.opening"),
        (
            "deadlines",
            "drain",
            "sockets.inherited",
            "application.lifespan",
            "sockets.listeners",
            "application.loading",
            "loops",
            "sockets.unix",
        ),
        ("tls.renewal",),
        ("tls.context", "tls.failures", "tls.scope"),
        ("tls.certificates",),
        ("http1.connection", "http1.timelimit", "sockets.doorstep", "websocket.connection"),
        ("http1.ending", "websocket.ending"),
        ("flow", "websocket.denial"),
        ("http1.cycle", "http1.state", "websocket.cycle"),
        ("http1.receiving", "websocket.handshake", "websocket.reader"),
        ("http1.channel",),
        ("logs.levels",),
        ("logs.access", "logs.setup"),
        ("logs.builtin", "logs.lineformat", "logs.textlines"),
        ("logs.atoms",),
        ("logs.exchanges", "logs.linesink", "logging"),
        ("application.identity", "logs.jsonlines"),
        ("logs.records", "logs.remembered", "logs.requestid"),
        (
            "http1.body",
            "http1.files",
            "http1.h11_parser",
            "http1.head",
            "http1.httptools_parser",
            "http1.partial",
            "http1.scope",
            "proxies.headers",
            "proxies.proxy_protocol",
            "websocket.*_engine",
            "application.wsgi",
        ),
        ("proxies.origin",),
        ("proxies.forwarded",),
        ("http1.reader",),
        ("http1.sections",),
        ("http1.request", "websocket.deflate"),
        ("websocket.frames",),
        ("http1.parser", "websocket.engine"),  # what the adapters implement
        ("diagnostics.blocking",),
        ("scoreboard.neighbours", "sockets.accepting", "sockets.balance", "sockets.lanes", "state"),
        ("leader", "scoreboard.board"),
        ("lease", "scoreboard.slots"),
        ("scoreboard.boots",),
        ("scoreboard.memory",),
        ("scoreboard.fields", "scoreboard.phases", "scoreboard.rooms"),
        ("options.advice",),
        ("sockets.binds", "options.flags", "logs.files", "options.files", "logs.tracing"),
        ("options.words",),
        ("options.sources",),
        ("config",),  # what one process is told, and in it
        ("serverconfig",),  # what every layer above is given
        ("options.declared",),
        ("proxies.peers",),
        ("application.errorpage", "diagnostics.reports"),
        ("process.interruption",),
        (
            "asgi",
            "process.daemonthreads",
            "errors",
            "process.guard",
            "process.heap",
            "diagnostics.stacks",
            "options.values",
            "diagnostics.watchdog",
        ),
        # The packages themselves: names only. Anyone may ask them for `__version__`.
        (
            "",
            "application",
            "diagnostics",
            "gunicorn",
            "http1",
            "logs",
            "metrics",
            "options",
            "process",
            "proxies",
            "scoreboard",
            "sockets",
            "tls",
            "websocket",
        ),
    ),
    edges=(
        # Public names that load on first access; the import is for type checkers.
        ("", "config"),
        ("", "main"),
        ("", "server"),
        ("", "worker"),
        # What Uvicorn's `Config` can do as well; loaded when somebody asks.
        ("config", "application.importing"),
        ("config", "logs.setup"),
        ("config", "loops"),
        ("config", "sockets.opening"),
        # For type checkers: the state keeps the hook to which a connection is handed over.
        ("http1.state", "http1.connection"),
    ),
    libraries={
        "a2wsgi": ("application.wsgi",),
        "click": ("options.flags",),
        "dotenv": ("options.files",),
        "gunicorn": ("worker", "gunicorn.*"),
        "h11": ("http1.h11_parser",),
        "httptools": ("http1.httptools_parser",),
        "prometheus_client": ("metrics.exposition",),
        "tomli": ("options.files",),
        "tomllib": ("options.files",),  # the standard library's from 3.11 on
        "uvloop": ("loops",),
        "websockets": ("websocket.websockets_engine",),
        "wsproto": ("websocket.wsproto_engine",),
        "yaml": ("logs.files",),
    },
    shared=("gunicorn",),
    pure={
        "sockets.binds": IMPURE,
        "tls.certificates": IMPURE,
        "errors": IMPURE,
        "proxies.forwarded": IMPURE,
        "options.values": IMPURE,
        "options.advice": IMPURE,
        "options.sources": IMPURE,
        "options.words": IMPURE,
        "http1.body": IMPURE,
        "http1.head": IMPURE,
        "http1.parser": IMPURE,
        "http1.partial": IMPURE,
        "http1.reader": IMPURE,
        "http1.request": IMPURE,
        "http1.scope": IMPURE,
        "http1.sections": IMPURE,
        "proxies.origin": IMPURE,
        "proxies.peers": IMPURE,
        "proxies.headers": IMPURE,
        "proxies.proxy_protocol": IMPURE,
        "tls.failures": IMPURE,
        "metrics.layout": IMPURE,
        "metrics.queueing": IMPURE,
        "websocket.deflate": IMPURE,
        "websocket.frames": IMPURE,
        "websocket.handshake": IMPURE,
        "websocket.reader": IMPURE,
    },
)

SUPERVISOR = Layers(
    where="SUPERVISOR in tests/unit/test_layers.py",
    ranks=(
        ("__main__", "ctl"),
        ("cli", "control.top"),
        ("main",),
        ("loop",),
        ("control.reception",),
        ("control.webpage",),
        ("control.commands", "control.monitoring"),
        ("control.scene", "systemd.manager"),
        (
            "logs.journal",
            "workers.nursery",
            "observation.observer",
            "control.status",
            "observation.tally",
        ),
        ("workers.preload",),
        ("workers.child",),
        ("decisions.verdicts",),
        ("workers.application", "workers.assignment", "decisions.pool", "workers.tenure"),
        ("views", "workers.witness"),
        ("decisions.seating",),
        ("decisions.releases", "decisions.staff", "decisions.successor"),
        ("decisions.lifecycle",),
        ("holdings.place",),
        ("systemd.stored",),
        ("control.counters", "control.desk", "mailbox", "holdings.pidfile", "system"),
        ("holdings.upgrade",),
        ("control.credentials", "control.deskhttp"),
        (
            "decisions.autoworkers",
            "decisions.deaths",
            "observation.examine",
            "holdings.handover",
            "hooks",
            "systemd.sdnotify",
            "reloading.watching",
        ),
        ("observation.cgroups", "reloading.patterns"),
        ("advice", "control.closed", "logs.setup", "decisions.messages"),
        (
            "workers.bulletin",
            "config",
            "control.client",
            "control.figures",
            "workers.line",
            "control.rates",
        ),
        ("systemd.announcing",),
        ("decisions.limits", "logs.logfile", "logs.targets", "workers.once"),
        (
            "",
            "control",
            "decisions",
            "holdings",
            "logs",
            "observation",
            "reloading",
            "systemd",
            "workers",
        ),
    ),
    edges=(
        # Public names that load on first access; the imports are for type checkers.
        ("", "config"),
        ("", "main"),
        # For type checkers: what a worker's process has, to its time on the loop.
        ("workers.tenure", "workers.assignment"),
    ),
    libraries={
        "httptools": ("control.deskhttp",),
        "psutil": ("system",),
        "rich": ("control.top",),
        "setproctitle": ("system",),
        # The server: after the fork, and where options, logging and sockets are.
        "uvicorn_worker": (
            "advice",
            "workers.application",
            "workers.assignment",
            "workers.child",
            "cli",
            "config",
            "control.commands",
            "control.counters",
            "ctl",
            "holdings.handover",
            "hooks",
            "logs.setup",
            "loop",
            "main",
            "control.monitoring",
            "workers.nursery",
            "observation.observer",
            "reloading.patterns",
            "holdings.pidfile",
            "holdings.place",
            "workers.preload",
            "control.reception",
            "control.scene",
            "control.status",
            "systemd.stored",
            "systemd.manager",
            "observation.tally",
            "workers.tenure",
            "workers.witness",
        ),
        "watchfiles": ("reloading.watching",),
    },
    shared=("uvicorn_worker",),
    pure=dict.fromkeys(
        (
            "decisions.*",
            "control.figures",
            "control.rates",
            "control.status",
            "logs.targets",
            "systemd.announcing",
        ),
        IMPURE,
    ),
)


def test_imports_of_the_supervisor_package_follow_the_layers() -> None:
    modules, imports = read_imports(ROOT / "supervisor" / "uvicorn_supervisor")

    assert complaints(modules, imports, SUPERVISOR) == []


def test_the_supervisor_imports_nothing_of_gunicorns() -> None:
    _, imports = read_imports(ROOT / "supervisor" / "uvicorn_supervisor")
    _, inside = read_imports(ROOT / "uvicorn_worker")
    gunicorns = {one.importer for one in inside if one.target.split(".")[0] == "gunicorn"}

    targets = {one.target for one in imports if not one.inside}
    assert {f"uvicorn_worker.{name}" for name in gunicorns}.isdisjoint(targets)
    assert not [one for one in targets if one.startswith(("gunicorn", "uvicorn_worker.gunicorn"))]


def test_imports_of_the_worker_package_follow_the_layers() -> None:
    modules, imports = read_imports(ROOT / "uvicorn_worker")

    assert complaints(modules, imports, WORKER) == []
