"""Sets up the log of a supervisor; what its files are in there says `logtargets`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn_supervisor.logs.targets import HANDLERS, STDOUT
from uvicorn_worker.errors import ConfigError
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from uvicorn_supervisor.config import SupervisorConfig


def set_up(config: SupervisorConfig) -> None:
    """Log as the configuration says; may be called again.

    Raises:
        ConfigError: a file cannot be written, or `log_config` cannot be used.
    """
    for option in HANDLERS:
        path = getattr(config, option)
        if path is not None and path != STDOUT:
            _try(option, path)
    configure_logging(config)


def _try(option: str, path: str) -> None:
    """Name the option where `logging` would name its own configuration."""
    try:
        with open(path, "ab"):
            pass
    except OSError as exc:
        raise ConfigError(
            f"{option}={path!r}: {exc.strerror or exc}; expected a file that can be written"
        ) from None
