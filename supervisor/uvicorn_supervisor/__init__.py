"""Keeps workers serving: `uvicorn-supervisor app:app --workers 4`, or `run` from code.

Only names live here; they load on first access (PEP 562).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn_supervisor.config import SupervisorConfig
    from uvicorn_supervisor.main import run

__all__ = ["SupervisorConfig", "run"]

_HOMES = {
    "SupervisorConfig": "uvicorn_supervisor.config",
    "run": "uvicorn_supervisor.main",
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
