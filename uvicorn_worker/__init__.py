"""An ASGI server: `uvicorn-worker app:app`, `gunicorn -k uvicorn_worker.UvicornWorker app:app`.

Only names live here. They load on first access (PEP 562), so importing the package needs
neither Gunicorn nor uvloop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_worker.config import Config
    from uvicorn_worker.main import run
    from uvicorn_worker.server import Server
    from uvicorn_worker.worker import UvicornH11Worker, UvicornWorker

__all__ = ["Config", "Server", "UvicornH11Worker", "UvicornWorker", "__version__", "run"]

__version__ = "1.0.0.dev0"

_HOMES = {
    "Config": "uvicorn_worker.config",
    "Server": "uvicorn_worker.server",
    "run": "uvicorn_worker.main",
    "UvicornH11Worker": "uvicorn_worker.worker",
    "UvicornWorker": "uvicorn_worker.worker",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value  # the next access does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
