"""Loads the application of a release, and says why it cannot be served."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final

from uvicorn_worker.application.errorpage import error_page
from uvicorn_worker.application.importing import load_application
from uvicorn_worker.errors import AppLoadError, LifespanError, WorkerError
from uvicorn_worker.logs.tracing import trace
from uvicorn_worker.options.files import load_env_file

if TYPE_CHECKING:
    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_worker.asgi import Application

log: Final = logging.getLogger("uvicorn.error")


def load(config: SupervisorConfig) -> Application:
    """Return the application; variables of the env-file are in the environment before.

    With `reload`, one whose own code fails is a page that says so: whoever edits it looks there.

    Raises:
        WorkerError: it cannot be loaded.
    """
    load_env_file(config.env_file, os.environ)
    if config.reload:
        # Bytecode is looked up by its source's size and second: two changes within one second
        # that leave the size as it was would not be seen.
        sys.dont_write_bytecode = True
    try:
        return trace(load_application(config, log))
    except AppLoadError as exc:
        if not config.reload or not isinstance(exc.__cause__, Exception):
            raise  # also where a signal has interrupted the loading: by SystemExit
        say_why(exc)
        return error_page(exc.__cause__)


def say_why(exc: WorkerError) -> None:
    """Log why a worker cannot serve, with the traceback where the user's own code has failed."""
    what = "Application startup failed: " if isinstance(exc, LifespanError) else ""
    log.error("%s%s", what, exc, exc_info=exc.__cause__)
