"""The access log of a configuration, with its lines in a file, and what formats can be about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from uvicorn_worker.config import LOGGING_CONFIG, Config
from uvicorn_worker.logs.access import AccessLog, make_access_log
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

ACCESS = logging.getLogger("uvicorn.access")
COMBINED = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'


def access_log_of(**options: Any) -> AccessLog:
    config = Config("a:b", **options)
    configure_logging(config)
    made = make_access_log(config)
    assert made is not None
    return made


def logged_to(path: Path, **changes: object) -> dict[str, Any]:
    """Return the usual configuration, with the access lines in a file."""
    access = {**LOGGING_CONFIG["formatters"]["access"], "use_colors": False, **changes}
    return {
        **LOGGING_CONFIG,
        "formatters": {**LOGGING_CONFIG["formatters"], "access": access},
        "handlers": {
            **LOGGING_CONFIG["handlers"],
            "access": {
                "class": "logging.FileHandler",
                "filename": str(path),
                "formatter": "access",
            },
        },
    }
