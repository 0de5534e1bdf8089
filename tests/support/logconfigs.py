"""Logging configurations as people have them, and the loggers that they are about."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from uvicorn_worker.config import Config
from uvicorn_worker.logs.setup import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

ERROR = logging.getLogger("uvicorn.error")
ACCESS = logging.getLogger("uvicorn.access")
ACCESS_ARGS = ("127.0.0.1:50000", "GET", "/?a=1", "1.1", 200)
ACCESS_MESSAGE = '%s - "%s %s HTTP/%s" %d'

# As it stands in Uvicorn's documentation, and in configurations copied from there.
UVICORNS: dict[str, Any] = {
    "version": 1,
    "formatters": {
        "default": {
            "()": "uvicorn.logging.DefaultFormatter",
            "fmt": "%(levelprefix)s %(message)s",
            "use_colors": None,
        },
        "access": {
            "()": "uvicorn.logging.AccessFormatter",
            "fmt": '> %(levelprefix)s %(client_addr)s "%(request_line)s" %(status_code)s',
        },
    },
    "handlers": {
        "default": {
            "class": "logging.StreamHandler",
            "formatter": "default",
            "stream": "ext://sys.stderr",
        },
        "access": {
            "class": "logging.StreamHandler",
            "formatter": "access",
            "stream": "ext://sys.stdout",
        },
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
    },
}
INI = """
[loggers]
keys=root, access

[handlers]
keys=console

[formatters]
keys=access

[logger_root]
level=INFO
handlers=

[logger_access]
qualname=uvicorn.access
level=INFO
propagate=0
handlers=console

[handler_console]
class=StreamHandler
formatter=access
args=(sys.stdout,)

[formatter_access]
class=uvicorn.logging.AccessFormatter
format=> %(levelprefix)s %(client_addr)s "%(request_line)s" %(status_code)s
"""

# From a tutorial, word for word.
PYTHON_JSON_LOGGER: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.jsonlogger.JsonFormatter",
            "format": "%(asctime)s %(name)s %(levelname)s %(message)s",
        }
    },
    "handlers": {
        "default": {
            "class": "logging.StreamHandler",
            "formatter": "json",
            "stream": "ext://sys.stdout",
        }
    },
    "loggers": {
        "uvicorn": {"handlers": ["default"], "level": "INFO"},
        "uvicorn.error": {"handlers": ["default"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["default"], "level": "INFO", "propagate": False},
    },
}


def configure(**options: Any) -> None:
    configure_logging(Config("a:b", **options))


def log_access() -> None:
    ACCESS.info(ACCESS_MESSAGE, *ACCESS_ARGS)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)
