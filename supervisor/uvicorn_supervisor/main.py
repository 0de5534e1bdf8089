"""`run`: a supervisor from a configuration to its exit code."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_supervisor.loop import Supervisor
from uvicorn_supervisor.mailbox import Mailbox
from uvicorn_supervisor.place import Place
from uvicorn_supervisor.system import Posix
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable


def run(app: str | Callable[..., Any], **options: Any) -> None:
    """Serve an application with supervised workers until told to stop; in the main thread only.

    Options are those of `SupervisorConfig`.

    Raises:
        ConfigError: an option has a value that it cannot have.
        SystemExit: it could not start; the log says why.
    """
    config = SupervisorConfig(app, **options)
    code = supervise(config, lambda: config)
    if code:
        raise SystemExit(code)


def supervise(config: SupervisorConfig, read: Callable[[], SupervisorConfig]) -> int:
    """Run a supervisor and return its exit code.

    `read` returns the configuration as it is at a reload.

    Raises:
        WorkerError: it cannot begin: an address is taken, a file cannot be written.
    """
    mailbox = Mailbox()  # first: a signal that comes from now on is not lost
    try:
        configure_logging(config)
        system = Posix()
        system.set_title(f"uvicorn-supervisor: master [{_name(config)}]")
        with contextlib.closing(Place(config)) as place:
            return Supervisor(config, read, place, mailbox, system).run()
    finally:
        mailbox.close()


def _name(config: SupervisorConfig) -> str:
    return config.app if isinstance(config.app, str) else type(config.app).__name__
