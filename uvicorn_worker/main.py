"""`run`, and the names that people import from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn_worker.config import Config
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Config", "Server", "run"]


def run(app: str | Callable[..., Any], **options: Any) -> None:
    """Serve an application in this process until it is told to stop; options are those of Config.

    Raises:
        ConfigError: an option has a value that it cannot have, or is for a supervisor.
        TypeError: there is no such option.
        SystemExit: it could not start, or the application has ended it.
    """
    config = Config(app, **options)
    if (config.workers or 1) > 1 or config.reload:
        what = "reload" if config.reload else f"workers={config.workers}"
        raise ConfigError(f"{what} needs a supervisor: uvicorn_supervisor.run() takes it as well")
    Server(config).run()
