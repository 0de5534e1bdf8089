"""`--error-logfile` and `--access-logfile`: the built-in logging, written to files. Pure."""

from __future__ import annotations

import copy
from typing import Any, Final

STDOUT: Final = "-"

# Option -> the handler of the built-in configuration that it is about.
HANDLERS: Final = {"error_logfile": "default", "access_logfile": "access"}

# Access lines are written past their handler, see uvicorn_worker.logs.linesink.
CLASSES: Final = {
    "error_logfile": "uvicorn_supervisor.logs.logfile.LogFile",
    "access_logfile": "logging.FileHandler",
}


def redirected(config: dict[str, Any], files: dict[str, str | None]) -> dict[str, Any]:
    """Return a logging configuration whose handlers write to `files`, which are by option.

    None: as it was. `-`: standard output.
    """
    changed = copy.deepcopy(config)
    for option, path in files.items():
        if path is not None:
            handler = changed["handlers"][HANDLERS[option]]
            handler.pop("stream", None)
            handler |= _target(option, path)
    return changed


def _target(option: str, path: str) -> dict[str, Any]:
    if path == STDOUT:
        return {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    return {"class": CLASSES[option], "filename": path, "encoding": "utf-8"}
