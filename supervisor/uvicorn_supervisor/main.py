"""`run`: a supervisor from a configuration to its exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from uvicorn_supervisor.advice import VOIDS
from uvicorn_supervisor.config import SupervisorConfig
from uvicorn_supervisor.holdings.place import Place
from uvicorn_supervisor.logs.setup import set_up
from uvicorn_supervisor.loop import Supervisor
from uvicorn_supervisor.mailbox import Mailbox
from uvicorn_supervisor.system import Posix
from uvicorn_worker.application.importing import find_folder
from uvicorn_worker.options.advice import find_void
from uvicorn_worker.options.declared import did_you_mean
from uvicorn_worker.options.sources import Given

if TYPE_CHECKING:
    from collections.abc import Callable


def run(app: str | Callable[..., Any], **options: Any) -> None:
    """Serve an application with supervised workers until told to stop; in the main thread only.

    Options are those of `SupervisorConfig`.

    Raises:
        ConfigError: an option has a value that it cannot have.
        RuntimeError: this is another thread, or an event loop runs in it.
        SystemExit: it could not start; the log says why.
        TypeError: there is no such option.
    """
    _refuse_place()
    known = [field.name for field in fields(SupervisorConfig)]
    for name in options.keys() - known:
        raise TypeError(f"run({name}=...): there is no such option{did_you_mean(name, known)}")
    config = SupervisorConfig(app, **options)
    set_up(config)
    given = {name: Given(value, f"{name}={value!r}") for name, value in options.items()}
    for text in find_void(config, given, VOIDS):
        logging.getLogger("uvicorn.supervisor").warning("%s", text)
    code = supervise(config, lambda: config)
    if code:
        raise SystemExit(code)


def supervise(
    config: SupervisorConfig, read: Callable[[], SupervisorConfig], *, last: bool = False
) -> int:
    """Run a supervisor and return its exit code.

    `read` returns the configuration as it is at a reload; `last` where the process ends behind it.

    Raises:
        WorkerError: it cannot begin: an address is taken, a file cannot be written or found.
    """
    mailbox = Mailbox()  # first: a signal that comes from now on is not lost
    try:
        set_up(config)
        find_folder(config.app_dir)  # a mistake here need not be found by each worker
        system = Posix()
        system.set_title(f"uvicorn-supervisor: master [{_name(config)}]")
        with contextlib.closing(Place(config)) as place:
            return Supervisor(config, read, place, mailbox, system).run()
    finally:
        mailbox.close(last=last)


def _refuse_place() -> None:
    """Raise RuntimeError where signals cannot be answered, or forks would share a loop."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "uvicorn_supervisor.run() answers signals: call it in the main thread; "
            "uvicorn_worker.Server serves in any thread"
        )
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "an event loop runs here already, and uvicorn_supervisor.run() forks: call it outside, "
            "or `await uvicorn_worker.Server(config).serve()` for one process"
        )


def _name(config: SupervisorConfig) -> str:
    return config.app if isinstance(config.app, str) else type(config.app).__name__
